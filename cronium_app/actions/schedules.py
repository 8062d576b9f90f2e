"""Use cases of schedules. Saving one sets its next fire in the same transaction."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.actions.access import announce, own_event, own_schedule, require
from cronium_app.actions.commands import ScheduleIn, SchedulePatch, checked
from cronium_app.actions.context import AccountServices, Services
from cronium_app.actions.errors import Conflict, Invalid, NotFound
from cronium_app.actions.views import SchedulePreview, ScheduleView
from cronium_app.domain import pauses as pause_rules
from cronium_app.domain import schedules as rules
from cronium_app.domain.clock import rfc3339
from cronium_app.domain.ids import new_id
from cronium_app.domain.pauses import Pause
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.orchestrator.core import Submitted
from cronium_app.store import events, pauses, schedules
from cronium_app.store.pauses import pause_of
from cronium_app.store.tables import Event, Schedule

__all__ = ["ScheduleIn", "SchedulePatch"]

SHOWN_FIRES = 5
MOST_FIRES = 20  # of a preview
SHOWN_NOTES = 3
MAX_PER_EVENT = 50
_RULE = frozenset({"kind", "expression", "every_s", "at", "timezone", "start", "end", "dst"})


async def preview(
    services: AccountServices,
    actor: Actor,
    command: ScheduleIn | Mapping[str, Any],
    count: int = SHOWN_FIRES,
) -> SchedulePreview:
    """In words, with the next fires. Raises Invalid with the field, as a save would."""
    require(actor, Permission.VIEW)
    now = services.clock.now()
    return _preview(_parse(checked(ScheduleIn, command), now), now, count)


async def preview_saved(
    services: AccountServices, actor: Actor, schedule_id: str, count: int = MOST_FIRES
) -> SchedulePreview:
    """The next fires of a stored schedule, whether it is switched on or not."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        row = await own_schedule(services, session, actor, schedule_id)
    return _preview(schedules.spec_of(row), services.clock.now(), count)


def _preview(spec: rules.ScheduleSpec, now: datetime, count: int) -> SchedulePreview:
    return SchedulePreview(
        words=rules.describe(spec),
        fires=rules.fires(spec, now, min(max(count, 1), MOST_FIRES)),
        notes=rules.dst_notes(spec, now, SHOWN_NOTES),
    )


async def create(
    services: Services, actor: Actor, event_id: str, command: ScheduleIn | Mapping[str, Any]
) -> ScheduleView:
    require(actor, Permission.EDIT)
    wanted = checked(ScheduleIn, command)
    now = services.clock.now()
    spec = _parse(wanted, now)
    async with services.db.write() as session:
        event = await own_event(services, session, actor, event_id, lock=True)
        if len(await schedules.of_event(session, event.id)) >= MAX_PER_EVENT:
            raise Conflict(f"An event has at most {MAX_PER_EVENT} schedules.", code="too_many")
        row = Schedule(
            id=new_id(),
            event_id=event.id,
            owner_id=event.owner_id,
            kind=wanted.kind,
            anchor_at=now,
            created_at=now,
            updated_at=now,
        )
        _fill(row, wanted, spec)
        row.next_fire_at = due(row, event, now)
        session.add(row)
        (view,) = await views_of(session, event, [row], now)
    _announce(services, row)
    return view


async def list_of_event(
    services: AccountServices, actor: Actor, event_id: str
) -> list[ScheduleView]:
    """In the order they were made."""
    require(actor, Permission.VIEW)
    now = services.clock.now()
    async with services.db.read() as session:
        event = await own_event(services, session, actor, event_id)
        return await views_of(session, event, await schedules.of_event(session, event.id), now)


async def get(services: AccountServices, actor: Actor, schedule_id: str) -> ScheduleView:
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        row = await own_schedule(services, session, actor, schedule_id)
        event = await events.owned(session, actor.user_id, row.event_id)
        if event is None:
            raise NotFound
        (view,) = await views_of(session, event, [row], services.clock.now())
        return view


async def update(
    services: Services, actor: Actor, schedule_id: str, command: SchedulePatch | Mapping[str, Any]
) -> ScheduleView:
    """A new rule counts from now; switching on or off alone changes nothing about the rule."""
    require(actor, Permission.EDIT)
    patch = checked(SchedulePatch, command)
    now = services.clock.now()
    async with services.db.write() as session:
        row, event, made = await _locked(services, session, actor, schedule_id)
        if patch.model_fields_set & _RULE:
            wanted = _merged(row, patch)
            spec = _parse(wanted, now)
            row.anchor_at = now
            _fill(row, wanted, spec)
        elif patch.enabled is not None:
            row.enabled = patch.enabled
        row.misfire = patch.misfire or row.misfire
        if patch.misfire_window_s is not None:
            row.misfire_window_s = patch.misfire_window_s
        if patch.jitter_s is not None:
            row.jitter_s = patch.jitter_s
        row.updated_at = now
        row.next_fire_at = due(row, event, now)
        session.add(row)
        (view,) = await views_of(session, event, [row], now)
    services.scheduler.announce(made)
    _announce(services, row)
    return view


async def delete(services: Services, actor: Actor, schedule_id: str) -> None:
    require(actor, Permission.EDIT)
    async with services.db.write() as session:
        row, _, made = await _locked(services, session, actor, schedule_id)
        await schedules.remove(session, actor.user_id, row.id)
    services.scheduler.announce(made)
    _announce(services, row)


