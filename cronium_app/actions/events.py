"""Use cases of events: what runs, its saves, its tests."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.actions import cursors, runs, schedules
from cronium_app.actions.access import announce, audit, own_event, require
from cronium_app.actions.commands import (
    EventFilter,
    EventIn,
    EventPatch,
    PageIn,
    TestIn,
    checked,
    invalid_from,
)
from cronium_app.actions.context import AccountServices, Services
from cronium_app.actions.errors import Conflict, Invalid, NotFound
from cronium_app.actions.templates import templates
from cronium_app.actions.views import (
    ContentView,
    DeletePreview,
    EventRow,
    EventView,
    Page,
    RevisionRow,
    RevisionView,
    RunView,
    Tick,
)
from cronium_app.domain.events import EventContent
from cronium_app.domain.ids import new_id
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.domain.runs import Trigger
from cronium_app.store import agents, events, listing, revisions
from cronium_app.store import schedules as schedule_rows
from cronium_app.store.tables import Event, Revision, Schedule

__all__ = ["EventIn", "EventPatch", "TestIn", "templates"]

DELETED_AT_ONCE = 500


async def create(
    services: AccountServices, actor: Actor, command: EventIn | Mapping[str, Any]
) -> EventView:
    require(actor, Permission.EDIT)
    wanted = checked(EventIn, command)
    async with services.db.write() as session:
        view = await _insert(
            services, session, actor, wanted.content(), wanted.name, wanted.tags, wanted.enabled
        )
    announce(services, "event", UUID(view.id), actor.user_id)
    return view


async def get(services: AccountServices, actor: Actor, event_id: str) -> EventView:
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        event = await own_event(services, session, actor, event_id)
        return await _view(session, event, services.clock.now())


async def update(
    services: Services, actor: Actor, event_id: str, command: EventPatch | Mapping[str, Any]
) -> EventView:
    """Save. Conflict `revision_conflict` when a newer revision exists than the edit began from:
    `extra` then holds `current` (EventView) and `base`. Content that did not change makes no
    new revision. Saving a draft makes it an event.
    """
    require(actor, Permission.EDIT)
    patch = checked(EventPatch, command)
    now = services.clock.now()
    async with services.db.write() as session:
        event = await own_event(services, session, actor, event_id, lock=True)
        made = await schedules.settle_event(services, session, event)
        if patch.base_revision is not None and patch.base_revision != event.revision:
            raise Conflict(
                f"Revision {event.revision} was saved meanwhile; you began from "
                f"{patch.base_revision}.",
                code="revision_conflict",
                field="base_revision",
                extra={
                    "current": await _view(session, event, now),
                    "base": patch.base_revision,
                },
            )
        content = _patched(await _content(session, event), patch)
        await _save_content(session, event, content, actor, now)
        if patch.name is not None:
            event.name = patch.name
        if patch.tags is not None:
            event.tags = _tags(patch.tags)
        if patch.enabled is not None:
            event.enabled = patch.enabled
        event.updated_at = now
        session.add(event)
        await schedules.refresh_event(session, event, now)
        await session.flush()
        view = await _view(session, event, now)
    services.scheduler.announce(made)
    _announce(services, event)
    return view


async def duplicate(services: Services, actor: Actor, event_id: str) -> EventView:
    """A copy with its schedules switched off, so that nothing fires twice by surprise."""
    require(actor, Permission.EDIT)
    now = services.clock.now()
    async with services.db.write() as session:
        event = await own_event(services, session, actor, event_id)
        content = await _content(session, event)
        name = f"{event.name[:190]} (copy)"
        view = await _insert(services, session, actor, content, name, _tag_list(event), True)
        for row in await schedule_rows.of_event(session, event.id):
            values: dict[str, Any] = row.model_dump()
            values |= {
                "id": new_id(),
                "event_id": UUID(view.id),
                "enabled": False,
                "next_fire_at": None,
                "last_fire_at": None,
                "created_at": now,
                "updated_at": now,
            }
            session.add(Schedule(**values))
        await session.flush()
        copy = await own_event(services, session, actor, view.id)
        view = await _view(session, copy, now)
    announce(services, "event", UUID(view.id), actor.user_id)
    return view


async def archive(services: Services, actor: Actor, event_id: str) -> EventView:
    """Out of the way: nothing fires, its history stays."""
    return await _set_archived(services, actor, event_id, archived=True)


async def restore(services: Services, actor: Actor, event_id: str) -> EventView:
    """Back from the archive; its schedules fire again from now on."""
    return await _set_archived(services, actor, event_id, archived=False)


async def delete_preview(services: AccountServices, actor: Actor, event_id: str) -> DeletePreview:
    """What a deletion would take along."""
    require(actor, Permission.EDIT)
    async with services.db.read() as session:
        event = await own_event(services, session, actor, event_id)
        count, unfinished, log_bytes = await events.weight(session, event.id)
        planned = len(await schedule_rows.of_event(session, event.id))
    return DeletePreview(runs=count, schedules=planned, log_bytes=log_bytes, running=unfinished)


async def delete(services: Services, actor: Actor, event_id: str) -> None:
    """With its history and logs. Conflict `still_running` while a run has not ended."""
    require(actor, Permission.EDIT)
    now = services.clock.now()
    async with services.db.write() as session:
        event = await own_event(services, session, actor, event_id, lock=True)
        _, unfinished, _ = await events.weight(session, event.id)
        if unfinished:
            raise Conflict(
                "A run of this event has not ended: cancel it first.", code="still_running"
            )
        event.archived_at = event.archived_at or now  # nothing new begins while the rest goes
        session.add(event)
        await schedule_rows.silence(session, event.id, now)
        audit(session, services.clock, actor, "event.delete", str(event.id), event.name)
    await _remove(services, event)
    _announce(services, event)


async def list_events(
    services: AccountServices,
    actor: Actor,
    search: str = "",
    tag: str | None = None,
    archived: bool = False,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[EventRow]:
    """By name. `search` holds words that must all occur in name or tags."""
    require(actor, Permission.VIEW)
    asked = checked(PageIn, {"cursor": cursor, "limit": limit})
    wanted = checked(EventFilter, {"search": search, "tag": tag, "archived": archived})
    now = services.clock.now()
    async with services.db.read() as session:
        found = await events.page(
            session,
            actor.user_id,
            search=wanted.search,
            tag=wanted.tag,
            archived=wanted.archived,
            after=cursors.read_name(asked.cursor),
            limit=asked.limit + 1,
        )
        rows, more = found[: asked.limit], len(found) > asked.limit
        items = await _rows(session, rows, now)
        last = await events.lowered_name(session, rows[-1].id) if more else None
    after = cursors.write_name(last, rows[-1].id) if last is not None else None
    return Page(items=items, next=after)


async def tags(services: AccountServices, actor: Actor) -> list[str]:
    """Every tag in use, in alphabetical order."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        return await events.tags_of(session, actor.user_id)


