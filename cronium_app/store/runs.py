"""Runs and attempts: every transition of a run is one named function here.

The old status and the fence stand in the WHERE. `False` or `None` means that somebody else was
first: the caller then changes nothing and lets go. Functions take the session and never commit.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, case, func, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import defer
from sqlmodel import col, delete, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from agent.jobs import Outcome, Phase, Reason
from cronium_app.domain.outcomes import Ending
from cronium_app.domain.runs import FINAL, RunStatus
from cronium_app.store.queue import claim as claim
from cronium_app.store.tables import Attempt, Revision, Run, Schedule


@dataclass(frozen=True, kw_only=True)
class Hold:
    """The right to change a running run: its current attempt, and the fence we hold it under."""

    run_id: UUID
    attempt_id: UUID
    fence: int


@dataclass(frozen=True, kw_only=True)
class LogSummary:
    """What is known of an attempt's log. `complete`: length and checksum agree with the agent's."""

    length: int
    lines: int
    complete: bool


@dataclass(frozen=True, kw_only=True)
class AttemptEnd:
    """How an attempt ended. `report` is the outcome as the agent sent it."""

    ending: Ending
    outcome: Outcome
    report: bytes
    log: LogSummary
    now: datetime


@dataclass(frozen=True, kw_only=True)
class Renewed:
    run_id: UUID
    stop_requested_at: datetime | None


async def insert(session: AsyncSession, run: Run) -> bool:
    """Queue a run. False if its (schedule, fire time) has a run already."""
    if run.schedule_id is None:
        session.add(run)
        return True
    return bool(await insert_fires(session, [run]))


async def insert_fires(session: AsyncSession, fires: Collection[Run]) -> set[UUID]:
    """Queue runs of schedules in one statement. Returns the ids of those that are new: a
    (schedule, fire time) that has a run already gets no second one."""
    if not fires:
        return set()
    dialect = session.get_bind().dialect.name
    insert_into = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = (
        insert_into(Run)
        .values([run.model_dump() for run in fires])
        .on_conflict_do_nothing(index_elements=["schedule_id", "fire_time"])
        .returning(col(Run.id))
    )
    return set((await session.exec(statement)).scalars())


async def get(session: AsyncSession, run_id: UUID) -> Run | None:
    return await session.get(Run, run_id)


async def attempt_of(
    session: AsyncSession, run_id: UUID, number: int | None = None
) -> Attempt | None:
    """The attempt with this number; without one, the newest."""
    statement = select(Attempt).where(col(Attempt.run_id) == run_id)
    if number is not None:
        statement = statement.where(col(Attempt.number) == number)
    return (await session.exec(statement.order_by(col(Attempt.number).desc()).limit(1))).first()


async def get_attempt(session: AsyncSession, attempt_id: UUID) -> Attempt | None:
    return await session.get(Attempt, attempt_id)


async def content_of(session: AsyncSession, event_id: UUID, number: int) -> str | None:
    """The canonical JSON of a revision."""
    revision = await session.get(Revision, (event_id, number))
    return None if revision is None else revision.content


async def timezone_for(session: AsyncSession, run: Run) -> str:
    """The zone a run lives in: its schedule's, else the event's first schedule's, else UTC."""
    zones = (
        select(Schedule.timezone)
        .where(col(Schedule.event_id) == run.event_id)
        .order_by((col(Schedule.id) == run.schedule_id).desc(), col(Schedule.id))
        .limit(1)
    )
    if run.schedule_id is None:
        zones = zones.order_by(None).order_by(col(Schedule.id))
    return (await session.exec(zones)).first() or "UTC"


# --- queued -> running ---


async def start_attempt(
    session: AsyncSession, run: Run, *, agent_id: UUID | None, log_home: str, now: datetime
) -> Attempt:
    """The row of the try that a claim begins; to be made in the claim's transaction."""
    attempt = Attempt(
        run_id=run.id,
        number=run.attempt,
        agent_id=agent_id,
        status=RunStatus.RUNNING.value,
        phase=Phase.SETUP.value,
        image=run.image,
        created_at=now,
        log_home=log_home,
    )
    session.add(attempt)
    await session.flush()
    return attempt


