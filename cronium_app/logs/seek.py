"""Finding places in a log by its index: binary search for the record, then a short scan.

Line numbers are those of the file: 1 + the line feeds before a byte, whatever stream they came
from, so they agree with `grep -n` on the downloaded log. Everything here blocks; it belongs in a
thread. A log without an index is scanned from its beginning, in bounded memory.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cronium_app.logs.index import RECORD_BYTES, Frame, Record, frames, unpack

SCAN_BYTES = 1 << 20
INDEX_BLOCK = 1024  # records read at a time
ALIGN_BYTES = 64 * 1024  # how far a line's beginning is looked for


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where reading begins: a byte offset, the number of the line it is in (from 1), and how long
    the log was when this was looked up."""

    offset: int
    line: int
    length: int


class Reader:
    """The two files of a log, opened for reading, as they were when it had `end` bytes."""

    def __init__(self, path: Path, end: int) -> None:
        """Raises FileNotFoundError when there is no log."""
        self._log = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.end = end
        self._index: int | None = None
        self._records = 0
        try:
            self._index = os.open(path.with_suffix(".idx"), os.O_RDONLY | os.O_CLOEXEC)
            self._records = os.fstat(self._index).st_size // RECORD_BYTES
        except FileNotFoundError:
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._log)
        if self._index is not None:
            os.close(self._index)

    # --- bytes ---

    def read(self, offset: int, limit: int) -> bytes:
        want = min(limit, self.end - offset)
        return os.pread(self._log, want, offset) if want > 0 else b""

    def read_frames(self, offset: int, limit: int) -> list[Frame]:
        """At most `limit` bytes from `offset`, cut by stream and time."""
        data = self.read(offset, limit)
        return list(frames(self._around(offset, len(data)), data, offset)) if data else []

    def after_feed(self, offset: int) -> int:
        """The offset after the next line feed at or after `offset`; the end without one."""
        while data := self.read(offset, SCAN_BYTES):
            if (at := data.find(b"\n")) >= 0:
                return offset + at + 1
            offset += len(data)
        return self.end

    # --- lines ---

    def feeds(self, start: int, end: int) -> int:
        """Line feeds in [start, end)."""
        count = 0
        while start < end and (data := self.read(start, min(SCAN_BYTES, end - start))):
            count += data.count(b"\n")
            start += len(data)
        return count

    def line_at(self, offset: int) -> int:
        """The number of the line that the byte at `offset` is in; beyond the end, that of the
        line that the next byte would be in."""
        offset = min(offset, self.end)
        record = self._last(lambda found: found.offset <= offset)
        start, before = (record.offset, record.line) if record else (0, 0)
        return 1 + before + self.feeds(start, offset)

    def locate(self, line: int) -> int | None:
        """The offset of a line's first byte; None when the log has no such line (yet)."""
        wanted = line - 1  # line feeds before it
        if wanted < 0 or self.end == 0:
            return None
        if wanted == 0:
            return 0
        record = self._last(lambda found: found.line < wanted and found.offset < self.end)
        at, missing = (record.offset, wanted - record.line) if record else (0, wanted)
        while data := self.read(at, SCAN_BYTES):
            found = data.count(b"\n")
            if found < missing:
                at, missing = at + len(data), missing - found
                continue
            place = -1
            for _ in range(missing):
                place = data.index(b"\n", place + 1)
            start = at + place + 1
            return start if start < self.end else None
        return None

    def by_line(self, line: int) -> Place:
        """The beginning of a line; of the last one when there are fewer."""
        offset = self.locate(line)
        if offset is None:
            line = max(1, min(line, self.line_at(max(0, self.end - 1))))
            offset = self.locate(line) or 0
        return Place(offset=offset, line=line, length=self.end)

    def aligned(self, offset: int) -> Place:
        """The first beginning of a line at or after `offset`. Inside a line far longer than
        `ALIGN_BYTES` it is the first whole character."""
        offset = max(0, min(offset, self.end))
        if offset > 0 and self.read(offset - 1, 1) != b"\n":
            data = self.read(offset, ALIGN_BYTES)
            feed = data.find(b"\n")
            if feed >= 0 and offset + feed + 1 < self.end:
                offset += feed + 1
            else:
                offset += _partial(data)
        return Place(offset=offset, line=self.line_at(offset), length=self.end)

    # --- records ---

    def _last(self, fits: Callable[[Record], bool]) -> Record | None:
        """The last record that fits; those that do come before those that do not."""
        number = self._count_fitting(fits)
        return self._record(number - 1) if number else None

    def _count_fitting(self, fits: Callable[[Record], bool]) -> int:
        low, high = 0, self._records
        while low < high:
            middle = (low + high) // 2
            if fits(self._record(middle)):
                low = middle + 1
            else:
                high = middle
        return low

    def _record(self, number: int) -> Record:
        if self._index is None:
            raise IndexError(number)
        return next(unpack(os.pread(self._index, RECORD_BYTES, number * RECORD_BYTES)))

    def _around(self, offset: int, length: int) -> list[Record]:
        """The record that covers `offset`, and all up to `offset + length`."""
        found: list[Record] = []
        number = max(0, self._count_fitting(lambda record: record.offset <= offset) - 1)
        while self._index is not None and number < self._records:
            want = min(INDEX_BLOCK, self._records - number) * RECORD_BYTES
            block = os.pread(self._index, want, number * RECORD_BYTES)
            records = list(unpack(block[: len(block) // RECORD_BYTES * RECORD_BYTES]))
            found += records
            number += len(records)
            if not records or records[-1].offset >= offset + length:
                break
        return found


def _partial(data: bytes) -> int:
    """How many bytes at the front are the rest of a character (UTF-8), at most 3."""
    skip = 0
    while skip < min(3, len(data)) and data[skip] & 0xC0 == 0x80:
        skip += 1
    return skip
