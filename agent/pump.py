"""From the reader of a container to the spool: batched, never waiting for anything but the disk."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Executor

from agent.clock import now_ms
from agent.spool import Piece, Spool

_log = logging.getLogger(__name__)

SEGMENT_MS = 50
_SEGMENT_BYTES = 64 * 1024
_FLUSH_BYTES = 64 * 1024
_BATCH_BYTES = 256 * 1024
_RETRY_S = 1.0
_MOMENT_S = 0.003


class _Segment:
    __slots__ = ("parts", "size", "stream", "time_ms")

    def __init__(self, stream: int, time_ms: int) -> None:
        self.stream = stream
        self.time_ms = time_ms
        self.parts: list[bytes] = []
        self.size = 0

    def piece(self) -> Piece:
        data = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        return self.stream, self.time_ms, data


class Pump:
    """`put` never waits. The first bytes after a pause go to the disk almost at once, later
    ones in batches of 50 ms or 64 kB."""

    def __init__(self, spool: Spool, disk: Executor, grew: Callable[[], None]) -> None:
        self._spool = spool
        self._disk = disk
        self._grew = grew
        self._segments: list[_Segment] = []
        self.backlog = 0  # bytes put and not yet in the spool
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, stream: int, data: bytes) -> None:
        if not data:
            return
        now = now_ms()
        last = self._segments[-1] if self._segments else None
        if (
            last is None
            or last.stream != stream
            or not 0 <= now - last.time_ms < SEGMENT_MS
            or last.size + len(data) > _SEGMENT_BYTES
        ):
            last = _Segment(stream, now)
            self._segments.append(last)
        last.parts.append(data)
        last.size += len(data)
        self.backlog += len(data)
        self._idle.clear()
        self._wake.set()
        if self.backlog >= _FLUSH_BYTES:
            self._hurry.set()

    async def drain(self) -> None:
        """Returns when everything put so far is in the spool."""
        self._hurry.set()
        await self._idle.wait()

    async def run(self) -> None:
        """Until cancelled. What a cancelled pump still holds is read again from the engine."""
        flushed_at = 0.0
        while True:
            await self._wake.wait()
            await self._gather(flushed_at + SEGMENT_MS / 1000 - time.monotonic())
            batch = self._take()
            await self._write(batch)
            flushed_at = time.monotonic()
            self.backlog -= sum(len(piece[2]) for piece in batch)
            if not self._segments:
                self._wake.clear()
                self._hurry.clear()
                self._idle.set()
            self._grew()

    async def _gather(self, wait_s: float) -> None:
        if self._hurry.is_set():
            return
        try:
            # Even after a pause a moment: one `print` may be several writes.
            async with asyncio.timeout(max(wait_s, _MOMENT_S)):
                await self._hurry.wait()
        except TimeoutError:
            return

    def _take(self) -> list[Piece]:
        size = count = 0
        for segment in self._segments:
            size += segment.size
            count += 1
            if size >= _BATCH_BYTES:
                break
        taken, self._segments = self._segments[:count], self._segments[count:]
        return [segment.piece() for segment in taken]

    async def _write(self, batch: list[Piece]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._disk, self._spool.append, batch)
            except OSError as error:
                # Disk full: wait for room. The job goes on, the engine's log keeps its bytes.
                _log.warning("the spool cannot grow: %s", error)
                await asyncio.sleep(_RETRY_S)
            else:
                return
