"""Bytes only: frames apart, trailer off, however the bytes were chunked."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.stream import MAX_REPORT_BYTES, Demux, LogMender, TrailerCutter

NONCE = "0123456789abcdef0123456789abcdef"


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(places)]


def trailer(code: int = 0, outputs: bytes = b"", conditions: bytes = b"", missing="-") -> bytes:
    head = f"\x1e{NONCE} {code} {len(outputs)} {len(conditions)} {missing}\n".encode()
    return head + outputs + conditions


def cut(chunks: list[bytes]) -> tuple[bytes, TrailerCutter]:
    cutter = TrailerCutter(NONCE)
    log = b"".join(cutter.feed(chunk) for chunk in chunks)
    return log + cutter.finish(), cutter


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=20),
    st.lists(st.integers(0, 5000), max_size=30),
)
def test_frames_come_out_as_they_went_in(frames, cuts):
    wire = b"".join(frame(*one) for one in frames)
    demux = Demux()
    out = [one for chunk in chunked(wire, cuts) for one in demux.feed(chunk)]
    assert out == frames


# Bodies full of what a mark is made of.
_body = st.lists(
    st.sampled_from(
        [b"\x1e", NONCE.encode(), b"\x1e" + NONCE.encode(), b" ", b"\n", b"0", b"line\n"]
    )
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)


@given(
    _body,
    st.binary(max_size=60),
    st.binary(max_size=20),
    st.lists(st.integers(0, 9999), max_size=20),
)
def test_the_trailer_is_cut_off_and_nothing_else(body, outputs, conditions, cuts):
    log, cutter = cut(chunked(body + trailer(7, outputs, conditions), cuts))
    assert cutter.trailer is not None
    if b"\x1e" + NONCE.encode() + b" " not in body:
        assert log == body
        assert (cutter.trailer.code, cutter.trailer.outputs) == (7, outputs)
        assert cutter.trailer.conditions == conditions


@given(
    _body.filter(lambda body: NONCE.encode() not in body),
    st.lists(st.integers(0, 9999), max_size=9),
)
def test_without_a_trailer_every_byte_is_log(body, cuts):
    log, cutter = cut(chunked(body, cuts))
    assert log == body
    assert cutter.trailer is None


def test_a_live_line_is_never_held_back():
    cutter = TrailerCutter(NONCE)
    assert cutter.feed(b"no newline yet") == b"no newline yet"
    assert cutter.feed(b"\x1e") == b""
    assert cutter.feed(b"[31m") == b"\x1e[31m"


def test_every_cut_of_a_trailer_gives_the_same():
    whole = b"last line" + trailer(3, b'{"a":1}\n', b"c")
    for at in range(len(whole) + 1):
        log, cutter = cut([whole[:at], whole[at:]])
        assert log == b"last line"
        assert cutter.trailer is not None


def test_a_torn_trailer_is_neither_log_nor_outcome():
    whole = trailer(0, b"x" * 100)
    log, cutter = cut([b"log" + whole[:-2]])
    assert log == b"log"
    assert cutter.trailer is None
    assert cutter.broken


@pytest.mark.parametrize("outputs", [b"", b'{"value": 1}\n'])
def test_a_trailer_may_lack_the_newline_that_the_engines_log_loses(outputs):
    log, cutter = cut([b"log" + trailer(5, outputs)[:-1]])
    assert log == b"log"
    assert cutter.trailer is not None
    assert (cutter.trailer.code, cutter.trailer.outputs) == (5, outputs)


def engine_log(data: bytes, *, loses_newlines: bool) -> list[bytes]:
    """What the engine makes of a stream: a frame per line, long lines in parts of 16 kB."""
    frames = []
    for line in data.splitlines(keepends=True):
        text = line.removesuffix(b"\n")
        parts = [text[at : at + 16384] for at in range(0, len(text), 16384)] or [b""]
        if len(text) and len(text) % 16384 == 0:
            parts.append(b"")  # the newline comes when the part is full already
        if line.endswith(b"\n") and not (loses_newlines and len(parts) > 1):
            parts[-1] += b"\n"
        frames += [b"2026-01-02T03:04:05.123456789Z " + part for part in parts]
    return frames


@pytest.mark.parametrize("loses_newlines", [True, False])
@given(st.lists(st.sampled_from([0, 1, 9, 16383, 16384, 16385, 32768, 40000]), max_size=6))
def test_lines_of_the_engines_log_get_their_newlines_back(loses_newlines, sizes):
    data = b"".join(b"x" * size + b"\n" for size in sizes) + b"end"
    mender = LogMender()
    frames = engine_log(data, loses_newlines=loses_newlines)
    assert b"".join(mender.mend(1, frame) for frame in frames) == data


def test_a_forged_trailer_with_more_behind_it_is_log():
    forged = trailer(0, b"ab")
    log, cutter = cut([forged, b"and on it goes\n", trailer(1)])
    assert log == forged + b"and on it goes\n"
    assert cutter.trailer is not None
    assert cutter.trailer.code == 1


def test_an_announcement_beyond_the_limit_is_held_back_only_briefly():
    head = f"\x1e{NONCE} 0 {MAX_REPORT_BYTES + 1} 0 -\n".encode()
    cutter = TrailerCutter(NONCE)
    assert cutter.feed(head) == head


def test_reports_too_large_to_send_are_announced():
    _, cutter = cut([f"\x1e{NONCE} 0 -1 0 -\n".encode()])
    assert cutter.trailer is not None
    assert cutter.trailer.outputs is None
    assert cutter.trailer.conditions == b""


def test_a_missing_tool_is_named():
    _, cutter = cut([trailer(127, missing="python3")])
    assert cutter.trailer is not None
    assert cutter.trailer.missing == "python3"


def test_many_record_separators_are_quick():
    cutter = TrailerCutter(NONCE)
    data = b"\x1e" * 1_000_000
    assert cutter.feed(data) + cutter.finish() == data


def test_random_bytes_pass_unchanged():
    data = random.Random(1).randbytes(300_000)
    log, _ = cut([data[at : at + 32768] for at in range(0, len(data), 32768)])
    assert log == data
