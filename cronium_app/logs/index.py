"""The index beside a log: where each stretch of one stream begins, and when. Pure, no I/O.

A record stands at every change of stream, and at least every 64 kB or 50 ms. It is written before
the bytes it describes, so that a crash can leave a record too many (dropped at the next open) but
never bytes of one stream under the name of the other.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.protocol import Segment

STRIDE_BYTES = 64 * 1024
STRIDE_MS = 50
_RECORD = struct.Struct("<QQQQQBxxxxxxx")
RECORD_BYTES = _RECORD.size
STREAMS = (1, 2)  # stdout, stderr


class Record(NamedTuple):
    offset: int  # in the log
    time_ms: int  # since the epoch, UTC
    stdout: int  # bytes of stdout before this offset
    stderr: int
    line: int  # line feeds before this offset
    stream: int  # of the bytes from here on

    def pack(self) -> bytes:
        return _RECORD.pack(*self)


def unpack(data: bytes) -> Iterator[Record]:
    for fields in _RECORD.iter_unpack(data):
        yield Record._make(fields)


class Frame(NamedTuple):
    """A stretch of one stream, as readers and sockets get it."""

    offset: int
    time_ms: int
    stream: int
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


def frames(records: Iterable[Record], data: bytes, start: int) -> Iterator[Frame]:
    """Cut `data`, which begins at offset `start`, along the records that concern it.

    The first record must lie at or before `start` if there is one for that place at all.
    """
    end = start + len(data)
    here, time_ms, stream = start, 0, 1
    for record in records:
        cut = min(record.offset, end)
        if cut > here:
            yield Frame(here, time_ms, stream, data[here - start : cut - start])
            here = cut
        if record.offset >= end:
            break
        time_ms, stream = record.time_ms, record.stream
    if here < end:
        yield Frame(here, time_ms, stream, data[here - start :])


@dataclass
class Position:
    """Where the end of a log is, in every way of counting. `advance` moves it."""

    offset: int = 0
    lines: int = 0
    raw: dict[int, int] = field(default_factory=lambda: dict.fromkeys(STREAMS, 0))
    marked: Record | None = None  # the newest record

    def advance(self, data: bytes, segments: Iterable[Segment]) -> bytes:
        """Go over `data`, cut as `segments` say; returns the new records, packed."""
        out = bytearray()
        start, counted = self.offset, 0
        for stream, length, time_ms in _joined(segments, self.marked):
            left = length
            while left > 0:
                if self._due(stream, time_ms):
                    here = self.offset - start
                    self.lines += data.count(b"\n", counted, here)
                    counted = here
                    out += self._mark(stream, time_ms).pack()
                marked = self.marked.offset if self.marked else self.offset
                step = min(left, marked + STRIDE_BYTES - self.offset)
                self.offset += step
                self.raw[stream] += step
                left -= step
        self.lines += data.count(b"\n", counted)
        if self.offset - start != len(data):
            raise ValueError("the segments do not fit the data")
        return bytes(out)

    def _due(self, stream: int, time_ms: int) -> bool:
        last = self.marked
        return (
            last is None
            or last.stream != stream
            or self.offset - last.offset >= STRIDE_BYTES
            or time_ms - last.time_ms >= STRIDE_MS
        )

    def _mark(self, stream: int, time_ms: int) -> Record:
        self.marked = Record(
            self.offset, max(time_ms, 0), self.raw[1], self.raw[2], self.lines, stream
        )
        return self.marked


def _joined(segments: Iterable[Segment], marked: Record | None) -> Iterator[tuple[int, int, int]]:
    """(stream, length, time in ms): neighbours that would share a record in one piece.

    A job that prints a million lines comes in a million segments; this keeps them cheap.
    """
    stream, total, first = 0, 0, 0
    newest = marked.time_ms if marked else 0
    for segment in segments:
        if segment.stream == stream and segment.time_ms - newest < STRIDE_MS:
            total += segment.length
            continue
        if total:
            yield stream, total, first
        stream = segment.stream if segment.stream in STREAMS else 1
        total, first = segment.length, segment.time_ms
        if first - newest >= STRIDE_MS or marked is None:
            newest = first
    if total:
        yield stream, total, first


def trimmed(data: bytes, segments: Sequence[Segment], skip: int) -> tuple[bytes, Sequence[Segment]]:
    """Without the first `skip` bytes. Segments are made to fit the data whatever they claim."""
    if skip == 0 and sum(segment.length for segment in segments) == len(data):
        return data, segments
    kept: list[Segment] = []
    at = 0
    for segment in segments:
        begin, at = at, min(at + max(segment.length, 0), len(data))
        if at > max(begin, skip):
            kept.append(Segment(segment.stream, at - max(begin, skip), segment.time_ms))
    if at < len(data):
        stream, time_ms = (kept[-1].stream, kept[-1].time_ms) if kept else (1, 0)
        kept.append(Segment(stream, len(data) - max(at, skip), time_ms))
    return data[skip:], kept
