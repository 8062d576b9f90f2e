"""Logs as files: `<attempt>.log` holds the bytes, `<attempt>.idx` says whose and when.

Bytes are addressed by their offset in the log. One writer per open log; any number of followers,
none of which the writer ever waits for. The disk is touched in a bounded pool of threads.
"""

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from agent.protocol import Segment
from cronium_app.logs.index import RECORD_BYTES, Frame, Position, Record, trimmed, unpack
from cronium_app.logs.pace import QUANTUM, Allowance, Pace, Skipped
from cronium_app.logs.search import Found, Matcher, search
from cronium_app.logs.seek import Place, Reader

__all__ = ["Chunk", "Found", "Frame", "LogStats", "LogStore", "Place", "SearchBusy", "Skipped"]

READ_BYTES = 256 * 1024
INLINE_BYTES = 64 * 1024  # fresh from the page cache: cheaper than a thread
TAIL_BYTES = 8 * 1024
REST_BYTES = 4 * 1024 * 1024  # of a fast log that ended, a paced follower still gets this much
SEARCHES = 2  # at a time
WAITING_SEARCHES = 16
T = TypeVar("T")

Chunk = tuple[int, bytes, Sequence[Segment]]  # offset, data, whose and when


@dataclass(frozen=True, kw_only=True)
class LogStats:
    bytes: int
    lines: int  # an unfinished last line counts


class SearchBusy(Exception):
    """Too many searches are waiting already."""


