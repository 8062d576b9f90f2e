"""What this agent has promised and not yet been relieved of, on disk.

An append-only file of records: length (4 bytes), crc32 (4 bytes), one MessagePack-encoded tagged
struct. A record counts once `append` has returned: it is then on the disk. A torn tail, as a crash
leaves it, is cut off at start. Reducing the records in order gives the `Entry` of each attempt.
"""

import asyncio
import logging
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from agent.jobs import Job, Outcome, Phase, Reason

_log = logging.getLogger(__name__)

_MAGIC = b"cronium journal 1\n"
_HEAD = struct.Struct("<II")
_MAX_RECORD = 16 * 1024 * 1024
_COMPACT_ABOVE = 4 * 1024 * 1024
_MAX_TOMBSTONES = 10_000


class _Record(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    attempt_id: str
    epoch: int


class Taken(_Record, frozen=True, kw_only=True):
    """The job is ours. Holds all that is needed to run it after a restart."""

    job: Job
    at_ms: int


class Placed(_Record, frozen=True, kw_only=True):
    """Written before the first byte of the job is delivered to this container."""

    container_id: str
    nonce: str
    image_digest: str


class Displaced(_Record, frozen=True, kw_only=True):
    """That container never ran the job and is gone or will be: it gets another one."""


class Begun(_Record, frozen=True, kw_only=True):
    """Delivered. `elapsed_s` is comparable within the boot of the machine named by `boot`."""

    at_ms: int
    elapsed_s: float
    boot: str
    setup_s: float


class Stopping(_Record, frozen=True, kw_only=True):
    """It has to end: by whose wish, and in which phase its time ran out."""

    reason: Reason
    grace_s: float
    phase: Phase | None = None


class Ended(_Record, frozen=True, kw_only=True):
    """The outcome. `complete`: the whole log is in the spool, the container may go."""

    outcome: Outcome
    complete: bool


class Cleared(_Record, frozen=True, kw_only=True):
    """Its container is verified gone."""


class Dropped(_Record, frozen=True, kw_only=True):
    """Nobody asks for it any more. Its epoch and older ones are never run again."""


Record: TypeAlias = Taken | Placed | Displaced | Begun | Stopping | Ended | Cleared | Dropped

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)


@dataclass
class Entry:
    """One attempt, as its records tell."""

    taken: Taken
    placed: Placed | None = None
    begun: Begun | None = None
    stopping: Stopping | None = None
    ended: Ended | None = None
    cleared: bool = False

    @property
    def job(self) -> Job:
        return self.taken.job

    def records(self) -> Iterator[Record]:
        """The shortest list of records that gives this entry."""
        for record in (self.taken, self.placed, self.begun, self.stopping, self.ended):
            if record is not None:
                yield record
        if self.cleared:
            yield Cleared(attempt_id=self.taken.attempt_id, epoch=self.taken.epoch)


