"""Searching a log: a scan in bounded memory, with a time limit, in a thread.

The matcher is RE2, for plain words too: its time grows with the text and never explodes with the
pattern, and it lets go of the interpreter's lock while it looks. Python's own `re` backtracks, and
no limit on its syntax that keeps it useful makes it safe. What RE2 leaves out (back-references,
look-around) is refused with a sentence.

Known limit: in a line longer than a block (64 kB to 1 MB) a match is found within pieces that
overlap by a quarter of a block; one longer than that may be given a later beginning, or be missed.
"""

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import re2

from cronium_app.logs.seek import Reader

QUERY_CHARS: Final = 1000
# Where RE2 has to give up its fast ways, its time is (program size) x (bytes): this and the size
# of a block bound how far a search can overrun its time.
PROGRAM_SIZE: Final = 2500
MEMORY: Final = 1 << 20
FIRST_BLOCK: Final = 64 * 1024
LEAST_BLOCK: Final = 16 * 1024
MOST_BLOCK: Final = 1 << 20
SNIPPET_BEFORE: Final = 80
SNIPPET_AFTER: Final = 160

_ERROR = cast("type[Exception]", re2.error)
Matcher = Callable[[bytes, int, int], tuple[int, int] | None]


class QueryError(ValueError):
    """The words or the expression cannot be searched for; the message is a sentence."""


@dataclass(frozen=True, kw_only=True)
class Hit:
    """The first match in a line."""

    line: int  # from 1
    offset: int  # of the match's first byte
    length: int  # of the match, in bytes
    snippet: str  # the match with some of its line around it, as the job wrote it


@dataclass(frozen=True, kw_only=True)
class Found:
    """`next` is the offset to go on at, None when everything was searched. `stopped` says why it
    was not."""

    hits: list[Hit]
    next: int | None
    stopped: Literal["limit", "time"] | None
    length: int  # of the log as it was searched


def matcher(words: str, *, regex: bool = False, case: bool = False) -> Matcher:
    """Finds the leftmost match in [start, end) that lies within one line. Raises QueryError."""
    if not words:
        raise QueryError("Say what to search for.")
    if len(words) > QUERY_CHARS:
        raise QueryError(f"A search has at most {QUERY_CHARS} characters.")
    if "\n" in words:
        raise QueryError("A search stays within one line.")
    compiled = _compiled(words, regex, case)

    def find(data: bytes, start: int, end: int) -> tuple[int, int] | None:
        match = compiled.search(data, start, end)
        return None if match is None else cast("tuple[int, int]", match.span())

    return find


def _compiled(words: str, regex: bool, case: bool) -> Any:
    options = re2.Options()
    options.literal = not regex
    options.case_sensitive = case
    options.never_nl = True
    options.never_capture = True
    options.max_mem = MEMORY
    options.log_errors = False
    if regex and _leaves_the_line(words):
        raise QueryError("Use ^ and $ for the beginning and the end of a line.")
    try:
        compiled: Any = re2.compile(f"(?m){words}" if regex else words, options)
    except UnicodeEncodeError:
        raise QueryError("The search holds half a character.") from None
    except _ERROR as error:
        raise QueryError(_sentence(error)) from None
    if compiled.programsize > PROGRAM_SIZE:
        raise QueryError("This regular expression is too large; use smaller repetitions.")
    return compiled


def _leaves_the_line(pattern: str) -> bool:
    """The beginning and end of the whole text mean nothing where a scan goes block by block."""
    escapes = re.findall(r"\\(.)", pattern, re.S)
    return bool({"A", "z", "C"} & set(escapes)) or re.search(r"\(\?\w*-\w*m", pattern) is not None


_WORDS = {
    "missing )": "a bracket is not closed",
    "unexpected )": "a bracket is closed that was not opened",
    "missing ]": "a [ is not closed",
    "no argument for repetition operator": "there is nothing to repeat before *, +, ? or {",
    "bad repetition operator": "two repetitions follow each other",
    "invalid repetition size": "a repetition is larger than 1000",
    "invalid escape sequence": "it has a backslash before something that means nothing; "
    "back-references are not supported",
    "trailing \\": "it ends with a backslash",
    "invalid perl operator": "look-ahead and look-behind are not supported",
    "pattern too large - compile failed": "it is too large",
}