class LogStore:
    """All logs of this server. `close()` lets go of the files; nothing is lost by not calling it."""

    def __init__(self, root: Path, *, threads: int = 4) -> None:
        self._root = root
        self._open: dict[UUID, _OpenLog] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="logs")
        self._opening: dict[UUID, asyncio.Lock] = {}
        self._leaving: dict[UUID, Future[None]] = {}
        # threads of their own, so that no search keeps a writer waiting
        self._search_pool = ThreadPoolExecutor(SEARCHES, thread_name_prefix="log-search")
        self._searches: set[threading.Event] = set()
        self._allowance = Allowance()

    # --- writing ---

    async def open(self, attempt_id: UUID) -> int:
        """Begin or go on writing; repairs a torn index. Returns the length so far."""
        lock = self._opening.setdefault(attempt_id, asyncio.Lock())
        async with lock:
            if (log := self._open.get(attempt_id)) is None:
                await self._let_go_of(attempt_id)
                file = await self._in_thread(_LogFile.open, self._path(attempt_id))
                log = self._open[attempt_id] = _OpenLog(file)
        self._opening.pop(attempt_id, None)
        return log.length

    async def append(
        self, attempt_id: UUID, offset: int, data: bytes, segments: Sequence[Segment]
    ) -> int:
        """Add bytes at `offset`; what is there already is trimmed. Returns the new length.

        A gap changes nothing: the length returned is then smaller than `offset`. The log must be
        open. Raises OSError when the disk refuses; nothing was appended then.
        """
        return await self.append_all(attempt_id, [(offset, data, segments)])

    async def append_all(self, attempt_id: UUID, chunks: Sequence[Chunk]) -> int:
        """Several chunks in one visit to the disk; stops at the first gap."""
        log = self._open[attempt_id]
        async with log.lock:
            try:
                await self._in_thread(log.file.append, chunks)
            finally:
                log.grew()
        return log.length

    async def digest(self, attempt_id: UUID) -> tuple[int, str]:
        """Length and sha256 of an open log."""
        log = self._open[attempt_id]
        async with log.lock:
            return await self._in_thread(log.file.digest)

    async def finish(self, attempt_id: UUID) -> None:
        """No more bytes will come: flush to the disk, close, let followers end."""
        if log := self._open.get(attempt_id):
            async with log.lock:
                if self._open.pop(attempt_id, None) is not None:
                    try:
                        await self._in_thread(log.file.close)
                    finally:
                        log.end()
        await self._let_go_of(attempt_id)

    def detach(self, attempt_id: UUID) -> None:
        """Stop writing for now, without flushing; a later `open` goes on."""
        if log := self._open.pop(attempt_id, None):
            log.end()
            self._leaving = {of: gone for of, gone in self._leaving.items() if not gone.done()}
            self._leaving[attempt_id] = self._pool.submit(log.file.let_go)

    async def _let_go_of(self, attempt_id: UUID) -> None:
        """Return when an earlier writer's last, cancelled visit to the disk is over."""
        if (leaving := self._leaving.get(attempt_id)) is not None:
            await asyncio.shield(asyncio.wrap_future(leaving))

    # --- reading ---

    async def length(self, attempt_id: UUID) -> int:
        if log := self._open.get(attempt_id):
            return log.length
        return await self._in_thread(_size, self._path(attempt_id))

    async def read(self, attempt_id: UUID, offset: int, limit: int = READ_BYTES) -> bytes:
        """At most `limit` bytes from `offset`; empty at the end."""
        end = await self.length(attempt_id)
        return await self._in_thread(_read, self._path(attempt_id), offset, limit, end)

    async def read_frames(
        self, attempt_id: UUID, offset: int, limit: int = READ_BYTES
    ) -> list[Frame]:
        """At most `limit` bytes from `offset`, cut by stream and time."""
        end = await self.length(attempt_id)
        path = self._path(attempt_id)
        if attempt_id in self._open and end - offset <= INLINE_BYTES:
            return _read_frames(path, offset, limit, end)
        return await self._in_thread(_read_frames, path, offset, limit, end)

    async def follow(
        self, attempt_id: UUID, offset: int = 0, pace: Pace | None = None
    ) -> AsyncGenerator[Frame | Skipped]:
        """Everything from `offset`, then what comes, until the writer is finished: no gap, no
        repetition. A log that is not open is read to its end.

        With a `pace` a follower that the job outruns is moved to the end: `Skipped` says so.
        """
        while True:
            log = self._open.get(attempt_id)
            limit = READ_BYTES
            if pace is not None:
                limit, skipped = await self._paced(attempt_id, log, offset, pace)
                if skipped is not None:
                    yield skipped
                    offset = skipped.end
                    continue
            if found := await self.read_frames(attempt_id, offset, limit):
                for frame in found:
                    yield frame
                if pace is not None and offset >= (pace.free_to or 0):
                    pace.spend(found[-1].end - offset)
                offset = found[-1].end
            elif log is not None:
                await log.longer_than(offset)
            elif attempt_id not in self._open:
                return

    async def _paced(
        self, attempt_id: UUID, log: "_OpenLog | None", offset: int, pace: Pace
    ) -> tuple[int, Skipped | None]:
        """How much to read next, after waiting for it; or what to leave out instead."""
        end = log.length if log else await self.length(attempt_id)
        if pace.free_to is None:
            pace.free_to = end
        if offset < pace.free_to:
            return min(READ_BYTES, pace.free_to - offset), None
        if log is None:  # ended meanwhile
            late = end - offset > max(REST_BYTES, pace.budget())
            return READ_BYTES, await self._skip(attempt_id, offset) if late else None
        if end - offset <= pace.budget():
            return READ_BYTES, None
        await asyncio.sleep(pace.wait())
        if log.length - offset > 2 * QUANTUM:
            return READ_BYTES, await self._skip(attempt_id, offset)
        return max(1, min(READ_BYTES, pace.budget())), None

    async def _skip(self, attempt_id: UUID, offset: int) -> Skipped | None:
        return await self._with_reader(attempt_id, _skipped, None, offset)

    def pace(self) -> Pace:
        """For one viewer of logs that grow faster than anyone can read."""
        return self._allowance.pace()

    # --- seeking and searching ---

    async def locate(self, attempt_id: UUID, line: int) -> int | None:
        """The offset of a line's first byte; None when the log has no such line (yet)."""
        return await self._with_reader(attempt_id, Reader.locate, None, line)

    async def line_at(self, attempt_id: UUID, offset: int) -> int:
        """The number of the line that the byte at `offset` is in: 1 + line feeds before it."""
        return await self._with_reader(attempt_id, Reader.line_at, 1, offset)

    async def place_of_line(self, attempt_id: UUID, line: int) -> Place:
        """The beginning of a line; of the last one when there are fewer."""
        return await self._with_reader(attempt_id, Reader.by_line, _NOWHERE, line)

    async def place_at(self, attempt_id: UUID, offset: int) -> Place:
        """The first beginning of a line at or after `offset`; inside a very long line, the first
        whole character."""
        return await self._with_reader(attempt_id, Reader.aligned, _NOWHERE, offset)

    async def search(
        self,
        attempt_id: UUID,
        find: Matcher,
        *,
        start: int = 0,
        limit: int = 200,
        seconds: float = 5.0,
    ) -> Found:
        """Hits from `start` on, at most `limit`, within about `seconds`. `find` comes from
        `logs.search.matcher`. Cancelling stops the scan. Raises SearchBusy.
        """
        if len(self._searches) >= SEARCHES + WAITING_SEARCHES:
            raise SearchBusy
        gone = threading.Event()
        self._searches.add(gone)

        def work(reader: Reader) -> Found:
            return search(reader, find, start=start, limit=limit, seconds=seconds, gone=gone)

        nothing = Found(hits=[], next=None, stopped=None, length=0)
        try:
            return await self._with_reader(attempt_id, work, nothing, pool=self._search_pool)
        finally:
            gone.set()
            self._searches.discard(gone)

    async def _with_reader(
        self,
        attempt_id: UUID,
        work: Callable[..., T],
        missing: T,
        *arguments: object,
        pool: ThreadPoolExecutor | None = None,
    ) -> T:
        """`work(reader, ...)` in a thread; `missing` when there is no log."""
        path, end = self._path(attempt_id), await self.length(attempt_id)

        def read() -> T:
            try:
                reader = Reader(path, end)
            except FileNotFoundError:
                return missing
            with reader:
                return work(reader, *arguments)

        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, read)

    async def tail_lines(self, attempt_id: UUID, count: int = 20, limit: int = 4096) -> list[str]:
        """The last lines, together at most `limit` bytes."""
        if log := self._open.get(attempt_id):
            return last_lines(log.file.tail, count, limit)
        path, end = self._path(attempt_id), await self.length(attempt_id)
        start = max(0, end - TAIL_BYTES)
        return last_lines(await self._in_thread(_read, path, start, TAIL_BYTES, end), count, limit)

    async def stats(self, attempt_id: UUID) -> LogStats:
        if log := self._open.get(attempt_id):
            return log.file.stats()
        return await self._in_thread(_stats, self._path(attempt_id))

    def live(self, attempt_id: UUID) -> tuple[LogStats, list[str]] | None:
        """Counts and last lines of an open log, from memory."""
        log = self._open.get(attempt_id)
        return None if log is None else (log.file.stats(), last_lines(log.file.tail))

    async def delete(self, attempt_id: UUID) -> None:
        """Remove a log that nobody writes any more. Safe to repeat."""
        await self.finish(attempt_id)
        await self._in_thread(_delete, self._path(attempt_id))

    def close(self) -> None:
        for attempt_id in list(self._open):
            self.detach(attempt_id)
        for gone in self._searches:
            gone.set()
        self._search_pool.shutdown(wait=True)
        self._pool.shutdown(wait=True)

    def _path(self, attempt_id: UUID) -> Path:
        name = str(attempt_id)
        return self._root / name[-2:] / f"{name}.log"  # the end of a UUIDv7 is random

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)


