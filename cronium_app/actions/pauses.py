"""Use cases of pauses: one schedule, an event's schedules, those with a tag, or all of one's own,
always until a moment that was named. What would have fired meanwhile becomes visible skips.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.actions.access import audit, own_event, own_pause, own_schedule, require
from cronium_app.actions.commands import PauseIn, checked
from cronium_app.actions.context import AccountServices, Services
from cronium_app.actions.errors import Invalid
from cronium_app.actions.schedules import words_of
from cronium_app.actions.views import PauseView
from cronium_app.domain.clock import rfc3339
from cronium_app.domain.ids import new_id
from cronium_app.domain.pauses import PauseScope
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.store import events, schedules
from cronium_app.store import pauses as rows
from cronium_app.store.tables import Pause

LONGEST = timedelta(days=3_653)
REMEMBERED = timedelta(days=400)  # a server that was down for a year still knows of it


async def pauses(services: AccountServices, actor: Actor) -> list[PauseView]:
    """What is paused now, first what ends first. Pauses of things that are gone are left out."""
    require(actor, Permission.VIEW)
    now = services.clock.now()
    async with services.db.read() as session:
        found = [
            (row, await _name(session, actor, row))
            for row in await rows.active(session, actor.user_id, now)
        ]
    return [_view(row, name) for row, name in found if name is not None]


async def pause(
    services: Services, actor: Actor, command: PauseIn | Mapping[str, Any]
) -> PauseView:
    """From now on. Pausing the same again replaces its end."""
    require(actor, Permission.EDIT)
    wanted = checked(PauseIn, command)
    now = services.clock.now()
    _check_end(wanted.until, now)
    async with services.db.write() as session:
        target = await _target(services, session, actor, wanted)
        for old in await rows.active(session, actor.user_id, now):
            if (old.scope, old.target) == (wanted.scope, target):
                await rows.end(session, old.id, now)
        row = Pause(
            id=new_id(),
            owner_id=actor.user_id,
            scope=wanted.scope,
            target=target,
            since_at=now,
            until_at=wanted.until,
            created_by=actor.user_id,
            created_by_name=actor.email,
            note=wanted.note,
        )
        session.add(row)
        await rows.forget(session, now - REMEMBERED)
        what = f"{wanted.scope} {target} until {rfc3339(wanted.until)}"
        audit(session, services.clock, actor, "schedules.pause", str(row.id), what)
        name = await _name(session, actor, row)
    _announce(services, actor)
    return _view(row, name or "")


async def resume(services: Services, actor: Actor, pause_id: str) -> None:
    """End a pause now. What it skipped stays skipped."""
    require(actor, Permission.EDIT)
    now = services.clock.now()
    async with services.db.write() as session:
        row = await own_pause(services, session, actor, pause_id, lock=True)
        if row.until_at > now:
            await rows.end(session, row.id, now)
            audit(session, services.clock, actor, "schedules.resume", str(row.id))
    _announce(services, actor)


def _check_end(until: datetime, now: datetime) -> None:
    if until <= now:
        raise Invalid("A pause ends in the future.", field="until")
    if until - now > LONGEST:
        raise Invalid("A pause lasts ten years at most; switch it off instead.", field="until")


async def _target(services: Services, session: AsyncSession, actor: Actor, wanted: PauseIn) -> str:
    match wanted.scope:
        case "all":
            return ""
        case "schedule":
            return str((await own_schedule(services, session, actor, wanted.target)).id)
        case "event":
            return str((await own_event(services, session, actor, wanted.target)).id)
        case "tag":
            tag = wanted.target.lower()
            if tag not in {known.lower() for known in await events.tags_of(session, actor.user_id)}:
                raise Invalid("None of your events has this tag.", field="target")
            return tag


async def _name(session: AsyncSession, actor: Actor, row: Pause) -> str | None:
    """What is paused, for people; None if it is gone."""
    if row.scope in ("all", "tag"):
        return row.target
    event_id, words = UUID(row.target), ""
    if row.scope == "schedule":
        schedule = await schedules.owned(session, actor.user_id, UUID(row.target))
        if schedule is None:
            return None
        event_id, words = schedule.event_id, f": {words_of(schedule)}"
    event = await events.owned(session, actor.user_id, event_id)
    return None if event is None else f"{event.name}{words}"


def _view(row: Pause, name: str) -> PauseView:
    return PauseView(
        id=str(row.id),
        scope=cast("PauseScope", row.scope),
        target=row.target,
        target_name=name,
        since=row.since_at,
        until=row.until_at,
        by=row.created_by_name,
        note=row.note,
    )


def _announce(services: Services, actor: Actor) -> None:
    services.scheduler.wake()
    services.bus.publish("schedule", None, actor.user_id)
