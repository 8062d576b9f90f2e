"""Queries on events. Whose an event is stands in the WHERE, never in an `if` afterwards."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, tuple_
from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.store.tables import Attempt, Event, Run


async def owned(
    session: AsyncSession, owner_id: UUID, event_id: UUID, *, lock: bool = False
) -> Event | None:
    """`lock`: nobody else changes it before this transaction ends. Runs of it can be made all the
    same: a lock that kept them out would meet the queue's from the other side."""
    query = select(Event).where(Event.id == event_id, Event.owner_id == owner_id)
    return (await session.exec(query.with_for_update(key_share=True) if lock else query)).first()


async def exists(session: AsyncSession, event_id: UUID) -> bool:
    """Whoever's it is. For the audit trail only."""
    return (await session.exec(select(Event.id).where(Event.id == event_id))).first() is not None


async def page(
    session: AsyncSession,
    owner_id: UUID,
    *,
    search: str,
    tag: str | None,
    archived: bool,
    after: tuple[str, UUID] | None,
    limit: int,
) -> Sequence[Event]:
    """By name, without drafts. `after`: the last (lower-case name, id) of the page before."""
    name = func.lower(Event.name)
    query = select(Event).where(
        Event.owner_id == owner_id,
        col(Event.draft).is_(False),
        col(Event.archived_at).is_not(None) if archived else col(Event.archived_at).is_(None),
    )
    for word in search.split():
        # The database lowers ASCII only, so a word is tried as typed, too.
        query = query.where(
            or_(
                name.contains(word.lower(), autoescape=True),
                col(Event.name).contains(word, autoescape=True),
                func.lower(Event.tags).contains(word.lower(), autoescape=True),
            )
        )
    if tag:
        quoted = json.dumps(tag.lower(), ensure_ascii=False)
        query = query.where(func.lower(Event.tags).contains(quoted, autoescape=True))
    if after:
        query = query.where(tuple_(name, col(Event.id)) > tuple_(*_literals(after)))
    return (await session.exec(query.order_by(name, col(Event.id)).limit(limit))).all()


def _literals(after: tuple[str, UUID]) -> tuple[Any, Any]:
    return after[0], after[1]


async def lowered_name(session: AsyncSession, event_id: UUID) -> str | None:
    """The name as the database lowers it: what `page` sorts by."""
    return (await session.exec(select(func.lower(Event.name)).where(Event.id == event_id))).first()


async def tags_of(session: AsyncSession, owner_id: UUID) -> list[str]:
    rows = await session.exec(
        select(Event.tags)
        .where(
            Event.owner_id == owner_id,
            Event.tags != "[]",
            col(Event.draft).is_(False),
            col(Event.archived_at).is_(None),
        )
        .distinct()
    )
    return sorted(
        {tag for text in rows.all() for tag in json.loads(text)}, key=lambda tag: (tag.lower(), tag)
    )


async def count(session: AsyncSession, owner_id: UUID) -> int:
    """Those that are neither drafts nor archived."""
    query = (
        select(func.count())
        .select_from(Event)
        .where(
            Event.owner_id == owner_id,
            col(Event.draft).is_(False),
            col(Event.archived_at).is_(None),
        )
    )
    return (await session.exec(query)).one()


async def remove_some_runs(
    session: AsyncSession, event_id: UUID, limit: int
) -> Sequence[UUID] | None:
    """Delete some of its runs; answers their attempts, whose logs go too. None: no run is left."""
    runs = (await session.exec(select(Run.id).where(Run.event_id == event_id).limit(limit))).all()
    if not runs:
        return None
    attempts = await session.exec(select(Attempt.id).where(col(Attempt.run_id).in_(runs)))
    gone = attempts.all()
    await session.exec(delete(Run).where(col(Run.id).in_(runs)))
    return gone


async def weight(session: AsyncSession, event_id: UUID) -> tuple[int, int, int]:
    """What goes with an event: its runs, those that have not ended, bytes of their logs."""
    runs = (
        await session.exec(select(func.count()).select_from(Run).where(Run.event_id == event_id))
    ).one()
    unfinished = (
        await session.exec(
            select(func.count())
            .select_from(Run)
            .where(Run.event_id == event_id, col(Run.status).in_(("queued", "running")))
        )
    ).one()
    log_bytes = (
        await session.exec(
            select(func.coalesce(func.sum(Attempt.log_length), 0))
            .join(Run, col(Run.id) == Attempt.run_id)
            .where(Run.event_id == event_id)
        )
    ).one()
    return runs, unfinished, int(log_bytes)


async def remove(session: AsyncSession, owner_id: UUID, event_id: UUID) -> None:
    """With its revisions, schedules, runs and attempts."""
    await session.exec(
        delete(Event).where(col(Event.id) == event_id, col(Event.owner_id) == owner_id)
    )
