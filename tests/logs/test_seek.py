"""Places in a log, by line and by offset, against counting line feeds by hand."""

import os
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import Segment
from cronium_app.domain.ids import new_id
from cronium_app.logs.files import LogStore
from cronium_app.logs.index import Position
from cronium_app.logs.seek import Reader

T0 = 1_700_000_000_000
pieces = st.lists(
    st.tuples(
        st.sampled_from((1, 2)),
        st.one_of(
            st.sampled_from([b"\n", b"\n\n", b"x", b"line\n", "\u00e4\n".encode(), b"y" * 70_000]),
            st.binary(min_size=1, max_size=40),
        ),
        st.integers(0, 80),
    ),
    max_size=20,
)


def written(tmp_path, parts, *, index: bool = True):
    """A log of (stream, bytes, ms later) and its bytes."""
    path = tmp_path / f"{new_id()}.log"
    position, records, log, now = Position(), b"", b"", T0
    for stream, data, later in parts:
        now += later
        records += position.advance(data, [Segment(stream, len(data), now)])
        log += data
    path.write_bytes(log)
    if index:
        path.with_suffix(".idx").write_bytes(records)
    return path, log


def starts(log: bytes) -> list[int]:
    """Where each line begins; a line feed at the very end begins none."""
    found = [0] + [at + 1 for at, byte in enumerate(log) if byte == 10]
    return [at for at in found if at < len(log)]


@settings(deadline=None, max_examples=60)
@given(pieces, st.booleans(), st.randoms(use_true_random=False))
def test_every_line_and_offset_is_found(tmp_path_factory, parts, index, pick: random.Random):
    path, log = written(tmp_path_factory.mktemp("seek"), parts, index=index)
    truth = starts(log)
    with Reader(path, len(log)) as reader:
        for number in {1, len(truth), *pick.choices(range(1, len(truth) + 2), k=5)}:
            wanted = truth[number - 1] if 1 <= number <= len(truth) else None
            assert reader.locate(number) == wanted
        assert reader.locate(0) is None
        assert reader.locate(len(truth) + 1) is None
        for at in {0, len(log), *(pick.randrange(len(log) + 1) for _ in range(5))}:
            assert reader.line_at(at) == 1 + log.count(b"\n", 0, at)
            place = reader.aligned(at)
            assert at <= place.offset <= len(log)
            assert place.line == 1 + log.count(b"\n", 0, place.offset)
            if b"\n" in log[max(0, at - 1) : len(log) - 1][: 64 * 1024]:
                assert place.offset in truth


def test_a_line_that_is_not_there_leads_to_the_last_one(tmp_path):
    path, log = written(tmp_path, [(1, b"one\ntwo\nthree\n", 0)])
    with Reader(path, len(log)) as reader:
        assert (reader.by_line(99).offset, reader.by_line(99).line) == (8, 3)
        assert (reader.by_line(2).offset, reader.by_line(2).line) == (4, 2)
        assert reader.by_line(1).length == len(log)


def test_inside_a_huge_line_a_whole_character_is_found(tmp_path):
    path, log = written(tmp_path, [(1, "\u20ac".encode() * 100_000, 0)])
    with Reader(path, len(log)) as reader:
        assert [reader.aligned(at).offset for at in (0, 1, 2, 3, 4)] == [0, 3, 3, 3, 6]


async def test_a_gigabyte_is_counted_by_its_index(tmp_path, monkeypatch):
    """A sparse file of 1 GB: reading it through would take a while and be noticed."""
    logs = LogStore(tmp_path)
    log = new_id()
    await logs.open(log)
    await logs.append(log, 0, b"x\n" * 50_000, [Segment(1, 100_000, T0)])
    await logs.finish(log)
    path = next(tmp_path.rglob("*.log"))
    position = Position(100_000, 50_000, {1: 100_000, 2: 0}, None)
    records = bytearray(path.with_suffix(".idx").read_bytes())
    for block in range(100_000, 1 << 30, 64 * 1024):
        position.offset = block
        records += position.advance(b"", []) or position._mark(1, T0 + block).pack()
    path.with_suffix(".idx").write_bytes(records)
    os.truncate(path, 1 << 30)
    read = 0
    real = os.pread

    def counted(fd: int, size: int, offset: int) -> bytes:
        nonlocal read
        data = real(fd, size, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    assert (await logs.stats(log)).lines == 50_001
    assert await logs.locate(log, 40_000) == 79_998
    assert (await logs.place_at(log, (1 << 30) - 300_000)).line == 50_001
    assert await logs.open(log) == 1 << 30
    logs.close()
    assert read < 2_000_000