class _OpenLog:
    """The loop's side of a log being written: order of writers, wake-up of followers."""

    def __init__(self, file: "_LogFile") -> None:
        self.file = file
        self.lock = asyncio.Lock()
        self.length = file.position.offset
        self._ended = False
        self._waiting: set[asyncio.Future[None]] = set()

    def grew(self) -> None:
        self.length = self.file.position.offset
        self._wake()

    def end(self) -> None:
        self._ended = True
        self._wake()

    async def longer_than(self, offset: int) -> None:
        """Return when there are bytes beyond `offset`, or none will come any more."""
        while self.length <= offset and not self._ended:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)


class _LogFile:
    """The thread's side: the two files. Every method blocks; the caller keeps them in order.

    A cancelled caller does not stop its thread. The lock keeps the files open until that one is
    done: the system would give their numbers to the next files that are opened.
    """

    def __init__(self, path: Path, log: int, index: int, position: Position, tail: bytes) -> None:
        self._path = path
        self._log = log
        self._index = index
        self.position = position
        self.tail = tail
        self._sha = hashlib.sha256() if position.offset == 0 else None
        self._using = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, path: Path) -> "_LogFile":
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        log = os.open(path, flags, 0o600)
        index = os.open(path.with_suffix(".idx"), flags, 0o600)
        length = os.fstat(log).st_size
        position = _repaired(log, index, length)
        return cls(
            path, log, index, position, os.pread(log, TAIL_BYTES, max(0, length - TAIL_BYTES))
        )

    @contextlib.contextmanager
    def _in_use(self) -> Generator[None]:
        with self._using:
            if self._closed:
                raise RuntimeError("the log is closed")
            yield

    def append(self, chunks: Iterable[Chunk]) -> None:
        with self._in_use():
            for offset, whole, parts in chunks:
                length = self.position.offset
                if offset > length:
                    return
                data, segments = trimmed(whole, parts, length - offset)
                if data:
                    self._write(data, segments)

    def _write(self, data: bytes, segments: Sequence[Segment]) -> None:
        before = _copy(self.position)
        try:
            if records := self.position.advance(data, segments):
                _write_all(self._index, records)
            _write_all(self._log, data)
        except (OSError, ValueError):
            self.position = before
            self._cut_back(before)
            raise
        if self._sha is not None:
            self._sha.update(data)
        self.tail = (
            data[-TAIL_BYTES:] if len(data) >= TAIL_BYTES else (self.tail + data)[-TAIL_BYTES:]
        )

    def _cut_back(self, position: Position) -> None:
        """Undo a write that the disk took only in part. Truncating needs no space."""
        os.ftruncate(self._log, position.offset)
        _repaired(self._log, self._index, position.offset)

    def stats(self) -> LogStats:
        return _counted(self.position.offset, self.position.lines, self.tail)

    def digest(self) -> tuple[int, str]:
        with self._in_use():
            sha = self._sha or hashlib.sha256()
            at = 0 if self._sha is None else self.position.offset
            while at < self.position.offset:  # opened with bytes in it: read them once
                data = os.pread(self._log, min(1 << 20, self.position.offset - at), at)
                if not data:
                    break
                sha.update(data)
                at += len(data)
            self._sha = sha
            return self.position.offset, sha.hexdigest()

    def close(self) -> None:
        """Down to the disk itself, then let go."""
        try:
            with self._in_use():
                os.fsync(self._log)
                os.fsync(self._index)
        finally:
            self.let_go()

    def let_go(self) -> None:
        with self._using:
            if not self._closed:
                self._closed = True
                os.close(self._log)
                os.close(self._index)


