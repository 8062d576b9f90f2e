"""One attempt, from the claim to its end: every ending is a value, and it is recorded once.

Cancelling `Attempts.supervise` detaches: the job goes on and is adopted by whoever comes next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.exc import SQLAlchemyError

from agent.jobs import Job, Outcome, Phase, Reason
from cronium_app.domain import retries
from cronium_app.domain.clock import Clock
from cronium_app.domain.events import EventContent
from cronium_app.domain.outcomes import Circumstances, describe, settle
from cronium_app.domain.retries import Retry
from cronium_app.executors.base import Executor, Handle, JobInvalid, NotTaken, Report, Step
from cronium_app.logs.files import LogStore
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.jobs import limits_of
from cronium_app.orchestrator.live import LiveRun, LiveRuns
from cronium_app.orchestrator.progress import ProgressWriter
from cronium_app.orchestrator.tasks import to_the_end
from cronium_app.store import runs
from cronium_app.store.database import Database
from cronium_app.store.runs import Hold, LogSummary
from cronium_app.store.tables import Attempt, Run

log = structlog.get_logger(__name__)

T = TypeVar("T")

GIVE_BACK_DELAY = timedelta(milliseconds=200)
RECORD_RETRY_S = 1.0
CRASHED = Report(outcome=Outcome(reason=Reason.CRASHED), log_whole=False)


@dataclass(kw_only=True)
class Supervised:
    """A running run in our hands. An adopted one was handed out earlier and needs no job."""

    run: Run
    attempt: Attempt
    agent_id: UUID
    content: EventContent | None
    adopted: bool
    job: Job | None = None
    over: bool = False  # its slot is free again
    ending: bool = False  # its end is being written: it comes to its end by itself
    goes_on: bool = False  # this attempt is over, its run is back in the queue
    stop_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def hold(self) -> Hold:
        return runs.hold_of(self.run, self.attempt)

    @property
    def handle(self) -> Handle:
        return Handle(
            run_id=self.run.id,
            attempt_id=self.attempt.id,
            epoch=self.attempt.epoch,
            agent_id=self.agent_id,
        )


class Attempts:
    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        logs: LogStore,
        bus: Bus,
        live: LiveRuns,
        progress: ProgressWriter,
        executor: Executor,
        on_over: Callable[[Supervised], None],
    ) -> None:
        self._db = db
        self._clock = clock
        self._logs = logs
        self._bus = bus
        self._live = live
        self._progress = progress
        self._executor = executor
        self._on_over = on_over

    async def supervise(self, work: Supervised) -> None:
        """Take an attempt to its end. Raises nothing but CancelledError, which detaches."""
        structlog.contextvars.bind_contextvars(run=str(work.run.id), attempt=work.attempt.number)
        self._show(work)
        try:
            report = await self._report_of(work)
            work.ending = True
            if report is None:
                await to_the_end(self._give_back(work))
            elif await to_the_end(self._record(work, report)):
                self._announce(work)
                await self._release(work, report)
        except Exception:
            log.exception("supervision failed")  # the lease expires and the run is adopted again
        finally:
            self._executor.detach(work.handle)
            self._hide(work)

    async def _report_of(self, work: Supervised) -> Report | None:
        """How it ended, whatever happens. None: no agent took the job, it did not run."""
        try:
            await self._hand_out(work)
            return await self._await_report(work)
        except NotTaken as refusal:
            log.info("job not taken", why=str(refusal))
            return None
        except JobInvalid as error:
            outcome = Outcome(reason=Reason.NOT_STARTED, detail=str(error))
            return Report(outcome=outcome, log_whole=True)
        except Exception:  # a bug must fail the run, not strand it
            log.exception("attempt crashed")
            self._executor.discard(work.handle)
            return CRASHED

    async def _hand_out(self, work: Supervised) -> None:
        watcher = _Watch(work, self._live, self._progress, self._bus, self._clock)
        if work.adopted:
            await self._executor.attach(work.handle, watcher)
        elif work.job is None:
            raise JobInvalid("The revision of this run is gone or cannot be read.")
        else:
            await self._executor.start(work.handle, work.job, watcher)
        # its log is open from here on: whoever waits for it may look again
        self._bus.publish("run", work.run.id, work.run.owner_id)

    async def _await_report(self, work: Supervised) -> Report:
        """Wait for the end, passing on the wish to stop when it comes."""
        ended = asyncio.create_task(self._executor.report(work.handle), name="report")
        wanted = asyncio.create_task(work.stop_wanted.wait(), name="stop wanted")
        try:
            await asyncio.wait([ended, wanted], return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                grace = work.content.stop_grace_s if work.content else 10
                why = Reason.CANCELLED_BY_USER.value
                await self._executor.stop(work.handle, float(grace), why)
            return await ended
        finally:
            ended.cancel()
            wanted.cancel()

    async def _give_back(self, work: Supervised) -> None:
        """Back to the queue; unless it is to be stopped: then it ends here."""
        available_at = self._clock.now() + GIVE_BACK_DELAY

        async def write() -> bool:
            async with self._db.write() as session:
                return await runs.give_back(session, work.hold, available_at=available_at)

        returned = await _until_written("a job that was not taken", write)
        self._executor.discard(work.handle)
        work.goes_on = returned
        if not returned:
            outcome = Outcome(reason=Reason.CANCELLED_BY_USER, stopped=True)
            await self._record(work, Report(outcome=outcome, log_whole=True))
        self._announce(work)

    async def _record(self, work: Supervised, report: Report) -> bool:
        """Write the end down. False: somebody else supervises this run now."""
        try:
            return await _until_written("the end of a run", lambda: self._write_end(work, report))
        except Exception:
            if report.outcome.reason is Reason.CRASHED:
                raise
            log.exception("recording the outcome failed")
            return await self._record(work, CRASHED)

    async def _write_end(self, work: Supervised, report: Report) -> bool:
        attempt_id = work.attempt.id
        stats = await self._logs.stats(attempt_id)
        last_lines = await self._logs.tail_lines(attempt_id)
        summary = LogSummary(length=stats.bytes, lines=stats.lines, complete=report.log_whole)
        async with self._db.write() as session:
            run = await runs.get(session, work.run.id)
            if run is None:
                return False
            outcome = settle(
                report.outcome,
                stop_requested=run.stop_requested_at is not None,
                replaced=run.stop_reason == Reason.REPLACED.value,
            )
            ending = describe(outcome, _circumstances(work, run, last_lines))
            if values := self._progress.take(attempt_id):
                await runs.record_progress(session, attempt_id, values)
            now = self._clock.now()
            end = runs.AttemptEnd(
                ending=ending,
                outcome=outcome,
                report=msgspec.msgpack.encode(report.outcome),
                log=summary,
                now=now,
            )
            retry = _retry_after(work, run, outcome)
            goes_on = retry is not None and await runs.requeue(
                session,
                work.hold,
                end,
                available_at=now + timedelta(seconds=retry.delay_s),
                counted=retry.counted,
            )
            duration_ms = max(0, round((now - (run.started_at or now)).total_seconds() * 1000))
            recorded = goes_on or await runs.finish(
                session, work.hold, end, duration_ms=duration_ms
            )
        work.goes_on = goes_on
        if recorded:
            log.info("attempt ended", status=ending.status.value, reason=ending.reason.value,
                     exit_code=outcome.exit_code, retry=goes_on)  # fmt: skip
        return recorded

    def _announce(self, work: Supervised) -> None:
        if not work.over:
            work.over = True
            self._hide(work)  # the next attempt may begin before all of this one's log is here
            self._on_over(work)
        self._bus.publish("run", work.run.id, work.run.owner_id)

    async def _release(self, work: Supervised, report: Report) -> None:
        """Recorded: fetch what is missing of it, then let the executor forget it all."""
        if report is not CRASHED and not (report.final and report.log_whole):
            await self._complete(work)
        await self._executor.release(work.handle)

    async def _complete(self, work: Supervised) -> None:
        """An end that was recorded early gets what was not known then: the whole log, and what
        the script reported at its end."""
        rest = await self._executor.collect(work.handle)
        await _until_written("the rest of a run", lambda: to_the_end(self._write_rest(work, rest)))
        self._bus.publish("run", work.run.id, work.run.owner_id)

    async def _write_rest(self, work: Supervised, rest: Report | None) -> None:
        attempt_id = work.attempt.id
        stats = await self._logs.stats(attempt_id)
        whole = rest is not None and rest.log_whole
        summary = LogSummary(length=stats.bytes, lines=stats.lines, complete=whole)
        async with self._db.write() as session:
            if rest is None:
                await runs.record_log(session, attempt_id, summary)
            else:
                encoded = msgspec.msgpack.encode(rest.outcome)
                await runs.complete(session, attempt_id, rest.outcome, report=encoded, log=summary)

    async def record_lost(self, work: Supervised, report: Report) -> None:
        """An end that is known without asking anybody."""
        if await to_the_end(self._record(work, report)):
            self._announce(work)

    async def collect_rest(self, work: Supervised) -> None:
        """An attempt whose end is recorded but not the whole of its log."""
        handle = work.handle
        try:
            await self._executor.attach(handle, _Silent())
            await self._complete(work)
            await self._executor.release(handle)
        except Exception:
            log.exception("the rest of a log could not be fetched")
        finally:
            self._executor.detach(handle)

    def _show(self, work: Supervised) -> None:
        run, attempt = work.run, work.attempt
        live = LiveRun(
            run_id=run.id,
            attempt_id=attempt.id,
            owner_id=run.owner_id,
            phase_started_at=attempt.created_at,
            image_digest=attempt.image_digest,
        )
        if attempt.execution_at is not None:
            live.enter(Step(phase=Phase.EXECUTION, time_ms=_ms(attempt.execution_at)))
        if attempt.cleanup_at is not None:
            live.enter(Step(phase=Phase.CLEANUP, time_ms=_ms(attempt.cleanup_at)))
        self._live.add(live)
        self._bus.publish("run", run.id, run.owner_id)

    def _hide(self, work: Supervised) -> None:
        self._live.remove(work.run.id, work.attempt.id)
        if work.over:  # else somebody will want to know how far it got
            self._progress.forget(work.attempt.id)


class _Watch:
    """Hears of an attempt and passes it on to whoever shows or stores it."""

    def __init__(
        self, work: Supervised, live: LiveRuns, progress: ProgressWriter, bus: Bus, clock: Clock
    ) -> None:
        self._work = work
        self._clock = clock
        self._live = live
        self._progress = progress
        self._bus = bus

    def accepted(self) -> None:
        self._progress.note(self._work.attempt.id, accepted_at=self._clock.now())

    def stepped(self, step: Step) -> None:
        run_id = self._work.run.id
        live = self._live.get(run_id)
        if live is None or live.attempt_id != self._work.attempt.id:
            return
        changed = live.enter(step)
        values: dict[str, object] = {}
        if changed:
            values["phase"] = step.phase.value
            values[f"{step.phase.value}_at"] = datetime.fromtimestamp(step.time_ms / 1000, UTC)
        if step.image_digest:
            values["image_digest"] = step.image_digest
        if step.container_id:
            values["container_id"] = step.container_id
        if values:
            self._progress.note(self._work.attempt.id, **values)
        if changed:
            owner = self._work.run.owner_id
            self._bus.publish("run", run_id, owner)
        self._live.touch(run_id)

    def logged(self) -> None:
        self._live.touch(self._work.run.id)


class _Silent:
    def accepted(self) -> None: ...
    def stepped(self, step: Step) -> None: ...
    def logged(self) -> None: ...


def _retry_after(work: Supervised, run: Run, outcome: Outcome) -> Retry | None:
    """What follows this end by the rule of the run's revision; nothing if it is to be stopped."""
    if run.stop_requested_at is not None or work.content is None:
        return None
    return retries.decide(
        work.content.retries,
        outcome,
        attempt=run.attempt,
        infra_faults=run.infra_faults,
        seed=str(work.attempt.id),
    )


async def _until_written(what: str, write: Callable[[], Awaitable[T]]) -> T:
    """Again and again while the database is away: what happened must not be forgotten."""
    while True:
        try:
            return await write()
        except (SQLAlchemyError, OSError) as error:
            log.error("cannot be written yet", what=what, error=str(error)[:300])
            await asyncio.sleep(RECORD_RETRY_S)


def _circumstances(work: Supervised, run: Run, last_lines: list[str]) -> Circumstances:
    content = work.content
    if content is None:
        return Circumstances(image=run.image, stopped_by=run.stop_requested_by)
    return Circumstances(
        limits=limits_of(content),
        network=content.network,
        runtime=content.runtime,
        image=content.resolved_image(),
        last_lines=tuple(last_lines),
        stopped_by=run.stop_requested_by,
    )


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
