"""Use cases of schedules. Saving one sets its next fire in the same transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.actions.access import announce, own_event, own_schedule, require
from cronium_app.actions.commands import ScheduleIn, SchedulePatch, checked
from cronium_app.actions.context import AccountServices, Services
from cronium_app.actions.errors import Conflict, Invalid
from cronium_app.actions.views import SchedulePreview, ScheduleView
from cronium_app.domain import schedules as rules
from cronium_app.domain.clock import rfc3339
from cronium_app.domain.ids import new_id
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.store import events, schedules
from cronium_app.store.tables import Event, Schedule

__all__ = ["ScheduleIn", "SchedulePatch"]

SHOWN_FIRES = 5
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
    spec = _parse(checked(ScheduleIn, command), now)
    return SchedulePreview(
        words=rules.describe(spec),
        fires=rules.fires(spec, now, min(max(count, 1), 20)),
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
        view = view_of(row, now)
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
        return [view_of(row, now) for row in await schedules.of_event(session, event.id)]


async def get(services: AccountServices, actor: Actor, schedule_id: str) -> ScheduleView:
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        row = await own_schedule(services, session, actor, schedule_id)
        return view_of(row, services.clock.now())


async def update(
    services: Services, actor: Actor, schedule_id: str, command: SchedulePatch | Mapping[str, Any]
) -> ScheduleView:
    """A new rule counts from now; switching on or off alone changes nothing about the rule."""
    require(actor, Permission.EDIT)
    patch = checked(SchedulePatch, command)
    now = services.clock.now()
    async with services.db.write() as session:
        row = await own_schedule(services, session, actor, schedule_id, lock=True)
        event = await events.owned(session, actor.user_id, row.event_id, lock=True)
        if patch.model_fields_set & _RULE:
            wanted = _merged(row, patch)
            spec = _parse(wanted, now)
            row.anchor_at = now
            _fill(row, wanted, spec)
        elif patch.enabled is not None:
            row.enabled = patch.enabled
        row.updated_at = now
        row.next_fire_at = due(row, event, now) if event else None
        session.add(row)
        view = view_of(row, now)
    _announce(services, row)
    return view


async def delete(services: Services, actor: Actor, schedule_id: str) -> None:
    require(actor, Permission.EDIT)
    async with services.db.write() as session:
        row = await own_schedule(services, session, actor, schedule_id, lock=True)
        await schedules.remove(session, actor.user_id, row.id)
    _announce(services, row)


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


def view_of(row: Schedule, now: datetime) -> ScheduleView:
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
