"""Use cases of what goes on between submit and start: tries of a run, groups, who waits for whom."""

from dataclasses import dataclass, field
from typing import Any

from cronium_app.actions.access import audit, own_run, require
from cronium_app.actions.context import Services
from cronium_app.actions.errors import Conflict
from cronium_app.actions.views import AttemptView, GroupMember, GroupView
from cronium_app.domain import concurrency
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.domain.runs import RunStatus
from cronium_app.store import queue
from cronium_app.store import runs as run_rows
from cronium_app.store.tables import Attempt, Run

SHOWN = 50
COUNTED = 1000


async def attempts(services: Services, actor: Actor, run_id: str) -> list[AttemptView]:
    """Every try of a run, the first one first."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
        rows = await run_rows.attempts_of(session, run.id)
    return [_attempt_view(services, run, row) for row in rows]


async def try_now(services: Services, actor: Actor, run_id: str) -> None:
    """The next try begins as soon as there is room. Conflict `not_waiting` if none is waited for."""
    require(actor, Permission.RUN)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
    if not await services.orchestrator.try_now(run.id, owner_id=actor.user_id):
        raise Conflict("The run does not wait for its next try.", code="not_waiting")


async def give_up(services: Services, actor: Actor, run_id: str) -> None:
    """No further try: the run fails as its last attempt did. Conflict `not_waiting`."""
    require(actor, Permission.RUN)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
    if not await services.orchestrator.give_up(run.id, actor.email, owner_id=actor.user_id):
        raise Conflict("The run does not wait for its next try.", code="not_waiting")
    async with services.db.write() as session:
        audit(session, services.clock, actor, "run.give_up", str(run.id))


async def groups(services: Services, actor: Actor) -> list[GroupView]:
    """Who holds and who waits, of one's own events: groups by name, then events by name."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        rows = await queue.group_rows(session, actor.user_id, limit=COUNTED)
    found: dict[tuple[str, str], _Group] = {}
    for row in rows:
        for kind, key, limit in _holds(row):
            group = found.setdefault((kind, key), _Group(kind, _name(kind, row), limit))
            group.limit = max(group.limit, limit)
            begun = row.status == RunStatus.RUNNING.value or (kind == "event" and row.attempt > 0)
            (group.holders if begun else group.waiting).append(_member(row, begun))
    shown = [group.view() for group in found.values() if group.is_interesting]
    return sorted(shown, key=lambda view: (view.kind != "group", view.name))


@dataclass
class _Group:
    kind: Any
    name: str
    limit: int
    holders: list[GroupMember] = field(default_factory=list["GroupMember"])
    waiting: list[GroupMember] = field(default_factory=list["GroupMember"])

    @property
    def is_interesting(self) -> bool:
        """A named group always; an event only while others wait for it."""
        return self.kind == "group" or bool(self.waiting)

    def view(self) -> GroupView:
        return GroupView(
            kind=self.kind,
            name=self.name,
            limit=self.limit,
            holders=self.holders,
            waiting=self.waiting[:SHOWN],
            waiting_count=len(self.waiting),
        )


def _holds(row: Any) -> list[tuple[str, str, int]]:
    """(kind, key, limit) of everything a run holds while it is under way."""
    held: list[tuple[str, str, int]] = []
    if row.group_key:
        kind = "group" if concurrency.name_of(row.group_key) else "event"
        held.append((kind, row.group_key, row.group_limit))
    if row.exclusive:
        held.append(("event", str(row.event_id), 1))
    return held


def _name(kind: str, row: Any) -> str:
    return concurrency.name_of(row.group_key) if kind == "group" else row.event_name


def _member(row: Any, begun: bool) -> GroupMember:
    return GroupMember(
        run_id=str(row.id),
        event_id=str(row.event_id),
        event_name=row.event_name,
        since=(row.started_at if begun else None) or row.created_at,
    )


_SAME = (
    "number", "status", "reason", "reason_text", "exit_code", "created_at", "finished_at",
    "setup_s", "execution_s", "cleanup_s", "image", "image_digest", "log_length", "log_lines",
    "log_complete",
)  # fmt: skip


def _attempt_view(services: Services, run: Run, row: Attempt) -> AttemptView:
    values: dict[str, Any] = {name: getattr(row, name) for name in _SAME}
    values["phase"] = row.phase if row.finished_at is None else None
    ended = row.finished_at
    values["duration_s"] = (
        None if ended is None else max(0.0, round((ended - row.created_at).total_seconds(), 3))
    )
    live = services.orchestrator.live(run.id) if ended is None else None
    if live is not None and live.attempt_id == row.id:
        values |= {"phase": live.phase, "log_length": live.bytes, "log_lines": live.lines}
    return AttemptView.model_validate(values)