def last_lines(tail: bytes, count: int = 20, limit: int = 4096) -> list[str]:
    """The last `count` lines within `limit` bytes; of a progress bar only its newest state."""
    pieces = tail[-limit:].removesuffix(b"\n").split(b"\n") if tail else []
    shown = [piece.rstrip(b"\r").rpartition(b"\r")[2] for piece in pieces[-count:]]
    lines: list[str] = []
    for piece in reversed(shown):  # a byte that is no text grows to three
        text = piece.decode(errors="replace").encode()
        if limit <= 0:
            break
        lines.append(text[-limit:].decode(errors="ignore"))
        limit -= len(text) + 1
    return lines[::-1]


def _counted(length: int, line_feeds: int, tail: bytes) -> LogStats:
    open_line = length > 0 and not tail.endswith(b"\n")
    return LogStats(bytes=length, lines=line_feeds + open_line)


def _copy(position: Position) -> Position:
    return Position(position.offset, position.lines, dict(position.raw), position.marked)


def _repaired(log: int, index: int, length: int) -> Position:
    """Drop what a crash left at the end of the index; count from its last record on."""
    count = os.fstat(index).st_size // RECORD_BYTES
    last: Record | None = None
    while count > 0:
        last = _record(index, count - 1)
        if last.offset < length:
            break
        count, last = count - 1, None
    os.ftruncate(index, count * RECORD_BYTES)
    if last is None:
        return _position_without_index(log, length)
    rest = length - last.offset
    raw = {1: last.stdout, 2: last.stderr}
    raw[last.stream] = raw.get(last.stream, 0) + rest
    lines = last.line + _line_feeds(log, last.offset, length)
    return Position(length, lines, raw, last)


def _position_without_index(log: int, length: int) -> Position:
    return Position(length, _line_feeds(log, 0, length), {1: length, 2: 0}, None)


def _line_feeds(log: int, start: int, end: int) -> int:
    count = 0
    while start < end:
        data = os.pread(log, min(1 << 20, end - start), start)
        if not data:
            break
        count += data.count(b"\n")
        start += len(data)
    return count


def _record(index: int, number: int) -> Record:
    return next(unpack(os.pread(index, RECORD_BYTES, number * RECORD_BYTES)))


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _read(path: Path, offset: int, limit: int, end: int) -> bytes:
    want = min(limit, end - offset)
    if want <= 0:
        return b""
    with path.open("rb") as file:
        return os.pread(file.fileno(), want, offset)


def _read_frames(path: Path, offset: int, limit: int, end: int) -> list[Frame]:
    if offset >= end:
        return []
    with Reader(path, end) as reader:
        return reader.read_frames(offset, limit)


def _skipped(reader: Reader, offset: int) -> Skipped:
    place = reader.aligned(max(offset, reader.end - QUANTUM))
    lines = place.line - reader.line_at(offset)
    return Skipped(offset=offset, end=place.offset, lines=lines, line=place.line)


_NOWHERE = Place(offset=0, line=1, length=0)


def _stats(path: Path) -> LogStats:
    try:
        reader = Reader(path, _size(path))
    except FileNotFoundError:
        return LogStats(bytes=0, lines=0)
    with reader:
        feeds = reader.line_at(reader.end) - 1
        return _counted(reader.end, feeds, reader.read(max(0, reader.end - 1), 1))


def _delete(path: Path) -> None:
    for file in (path, path.with_suffix(".idx")):
        with contextlib.suppress(FileNotFoundError):
            file.unlink()
