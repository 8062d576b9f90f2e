"""Use cases of runs: start, watch, stop, look back."""

import json
import statistics
from collections.abc import Mapping
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from agent.verdict import is_too_deep
from cronium_app.actions import cursors
from cronium_app.actions.access import audit, own_event, own_run, require
from cronium_app.actions.commands import PageIn, RunFilter, RunIn, checked
from cronium_app.actions.context import Services
from cronium_app.actions.errors import Conflict, Invalid
from cronium_app.actions.logs import follow_log, log_length, read_log
from cronium_app.actions.views import Page, RetriesView, RunRow, RunView
from cronium_app.domain.concurrency import KeyUnresolved
from cronium_app.domain.events import EventContent
from cronium_app.domain.ids import parse_id
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.domain.runs import FINAL, RunStatus, Trigger
from cronium_app.orchestrator.core import SubmitRun
from cronium_app.store import listing, revisions
from cronium_app.store.tables import Attempt, Event, Run

__all__ = ["RunFilter", "RunIn", "follow_log", "log_length", "read_log"]

LIMIT_FIELDS = (
    "timeout_s", "setup_timeout_s", "cleanup_timeout_s", "stop_grace_s", "memory_mb", "work_mb",
    "cpus", "pids",
)  # fmt: skip


async def start(
    services: Services,
    actor: Actor,
    event_id: str,
    command: RunIn | Mapping[str, Any] | None = None,
    trigger: Trigger | None = None,
) -> RunView:
    """Queue a run. `trigger` None: api for a token, else manual. An event that is switched off
    can be run by hand; one in the archive cannot.
    """
    return await get(services, actor, await queue(services, actor, event_id, command, trigger))


async def queue(
    services: Services,
    actor: Actor,
    event_id: str,
    command: RunIn | Mapping[str, Any] | None = None,
    trigger: Trigger | None = None,
) -> str:
    """`start` for somebody who will look later: answers the run's id."""
    require(actor, Permission.RUN)
    wanted = checked(RunIn, command or {})
    async with services.db.write() as session:
        event = await own_event(services, session, actor, event_id)
        number = wanted.revision or event.revision
        if wanted.revision and await revisions.get(session, event.id, number) is None:
            raise Invalid("The event has no such revision.", field="revision")
        run = await submit(
            services, session, actor, event, number, wanted.inputs, trigger or _trigger(actor)
        )
    services.orchestrator.submitted(run)
    return str(run.id)


async def rerun(services: Services, actor: Actor, run_id: str) -> RunView:
    """The same revision with the same inputs once more."""
    require(actor, Permission.RUN)
    async with services.db.write() as session:
        old = await own_run(services, session, actor, run_id)
        event = await own_event(services, session, actor, str(old.event_id))
        trigger = Trigger.TEST if old.hidden else _trigger(actor)
        run = await submit(
            services, session, actor, event, old.revision, json.loads(old.inputs), trigger
        )
    return await started(services, actor, run)


async def submit(
    services: Services,
    session: AsyncSession,
    actor: Actor,
    event: Event,
    revision: int,
    inputs: dict[str, Any],
    trigger: Trigger,
) -> Run:
    """Put a run into the queue inside the caller's transaction."""
    if event.archived_at is not None:
        raise Conflict("The event is in the archive: restore it first.", code="archived")
    saved = await revisions.get(session, event.id, revision) if revision else None
    if saved is None:
        raise Conflict("There is nothing saved to run.", code="draft")
    wish = SubmitRun(
        event_id=event.id,
        owner_id=event.owner_id,
        event_name=event.name,
        revision=revision,
        content=EventContent.model_validate_json(saved.content),
        trigger=trigger,
        triggered_by=actor.user_id,
        triggered_by_name=actor.email,
        inputs=json.dumps(inputs, ensure_ascii=False, allow_nan=False),
        hidden=trigger is Trigger.TEST,
    )
    try:
        run = await services.orchestrator.submit(session, wish)
    except KeyUnresolved as error:
        raise Invalid(str(error), field="inputs") from None
    if run is None:  # only a schedule's fire can have its run already
        raise Conflict("This run exists already.")
    return run


