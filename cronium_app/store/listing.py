"""Pages of runs: keyset queries over (created_at, id), each served by an index of its own.

Ids are made in order of time, but rows may be brought in from elsewhere; so the time a run was
made leads, and the id only breaks ties.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import bindparam, func, tuple_
from sqlalchemy import select as sa_select
from sqlalchemy.orm import aliased, defer
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import Attempt, Event, Revision, Run

Direction = Literal["older", "newer"]
TICKS = 30
Tick = tuple[UUID, UUID, str, str | None, datetime, int | None]


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """None and "" mean: any. `text` holds words that must all occur."""

    owner_id: UUID
    status: str | None = None
    event_id: UUID | None = None
    trigger: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    include_tests: bool = False


@dataclass(frozen=True, kw_only=True)
class Position:
    """Next to which run a page begins, itself not included."""

    direction: Direction
    created_at: datetime
    id: UUID


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """Newest first. `older`, `newer`: whether there are more on that side."""

    runs: Sequence[tuple[Run, str]]  # with the runtime
    older: bool
    newer: bool


async def owned_run(session: AsyncSession, owner_id: UUID, run_id: UUID) -> Run | None:
    query = select(Run).where(Run.id == run_id, Run.owner_id == owner_id)
    return (await session.exec(query)).first()


async def run_exists(session: AsyncSession, run_id: UUID) -> bool:
    """Whoever's it is. For the audit trail only."""
    return (await session.exec(select(Run.id).where(Run.id == run_id))).first() is not None


async def run_page(
    session: AsyncSession, query: RunQuery, at: Position | None, limit: int, *, last: bool = False
) -> RunPage:
    """`last`: the page with the oldest runs; then `at` does not count."""
    if last:
        at = None
    backwards = last or (at is not None and at.direction == "newer")
    found = await _ids(session, query, at, limit + 1, backwards=backwards)
    more = len(found) > limit
    rows = await _with_runtime(session, found[:limit])
    if backwards:
        return RunPage(runs=rows, older=not last, newer=more)
    return RunPage(runs=rows, older=more, newer=at is not None)


async def _ids(
    session: AsyncSession, query: RunQuery, at: Position | None, limit: int, *, backwards: bool
) -> Sequence[UUID]:
    order = tuple_(col(Run.created_at), col(Run.id))
    statement = select(Run.id).where(*_conditions(query))
    if at is not None:
        edge = tuple_(_as_bind(Run.created_at, at.created_at), _as_bind(Run.id, at.id))
        statement = statement.where(order > edge if backwards else order < edge)
    keys = (col(Run.created_at), col(Run.id))
    statement = statement.order_by(*(keys if backwards else (key.desc() for key in keys)))
    return (await session.exec(statement.limit(limit))).all()


def _as_bind(column: Any, value: Any) -> Any:
    """A tuple's members have no type of their own; the column's makes both databases agree."""
    return bindparam(None, value, type_=column.type)


def _conditions(query: RunQuery) -> list[Any]:
    owner: Any = col(Run.owner_id)
    if query.event_id:
        # Never null, so this is the owner; but without it the planner may prefer an index of all
        # the owner's runs to the one of this event's.
        owner = func.coalesce(owner, col(Run.event_id))
    found: list[Any] = [owner == query.owner_id]
    words = query.text.lower().split()
    if query.status:
        found.append(_beside(words, Run.status) == query.status)
    if query.event_id:
        found.append(col(Run.event_id) == query.event_id)
    if query.trigger:
        found.append(_beside(words, Run.trigger) == query.trigger)
    if query.since:
        found.append(col(Run.created_at) >= query.since)
    if query.until:
        found.append(col(Run.created_at) < query.until)
    found += [col(Run.search_text).contains(word, autoescape=True) for word in words]
    if not query.include_tests and query.trigger != "test":
        found.append(col(Run.hidden).is_(False))
    return found


def _beside(words: list[str], column: Any) -> Any:
    """The column; beside a text search looked up only for the rows whose text matches. Otherwise
    SQLite would follow another index and read each row's text from the table, instead of reading
    the index that holds the texts.
    """
    if not words:
        return column
    same = aliased(Run)
    return select(getattr(same, column.key)).where(same.id == col(Run.id)).scalar_subquery()