# --- running -> queued ---


async def requeue(
    session: AsyncSession, hold: Hold, end: AttemptEnd, *, available_at: datetime, counted: bool
) -> bool:
    """This attempt has ended, and another follows. Not if a stop is wanted.
    `counted`: it costs one of the tries that the event allows."""
    statement = (
        _held(hold)
        .where(col(Run.stop_requested_at).is_(None))
        .values(
            status=RunStatus.QUEUED.value,
            available_at=available_at,
            lane=None,
            infra_faults=col(Run.infra_faults) + (0 if counted else 1),
            **_NO_LEASE,
        )
    )
    if await _changed(session, statement) != 1:
        return False
    await _end_attempt(session, hold.attempt_id, end)
    return True


async def give_back(session: AsyncSession, hold: Hold, *, available_at: datetime) -> bool:
    """Undo a claim whose job no agent ever accepted: that try did not happen."""
    statement = (
        _held(hold)
        .where(col(Run.stop_requested_at).is_(None))
        .values(
            status=RunStatus.QUEUED.value,
            attempt=col(Run.attempt) - 1,
            available_at=available_at,
            lane=None,
            started_at=case((col(Run.attempt) > 1, col(Run.started_at)), else_=None),
            **_NO_LEASE,
        )
    )
    if await _changed(session, statement) != 1:
        return False
    await session.exec(delete(Attempt).where(col(Attempt.id) == hold.attempt_id))
    return True


# --- running -> succeeded | failed | cancelled ---


async def finish(
    session: AsyncSession, hold: Hold, end: AttemptEnd, *, duration_ms: int | None
) -> bool:
    """Record how a run ended, once."""
    ending, outcome, now = end.ending, end.outcome, end.now
    statement = _held(hold).values(
        status=ending.status.value,
        reason=ending.reason.value,
        reason_text=ending.text,
        next_step=ending.next_step,
        exit_code=outcome.exit_code,
        finished_at=now,
        duration_ms=duration_ms,
        outputs=_text(outcome.outputs),
        conditions=_text(outcome.conditions),
        search_text=col(Run.search_text) + f" {ending.text.lower()}",
        **_NO_LEASE,
    )
    if await _changed(session, statement) != 1:
        return False
    await _end_attempt(session, hold.attempt_id, end)
    return True


async def _end_attempt(session: AsyncSession, attempt_id: UUID, end: AttemptEnd) -> None:
    ending, outcome = end.ending, end.outcome
    values: dict[str, Any] = {
        "status": ending.status.value,
        "reason": ending.reason.value,
        "reason_text": ending.text,
        "exit_code": outcome.exit_code,
        "finished_at": end.now,
        "setup_s": outcome.setup_s,
        "execution_s": outcome.execution_s,
        "cleanup_s": outcome.cleanup_s,
        "oom_warning": outcome.oom_warning,
        "outcome": end.report,
        **_log_columns(end.log, outcome),
    }
    if outcome.image_digest:
        values["image_digest"] = outcome.image_digest
    await _update_attempt(session, attempt_id, values)


async def complete(
    session: AsyncSession, attempt_id: UUID, outcome: Outcome, *, report: bytes, log: LogSummary
) -> bool:
    """What was not known when an attempt's end was recorded: the end of its log, and what the
    script reported there. Status, reason and exit code stay. False: it was complete already."""
    values = {"outcome": report, **_log_columns(log, outcome)}
    if await _changed(session, _ended_without_log(attempt_id).values(**values)) != 1:
        return False
    of_attempt = select(Attempt.run_id).where(col(Attempt.id) == attempt_id)
    number = select(Attempt.number).where(col(Attempt.id) == attempt_id)
    of_run = (
        update(Run)
        .where(
            col(Run.id) == of_attempt.scalar_subquery(),
            col(Run.attempt) == number.scalar_subquery(),
            col(Run.finished_at).is_not(None),
        )
        .values(outputs=_text(outcome.outputs), conditions=_text(outcome.conditions))
    )
    await _changed(session, of_run)
    return True