async def started(services: Services, actor: Actor, run: Run) -> RunView:
    """After the commit: start it if there is room, tell the pages, answer."""
    services.orchestrator.submitted(run)
    return await get(services, actor, str(run.id))


async def get(services: Services, actor: Actor, run_id: str) -> RunView:
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
        attempt = (await listing.current_attempts(session, [run.id])).get(run.id)
        saved = await revisions.get(session, run.event_id, run.revision)
        durations = await listing.recent_durations(session, run.event_id)
    content = EventContent.model_validate_json(saved.content) if saved else None
    return _view(services, run, attempt, content, usual_s(durations))


async def wait(
    services: Services, actor: Actor, run_id: str, seconds: float
) -> tuple[RunView, bool]:
    """The run once it has ended, or as it is after so many seconds; and whether it has ended."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
    if RunStatus(run.status) not in FINAL and seconds > 0:
        await services.orchestrator.wait_finished(run.id, seconds)
    view = await get(services, actor, run_id)
    return view, is_over(view)


async def cancel(services: Services, actor: Actor, run_id: str) -> RunView:
    """Ask it to stop; safe to repeat. Conflict `already_over` when it has ended."""
    require(actor, Permission.RUN)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
    if RunStatus(run.status) in FINAL:
        raise Conflict("The run has ended already.", code="already_over")
    await services.orchestrator.cancel(run.id, actor.email, owner_id=run.owner_id)
    async with services.db.write() as session:
        audit(session, services.clock, actor, "run.cancel", str(run.id))
    return await get(services, actor, run_id)


async def list_runs(
    services: Services,
    actor: Actor,
    wanted: RunFilter | Mapping[str, Any] | None = None,
    cursor: str | None = None,
    limit: int = 50,
    last: bool = False,
) -> Page[RunRow]:
    """Newest first. `last`: the page with the oldest runs."""
    require(actor, Permission.VIEW)
    asked = checked(PageIn, {"cursor": cursor, "limit": limit})
    query = _query(actor, checked(RunFilter, wanted or {}))
    if query is None:
        return Page(items=[])
    at = cursors.read_position(asked.cursor)
    async with services.db.read() as session:
        page = await listing.run_page(session, query, at, asked.limit, last=last)
    items = [row_of(services, run, runtime) for run, runtime in page.runs]
    if not page.runs:
        return Page(items=items)
    first, final = page.runs[0][0], page.runs[-1][0]
    return Page(
        items=items,
        next=cursors.write_position("older", final.created_at, final.id) if page.older else None,
        prev=cursors.write_position("newer", first.created_at, first.id) if page.newer else None,
    )


# --- from rows to views ---------------------------------------------------------------------------


def is_over(view: RunView) -> bool:
    return RunStatus(view.status) in FINAL


def usual_s(durations_ms: Any) -> float | None:
    return round(statistics.median(durations_ms) / 1000, 3) if durations_ms else None


def row_of(services: Services, run: Run, runtime: str) -> RunRow:
    return RunRow.model_validate(
        {
            "id": str(run.id),
            "event_id": str(run.event_id),
            "runtime": runtime,
            "triggered_by": run.triggered_by_name,
            **{name: getattr(run, name) for name in _SAME_IN_ROW},
            "waiting_text": services.orchestrator.waiting_text(run),
        }
    )


_SAME_IN_ROW = (
    "event_name", "status", "reason", "reason_text", "exit_code", "trigger", "created_at",
    "started_at", "finished_at", "duration_ms", "revision",
)  # fmt: skip
_SAME_IN_VIEW = (
    "event_name", "revision", "status", "reason", "reason_text", "next_step", "exit_code",
    "created_at", "started_at", "finished_at", "attempt", "trigger", "fire_time",
    "stop_requested_at", "hidden",
)  # fmt: skip


def _view(
    services: Services,
    run: Run,
    attempt: Attempt | None,
    content: EventContent | None,
    usual: float | None,
) -> RunView:
    values: dict[str, Any] = {name: getattr(run, name) for name in _SAME_IN_VIEW}
    values |= {
        "id": str(run.id),
        "event_id": str(run.event_id),
        "owner_id": str(run.owner_id),
        "triggered_by": run.triggered_by_name,
        "schedule_id": str(run.schedule_id) if run.schedule_id else None,
        "duration_s": None if run.duration_ms is None else run.duration_ms / 1000,
        "waiting_text": services.orchestrator.waiting_text(run),
        "inputs": _value(run.inputs),
        "outputs": _value(run.outputs),
        "conditions": json.loads(run.conditions),
        "usual_s": usual,
        "retries": _retries(run, content),
        "runtime": content.runtime if content else "",
        "image": run.image or (content.resolved_image() if content else ""),
        "limits": {name: getattr(content, name) for name in LIMIT_FIELDS} if content else {},
        "network": content.network if content else True,
    }
    return RunView.model_validate(values | _of_attempt(attempt) | _of_live(services, run))


def _retries(run: Run, content: EventContent | None) -> RetriesView:
    waits = run.status == RunStatus.QUEUED.value and run.attempt > 0
    return RetriesView(
        max=content.retries.max if content else 0,
        used=max(0, run.attempt - run.infra_faults - (0 if waits else 1)),
        infra_faults=run.infra_faults,
        next_try_at=run.available_at if waits else None,
    )


def _value(text: str) -> Any:
    """What JSON text says; the text itself where no answer could hold it, so deep is it."""
    try:
        value = json.loads(text)
    except RecursionError:
        return text
    return text if is_too_deep(value) else value


def _of_attempt(attempt: Attempt | None) -> dict[str, Any]:
    if attempt is None:
        return {
            "phase": None, "setup_s": None, "execution_s": None, "cleanup_s": None,
            "image_digest": "", "log_length": 0, "log_lines": 0, "log_complete": False,
        }  # fmt: skip
    return {
        "phase": attempt.phase if attempt.finished_at is None else None,
        "setup_s": attempt.setup_s,
        "execution_s": attempt.execution_s,
        "cleanup_s": attempt.cleanup_s,
        "image_digest": attempt.image_digest,
        "log_length": attempt.log_length,
        "log_lines": attempt.log_lines,
        "log_complete": attempt.log_complete,
    }


def _of_live(services: Services, run: Run) -> dict[str, Any]:
    """What memory knows better than the database while a run is under way."""
    live = None if run.finished_at else services.orchestrator.live(run.id)
    if live is None:
        return {}
    found: dict[str, Any] = {
        "phase": live.phase,
        "log_length": live.bytes,
        "log_lines": live.lines,
        "setup_s": live.setup_s,
        "execution_s": live.execution_s,
    }
    if live.image_digest:
        found["image_digest"] = live.image_digest
    if live.waiting_text:
        found["waiting_text"] = live.waiting_text
    return found


def _query(actor: Actor, wanted: RunFilter) -> listing.RunQuery | None:
    """None: nothing can match."""
    event_id = parse_id(wanted.event_id) if wanted.event_id else None
    if wanted.event_id and event_id is None:
        return None
    return listing.RunQuery(
        owner_id=actor.user_id,
        status=wanted.status,
        event_id=event_id,
        trigger=wanted.trigger,
        since=wanted.since,
        until=wanted.until,
        text=wanted.text or "",
        include_tests=wanted.include_tests,
    )


def _trigger(actor: Actor) -> Trigger:
    return Trigger.API if actor.via == "token" else Trigger.MANUAL