class JournalState:
    """The reduction of all records. Pure."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.tombstones: dict[str, int] = {}

    def apply(self, record: Record) -> None:
        if isinstance(record, Taken):
            self.entries[record.attempt_id] = Entry(record)
            return
        entry = self.entries.get(record.attempt_id)
        if isinstance(record, Dropped):
            self._bury(record, entry)
        elif entry is not None and entry.taken.epoch == record.epoch:
            _change(entry, record)

    def _bury(self, record: Dropped, entry: Entry | None) -> None:
        if entry is not None and entry.taken.epoch <= record.epoch:
            del self.entries[record.attempt_id]
        newest = max(record.epoch, self.tombstones.pop(record.attempt_id, record.epoch))
        self.tombstones[record.attempt_id] = newest
        while len(self.tombstones) > _MAX_TOMBSTONES:
            del self.tombstones[next(iter(self.tombstones))]

    def records(self) -> Iterator[Record]:
        for attempt_id, epoch in self.tombstones.items():
            yield Dropped(attempt_id=attempt_id, epoch=epoch)
        for entry in self.entries.values():
            yield from entry.records()


def _change(entry: Entry, record: Record) -> None:
    match record:
        case Placed():
            entry.placed = record
            entry.begun = None
        case Displaced():
            entry.placed = entry.begun = None
        case Begun():
            entry.begun = record
        case Stopping():
            entry.stopping = record
        case Ended():
            entry.ended = record
        case Cleared():
            entry.cleared = True
        case _:
            pass


def pack(record: Record) -> bytes:
    body = _encoder.encode(record)
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def unpack(data: bytes) -> tuple[list[Record], int]:
    """The whole records at the start of `data`, and how many bytes they take."""
    records: list[Record] = []
    at = 0
    while len(data) - at >= _HEAD.size:
        size, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + size]
        if size > _MAX_RECORD or len(body) < size or zlib.crc32(body) != crc:
            break
        try:
            records.append(_decoder.decode(body))
        except msgspec.MsgspecError:
            break
        at += _HEAD.size + size
    return records, at


class Journal:
    """Appends are grouped: all that wait while the disk is busy go down with one fsync.

    `state` changes as soon as a record is handed over, before it is on the disk.
    """

    def __init__(self, path: Path, disk: Executor) -> None:
        self._path = path
        self._disk = disk
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._size = 0
        self._compacted_size = 0
        self._half_written = False  # after `_size` there is half a record
        self._renamed = False  # the file has a name that may not be on the disk yet
        self.state = JournalState()
        self._fd = self._open()

    def append(self, *records: Record) -> asyncio.Future[None]:
        """Changes `state` now; await the result to know it on the disk. It raises OSError when
        the disk refuses; then nothing of it counts after a restart."""
        for record in records:
            self.state.apply(record)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((b"".join(map(pack, records)), done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting(), name="journal")
        return done

    async def close(self) -> None:
        """Waits for what is being written."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting, []
            data = b"".join(item[0] for item in batch)
            try:
                await loop.run_in_executor(self._disk, self._write, data)
            except Exception as error:  # noqa: BLE001 - every waiter has to hear of it
                _settle(batch, lambda done, e=error: done.set_exception(e))
            else:
                _settle(batch, lambda done: done.set_result(None))
            if self._size > max(_COMPACT_ABOVE, 2 * self._compacted_size):
                await self._compact()

    async def _compact(self) -> None:
        # Taken here, on the loop: every record of it has been handed over, so none is lost.
        data = _MAGIC + b"".join(map(pack, self.state.records()))
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._disk, self._replace, data)
        except OSError:
            _log.exception("the journal could not be compacted; it grows on")
            self._compacted_size = self._size

    def _open(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        data = self._path.read_bytes()
        if not data.startswith(_MAGIC):
            if not _MAGIC.startswith(data):
                raise ValueError(f"{self._path} is no journal of this version")
            os.ftruncate(fd, 0)
            os.write(fd, _MAGIC)
            os.fsync(fd)
            _sync_folder(self._path.parent)
            data = _MAGIC
        records, used = unpack(data[len(_MAGIC) :])
        good = len(_MAGIC) + used
        if good < len(data):
            _log.warning(
                "%s: %d bytes of an unfinished record cut off", self._path, len(data) - good
            )
            self._path.with_suffix(".torn").write_bytes(data[good:])
            os.ftruncate(fd, good)
            os.fsync(fd)
        for record in records:
            self.state.apply(record)
        self._size = self._compacted_size = good
        return fd

    def _write(self, data: bytes) -> None:
        self._mend()
        try:
            _write_all(self._fd, data)
            os.fdatasync(self._fd)
        except OSError:
            self._half_written = True
            with suppress(OSError):
                self._mend()
            raise
        self._size += len(data)

    def _mend(self) -> None:
        """Makes good what failed earlier; as long as it cannot, nothing that is written counts:
        half a record would hide all that follow it, and a file without a name is lost."""
        if self._half_written:
            os.ftruncate(self._fd, self._size)
            self._half_written = False
        if self._renamed:
            _sync_folder(self._path.parent)
            self._renamed = False

    def _replace(self, data: bytes) -> None:
        fresh = self._path.with_suffix(".new")
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(fresh, flags, 0o600)
        try:
            _write_all(fd, data)
            os.fsync(fd)
            fresh.rename(self._path)
        except OSError:
            os.close(fd)
            raise
        # From here on the old file has no name: whatever follows belongs into the new one.
        old, self._fd = self._fd, fd
        self._size = self._compacted_size = len(data)
        self._half_written, self._renamed = False, True
        os.close(old)
        self._mend()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _settle(
    batch: list[tuple[bytes, asyncio.Future[None]]],
    how: Callable[[asyncio.Future[None]], None],
) -> None:
    for _, done in batch:
        if not done.done():
            how(done)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