async def record_log(session: AsyncSession, attempt_id: UUID, log: LogSummary) -> None:
    """How much there is of an ended attempt's log, of which no more will come."""
    await _changed(session, _ended_without_log(attempt_id).values(**_log_columns(log)))


def _ended_without_log(attempt_id: UUID) -> Any:
    return update(Attempt).where(
        col(Attempt.id) == attempt_id,
        col(Attempt.finished_at).is_not(None),
        col(Attempt.log_complete).is_(False),
    )


def _log_columns(log: LogSummary, outcome: Outcome | None = None) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "log_length": log.length,
        "log_lines": log.lines,
        "log_complete": log.complete,
    }
    if outcome is not None:
        columns |= {
            "stdout_bytes": outcome.stdout_bytes,
            "stderr_bytes": outcome.stderr_bytes,
            "log_sha256": outcome.log_sha256,
        }
    return columns


# --- stopping ---


async def cancel_queued(
    session: AsyncSession, run_id: UUID, *, owner_id: UUID, by: str, reason_text: str, now: datetime
) -> bool:
    """queued -> cancelled."""
    statement = (
        update(Run)
        .where(
            col(Run.id) == run_id,
            col(Run.owner_id) == owner_id,
            col(Run.status) == RunStatus.QUEUED.value,
        )
        .values(
            status=RunStatus.CANCELLED.value,
            reason=Reason.CANCELLED_BY_USER.value,
            reason_text=reason_text,
            stop_requested_at=now,
            stop_requested_by=by,
            finished_at=now,
            waiting_text="",
        )
    )
    return await _changed(session, statement) == 1


async def request_stop(
    session: AsyncSession, run_id: UUID, *, owner_id: UUID, by: str, now: datetime
) -> bool:
    """Note who wants a running run stopped; the first one counts. No change of status."""
    statement = (
        update(Run)
        .where(
            col(Run.id) == run_id,
            col(Run.owner_id) == owner_id,
            col(Run.status) == RunStatus.RUNNING.value,
            col(Run.stop_requested_at).is_(None),
        )
        .values(stop_requested_at=now, stop_requested_by=by)
    )
    return await _changed(session, statement) == 1


# --- between two tries ---


async def try_now(session: AsyncSession, run_id: UUID, *, owner_id: UUID, now: datetime) -> bool:
    """The next try waits no longer."""
    statement = _between_tries(run_id, owner_id).values(available_at=now, lane=None)
    return await _changed(session, statement.where(col(Run.available_at) > now)) == 1


async def give_up(
    session: AsyncSession, run_id: UUID, *, owner_id: UUID, by: str, now: datetime
) -> bool:
    """queued -> failed: there will be no further try; the run ends as its last attempt did."""
    last = await attempt_of(session, run_id)
    if last is None:
        return False
    text = f"{last.reason_text} No further try: {by} gave up.".strip()
    statement = _between_tries(run_id, owner_id).values(
        status=RunStatus.FAILED.value,
        reason=last.reason,
        reason_text=text,
        exit_code=last.exit_code,
        finished_at=now,
        search_text=col(Run.search_text) + f" {text.lower()}",
        waiting_text="",
    )
    return await _changed(session, statement) == 1


def _between_tries(run_id: UUID, owner_id: UUID) -> Any:
    return update(Run).where(
        col(Run.id) == run_id,
        col(Run.owner_id) == owner_id,
        col(Run.status) == RunStatus.QUEUED.value,
        col(Run.attempt) > 0,
    )


async def attempts_of(session: AsyncSession, run_id: UUID) -> Sequence[Attempt]:
    """All tries of a run, the first one first."""
    statement = select(Attempt).where(col(Attempt.run_id) == run_id).order_by(col(Attempt.number))
    plain = defer(Attempt.outcome, raiseload=True)  # pyright: ignore[reportArgumentType]
    return (await session.exec(statement.options(plain))).all()


# --- leases ---


