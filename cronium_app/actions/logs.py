"""Use cases of logs: read from an offset, follow, find a place, search.

`attempt` is the number of a try; None means the newest. One that does not exist is NotFound.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cronium_app.actions.access import own_run, require
from cronium_app.actions.context import Services
from cronium_app.actions.errors import Invalid, NotFound, TooMany
from cronium_app.actions.log_views import LogHit, LogLine, LogLines, LogSearch
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.logs.files import Frame, Place, SearchBusy, Skipped
from cronium_app.logs.search import QueryError, matcher
from cronium_app.store import runs as run_rows
from cronium_app.store.tables import Attempt

SEARCH_S: Final = 5.0
LINES_BYTES: Final = 1024 * 1024


async def open_log(
    services: Services, actor: Actor, run_id: str, attempt: int | None = None
) -> tuple[UUID | None, int]:
    """Whose log it is and how long it is now; (None, 0) for a run that waits."""
    found = await _logged(services, actor, run_id, attempt)
    return (None, 0) if found is None else (found.id, await services.logs.length(found.id))


async def read_log(
    services: Services,
    actor: Actor,
    run_id: str,
    offset: int,
    limit: int,
    attempt: int | None = None,
) -> tuple[bytes, int]:
    """At most `limit` bytes from `offset`, and the length of the whole log so far."""
    log, length = await open_log(services, actor, run_id, attempt)
    return (b"", 0) if log is None else (await services.logs.read(log, offset, limit), length)


async def log_length(
    services: Services, actor: Actor, run_id: str, attempt: int | None = None
) -> int:
    return (await open_log(services, actor, run_id, attempt))[1]


async def follow_log(
    services: Services,
    actor: Actor,
    run_id: str,
    offset: int,
    attempt: int | None = None,
    *,
    paced: bool = False,
) -> AsyncGenerator[Frame | Skipped]:
    """Everything from `offset`, then what comes until the log is whole or the run has ended.

    A run that waits is waited for. `paced`: a viewer that a fast job outruns is moved to its end
    (`Skipped`). Raises NotFound before the first frame.
    """
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
        if attempt and await run_rows.attempt_of(session, run.id, attempt) is None:
            raise NotFound
    pace = services.logs.pace() if paced else None
    frames = services.orchestrator.follow(run.id, attempt=attempt, offset=offset, pace=pace)
    async for frame in frames:
        yield frame


async def place(
    services: Services,
    actor: Actor,
    run_id: str,
    attempt: int | None = None,
    *,
    line: int | None = None,
    tail: int | None = None,
    all_below: int = 0,
    offset: int = 0,
) -> Place:
    """Where to begin reading: at a `line`; or at the beginning of a line about `tail` bytes before
    the end (both at 0 if the log is no longer than `all_below`); or of one at or after `offset`."""
    log, length = await open_log(services, actor, run_id, attempt)
    if log is None:
        return Place(offset=0, line=1, length=0)
    if (line is not None or tail is not None) and length <= all_below:
        return Place(offset=0, line=1, length=length)
    if line is not None:
        return await services.logs.place_of_line(log, line)
    if tail is not None:
        offset = max(0, length - tail)
    return await services.logs.place_at(log, offset)


async def piece(
    services: Services, actor: Actor, run_id: str, attempt: int | None, offset: int, end: int
) -> AsyncGenerator[Frame]:
    """What is there of [offset, end)."""
    log, length = await open_log(services, actor, run_id, attempt)
    end = min(end, length)
    while log is not None and offset < end:
        for frame in await services.logs.read_frames(log, offset, min(256 * 1024, end - offset)):
            yield frame
            offset = frame.end


async def lines(
    services: Services,
    actor: Actor,
    run_id: str,
    line: int = 1,
    count: int = 100,
    attempt: int | None = None,
) -> LogLines:
    """`count` lines from `line` on, together at most 1 MB. A longer line is cut and says so."""
    log, length = await open_log(services, actor, run_id, attempt)
    offset = None if log is None else await services.logs.locate(log, line)
    if log is None or offset is None:
        return LogLines(items=[], next=None, length=length)
    data = await services.logs.read(log, offset, LINES_BYTES)
    at_end = offset + len(data) >= length
    found: list[LogLine] = []
    at = 0
    while at < len(data) and len(found) < count:
        feed = data.find(b"\n", at)
        if feed < 0 and not at_end and found:
            break
        text = data[at:] if feed < 0 else data[at:feed]
        found.append(
            LogLine(
                line=line + len(found),
                offset=offset + at,
                text=text.removesuffix(b"\r").decode(errors="replace"),
                cut=feed < 0 and not at_end,
            )
        )
        at = len(data) if feed < 0 else feed + 1
    more = not (at_end and at >= len(data))
    return LogLines(items=found, next=line + len(found) if more else None, length=length)


@dataclass(frozen=True, kw_only=True)
class SearchIn:
    """Lines with a match, at most one hit each, from byte `start` on."""

    words: str
    regex: bool = False
    case: bool = False
    start: int = 0
    limit: int = 200


async def search_log(
    services: Services, actor: Actor, run_id: str, wanted: SearchIn, attempt: int | None = None
) -> LogSearch:
    """Invalid for an expression that cannot be used; TooMany while many searches are waiting."""
    log, length = await open_log(services, actor, run_id, attempt)
    try:
        find = matcher(wanted.words, regex=wanted.regex, case=wanted.case)
    except QueryError as error:
        raise Invalid(str(error), code="bad_expression", field="q") from None
    if log is None:
        return LogSearch(items=[], next=None, stopped=None, length=length)
    try:
        found = await services.logs.search(
            log, find, start=wanted.start, limit=wanted.limit, seconds=SEARCH_S
        )
    except SearchBusy:
        raise TooMany(
            "Many searches are under way: try again in a moment.", extra={"retry_after_s": 5}
        ) from None
    hits = [
        LogHit(line=hit.line, offset=hit.offset, length=hit.length, snippet=hit.snippet)
        for hit in found.hits
    ]
    return LogSearch(items=hits, next=found.next, stopped=found.stopped, length=found.length)


async def _logged(
    services: Services, actor: Actor, run_id: str, attempt: int | None
) -> Attempt | None:
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
        found = await run_rows.attempt_of(session, run.id, attempt or None)
    if found is None and attempt:
        raise NotFound
    return found
