"""Queries on revisions: what an event was at each save, and the hidden drafts of its tests.

Saved revisions count 1, 2, 3 ... without gaps; drafts count from `DRAFT_FROM`, so that testing
leaves no holes in the history that people see.
"""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import func
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import Event, Revision, User

DRAFT_FROM = 1_000_000


async def get(session: AsyncSession, event_id: UUID, number: int) -> Revision | None:
    return await session.get(Revision, (event_id, number))


async def newest_draft(session: AsyncSession, event_id: UUID) -> Revision | None:
    query = (
        select(Revision)
        .where(Revision.event_id == event_id, col(Revision.draft).is_(True))
        .order_by(col(Revision.number).desc())
        .limit(1)
    )
    return (await session.exec(query)).first()


async def next_number(session: AsyncSession, event_id: UUID, *, draft: bool) -> int:
    query = select(func.max(Revision.number)).where(
        Revision.event_id == event_id, col(Revision.draft).is_(draft)
    )
    newest = (await session.exec(query)).one()
    return (newest or (DRAFT_FROM - 1 if draft else 0)) + 1


async def saved(session: AsyncSession, event_id: UUID) -> Sequence[tuple[Revision, str | None]]:
    """Newest first, with the e-mail address of who saved it."""
    query = (
        select(Revision, User.email)
        .outerjoin(User, col(User.id) == Revision.created_by)
        .where(Revision.event_id == event_id, col(Revision.draft).is_(False))
        .order_by(col(Revision.number).desc())
        .limit(1000)
    )
    return (await session.exec(query)).all()


async def author(session: AsyncSession, revision: Revision) -> str:
    query = select(User.email).where(User.id == revision.created_by)
    return (await session.exec(query)).first() or ""


async def heads(session: AsyncSession, event_ids: Collection[UUID]) -> dict[UUID, tuple[str, str]]:
    """Runtime and image of each event's saved revision, without reading the scripts."""
    query = (
        select(Revision.event_id, Revision.runtime, Revision.image)
        .join(
            Event,
            (col(Event.id) == Revision.event_id) & (col(Event.revision) == Revision.number),
        )
        .where(col(Event.id).in_(event_ids))
    )
    rows = (await session.exec(query)).all()
    return {event_id: (runtime, image) for event_id, runtime, image in rows}
