"""Queries on pauses. Whose a pause is stands in the WHERE."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.domain import pauses
from cronium_app.domain.pauses import PauseScope
from cronium_app.store.tables import Pause


def pause_of(row: Pause) -> pauses.Pause:
    return pauses.Pause(
        owner_id=row.owner_id,
        scope=cast("PauseScope", row.scope),
        target=row.target,
        since=row.since_at,
        until=row.until_at,
        by=row.created_by_name,
        note=row.note,
    )


async def since(
    session: AsyncSession, owner_ids: Collection[UUID], moment: datetime
) -> Sequence[Pause]:
    """All that ended after `moment`, or have not ended."""
    query = select(Pause).where(col(Pause.owner_id).in_(owner_ids), col(Pause.until_at) > moment)
    return (await session.exec(query)).all()


async def active(session: AsyncSession, owner_id: UUID, now: datetime) -> Sequence[Pause]:
    """In the order in which they end."""
    query = (
        select(Pause)
        .where(Pause.owner_id == owner_id, col(Pause.until_at) > now)
        .order_by(col(Pause.until_at), col(Pause.id))
    )
    return (await session.exec(query)).all()


async def owned(
    session: AsyncSession, owner_id: UUID, pause_id: UUID, *, lock: bool = False
) -> Pause | None:
    query = select(Pause).where(Pause.id == pause_id, Pause.owner_id == owner_id)
    return (await session.exec(query.with_for_update() if lock else query)).first()


async def exists(session: AsyncSession, pause_id: UUID) -> bool:
    """Whoever's it is. For the audit trail only."""
    return (await session.exec(select(Pause.id).where(Pause.id == pause_id))).first() is not None


async def end(session: AsyncSession, pause_id: UUID, now: datetime) -> None:
    await session.exec(update(Pause).where(col(Pause.id) == pause_id).values(until_at=now))


async def forget(session: AsyncSession, before: datetime) -> None:
    """Those that ended so long ago that no missed fire can fall into them."""
    await session.exec(delete(Pause).where(col(Pause.until_at) < before))