async def _with_runtime(
    session: AsyncSession, run_ids: Sequence[UUID]
) -> Sequence[tuple[Run, str]]:
    """Rows without their large columns, newest first."""
    if not run_ids:
        return []
    statement = (
        select(Run, Revision.runtime)
        .join(
            Revision,
            (col(Revision.event_id) == Run.event_id) & (col(Revision.number) == Run.revision),
            isouter=True,
        )
        .where(col(Run.id).in_(run_ids))
        .order_by(col(Run.created_at).desc(), col(Run.id).desc())
        .options(
            defer(Run.inputs, raiseload=True),  # pyright: ignore[reportArgumentType]
            defer(Run.outputs, raiseload=True),  # pyright: ignore[reportArgumentType]
            defer(Run.conditions, raiseload=True),  # pyright: ignore[reportArgumentType]
        )
    )
    rows = (await session.exec(statement)).all()
    return [(run, runtime or "") for run, runtime in rows]


async def unfinished(
    session: AsyncSession, owner_id: UUID, limit: int
) -> Sequence[tuple[Run, str]]:
    """What runs or waits now, newest first."""
    found: list[UUID] = []
    for status in ("queued", "running"):  # with IN, SQLite walks all runs there ever were
        statement = (
            select(Run.id)
            .where(Run.owner_id == owner_id, Run.status == status)
            .order_by(col(Run.created_at).desc(), col(Run.id).desc())
            .limit(limit)
        )
        found += (await session.exec(statement)).all()
    return (await _with_runtime(session, found))[:limit]


async def ticks(session: AsyncSession, event_ids: Collection[UUID]) -> Sequence[Tick]:
    """The last 30 runs of each event without tests, in one query, newest first.

    (event, run, status, reason, made at, duration in ms). For each event one short walk down an
    index; a window function would number every run there ever was.
    """
    if not event_ids:
        return []
    inner = aliased(Run)
    newest = (
        select(inner.id)
        .where(inner.event_id == col(Event.id), col(inner.hidden).is_(False))
        .order_by(col(inner.created_at).desc(), col(inner.id).desc())
        .limit(TICKS)
        .correlate(Event)
    )
    columns: Any = (
        col(Run.event_id), col(Run.id), col(Run.status), col(Run.reason), col(Run.created_at),
        col(Run.duration_ms),
    )  # fmt: skip
    statement: Any = (
        sa_select(*columns)
        .select_from(Event)
        .join(Run, col(Run.id).in_(newest))
        .where(col(Event.id).in_(event_ids))
        .order_by(col(Run.created_at).desc(), col(Run.id).desc())
    )
    found = await session.exec(statement)  # pyright: ignore[reportUnknownVariableType]
    return cast("Sequence[Tick]", found.all())


async def counts_since(session: AsyncSession, owner_id: UUID, since: datetime) -> dict[str, int]:
    """Runs by status, without tests; those that have not ended count whenever they were made."""
    counts: dict[str, int] = {}
    for status in ("queued", "running", "succeeded", "failed", "cancelled"):
        statement = (
            select(func.count())
            .select_from(Run)
            .where(Run.owner_id == owner_id, Run.status == status, col(Run.hidden).is_(False))
        )
        if status not in ("queued", "running"):
            statement = statement.where(Run.created_at >= since)
        counts[status] = (await session.exec(statement)).one()
    return counts


async def recent_durations(session: AsyncSession, event_id: UUID, limit: int = 20) -> Sequence[int]:
    """Milliseconds of the last successes among the event's last 200 runs."""
    recent = (
        select(Run.duration_ms, Run.status, Run.created_at)
        .where(Run.event_id == event_id)
        .order_by(col(Run.created_at).desc(), col(Run.id).desc())
        .limit(200)
        .subquery()
    )
    statement = (
        select(recent.c.duration_ms)
        .where(recent.c.status == "succeeded", recent.c.duration_ms.is_not(None))
        .order_by(recent.c.created_at.desc())
        .limit(limit)
    )
    return (await session.exec(statement)).all()


async def current_attempts(session: AsyncSession, run_ids: Collection[UUID]) -> dict[UUID, Attempt]:
    """The newest attempt of each run that has one."""
    if not run_ids:
        return {}
    statement = (
        select(Attempt)
        .join(Run, (col(Run.id) == Attempt.run_id) & (col(Run.attempt) == Attempt.number))
        .where(col(Run.id).in_(run_ids))
        .options(defer(Attempt.outcome, raiseload=True))  # pyright: ignore[reportArgumentType]
    )
    return {attempt.run_id: attempt for attempt in (await session.exec(statement)).all()}
