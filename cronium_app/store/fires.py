"""Due schedules and their fires. `next_fire_at` is the truth; it moves in the transaction that
writes what became of the fires.

Plain columns and `executemany` throughout: a second with a thousand fires has no time for objects.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, bindparam, func, tuple_, update
from sqlalchemy import select as sa_select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import Revision, Run, Schedule


@dataclass(frozen=True, kw_only=True)
class DueSchedule:
    """A schedule whose time has come, and what must be known of its event."""

    id: UUID
    kind: str
    expression: str | None
    every_s: int | None
    at: datetime | None
    timezone: str
    start_at: datetime | None
    end_at: datetime | None
    dst: str
    misfire: str
    misfire_window_s: int
    jitter_s: int
    anchor_at: datetime
    next_fire_at: datetime
    updated_at: datetime
    event_id: UUID
    owner_id: UUID
    event_name: str
    event_tags: str
    event_enabled: bool
    event_draft: bool
    event_archived_at: datetime | None
    event_revision: int
    event_updated_at: datetime

    @property
    def version(self) -> "Version":
        return self.next_fire_at, self.updated_at, self.event_updated_at


Version = tuple[datetime, datetime, datetime]  # next fire, schedule saved, event saved
Move = tuple[UUID, datetime, datetime | None]  # schedule, its last fire, its next

_SCHEDULES, _EVENTS = SQLModel.metadata.tables["schedules"], SQLModel.metadata.tables["events"]
_RUNS = SQLModel.metadata.tables["runs"]
_OF_SCHEDULE = (
    *("id", "kind", "expression", "every_s", "at", "timezone", "start_at", "end_at", "dst"),
    *("misfire", "misfire_window_s", "jitter_s", "anchor_at", "next_fire_at", "updated_at"),
    *("event_id", "owner_id"),
)
_OF_EVENT = ("name", "tags", "enabled", "draft", "archived_at", "revision", "updated_at")
_DUE = (
    sa_select(
        *(_SCHEDULES.c[name] for name in _OF_SCHEDULE),
        *(_EVENTS.c[name].label(f"event_{name}") for name in _OF_EVENT),
    )
    .join(_EVENTS, _EVENTS.c.id == _SCHEDULES.c.event_id)
    .where(_SCHEDULES.c.enabled, _SCHEDULES.c.next_fire_at <= bindparam("now"))
)


async def due(session: AsyncSession, now: datetime, *, limit: int) -> list[DueSchedule]:
    """Schedules whose time has come, the newest fires first: what is due this second does not
    wait behind what was missed in a night."""
    newest = (_SCHEDULES.c.next_fire_at.desc(), _SCHEDULES.c.id)
    return await _read(session, _DUE.order_by(*newest).limit(limit), now)


async def due_of(
    session: AsyncSession, schedule_ids: Collection[UUID], now: datetime
) -> list[DueSchedule]:
    """Those of some schedules. They stay locked until the transaction ends."""
    if not schedule_ids:
        return []
    statement = _DUE.where(_SCHEDULES.c.id.in_(schedule_ids)).order_by(_SCHEDULES.c.id)
    return await _read(session, statement.with_for_update(of=_SCHEDULES), now)


async def _read(session: AsyncSession, statement: Any, now: datetime) -> list[DueSchedule]:
    connection = await session.connection()
    rows = await connection.execute(statement, {"now": now})
    return [DueSchedule(**row) for row in rows.mappings()]


async def lock(session: AsyncSession, schedule_ids: Collection[UUID]) -> dict[UUID, Version]:
    """As they are now, and theirs until the transaction ends. On PostgreSQL those that another
    server deals with at this moment are left out, and so are those whose event somebody is saving:
    this waits for nobody, so it is never part of a deadlock."""
    connection = await session.connection()
    events = (
        sa_select(_EVENTS.c.id)
        .where(
            _EVENTS.c.id.in_(
                sa_select(_SCHEDULES.c.event_id).where(_SCHEDULES.c.id.in_(schedule_ids))
            )
        )
        .with_for_update(read=True, key_share=True, skip_locked=True)
    )
    free = set((await connection.execute(events)).scalars())
    statement = (
        sa_select(
            *(_SCHEDULES.c[name] for name in ("id", "event_id", "next_fire_at", "updated_at")),
            _EVENTS.c.updated_at.label("event_updated_at"),
        )
        .join(_EVENTS, _EVENTS.c.id == _SCHEDULES.c.event_id)
        .where(_SCHEDULES.c.id.in_(schedule_ids), _SCHEDULES.c.enabled)
        .with_for_update(of=_SCHEDULES, skip_locked=True)
    )
    rows = await connection.execute(statement)
    return {
        row["id"]: (row["next_fire_at"], row["updated_at"], row["event_updated_at"])
        for row in rows.mappings()
        if row["event_id"] in free
    }


async def insert(session: AsyncSession, rows: Sequence[dict[str, Any]]) -> set[UUID]:
    """Write fires; each is all columns of a run. Returns the ids of those that are new: a
    (schedule, fire time) that has a row already gets no second one."""
    if not rows:
        return set()
    connection = await session.connection()
    insert_into = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert_into(_RUNS).on_conflict_do_nothing(
        index_elements=["schedule_id", "fire_time"]
    )
    done = cast("CursorResult[Any]", await connection.execute(statement, rows))
    ids = {row["id"] for row in rows}
    if done.rowcount == len(rows):
        return ids
    found = await connection.execute(sa_select(_RUNS.c.id).where(_RUNS.c.id.in_(ids)))
    return set(found.scalars())


async def move(session: AsyncSession, moves: Sequence[Move]) -> None:
    """The schedules have dealt with these fires. To be committed with what came of them."""
    if not moves:
        return
    statement = (
        update(_SCHEDULES)
        .where(_SCHEDULES.c.id == bindparam("of"))
        .values(last_fire_at=bindparam("fired"), next_fire_at=bindparam("following"))
    )
    values = [{"of": of, "fired": fired, "following": next_} for of, fired, next_ in moves]
    await (await session.connection()).execute(statement, values)


async def earliest(session: AsyncSession) -> datetime | None:
    """When the next schedule is due; None if there is none."""
    statement = select(func.min(col(Schedule.next_fire_at))).where(col(Schedule.enabled))
    return (await session.exec(statement)).one()


async def contents(
    session: AsyncSession, wanted: Collection[tuple[UUID, int]]
) -> dict[tuple[UUID, int], str]:
    """The canonical JSON of (event, revision) pairs."""
    pair = tuple_(col(Revision.event_id), col(Revision.number))
    statement = select(Revision.event_id, Revision.number, Revision.content).where(
        pair.in_(list(wanted))
    )
    rows = await session.exec(statement)
    return {(event, number): text for event, number, text in rows}


def blank_run() -> dict[str, Any]:
    """All columns of a run with their defaults."""
    return dict(_BLANK)


_BLANK: dict[str, Any] = {
    name: None if field.is_required() else field.get_default()
    for name, field in Run.model_fields.items()
}