async def renew(session: AsyncSession, *, owner: str, until: datetime) -> list[Renewed]:
    """Prolong every lease that `owner` holds; what came back is still ours."""
    statement = (
        update(Run)
        .where(text("status = 'running'"), col(Run.lease_owner) == owner)
        .values(lease_until=until)
        .returning(col(Run.id), col(Run.stop_requested_at))
        .execution_options(synchronize_session=False)
    )
    rows = (await session.exec(statement)).all()
    return [Renewed(run_id=row[0], stop_requested_at=row[1]) for row in rows]


async def take_over(
    session: AsyncSession,
    *,
    owner: str,
    earlier_self: str,
    agent_ids: Collection[UUID],
    now: datetime,
    until: datetime,
) -> list[tuple[Run, Attempt]]:
    """Supervise runs whose supervisor is gone: same epoch, higher fence.

    That is every expired lease on one of `agent_ids`, and at once whatever `earlier_self` (the
    prefix of this server's own lease names) held in an earlier life.
    """
    mine_before = col(Run.lease_owner).startswith(earlier_self, autoescape=True)
    reachable = (
        select(Attempt.id)
        .where(
            col(Attempt.run_id) == col(Run.id),
            col(Attempt.number) == col(Run.attempt),
            col(Attempt.agent_id).in_(list(agent_ids)),
        )
        .exists()
    )
    statement = (
        update(Run)
        .where(
            text("status = 'running'"),
            or_(col(Run.lease_owner) != owner, col(Run.lease_owner).is_(None)),
            or_(
                mine_before,
                (col(Run.lease_until) < now) & reachable,
                col(Run.lease_until).is_(None) & reachable,
            ),
        )
        .values(lease_owner=owner, lease_until=until, fence=col(Run.fence) + 1)
        .returning(Run)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    taken = list((await session.scalars(statement)).all())
    return [
        (run, attempt)
        for run in taken
        if (attempt := await attempt_of(session, run.id, run.attempt))
    ]


# --- what happens meanwhile ---


async def record_progress(session: AsyncSession, attempt_id: UUID, values: dict[str, Any]) -> None:
    """Columns of a running attempt; nothing once it has ended."""
    statement = (
        update(Attempt)
        .where(col(Attempt.id) == attempt_id, col(Attempt.finished_at).is_(None))
        .values(**values)
    )
    await _changed(session, statement)


async def is_over(session: AsyncSession, run_id: UUID) -> bool:
    """True if the run has ended, or does not exist."""
    status = (await session.exec(select(Run.status).where(col(Run.id) == run_id))).first()
    return status is None or RunStatus(status) in FINAL


async def count_by_status(session: AsyncSession) -> dict[str, int]:
    """How many runs are queued and running."""
    counts: dict[str, int] = {}
    for status in (RunStatus.QUEUED, RunStatus.RUNNING):
        statement = select(func.count()).select_from(Run).where(text(f"status = '{status.value}'"))
        counts[status.value] = (await session.exec(statement)).one()
    return counts


_NO_LEASE: dict[str, Any] = {"lease_owner": None, "lease_until": None}


def _held(hold: Hold) -> Any:
    return update(Run).where(
        col(Run.id) == hold.run_id,
        col(Run.status) == RunStatus.RUNNING.value,
        col(Run.fence) == hold.fence,
    )


async def _update_attempt(session: AsyncSession, attempt_id: UUID, values: dict[str, Any]) -> None:
    await _changed(session, update(Attempt).where(col(Attempt.id) == attempt_id).values(**values))


async def _changed(session: AsyncSession, statement: Any) -> int:
    """Run a write and say how many rows it changed. Rows in memory are not kept up to date."""
    options = {"synchronize_session": False}
    result = cast("CursorResult[Any]", await session.exec(statement, execution_options=options))
    return result.rowcount


def _text(data: bytes) -> str:
    """JSON of the agent as a column takes it. What is none is left out as a whole: better nothing
    than something else than the script said."""
    try:
        text = data.decode()
        json.loads(text)
    except ValueError:
        return "{}"
    return text


def hold_of(run: Run, attempt: Attempt) -> Hold:
    return Hold(run_id=run.id, attempt_id=attempt.id, fence=run.fence)
