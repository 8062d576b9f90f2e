"""Due schedules. `next_fire_at` is the truth; it moves in the transaction that makes the runs."""

from datetime import datetime

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import Event, Schedule


async def due(session: AsyncSession, now: datetime, *, limit: int) -> list[tuple[Schedule, Event]]:
    """Schedules whose time has come, earliest first. On PostgreSQL another server's are left out."""
    statement = (
        select(Schedule, Event)
        .join(Event, col(Event.id) == col(Schedule.event_id))
        .where(col(Schedule.enabled), col(Schedule.next_fire_at) <= now)
        .order_by(col(Schedule.next_fire_at), col(Schedule.id))
        .limit(limit)
        .with_for_update(of=Schedule, skip_locked=True)
    )
    return [(schedule, event) for schedule, event in await session.exec(statement)]


async def earliest(session: AsyncSession) -> datetime | None:
    """When the next schedule is due; None if there is none."""
    statement = select(func.min(col(Schedule.next_fire_at))).where(col(Schedule.enabled))
    return (await session.exec(statement)).one()


def moved(schedule: Schedule, *, fired: datetime, following: datetime | None) -> None:
    """The schedule has dealt with `fired`. To be committed with what came of it."""
    schedule.last_fire_at = fired
    schedule.next_fire_at = following