def _sentence(error: Exception) -> str:
    raw = error.args[0] if error.args else b""
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
    kind = text.partition(":")[0]
    return f"This regular expression cannot be used: {_WORDS.get(kind, 'it has an error')}."


def search(
    reader: Reader,
    find: Matcher,
    *,
    start: int = 0,
    limit: int = 200,
    seconds: float = 5.0,
    gone: threading.Event | None = None,
) -> Found:
    """Lines with a match, from `start` on, in order; at most one hit a line. `gone` ends it early
    (then as if its time were over)."""
    return _Search(reader, find, limit, time.monotonic() + seconds, gone).run(start)


class _Search:
    def __init__(
        self,
        reader: Reader,
        find: Matcher,
        limit: int,
        deadline: float,
        gone: threading.Event | None,
    ) -> None:
        self._reader = reader
        self._find = find
        self._limit = limit
        self._deadline = deadline
        self._gone = gone
        self._size = FIRST_BLOCK
        self._hits: list[Hit] = []

    def run(self, start: int) -> Found:
        at = min(max(0, start), self._reader.end)
        line = self._reader.line_at(at)
        while at < self._reader.end:
            if self._is_over():
                return self._found(at, "time")
            begun = time.monotonic()
            at, line = self._block(at, line)
            self._resize(time.monotonic() - begun)
            if len(self._hits) >= self._limit:
                return self._found(at, "limit")
        return self._found(at, None)

    def _block(self, at: int, line: int) -> tuple[int, int]:
        """Search from `at` to the end of a line; returns where to go on, and its line number."""
        before = min(1, at)  # so that ^ is true at the beginning of a line only
        data = self._reader.read(at - before, self._size + before)
        if len(data) <= before:
            return self._reader.end, line
        last = at - before + len(data) >= self._reader.end
        cut = len(data) if last else data.rfind(b"\n", before) + 1
        if cut <= before:
            return self._piece_of_line(data, at, before, line)
        pos = counted = before
        while match := self._find(data, pos, cut):
            begin, end = match
            if begin >= cut and data[cut - 1 : cut] == b"\n":
                break  # the empty place after the last line end is no line
            line += data.count(b"\n", counted, begin)
            counted = begin
            self._hit(data, at - before, begin, end, line)
            feed = data.find(b"\n", begin)
            pos = feed + 1 if feed >= 0 else cut
            if len(self._hits) >= self._limit or pos >= cut or self._is_over():
                cut = pos
                break
        line += data.count(b"\n", counted, cut)
        return at - before + cut, line

    def _piece_of_line(self, data: bytes, at: int, before: int, line: int) -> tuple[int, int]:
        """A line longer than a block goes by in pieces that overlap by a quarter. The byte after
        the piece is in sight of the matcher, so that $ is not true there."""
        if match := self._find(data, before, len(data) - 1):
            self._hit(data, at - before, *match, line)
            return self._reader.after_feed(at - before + match[0]), line + 1
        return at + max(1, (len(data) - before) * 3 // 4), line

    def _hit(self, data: bytes, base: int, begin: int, end: int, line: int) -> None:
        left = max(data.rfind(b"\n", 0, begin) + 1, begin - SNIPPET_BEFORE)
        feed = data.find(b"\n", begin, begin + SNIPPET_AFTER)
        right = feed if feed >= 0 else begin + SNIPPET_AFTER
        shown = data[left:right].lstrip(_CONTINUATIONS).removesuffix(b"\r")
        self._hits.append(
            Hit(
                line=line,
                offset=base + begin,
                length=end - begin,
                snippet=shown.decode(errors="replace"),
            )
        )

    def _resize(self, took: float) -> None:
        if took < 0.02:
            self._size = min(self._size * 2, MOST_BLOCK)
        elif took > 0.1:
            self._size = max(self._size // 2, LEAST_BLOCK)

    def _is_over(self) -> bool:
        return time.monotonic() >= self._deadline or (
            self._gone is not None and self._gone.is_set()
        )

    def _found(self, at: int, stopped: Literal["limit", "time"] | None) -> Found:
        done = at >= self._reader.end
        return Found(
            hits=self._hits,
            next=None if done else at,
            stopped=None if done else stopped,
            length=self._reader.end,
        )


_CONTINUATIONS = bytes(range(0x80, 0xC0))
