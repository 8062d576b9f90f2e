"""Logs on disk: offsets, streams, followers, and what a crash leaves behind."""

import asyncio
import hashlib
import os
import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.protocol import Segment
from cronium_app.domain.ids import new_id
from cronium_app.logs.files import LogStore, last_lines
from cronium_app.logs.index import RECORD_BYTES, STRIDE_BYTES, Position, frames, trimmed, unpack

T0 = 1_700_000_000_000


@pytest.fixture
def logs(tmp_path):
    store = LogStore(tmp_path / "logs")
    yield store
    store.close()


def segment(data: bytes, stream: int = 1, time_ms: int = T0) -> list[Segment]:
    return [Segment(stream, len(data), time_ms)]


async def new_log(logs: LogStore, *pieces: tuple[int, bytes], step_ms: int = 100):
    """An open log with these (stream, bytes), 100 ms apart."""
    log = new_id()
    await logs.open(log)
    offset = 0
    for number, (stream, data) in enumerate(pieces):
        offset = await logs.append(log, offset, data, segment(data, stream, T0 + number * step_ms))
    return log


async def test_what_is_appended_is_read_back_with_stream_and_time(logs):
    log = await new_log(logs, (1, b"out\n"), (2, b"err\n"), (1, b"more"))
    assert [tuple(frame) for frame in await logs.read_frames(log, 0)] == [
        (0, T0, 1, b"out\n"),
        (4, T0 + 100, 2, b"err\n"),
        (8, T0 + 200, 1, b"more"),
    ]
    assert await logs.read(log, 2, 4) == b"t\ner"
    assert (await logs.stats(log)).lines == 3


async def test_reading_from_the_middle_of_a_frame_keeps_its_stream(logs):
    log = await new_log(logs, (1, b"aaaa"), (2, b"bbbb"))
    assert [tuple(f)[2:] for f in await logs.read_frames(log, 6)] == [(2, b"bb")]
    assert [tuple(f)[2:] for f in await logs.read_frames(log, 2, 4)] == [(1, b"aa"), (2, b"bb")]


async def test_bytes_that_are_there_are_trimmed_and_gaps_change_nothing(logs):
    log = await new_log(logs, (1, b"abc"))
    assert await logs.append(log, 1, b"bcd", segment(b"bcd")) == 4
    assert await logs.append(log, 0, b"ab", segment(b"ab")) == 4
    assert await logs.append(log, 9, b"x", segment(b"x")) == 4
    assert await logs.read(log, 0) == b"abcd"


