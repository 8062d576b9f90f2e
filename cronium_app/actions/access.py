"""Who may, and whose it is. Ownership is part of each query; a thing of another person's looks
exactly like one that does not exist, and the try is noted in the audit trail.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.actions.context import AccountServices
from cronium_app.actions.errors import Denied, NotFound
from cronium_app.domain.clock import Clock
from cronium_app.domain.ids import new_id, parse_id
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.orchestrator.bus import Noun
from cronium_app.store import accounts, events, listing, pauses, schedules
from cronium_app.store.tables import AuditEntry, Event, Pause, Run, Schedule

log = structlog.get_logger(__name__)
SYSTEM: Final = "system"
Row = TypeVar("Row")
_pending: set[asyncio.Task[None]] = set()


def announce(services: AccountServices, noun: Noun, id: UUID, owner_id: UUID) -> None:
    """Tell the pages. After the commit, never before."""
    services.bus.publish(noun, id, owner_id)


def require(actor: Actor, permission: Permission) -> None:
    if not actor.can(permission):
        raise Denied


async def own_event(
    services: AccountServices,
    session: AsyncSession,
    actor: Actor,
    event_id: str,
    *,
    lock: bool = False,
) -> Event:
    return await _own(
        services, session, actor, event_id, events.owned, events.exists, {"lock": lock}
    )


async def own_schedule(
    services: AccountServices,
    session: AsyncSession,
    actor: Actor,
    schedule_id: str,
    *,
    lock: bool = False,
) -> Schedule:
    return await _own(
        services, session, actor, schedule_id, schedules.owned, schedules.exists, {"lock": lock}
    )


async def own_pause(
    services: AccountServices,
    session: AsyncSession,
    actor: Actor,
    pause_id: str,
    *,
    lock: bool = False,
) -> Pause:
    return await _own(
        services, session, actor, pause_id, pauses.owned, pauses.exists, {"lock": lock}
    )


async def own_run(
    services: AccountServices, session: AsyncSession, actor: Actor, run_id: str
) -> Run:
    return await _own(services, session, actor, run_id, listing.owned_run, listing.run_exists, {})


async def _own(
    services: AccountServices,
    session: AsyncSession,
    actor: Actor,
    text: str,
    owned: Callable[..., Awaitable[Row | None]],
    exists: Callable[[AsyncSession, UUID], Awaitable[bool]],
    options: dict[str, Any],
) -> Row:
    wanted = parse_id(text)
    if wanted is None:
        raise NotFound
    row = await owned(session, actor.user_id, wanted, **options)
    if row is not None:
        return row
    if await exists(session, wanted):
        _note_later(services, actor, "access.denied", str(wanted))
    raise NotFound


def audit(
    session: AsyncSession,
    clock: Clock,
    actor: Actor | None,
    action: str,
    object_id: str = "",
    detail: str = "",
) -> None:
    """An entry in the caller's transaction. `detail` never holds a secret."""
    accounts.add_audit(
        session,
        AuditEntry(
            id=new_id(),
            at=clock.now(),
            actor=str(actor.user_id) if actor else SYSTEM,
            via=actor.via if actor else SYSTEM,
            action=action,
            object_id=object_id,
            detail=detail[:500],
        ),
    )


async def audit_now(
    services: AccountServices,
    actor: Actor | None,
    action: str,
    object_id: str = "",
    detail: str = "",
) -> None:
    """An entry in a transaction of its own."""
    async with services.db.write() as session:
        audit(session, services.clock, actor, action, object_id, detail)


def _note_later(services: AccountServices, actor: Actor, action: str, object_id: str) -> None:
    """After the answer: the time to write would tell a stranger that the thing exists."""

    async def note() -> None:
        try:
            await audit_now(services, actor, action, object_id)
        except Exception:
            log.exception("audit_failed", action=action)

    task = asyncio.get_running_loop().create_task(note())
    _pending.add(task)
    task.add_done_callback(_pending.discard)


async def settle_audit() -> None:
    """Wait until what was noted for later is written."""
    await asyncio.gather(*_pending)