async def list_revisions(
    services: AccountServices, actor: Actor, event_id: str
) -> list[RevisionRow]:
    """Every save, newest first."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        event = await own_event(services, session, actor, event_id)
        return [
            _revision_row(row, who or "") for row, who in await revisions.saved(session, event.id)
        ]


async def revision(
    services: AccountServices, actor: Actor, event_id: str, number: int
) -> RevisionView:
    """One save, or the hidden draft of a test, with its content."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        event = await own_event(services, session, actor, event_id)
        row = await _revision(session, event, number)
        head = _revision_row(row, await revisions.author(session, row))
    content = EventContent.model_validate_json(row.content)
    return RevisionView(**head.model_dump(), content=_content_view(content))


async def restore_revision(
    services: Services, actor: Actor, event_id: str, number: int
) -> EventView:
    """Its content becomes the newest revision."""
    require(actor, Permission.EDIT)
    now = services.clock.now()
    async with services.db.write() as session:
        event = await own_event(services, session, actor, event_id, lock=True)
        row = await _revision(session, event, number)
        content = EventContent.model_validate_json(row.content)
        await _save_content(session, event, content, actor, now)
        event.updated_at = now
        session.add(event)
        await session.flush()
        view = await _view(session, event, now)
    _announce(services, event)
    return view


