"""The bytes of a container's output: frames apart, and the trailer cut off. Pure, no I/O.

A wrapper (`agent.runtime`) writes, as the very last bytes on stdout, a *trailer* (and an empty
one on stderr, so that the end of both streams is known exactly):

    \\x1e <nonce> <exit code> <length of outputs> <length of conditions> <missing tool or ->\\n
    <outputs><conditions>

Only bytes that may still become a trailer are held back, so a live line is never late.
"""

import re
from dataclasses import dataclass

STDOUT = 1
STDERR = 2

# What the wrapper sends at most of each report file; larger ones are announced as -1.
MAX_REPORT_BYTES = 2_000_000

_HEADER_MAX = 160
_FULL_PART = 16 * 1024
_HEADER = re.compile(rb"(\d{1,3}) (-1|\d{1,7}) (-1|\d{1,7}) ([A-Za-z0-9_.-]{1,40})\n")


class Demux:
    """Takes the multiplexed stream of the container engine apart, however it was chunked."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Complete frames as (stream, data); an unfinished one waits for more bytes."""
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        frames: list[tuple[int, bytes]] = []
        at, end = 0, len(data)
        while end - at >= 8:
            size = int.from_bytes(view[at + 4 : at + 8], "big")
            if end - at - 8 < size:
                break
            frames.append((view[at], bytes(view[at + 8 : at + 8 + size])))
            at += 8 + size
        self._rest = data[at:]
        return frames


class LogMender:
    """Gives the engine's log back the newlines it lost, so that it equals what was written.

    The engine stores a line of more than 16 kB in parts, and some versions forget the newline of
    the last part: a part shorter than a full one, or empty. Parts are full as long as the line
    goes on, so a shorter one without newline was the end of a line if anything follows it. Empty
    parts are sent only with timestamps on, so every frame begins with one: time, space, bytes.
    """

    def __init__(self) -> None:
        self._owes_newline = {STDOUT: False, STDERR: False}

    def mend(self, stream: int, frame: bytes) -> bytes:
        data = frame[frame.find(b" ") + 1 :]
        owed = self._owes_newline.get(stream, False)
        self._owes_newline[stream] = len(data) < _FULL_PART and not data.endswith(b"\n")
        return b"\n" + data if owed else data


@dataclass(frozen=True)
class Trailer:
    """What the wrapper says about its script. `None` outputs: too large to be sent."""

    code: int
    outputs: bytes | None
    conditions: bytes | None
    missing: str = ""  # a tool the image lacks; the script never ran


class TrailerCutter:
    """Lets stdout pass and keeps its trailer. One per pass over a container's stdout."""

    def __init__(self, nonce: str) -> None:
        self._mark = b"\x1e" + nonce.encode("ascii") + b" "
        self._held = b""
        self.trailer: Trailer | None = None
        self.broken = False  # a trailer began and never became whole

    def feed(self, data: bytes) -> bytes:
        """Returns the bytes that belong to the log."""
        if self._held:
            data = self._held + data
            self._held = b""
        self.trailer = None
        at = 0
        while True:
            found = data.find(self._mark, at)
            if found < 0:
                return self._hold_possible_mark(data)
            if self._waits_or_ends(data, found):
                self._held = data[found:]
                return data[:found]
            at = found + len(self._mark)

    def finish(self) -> bytes:
        """The stream has ended: what was held back but belongs to the log."""
        if self.trailer is None and self._held.startswith(self._mark):
            # The very last newline may be one that the engine's log has lost.
            rest = self.feed(b"\n")
            if self.trailer is None:
                self._held = rest + self._held
        held, self._held = self._held, b""
        if self.trailer is not None:
            return b""
        if held.startswith(self._mark):
            # The nonce proves that the wrapper wrote it, so it is no line of the user's.
            self.broken = True
            return b""
        return held

    def _hold_possible_mark(self, data: bytes) -> bytes:
        # The mark has \x1e only at its start: the last one is the only candidate.
        start = data.rfind(b"\x1e", max(0, len(data) - len(self._mark) + 1))
        if start >= 0 and self._mark.startswith(data[start:]):
            self._held = data[start:]
            return data[:start]
        return data

    def _waits_or_ends(self, data: bytes, found: int) -> bool:
        """True while this may be the trailer: unfinished, or whole with nothing behind it."""
        start = found + len(self._mark)
        newline = data.find(b"\n", start, start + _HEADER_MAX)
        if newline < 0:
            return len(data) - start < _HEADER_MAX
        header = _HEADER.fullmatch(data, start, newline + 1)
        if header is None:
            return False
        code, outputs, conditions = (int(header[i]) for i in (1, 2, 3))
        if max(outputs, conditions) > MAX_REPORT_BYTES:
            return False
        body = newline + 1
        middle = body + max(outputs, 0)
        end = middle + max(conditions, 0)
        if len(data) == end:
            self.trailer = Trailer(
                code=code,
                outputs=None if outputs < 0 else data[body:middle],
                conditions=None if conditions < 0 else data[middle:end],
                missing="" if header[4] == b"-" else header[4].decode("ascii"),
            )
        return len(data) <= end
