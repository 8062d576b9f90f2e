"""A log of 1 GB: opened at its end, any line, searched; and 50 viewers of a job of 20 MB/s.

In process, on the store itself: the socket and the container are measured by the other parts.
"""

import asyncio
import contextlib
import random
import shutil
import tempfile
import time
from pathlib import Path
from uuid import UUID

import psutil

from agent.protocol import Segment
from bench.stats import Figure, percentile
from cronium_app.domain.ids import new_id
from cronium_app.logs.files import Frame, LogStore
from cronium_app.logs.search import matcher

LINE = b"2026-11-23T15:00:00Z worker %09d wrote something of the usual length for a log\n"
BLOCK_LINES = 10_000
GIGABYTE = 1 << 30
VIEWERS = 50
RATE = 20_000_000
SECONDS = 8.0


async def biglog() -> list[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="cronium-biglog-"))
    try:
        logs = LogStore(folder)
        log, lines = await _written(logs)
        await logs.finish(log)
        logs.close()
        figures = await _sought(LogStore(folder), log, lines)
        return figures + await _watched(LogStore(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _written(logs: LogStore) -> tuple[UUID, int]:
    log, offset, lines = new_id(), 0, 0
    await logs.open(log)
    while offset < GIGABYTE:
        block = b"".join(LINE % n for n in range(lines + 1, lines + BLOCK_LINES + 1))
        segment = [Segment(1, len(block), 1_700_000_000_000 + lines)]
        offset = await logs.append(log, offset, block, segment)
        lines += BLOCK_LINES
    return log, lines


async def _sought(logs: LogStore, log: UUID, lines: int) -> list[Figure]:
    begun = time.perf_counter()
    length = await logs.length(log)
    place = await logs.place_at(log, length - 2 * 1024 * 1024)
    await logs.read_frames(log, place.offset)
    opened = (time.perf_counter() - begun) * 1e3
    jumps: list[float] = []
    for line in random.Random(7).choices(range(1, lines), k=200):
        begun = time.perf_counter()
        found = await logs.locate(log, line)
        jumps.append((time.perf_counter() - begun) * 1e3)
        if found is None or LINE % line != await logs.read(log, found, len(LINE % line)):
            raise RuntimeError(f"line {line} is not where it was said to be")
    begun = time.perf_counter()
    await logs.open(log)
    reopened = (time.perf_counter() - begun) * 1e3
    figures = [
        Figure(
            name="1 GB log: opened at its end",
            value=f"{opened:.1f} ms to read, {reopened:.1f} ms to write on",
            goal="< 1 s",
            ok=opened < 1000 and reopened < 1000,
        ),
        Figure(
            name="1 GB log: jump to a line",
            value=f"p50 {percentile(jumps, 0.5):.2f} ms, p99 {percentile(jumps, 0.99):.2f} ms",
        ),
    ]
    for name, words, regex in (
        ("words found nowhere", "no such words anywhere", False),
        ("a word in the last line", f"worker {lines:09d}", False),
        ("an expression found nowhere", r"worker \d+ (lost|broke) .*log$", True),
    ):
        begun = time.perf_counter()
        hits, at = 0, 0
        while at is not None:
            found_hits = await logs.search(log, matcher(words, regex=regex), start=at)
            hits, at = hits + len(found_hits.hits), found_hits.next
        took = time.perf_counter() - begun
        figures.append(Figure(name=f"1 GB log: search, {name}", value=f"{took:.2f} s, {hits} hits"))
    logs.close()
    return figures


async def _watched(logs: LogStore) -> list[Figure]:
    floor: list[float] = []
    lag = asyncio.create_task(_lag(floor))
    alone = await _job(logs, new_id())
    lag.cancel()
    process = psutil.Process()
    before = process.memory_info().rss
    log = new_id()
    await logs.open(log)
    got = [0] * VIEWERS
    lags: list[float] = []
    viewers = [asyncio.create_task(_viewer(logs, log, got, n)) for n in range(VIEWERS)]
    lag = asyncio.create_task(_lag(lags))
    begun = time.perf_counter()
    watched = await _job(logs, log)
    took = time.perf_counter() - begun
    grown = (process.memory_info().rss - before) / 1e6
    for task in (*viewers, lag):
        task.cancel()
    await asyncio.gather(*viewers, lag, return_exceptions=True)
    logs.close()
    each = max(got) / took / 1e6
    p99, least = percentile(lags, 0.99) * 1e3, percentile(floor, 0.99) * 1e3
    return [
        Figure(
            name=f"{VIEWERS} viewers of a job of {RATE / 1e6:.0f} MB/s: the job",
            value=f"{watched / alone:.0%} of its rate without viewers",
            goal=">= 95 %",
            ok=watched / alone >= 0.95,
        ),
        Figure(
            name="… each viewer, loop lag, memory",
            value=f"<= {each:.2f} MB/s with bursts, "
            f"p99 {p99:.0f} ms ({least:.0f} ms without viewers), {grown:+.0f} MB",
            goal="lag p99 <= 50 ms, memory < 64 MB",
            ok=p99 <= 50 and grown < 64,
            noisy=least > 20,
        ),
    ]


async def _job(logs: LogStore, log: UUID) -> float:
    """Bytes per second that were taken from a job that would write 20 MB/s."""
    await logs.open(log)
    block = b"".join(LINE % n for n in range(2500))
    every = len(block) / RATE
    offset, begun = 0, time.perf_counter()
    due = begun
    while time.perf_counter() - begun < SECONDS:
        stamp = int(time.time() * 1000)
        offset = await logs.append(log, offset, block, [Segment(1, len(block), stamp)])
        due += every
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return offset / (time.perf_counter() - begun)


async def _viewer(logs: LogStore, log: UUID, got: list[int], number: int) -> None:
    async with contextlib.aclosing(logs.follow(log, 0, logs.pace())) as items:
        async for item in items:
            if isinstance(item, Frame):
                got[number] += len(item.data)


async def _lag(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        lags.append(max(0.0, time.perf_counter() - due))
