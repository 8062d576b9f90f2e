"""Queries on schedules, and from a row to the rule that `domain.schedules` reads."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.domain import schedules as rules
from cronium_app.store.fires import DueSchedule
from cronium_app.store.tables import Event, Schedule


def spec_of(row: Schedule | DueSchedule) -> rules.ScheduleSpec:
    return rules.load(
        row.kind,
        anchor=row.anchor_at,
        expression=row.expression,
        every_s=row.every_s,
        at=row.at,
        timezone=row.timezone,
        start=row.start_at,
        end=row.end_at,
        dst=row.dst,
    )


async def owned(
    session: AsyncSession, owner_id: UUID, schedule_id: UUID, *, lock: bool = False
) -> Schedule | None:
    query = select(Schedule).where(Schedule.id == schedule_id, Schedule.owner_id == owner_id)
    return (await session.exec(query.with_for_update() if lock else query)).first()


async def exists(session: AsyncSession, schedule_id: UUID) -> bool:
    """Whoever's it is. For the audit trail only."""
    query = select(Schedule.id).where(Schedule.id == schedule_id)
    return (await session.exec(query)).first() is not None


async def of_event(session: AsyncSession, event_id: UUID) -> Sequence[Schedule]:
    """In the order they were made."""
    query = select(Schedule).where(Schedule.event_id == event_id).order_by(col(Schedule.id))
    return (await session.exec(query)).all()


async def of_events(session: AsyncSession, event_ids: Collection[UUID]) -> Sequence[Schedule]:
    query = select(Schedule).where(col(Schedule.event_id).in_(event_ids)).order_by(col(Schedule.id))
    return (await session.exec(query)).all()


async def upcoming(
    session: AsyncSession, owner_id: UUID, limit: int
) -> Sequence[tuple[Schedule, str]]:
    """The schedules that fire next, with their events' names."""
    query = (
        select(Schedule, Event.name)
        .join(Event, col(Event.id) == Schedule.event_id)
        .where(Schedule.owner_id == owner_id, col(Schedule.next_fire_at).is_not(None))
        .order_by(col(Schedule.next_fire_at), col(Schedule.id))
        .limit(limit)
    )
    return (await session.exec(query)).all()


async def silence(session: AsyncSession, event_id: UUID, now: datetime) -> None:
    """None of the event's schedules fires any more."""
    await session.exec(
        update(Schedule)
        .where(col(Schedule.event_id) == event_id)
        .values(next_fire_at=None, updated_at=now)
    )


async def remove(session: AsyncSession, owner_id: UUID, schedule_id: UUID) -> None:
    await session.exec(
        delete(Schedule).where(col(Schedule.id) == schedule_id, col(Schedule.owner_id) == owner_id)
    )
