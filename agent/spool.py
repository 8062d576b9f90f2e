"""The log of one attempt on this host's disk, until the server has committed all of it.

`log` holds the bytes, both streams in order of arrival. `index` holds one fixed-size record per
segment: log offset, time in ms, length, crc32 of its bytes, stream. A record is written after its
bytes, so whatever a crash leaves behind is cut back to the last record whose bytes are right.

Every method blocks on the disk: call them in a thread.
"""

import hashlib
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.protocol import MAX_LOG_BYTES, Segment

Piece = tuple[int, int, bytes]  # stream, time in ms, data

_RECORD = struct.Struct("<QQIIB7x")
_MAX_SEGMENTS = 4096  # of one LogChunk, so that a frame keeps its size
_BLOCK = 1024 * 1024


class Spool:
    """Append-only. `length` and `streams` count what is in the file, not what is in flight."""

    def __init__(self, folder: Path) -> None:
        # Held by whatever uses the files: the number of a closed one soon is another file's.
        self._using = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._log = os.open(folder / "log", flags, 0o600)
        self._index = os.open(folder / "index", flags, 0o600)
        self.length = 0
        self.records = 0
        self.streams = {1: 0, 2: 0}
        self._sha256 = hashlib.sha256()
        self._repair()

    def append(self, pieces: Sequence[Piece]) -> None:
        """Raises OSError (disk full ...); the files are then as they were before. Raises
        ValueError when it is closed."""
        with self._using:
            self._check_open()
            self._append(pieces)

    def _append(self, pieces: Sequence[Piece]) -> None:
        index = bytearray()
        at = self.length
        for stream, time_ms, data in pieces:
            index += _RECORD.pack(at, time_ms, len(data), zlib.crc32(data), stream)
            at += len(data)
        data = b"".join(piece[2] for piece in pieces)
        try:
            _write_all(self._log, data)
            _write_all(self._index, index)
        except OSError:
            self._cut_back()
            raise
        self._sha256.update(data)
        self.length = at
        self.records += len(pieces)
        for stream, _, piece in pieces:
            self.streams[stream] += len(piece)

    def read(self, offset: int, limit: int = MAX_LOG_BYTES) -> tuple[bytes, list[Segment]]:
        """Bytes from `offset` on, at most `limit`, and the segments they belong to. None of
        either when it is closed."""
        with self._using:
            return self._read(offset, limit) if self._log >= 0 else (b"", [])

    def _read(self, offset: int, limit: int) -> tuple[bytes, list[Segment]]:
        segments: list[Segment] = []
        room = limit
        for start, time_ms, length, _, stream in self._records_from(self._find(offset)):
            skipped = max(0, offset - start)
            taken = min(length - skipped, room)
            if taken <= 0:
                break
            segments.append(Segment(stream=stream, length=taken, time_ms=time_ms))
            room -= taken
            if room == 0 or len(segments) == _MAX_SEGMENTS:
                break
        return os.pread(self._log, limit - room, offset) if room < limit else b"", segments

    def digest(self) -> str:
        """sha256 of the whole log, hexadecimal."""
        return self._sha256.hexdigest()

    def sync(self) -> None:
        """Raises OSError; ValueError when it is closed."""
        with self._using:
            self._check_open()
            os.fdatasync(self._log)
            os.fdatasync(self._index)

    def close(self) -> None:
        """Waits for what is being read or written just now. May be called again."""
        with self._using:
            for fd in (self._log, self._index):
                if fd >= 0:
                    os.close(fd)
            self._log = self._index = -1

    def _check_open(self) -> None:
        if self._log < 0:
            raise ValueError("the spool is closed")

    @staticmethod
    def remove(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def _record(self, number: int) -> tuple[int, int, int, int, int]:
        return _RECORD.unpack(os.pread(self._index, _RECORD.size, number * _RECORD.size))

    def _records_from(self, number: int) -> Iterator[tuple[int, int, int, int, int]]:
        step = 256
        total = self.records
        while number < total:
            count = min(step, total - number)
            block = os.pread(self._index, count * _RECORD.size, number * _RECORD.size)
            yield from _RECORD.iter_unpack(block)
            number += count

    def _find(self, offset: int) -> int:
        """Number of the record that contains `offset`; the number of records if none does."""
        low, high = 0, self.records
        while low < high:
            middle = (low + high) // 2
            start, _, length, _, _ = self._record(middle)
            if start + length <= offset:
                low = middle + 1
            else:
                high = middle
        return low

    def _cut_back(self) -> None:
        os.ftruncate(self._log, self.length)
        os.ftruncate(self._index, self.records * _RECORD.size)

    def _repair(self) -> None:
        """Counts what is there and cuts off what a crash left unfinished."""
        log_size = os.fstat(self._log).st_size
        self.records = os.fstat(self._index).st_size // _RECORD.size
        good = 0
        for start, _, length, crc, stream in self._records_from(0):
            if start != self.length or start + length > log_size or stream not in self.streams:
                break
            if not self._take_if_right(start, length, crc):
                break
            self.length += length
            self.streams[stream] += length
            good += 1
        self.records = good
        self._cut_back()

    def _take_if_right(self, start: int, length: int, crc: int) -> bool:
        found, digest = 0, self._sha256.copy()
        for at in range(start, start + length, _BLOCK):
            block = os.pread(self._log, min(_BLOCK, start + length - at), at)
            found = zlib.crc32(block, found)
            digest.update(block)
        if found != crc:
            return False
        self._sha256 = digest
        return True


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