async def test_an_index_torn_by_a_crash_is_mended(logs, tmp_path):
    log = await new_log(logs, (1, b"one\n"), (2, b"two\n"))
    await logs.finish(log)
    path = next((tmp_path / "logs").rglob("*.idx"))
    with path.open("ab") as index:
        index.write(b"\x07" * (RECORD_BYTES // 2))
    assert await logs.open(log) == 8
    assert path.stat().st_size % RECORD_BYTES == 0
    await logs.append(log, 8, b"three", segment(b"three", 1, T0 + 500))
    assert [frame.stream for frame in await logs.read_frames(log, 0)] == [1, 2, 1]


async def test_a_record_without_its_bytes_is_dropped(logs, tmp_path):
    log = await new_log(logs, (1, b"one\n"), (2, b"two\n"))
    await logs.finish(log)
    path = next((tmp_path / "logs").rglob("*.log"))
    os.truncate(path, 4)  # the index was written, the bytes were not
    assert await logs.open(log) == 4
    await logs.append(log, 4, b"TWO", segment(b"TWO", 1, T0))
    assert [tuple(f) for f in await logs.read_frames(log, 0)] == [(0, T0, 1, b"one\nTWO")]
    assert (await logs.stats(log)).lines == 2


async def test_length_and_checksum_survive_a_reopening(logs):
    log = await new_log(logs, (1, b"abc\n"), (1, b"def"))
    before = await logs.digest(log)
    await logs.finish(log)
    await logs.open(log)
    assert await logs.digest(log) == before == (7, hashlib.sha256(b"abc\ndef").hexdigest())
    await logs.append(log, 7, b"g", segment(b"g"))
    assert (await logs.digest(log))[1] == hashlib.sha256(b"abc\ndefg").hexdigest()


async def test_a_follower_gets_everything_once_and_ends_with_the_writer(logs):
    log = await new_log(logs, (1, b"begin\n"))
    seen = bytearray()
    arrived = asyncio.Event()

    async def follow() -> None:
        async for frame in logs.follow(log):
            assert frame.offset == len(seen)
            seen.extend(frame.data)
            arrived.set()

    follower = asyncio.create_task(follow())
    for n in range(200):
        data = b"%d\n" % n
        await logs.append(log, await logs.length(log), data, segment(data))
    await logs.finish(log)
    await asyncio.wait_for(follower, 5)
    assert bytes(seen) == b"begin\n" + b"".join(b"%d\n" % n for n in range(200))


async def test_a_slow_follower_does_not_hold_up_the_writer(logs):
    log = await new_log(logs, (1, b"x"))
    slow = logs.follow(log)
    assert (await anext(slow)).data == b"x"  # and then it does not ask for long
    data = b"y" * 100_000
    async with asyncio.timeout(5):
        for _ in range(50):
            await logs.append(log, await logs.length(log), data, segment(data))
    assert await logs.length(log) == 1 + 50 * len(data)
    await logs.finish(log)
    assert b"".join([frame.data async for frame in slow]) == data * 50


async def test_a_write_that_outlives_its_caller_stays_in_its_own_log(logs, monkeypatch):
    log, others = await new_log(logs, (1, b"x")), [new_id() for _ in range(4)]
    real, writing, go_on = os.write, threading.Event(), threading.Event()

    def write(fd: int, data) -> int:
        if bytes(data) == b"mine":
            writing.set()
            go_on.wait(5)
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    append = asyncio.create_task(logs.append(log, 1, b"mine", segment(b"mine")))
    await asyncio.to_thread(writing.wait, 5)
    append.cancel()
    await asyncio.gather(append, return_exceptions=True)
    logs.detach(log)
    for other in others:  # would get the numbers of files that were closed
        await logs.open(other)
    again = asyncio.create_task(logs.open(log))
    go_on.set()
    assert await again == 5
    await logs.append(log, 5, b"!", segment(b"!"))
    assert await logs.read(log, 0) == b"xmine!"
    for other in others:
        await logs.append(other, 0, b"theirs", segment(b"theirs"))
        await logs.finish(other)
        assert await logs.read(other, 0) == b"theirs"


async def test_a_follower_is_woken_within_milliseconds(logs):
    log = await new_log(logs, (1, b"x"))
    follower = logs.follow(log, 1)
    waiting = asyncio.ensure_future(anext(follower))
    await asyncio.sleep(0)
    before = time.perf_counter()
    await logs.append(log, 1, b"now", segment(b"now"))
    assert (await waiting).data == b"now"
    assert time.perf_counter() - before < 0.05
    await follower.aclose()


async def test_a_full_disk_leaves_the_log_as_it_was(logs, monkeypatch):
    log = await new_log(logs, (1, b"abc"))
    real = os.write
    full = True

    def write(fd: int, data) -> int:
        if full and len(data) > 60:
            real(fd, bytes(data)[:10])
            raise OSError(28, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        await logs.append(log, 3, b"d" * 100, segment(b"d" * 100, 2, T0 + 500))
    assert await logs.length(log) == 3
    full = False
    assert await logs.append(log, 3, b"d" * 100, segment(b"d" * 100, 2, T0 + 500)) == 103
    assert await logs.read(log, 0) == b"abc" + b"d" * 100
    assert [frame.stream for frame in await logs.read_frames(log, 0)] == [1, 2]


async def test_the_last_lines_are_few_and_short(logs):
    text = b"".join(b"line %d\n" % n for n in range(1000))
    log = await new_log(logs, (1, text))
    assert await logs.tail_lines(log, 2) == ["line 998", "line 999"]
    await logs.finish(log)
    lines = await logs.tail_lines(log)
    assert (len(lines), lines[-1]) == (20, "line 999")
    assert sum(map(len, last_lines(b"x" * 100_000))) <= 4096
    assert sum(len(line.encode()) for line in last_lines(b"\xff\n" * 5000)) <= 4096
    assert sum(len(line.encode()) for line in last_lines(b"\xff" * 5000)) <= 4096
    assert last_lines(b"10 %\r50 %\r100 %\n") == ["100 %"]
    assert last_lines(b"") == []


async def test_a_deleted_log_is_gone(logs, tmp_path):
    log = await new_log(logs, (1, b"x"))
    await logs.delete(log)
    await logs.delete(log)
    assert await logs.length(log) == 0
    assert not [path for path in (tmp_path / "logs").rglob("*") if path.is_file()]


async def test_a_million_lines_are_written_fast_and_found_by_offset(logs):
    line = b"a line of the usual length, number %07d\n"
    block = b"".join(line % n for n in range(5000))
    width, stamps = len(line % 0), [Segment(1, len(line % 0), T0 + n // 100) for n in range(5000)]
    log = new_id()
    await logs.open(log)
    offset = 0
    for _ in range(200):
        offset = await logs.append(log, offset, block, stamps)
    assert (await logs.stats(log)).lines == 1_000_000
    middle = 123_456 * width
    assert (await logs.read_frames(log, middle, width))[0].data == line % (123_456 % 5000)


pieces = st.lists(
    st.tuples(st.sampled_from((1, 2)), st.binary(min_size=1, max_size=300), st.integers(0, 80)),
    max_size=30,
)


@settings(deadline=None)
@given(pieces, st.randoms(use_true_random=False))
def test_whatever_way_it_is_cut_every_byte_keeps_its_stream(parts, pick: random.Random):
    """The index against the plainest possible model: a list of (stream, byte)."""
    truth = [(stream, byte) for stream, data, _ in parts for byte in data]
    position, records, log, now = Position(), b"", b"", T0
    for stream, data, later in parts:
        now += later
        records += position.advance(data, [Segment(stream, len(data), now)])
        log += data
    start = pick.randrange(len(log) + 1)
    marks = list(unpack(records))
    covering = [m for m in marks if m.offset <= start][-1:] + [m for m in marks if m.offset > start]
    got = [(f.stream, byte) for f in frames(covering, log[start:], start) for byte in f.data]
    assert got == truth[start:]
    assert position.lines == log.count(b"\n")
    assert position.raw == {s: sum(1 for stream, _ in truth if stream == s) for s in (1, 2)}


def test_a_long_piece_is_marked_every_64_kilobytes():
    position = Position()
    records = list(unpack(position.advance(b"x" * 200_000, [Segment(1, 200_000, T0)])))
    assert [r.offset for r in records] == [n * STRIDE_BYTES for n in range(4)]


@given(st.binary(max_size=50), st.lists(st.integers(0, 30), max_size=5), st.integers(0, 60))
def test_trimming_makes_the_segments_fit(data, lengths, skip):
    rest, kept = trimmed(data, [Segment(1, n, T0) for n in lengths], skip)
    assert rest == data[skip:]
    if skip < len(data):
        assert sum(s.length for s in kept) == len(rest)