async def _locked(
    services: Services, session: AsyncSession, actor: Actor, schedule_id: str
) -> tuple[Schedule, Event, list[Submitted]]:
    """A schedule about to change, with what was due of it dealt with. The event is locked first,
    in the order in which everybody does."""
    seen = await own_schedule(services, session, actor, schedule_id)
    event = await events.owned(session, actor.user_id, seen.event_id, lock=True)
    made = await services.scheduler.settle(session, [seen.id])
    row = await schedules.owned(session, actor.user_id, seen.id, lock=True)
    if event is None or row is None:
        raise NotFound
    await session.refresh(row)
    return row, event, made


async def settle_event(services: Services, session: AsyncSession, event: Event) -> list[Submitted]:
    """Before an event changes: what is due of its schedules becomes runs of what it is now. Call
    `services.scheduler.announce` after the commit."""
    rows = await schedules.of_event(session, event.id)
    made = await services.scheduler.settle(session, [row.id for row in rows])
    if made:
        for row in rows:
            await session.refresh(row)
    return made


async def refresh_event(session: AsyncSession, event: Event, now: datetime) -> None:
    """After an event was switched or archived: when its schedules fire next, if at all."""
    for row in await schedules.of_event(session, event.id):
        row.next_fire_at = due(row, event, now)
        row.updated_at = now
        session.add(row)


def due(row: Schedule, event: Event, now: datetime) -> datetime | None:
    if not row.enabled or not event.enabled or event.archived_at or event.draft:
        return None
    return rules.next_fire(schedules.spec_of(row), now)


def words_of(row: Schedule) -> str:
    return rules.describe(schedules.spec_of(row))


async def views_of(
    session: AsyncSession, event: Event, rows: Sequence[Schedule], now: datetime
) -> list[ScheduleView]:
    """Of schedules of one event."""
    if not rows:
        return []
    stops = [pause_of(row) for row in await pauses.active(session, event.owner_id, now)]
    tags = json.loads(event.tags)
    return [
        _view_of(
            row,
            now,
            pause_rules.at(
                pause_rules.concerning(
                    stops,
                    owner_id=row.owner_id,
                    schedule_id=row.id,
                    event_id=row.event_id,
                    tags=tags,
                ),
                now,
            ),
        )
        for row in rows
    ]


def _view_of(row: Schedule, now: datetime, pause: Pause | None) -> ScheduleView:
    spec = schedules.spec_of(row)
    return ScheduleView(
        id=str(row.id),
        event_id=str(row.event_id),
        kind=row.kind,
        expression=row.expression,
        every_s=row.every_s,
        at=row.at,
        timezone=row.timezone,
        start=row.start_at,
        end=row.end_at,
        enabled=row.enabled,
        dst=row.dst,
        misfire=row.misfire,
        misfire_window_s=row.misfire_window_s,
        jitter_s=row.jitter_s,
        paused_until=pause.until if pause else None,
        paused_by=pause.by if pause else "",
        words=rules.describe(spec),
        next_fire_at=row.next_fire_at,
        next_fires=rules.fires(spec, now, SHOWN_FIRES) if row.enabled else [],
        notes=rules.dst_notes(spec, now, SHOWN_NOTES),
        last_fire_at=row.last_fire_at,
    )


def _parse(wanted: ScheduleIn, now: datetime) -> rules.ScheduleSpec:
    try:
        return rules.parse(
            wanted.kind,
            anchor=now,
            expression=wanted.expression,
            every_s=wanted.every_s,
            at=wanted.at,
            timezone=wanted.timezone,
            start=wanted.start,
            end=wanted.end,
            dst=wanted.dst,
        )
    except rules.ScheduleError as error:
        raise Invalid(error.message, field=error.field) from None


def _fill(row: Schedule, wanted: ScheduleIn, spec: rules.ScheduleSpec) -> None:
    rule = spec.rule
    row.kind = wanted.kind
    row.expression = rule.expression if isinstance(rule, rules.CronRule) else None
    row.every_s = rule.every_s if isinstance(rule, rules.IntervalRule) else None
    row.at = rule.at if isinstance(rule, rules.OnceRule) else None
    row.timezone, row.start_at, row.end_at = spec.timezone, spec.start, spec.end
    row.dst, row.enabled = wanted.dst, wanted.enabled
    row.misfire, row.misfire_window_s = wanted.misfire, wanted.misfire_window_s
    row.jitter_s = wanted.jitter_s
    if isinstance(rule, rules.IntervalRule):
        row.anchor_at = rule.anchor


def _merged(row: Schedule, patch: SchedulePatch) -> ScheduleIn:
    """The stored schedule with what the patch names. Another kind forgets the old kind's rule."""
    kind = patch.kind or row.kind
    kept = {
        "kind": kind,
        "expression": row.expression if kind == row.kind else None,
        "every_s": row.every_s if kind == row.kind else None,
        "at": rfc3339(row.at) if row.at and kind == row.kind else None,
        "timezone": row.timezone,
        "start": rfc3339(row.start_at) if row.start_at else None,
        "end": rfc3339(row.end_at) if row.end_at else None,
        "enabled": row.enabled,
        "dst": row.dst,
        "misfire": row.misfire,
        "misfire_window_s": row.misfire_window_s,
        "jitter_s": row.jitter_s,
    }
    given = patch.model_dump(exclude_unset=True)
    cleared = {"start", "end"} & given.keys()
    return checked(
        ScheduleIn, kept | {k: v for k, v in given.items() if v is not None or k in cleared}
    )


def _announce(services: Services, row: Schedule) -> None:
    services.scheduler.wake()
    announce(services, "schedule", row.id, row.owner_id)
    announce(services, "event", row.event_id, row.owner_id)
