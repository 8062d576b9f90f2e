"""What a caller sees of a log's lines and of a search."""

from typing import Literal

from cronium_app.actions.views import View


class LogLine(View):
    """`cut`: the line is longer than `text`."""

    line: int
    offset: int
    text: str
    cut: bool


class LogLines(View):
    """`next` is the number of the line to go on with, None at the end; `length` is in bytes."""

    items: list[LogLine]
    next: int | None
    length: int


class LogHit(View):
    """The first match of a line: byte `offset` and `length` of the match itself; `snippet` is the
    match with some of its line around it."""

    line: int
    offset: int
    length: int
    snippet: str


class LogSearch(View):
    """`next` is the byte offset to go on `from`, None when all of it was searched; `stopped` says
    why it was not. `length` is the log's, in bytes, as it was searched."""

    items: list[LogHit]
    next: int | None
    stopped: Literal["limit", "time"] | None
    length: int