async def test(services: Services, actor: Actor, command: TestIn | Mapping[str, Any]) -> RunView:
    """Run unsaved text once: a hidden draft revision, of a draft event when nothing is saved yet.
    The answer's `event_id` is to be given with the next test of the same text.
    """
    require(actor, Permission.RUN)
    wanted = checked(TestIn, command)
    now = services.clock.now()
    async with services.db.write() as session:
        if wanted.event_id is None:
            event = Event(
                id=new_id(), owner_id=actor.user_id, name=wanted.name or "Untitled", draft=True,
                revision=0, created_at=now, updated_at=now,
            )  # fmt: skip
            session.add(event)
            await session.flush()
        else:
            event = await own_event(services, session, actor, wanted.event_id, lock=True)
            if event.draft:
                event.name, event.updated_at = wanted.name or event.name, now
                session.add(event)
        number = await _draft(session, event, wanted.content(), actor, now)
        run = await runs.submit(
            services, session, actor, event, number, wanted.inputs, Trigger.TEST
        )
    return await runs.started(services, actor, run)


test.__test__ = False  # type: ignore[attr-defined] - pytest would take it for a test


# --- from rows to views ---------------------------------------------------------------------------


async def _view(session: AsyncSession, event: Event, now: datetime) -> EventView:
    content = await _content(session, event)
    rows = await schedule_rows.of_event(session, event.id)
    return EventView(
        **content.model_dump(),
        id=str(event.id),
        name=event.name,
        tags=_tag_list(event),
        enabled=event.enabled,
        archived=event.archived_at is not None,
        draft=event.draft,
        revision=event.revision,
        owner_id=str(event.owner_id),
        created_at=event.created_at,
        updated_at=event.updated_at,
        resolved_image=content.resolved_image(),
        schedules=await schedules.views_of(session, event, rows, now),
    )


async def _rows(session: AsyncSession, rows: Sequence[Event], now: datetime) -> list[EventRow]:
    ids = [event.id for event in rows]
    ticks: dict[UUID, list[Tick]] = {}
    for event_id, run_id, status, reason, at, duration in await listing.ticks(session, ids):
        tick = Tick.model_validate(
            {"run_id": str(run_id), "status": status, "reason": reason, "at": at,
             "duration_ms": duration}
        )  # fmt: skip
        ticks.setdefault(event_id, []).insert(0, tick)
    planned: dict[UUID, list[Schedule]] = {}
    for row in await schedule_rows.of_events(session, ids):
        planned.setdefault(row.event_id, []).append(row)
    heads = await revisions.heads(session, ids)
    return [
        _row(event, ticks.get(event.id, []), planned.get(event.id, []), heads.get(event.id), now)
        for event in rows
    ]


def _row(
    event: Event,
    ticks: list[Tick],
    planned: list[Schedule],
    head: tuple[str, str] | None,
    now: datetime,
) -> EventRow:
    fires = [row for row in planned if row.next_fire_at is not None]
    first = min(fires, key=lambda row: row.next_fire_at or now, default=None)
    shown = first or (planned[0] if planned else None)
    ended = [tick for tick in ticks if tick.status not in ("queued", "running")]
    runtime, image = head or ("", "")
    return EventRow(
        id=str(event.id),
        name=event.name,
        tags=_tag_list(event),
        enabled=event.enabled,
        archived=event.archived_at is not None,
        runtime=runtime,
        image=image,
        revision=event.revision,
        ticks=ticks,
        next_fire_at=first.next_fire_at if first else None,
        schedule_words=[schedules.words_of(row) for row in planned if row.enabled],
        schedule_timezone=shown.timezone if shown else "",
        last_duration_ms=ended[-1].duration_ms if ended else None,
        last_status=ticks[-1].status if ticks else None,
    )


def _revision_row(row: Revision, who: str) -> RevisionRow:
    return RevisionRow(
        number=row.number, created_at=row.created_at, created_by=who, sha256=row.sha256
    )


def _content_view(content: EventContent) -> ContentView:
    return ContentView(**content.model_dump())


def _tags(values: list[str]) -> str:
    return json.dumps(values, ensure_ascii=False)


def _tag_list(event: Event) -> list[str]:
    return json.loads(event.tags)


# --- content and revisions ------------------------------------------------------------------------


async def _revision(session: AsyncSession, event: Event, number: int) -> Revision:
    row = await revisions.get(session, event.id, number) if 0 < number < 2**31 else None
    if row is None:
        raise NotFound
    return row


async def _content(session: AsyncSession, event: Event) -> EventContent:
    """What is saved; of a draft what was tested last."""
    if event.revision:
        row = await revisions.get(session, event.id, event.revision)
    else:
        row = await revisions.newest_draft(session, event.id)
    if row is None:
        raise NotFound
    return EventContent.model_validate_json(row.content)


def _patched(content: EventContent, patch: EventPatch) -> EventContent:
    try:
        return EventContent.model_validate(content.model_dump() | patch.content_values())
    except ValidationError as error:
        raise invalid_from(error) from None


async def _check_place(session: AsyncSession, content: EventContent) -> None:
    """A run for an agent that never was would wait for ever."""
    name = content.target.agent
    if name not in (None, "local") and await agents.by_name(session, name) is None:
        raise Invalid(f"There is no agent named {name}.", field="target")


async def _save_content(
    session: AsyncSession, event: Event, content: EventContent, actor: Actor, now: datetime
) -> None:
    await _check_place(session, content)
    saved = await revisions.get(session, event.id, event.revision)
    if saved is not None and saved.sha256 == content.sha256():
        return
    number = await revisions.next_number(session, event.id, draft=False)
    session.add(_new_revision(event, number, content, actor, now, draft=False))
    event.revision, event.draft = number, False


async def _draft(
    session: AsyncSession, event: Event, content: EventContent, actor: Actor, now: datetime
) -> int:
    """The revision that holds this text: a saved one if it is the same, else a hidden draft."""
    await _check_place(session, content)
    saved = await revisions.get(session, event.id, event.revision)
    draft = await revisions.newest_draft(session, event.id)
    for known in (saved, draft):
        if known is not None and known.sha256 == content.sha256():
            return known.number
    number = await revisions.next_number(session, event.id, draft=True)
    session.add(_new_revision(event, number, content, actor, now, draft=True))
    await session.flush()
    return number


def _new_revision(
    event: Event, number: int, content: EventContent, actor: Actor, now: datetime, *, draft: bool
) -> Revision:
    return Revision(
        event_id=event.id,
        number=number,
        content=content.canonical(),
        sha256=content.sha256(),
        runtime=content.runtime,
        image=content.resolved_image(),
        draft=draft,
        created_at=now,
        created_by=actor.user_id,
    )


async def _insert(
    services: AccountServices,
    session: AsyncSession,
    actor: Actor,
    content: EventContent,
    name: str,
    tags: list[str],
    enabled: bool,
) -> EventView:
    await _check_place(session, content)
    now = services.clock.now()
    event = Event(
        id=new_id(),
        owner_id=actor.user_id,
        name=name,
        tags=_tags(tags),
        enabled=enabled,
        revision=1,
        created_at=now,
        updated_at=now,
    )
    session.add(event)
    await session.flush()
    session.add(_new_revision(event, 1, content, actor, now, draft=False))
    await session.flush()
    return await _view(session, event, now)


async def _set_archived(
    services: Services, actor: Actor, event_id: str, *, archived: bool
) -> EventView:
    require(actor, Permission.EDIT)
    now = services.clock.now()
    async with services.db.write() as session:
        event = await own_event(services, session, actor, event_id, lock=True)
        made = await schedules.settle_event(services, session, event)
        if archived != (event.archived_at is not None):
            event.archived_at = now if archived else None
            event.updated_at = now
            session.add(event)
            await schedules.refresh_event(session, event, now)
            await session.flush()
        view = await _view(session, event, now)
    services.scheduler.announce(made)
    _announce(services, event)
    return view


async def _remove(services: Services, event: Event) -> None:
    """In short transactions: a long history must not hold up the runs of others."""
    while True:
        async with services.db.write() as session:
            gone = await events.remove_some_runs(session, event.id, DELETED_AT_ONCE)
            if gone is None:
                await events.remove(session, event.owner_id, event.id)
        if gone is None:
            return
        for attempt_id in gone:
            services.orchestrator.forget(attempt_id)
            await services.logs.delete(attempt_id)


def _announce(services: Services, event: Event) -> None:
    services.scheduler.wake()
    announce(services, "event", event.id, event.owner_id)
