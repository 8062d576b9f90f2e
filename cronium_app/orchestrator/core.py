"""The orchestrator: the one door for every trigger, and the only one that moves runs on.

`run()` owns every task of it. Cancelling `run()` detaches from all running runs.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.domain import waiting
from cronium_app.domain.clock import Clock
from cronium_app.domain.concurrency import KeyUnresolved
from cronium_app.domain.events import EventContent
from cronium_app.domain.ids import new_id
from cronium_app.domain.misfire import FireDecision
from cronium_app.domain.runs import FINAL, LEASE_RENEW_S, RunStatus, Trigger
from cronium_app.domain.waiting import EngineView, ImageView
from cronium_app.executors.base import Report
from cronium_app.executors.container import AgentHub, ConnectedAgent, ContainerExecutor
from cronium_app.logs.files import Frame, LogStore, Skipped
from cronium_app.logs.pace import Pace
from cronium_app.orchestrator import admission
from cronium_app.orchestrator.admission import Candidate, Replaced
from cronium_app.orchestrator.adoption import LOST, Adoption, Found, Identity, lease_until
from cronium_app.orchestrator.attempt import Attempts, Supervised
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.jobs import build_job
from cronium_app.orchestrator.live import LiveRun, LiveRuns
from cronium_app.orchestrator.progress import ProgressWriter
from cronium_app.orchestrator.queue_view import QueueView
from cronium_app.orchestrator.tasks import wait_for_event
from cronium_app.store import fires as fire_rows
from cronium_app.store import queue, runs
from cronium_app.store.database import Database
from cronium_app.store.tables import Attempt, Run

log = structlog.get_logger(__name__)

GUARD_S = 5.0  # the queue is looked at this often even if nobody wakes us
CLAIMS_AT_ONCE = 8  # in one transaction
BUILTIN = "local"
CONTENTS_KEPT = 200
REPLACED_KEPT = 1000
LoopStep = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, kw_only=True)
class SubmitRun:
    """A wish for a run. `inputs` is JSON text."""

    event_id: UUID
    owner_id: UUID
    event_name: str
    revision: int
    content: EventContent
    trigger: Trigger
    triggered_by: UUID | None = None
    triggered_by_name: str = ""
    inputs: str = "{}"
    hidden: bool = False
    schedule_id: UUID | None = None
    fire_time: datetime | None = None
    priority: int | None = None  # None: the event's


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A run that was made, as far as the rest of the server must be told of it."""

    id: UUID
    owner_id: UUID


class Orchestrator:
    def __init__(
        self,
        *,
        db: Database,
        clock: Clock,
        logs: LogStore,
        bus: Bus,
        hub: AgentHub,
        identity: Identity,
        limit: int | None = None,
    ) -> None:
        """`limit`: how many runs may be under way at once, on all servers together."""
        self._db = db
        self._clock = clock
        self._logs = logs
        self._bus = bus
        self._hub = hub
        self._identity = identity
        self._limit = limit
        self._queue_view = QueueView(limit)
        self._replaced: dict[UUID, Replaced] = {}  # by the new run; told after its commit
        self._executor = ContainerExecutor(hub, logs)
        self._live = LiveRuns(logs, bus)
        self._progress = ProgressWriter(db)
        self._adoption = Adoption(db, clock, identity)
        self._attempts = Attempts(
            db=db,
            clock=clock,
            logs=logs,
            bus=bus,
            live=self._live,
            progress=self._progress,
            executor=self._executor,
            on_over=self._over,
        )
        self._supervised: dict[UUID, Supervised] = {}  # by run id
        self._unsupervised: set[UUID] = set()  # at the last renewal of our leases
        self._collecting: dict[UUID, Supervised] = {}  # by attempt; they miss a part of their log
        self._contents: dict[tuple[UUID, int], EventContent] = {}
        self._ends: dict[UUID, set[asyncio.Future[None]]] = {}
        self._wake = asyncio.Event()
        self._claiming = True
        self._tasks: asyncio.TaskGroup | None = None
        self._started = asyncio.Event()
        self._adopting = asyncio.Lock()
        hub.listener = self

    async def run(self) -> None:
        """Endless. Cancelling it detaches: running jobs go on and are adopted at the next start."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._started.set()
                tasks.create_task(self._forever(self._claim_when_woken), name="claims")
                tasks.create_task(self._forever(self._keep_leases), name="leases")
                tasks.create_task(self._live.publish(), name="live")
                tasks.create_task(self._progress.run(), name="progress")
        finally:
            self._tasks = None

    # --- the door ---

    async def submit(self, session: AsyncSession, wish: SubmitRun) -> Run | None:
        """Queue a run inside the caller's write transaction; call `submitted` after the commit.

        None: this fire of this schedule has its run already. The event's overlap rule may make it
        a skip: a row born cancelled. Raises KeyUnresolved.
        """
        now = self._clock.now()
        values = _values(wish, now)
        values |= admission.rules_of(wish.content, values)
        replacing = await admission.admit(session, [Candidate(content=wish.content, values=values)])
        run = Run(**values)
        if not await runs.insert(session, run):
            return None
        await self._replace(session, dict.fromkeys(replacing, wish.owner_id), replacing)
        return run

    async def submit_fires(
        self, session: AsyncSession, fires: Sequence[tuple[SubmitRun, FireDecision]]
    ) -> list[Submitted]:
        """Fires of schedules, many at once. One that is not to run becomes a row all the same,
        born cancelled, without attempt. Returns the new ones; call `submitted` for each."""
        now = self._clock.now()
        rows = [_fire_values(wish, decision, now) for wish, decision in fires]
        replacing = await admission.admit(
            session,
            [
                Candidate(content=wish.content, values=values)
                for (wish, _), values in zip(fires, rows, strict=True)
            ],
        )
        new = await fire_rows.insert(session, rows)
        owners = {wish.event_id: wish.owner_id for wish, _ in fires}
        await self._replace(session, owners, {e: r for e, r in replacing.items() if r in new})
        return [
            Submitted(id=row["id"], owner_id=row["owner_id"]) for row in rows if row["id"] in new
        ]

    async def _replace(
        self, session: AsyncSession, owners: Mapping[UUID, UUID], replacing: Mapping[UUID, UUID]
    ) -> None:
        for event_id, new in replacing.items():
            found = await admission.replace(
                session, event_id, new, owners[event_id], self._clock.now()
            )
            if len(self._replaced) >= REPLACED_KEPT:  # of transactions that were rolled back
                self._replaced.pop(next(iter(self._replaced)))
            self._replaced[new] = found

    def submitted(self, run: Run | Submitted) -> None:
        """After the commit: start it if there is room, tell whoever shows it."""
        if (replaced := self._replaced.pop(run.id, None)) is not None:
            for run_id in replaced.cancelled:
                self._note_end(run_id)
            for run_id in replaced.stopping:
                if work := self._supervised.get(run_id):
                    work.stop_wanted.set()
            for run_id in (*replaced.cancelled, *replaced.stopping):
                self._bus.publish("run", run_id, replaced.owner_id)
        self._bus.publish("run", run.id, run.owner_id)
        self.wake()

    def wake(self) -> None:
        self._wake.set()

    def stop_claiming(self) -> None:
        """The process is about to end: what is queued stays queued."""
        self._claiming = False

    async def cancel(self, run_id: UUID, by: str, *, owner_id: UUID) -> bool:
        """Queued: cancelled at once. Running: asked to stop. False if it is over already, or is
        not this owner's."""
        now = self._clock.now()
        async with self._db.write() as session:
            run = await runs.get(session, run_id)
            when = "between two tries" if run and run.attempt else "before it started"
            text = f"Cancelled by {by} {when}." if by else f"Cancelled {when}."
            cancelled = await runs.cancel_queued(
                session, run_id, by=by, reason_text=text, now=now, owner_id=owner_id
            )
            stopping = not cancelled and await runs.request_stop(
                session, run_id, by=by, now=now, owner_id=owner_id
            )
        if run is None or not (cancelled or stopping):
            return False
        if cancelled:
            self._note_end(run_id)
        elif work := self._supervised.get(run_id):
            work.stop_wanted.set()
        self._bus.publish("run", run_id, run.owner_id)
        return True

    def forget(self, attempt_id: UUID) -> None:
        """Its run was deleted: its agent drops it, and nobody collects the rest of its log."""
        for work in (*self._supervised.values(), *self._collecting.values()):
            if work.attempt.id == attempt_id and work.task is not None:
                self._executor.discard(work.handle)
                work.task.cancel()

    # --- what others ask ---

    @property
    def running_count(self) -> int:
        """Runs in our hands whose job is not over."""
        return sum(not work.over for work in self._supervised.values())

    def live(self, run_id: UUID) -> LiveRun | None:
        return self._live.get(run_id)

    def engine_state(self) -> EngineView:
        agent = self._builtin_agent()
        if agent is None:
            return EngineView()
        return EngineView(
            state=agent.engine,
            detail=agent.engine_detail,
            slots=agent.slots,
            free_slots=self._free_slots(agent),
            images=tuple(
                ImageView(image=i.image, state=i.state, percent=i.percent, text=i.text)
                for i in agent.images
            ),
        )

    def waiting_text(self, run: Run) -> str:
        """Why a queued run has not started; "" for any other."""
        if run.status != RunStatus.QUEUED.value:
            return ""
        now = self._clock.now()
        if run.attempt > 0 and run.available_at > now:
            return waiting.next_try_text(run.available_at, now)
        blocked = "" if run.available_at > now else self._queue_view.text(run)
        return (
            run.waiting_text
            or blocked
            or waiting.waiting_text(
                self.engine_state(),
                place=run.place,
                image=run.image,
                available_at=run.available_at,
                now=now,
            )
        )

    async def try_now(self, run_id: UUID, *, owner_id: UUID) -> bool:
        """Between two tries: wait no longer. False if it does not wait for its next try."""
        async with self._db.write() as session:
            moved = await runs.try_now(session, run_id, owner_id=owner_id, now=self._clock.now())
            run = await runs.get(session, run_id)
        if moved and run is not None:
            self.submitted(run)
        return moved

    async def give_up(self, run_id: UUID, by: str, *, owner_id: UUID) -> bool:
        """Between two tries: make no further one. False if the run is not there."""
        async with self._db.write() as session:
            ended = await runs.give_up(
                session, run_id, owner_id=owner_id, by=by, now=self._clock.now()
            )
            run = await runs.get(session, run_id)
        if ended and run is not None:
            self._note_end(run_id)
            self.submitted(run)
        return ended

    async def wait_finished(self, run_id: UUID, timeout: float) -> bool:  # noqa: ASYNC109
        """True as soon as the run has ended, False after `timeout` seconds."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.setdefault(run_id, set()).add(waiter)
        try:
            async with self._db.read() as session:
                if await runs.is_over(session, run_id):
                    return True
            async with asyncio.timeout(timeout):
                await waiter
            return True
        except TimeoutError:
            return False
        finally:
            waiters = self._ends.get(run_id, set())
            waiters.discard(waiter)
            if not waiters:
                self._ends.pop(run_id, None)

    async def follow(
        self,
        run_id: UUID,
        *,
        attempt: int | None = None,
        offset: int = 0,
        pace: Pace | None = None,
    ) -> AsyncGenerator[Frame | Skipped]:
        """The log of an attempt from `offset`, then live, until it is over and its log whole.
        What a `pace` leaves out comes as `Skipped`."""
        with self._bus.subscribe("run", run_id) as changes:
            while True:
                found, over = await self._attempt_now(run_id, attempt)
                if found is not None:
                    attempt = found.number  # a retry has a log of its own
                    async for frame in self._logs.follow(found.id, offset, pace):
                        offset = frame.end
                        yield frame
                    # the log may have been closed because the server lets go, or ended for good
                    found, over = await self._attempt_now(run_id, attempt)
                if over and (found is None or not self._log_is_open(found)):
                    return
                try:
                    await anext(changes)
                except StopAsyncIteration:
                    return

    async def _attempt_now(self, run_id: UUID, number: int | None) -> tuple[Attempt | None, bool]:
        async with self._db.read() as session:
            attempt = await runs.attempt_of(session, run_id, number)
            run_over = await runs.is_over(session, run_id)
        attempt_over = attempt is not None and RunStatus(attempt.status) in FINAL
        return attempt, run_over or (number is not None and attempt_over)

    def _log_is_open(self, attempt: Attempt) -> bool:
        return self._logs.live(attempt.id) is not None

    # --- claiming ---

    async def _claim_when_woken(self) -> None:
        looked_at = self._clock.now()
        more = await self._claim_for_all() if self._claiming else False
        if not more:
            await wait_for_event(self._wake, await self._seconds_to_next(looked_at))

    async def _seconds_to_next(self, looked_at: datetime) -> float:
        """Until the first moment after the queue was looked at: one that passed since then counts
        as now, else its run would wait for the guard."""
        async with self._db.read() as session:
            moment = await queue.next_moment(session, looked_at)
        if moment is None:
            return GUARD_S
        return min(GUARD_S, max(0.0, (moment - self._clock.now()).total_seconds()))

    async def _claim_for_all(self) -> bool:
        """True if there may be more to claim at once."""
        self._wake.clear()
        agents = [agent for agent in self._hub.agents.values() if agent.takes_jobs]
        more = any([await self._claim_for(agent) for agent in agents])
        if not more:
            await self._tidy_queue()
        return more

    async def _claim_for(self, agent: ConnectedAgent) -> bool:
        """True if the agent's room, and not the queue, was what ended it."""
        room = min(self._free_slots(agent), CLAIMS_AT_ONCE)
        if room <= 0:
            return False
        works: list[Supervised] = []
        async with self._db.write() as session:
            expired = await queue.expire(session, self._clock.now())
            while len(works) < room and (work := await self._claim_one(session, agent)):
                works.append(work)
        self._tell_expired(expired)
        for work in works:
            self._supervise(work)
        return len(works) == room

    async def _tidy_queue(self) -> None:
        """What is to be done although nothing can be claimed: expiry, and who holds what."""
        now = self._clock.now()
        async with self._db.read() as session:
            untidy = await queue.is_untidy(session, now)
            changed = self._queue_view.take(await queue.holders(session))
        if untidy:
            async with self._db.write() as session:
                await queue.lock(session)
                expired = await queue.expire(session, now)
                await queue.sort_in(session)
            self._tell_expired(expired)
        if changed:
            self._bus.publish("engine")  # the words of those who wait

    def _tell_expired(self, expired: Sequence[tuple[UUID, UUID]]) -> None:
        for run_id, owner_id in expired:
            self._note_end(run_id)
            self._bus.publish("run", run_id, owner_id)

    async def _claim_one(self, session: AsyncSession, agent: ConnectedAgent) -> Supervised | None:
        now = self._clock.now()
        run = await runs.claim(
            session,
            owner=self._identity.owner,
            now=now,
            lease_until=lease_until(now),
            places=waiting.places_of_agent(agent.name, builtin=agent.name == BUILTIN),
            images_in_work=agent.images_in_work,
        )
        if run is None:
            return None
        attempt = await runs.start_attempt(
            session, run, agent_id=agent.id, log_home=self._identity.server_id, now=now
        )
        return await self._prepared(session, run, attempt, agent.id, hand_out=True)

    async def _prepared(
        self, session: AsyncSession, run: Run, attempt: Attempt, agent_id: UUID, *, hand_out: bool
    ) -> Supervised:
        content = await self._content(session, run)
        work = Supervised(
            run=run, attempt=attempt, agent_id=agent_id, content=content, adopted=not hand_out
        )
        if hand_out and content is not None:
            zone = await runs.timezone_for(session, run)
            work.job = build_job(run, attempt, content, zone)
        if run.stop_requested_at is not None:
            work.stop_wanted.set()
        return work

    async def _content(self, session: AsyncSession, run: Run) -> EventContent | None:
        key = (run.event_id, run.revision)
        if (content := self._contents.get(key)) is None:
            text = await runs.content_of(session, *key)
            if text is None:
                return None
            try:
                content = EventContent.model_validate_json(text)
            except ValidationError:
                log.exception("revision cannot be read", event=str(key[0]), revision=key[1])
                return None
            if len(self._contents) >= CONTENTS_KEPT:
                self._contents.pop(next(iter(self._contents)))
            self._contents[key] = content
        return content

    def _free_slots(self, agent: ConnectedAgent) -> int:
        busy = sum(w.agent_id == agent.id and not w.over for w in self._supervised.values())
        return max(0, agent.slots - busy)

    # --- supervising ---

    def _supervise(self, work: Supervised) -> None:
        if self._tasks is None or work.run.id in self._supervised:
            return
        self._supervised[work.run.id] = work
        work.task = self._tasks.create_task(
            self._supervise_to_the_end(work), name=f"run {work.run.id}"
        )

    async def _supervise_to_the_end(self, work: Supervised) -> None:
        try:
            await self._attempts.supervise(work)
        finally:
            if self._supervised.get(work.run.id) is work:
                del self._supervised[work.run.id]
            self._collecting.pop(work.attempt.id, None)
            self.wake()

    def _over(self, work: Supervised) -> None:
        """The end is committed: the slot is free, and whoever waits may know."""
        if work.goes_on:  # its next attempt may begin before all of this one's log is here
            self._supervised.pop(work.run.id, None)
            self._collecting[work.attempt.id] = work
        else:
            self._note_end(work.run.id)
        self.wake()
        self._bus.publish("engine")

    def _note_end(self, run_id: UUID) -> None:
        for waiter in self._ends.get(run_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    # --- agents, leases, adoption ---

    async def agent_joined(self, agent: ConnectedAgent) -> None:
        await self._started.wait()
        await self._adoption.welcome(agent, builtin=agent.name == BUILTIN)
        await self._take_over()
        await self._sort_out_the_rest(agent)
        agent.adopted = True
        self.agents_changed()

    def agents_changed(self) -> None:
        self._bus.publish("engine")
        self.wake()

    async def _keep_leases(self) -> None:
        await asyncio.sleep(LEASE_RENEW_S)
        kept = await self._adoption.renew()
        for run_id, work in list(self._supervised.items()):
            if work.over:
                continue
            if run_id not in kept:
                await self._let_go(work)
            elif kept[run_id]:
                work.stop_wanted.set()
        await self._pick_up_unsupervised(kept.keys() - self._supervised.keys())
        if any(agent.adopted for agent in self._hub.agents.values()):
            await self._take_over()

    async def _pick_up_unsupervised(self, ours: Set[UUID]) -> None:
        """Runs under our lease that no task of ours looks after, twice in a row: a bug ended the
        supervision. It begins anew; without this they would stay running for ever."""
        stranded, self._unsupervised = ours & self._unsupervised, set(ours)
        if stranded:
            await self._progress.flush()  # whether they were accepted
        for run_id in stranded:
            async with self._db.read() as session:
                run = await runs.get(session, run_id)
                attempt = await runs.attempt_of(session, run_id)
                if run is None or attempt is None or run.lease_owner != self._identity.owner:
                    continue
                agent_id = attempt.agent_id or UUID(int=0)
                never_taken = attempt.accepted_at is None and not self._is_held(attempt)
                work = await self._prepared(session, run, attempt, agent_id, hand_out=never_taken)
            log.warning("supervision begins anew", run=str(run_id), hand_out=never_taken)
            self._supervise(work)

    def _is_held(self, attempt: Attempt) -> bool:
        """Whether its agent had it when it said hello."""
        agent = self._hub.agents.get(attempt.agent_id or UUID(int=0))
        return agent is not None and attempt.id in agent.holding

    async def _let_go(self, work: Supervised) -> None:
        """Not ours any more: ended by another server, deleted, or taken over."""
        async with self._db.read() as session:
            run = await runs.get(session, work.run.id)
        if run is not None and run.lease_owner == self._identity.owner:
            return  # claimed or taken over just now
        if work.task is not None and not work.over and not work.ending:
            log.info("supervision lost", run=str(work.run.id))
            if run is None:
                self._executor.discard(work.handle)
            work.task.cancel()

    async def _take_over(self) -> None:
        async with self._adopting:
            for found in await self._adoption.take_over(list(self._hub.agents.values())):
                await self._adopt(found)

    async def _adopt(self, found: Found) -> None:
        agent_id = found.attempt.agent_id or UUID(int=0)
        async with self._db.read() as session:
            work = await self._prepared(
                session, found.run, found.attempt, agent_id, hand_out=found.restart
            )
        connected = agent_id in self._hub.agents
        builtin_gone = not connected and self._builtin_agent() is not None
        if found.held or (found.restart and connected):
            self._supervise(work)
        elif connected or builtin_gone:
            await self._attempts.record_lost(work, Report(outcome=LOST, log_whole=False))
        else:
            self._supervise(work)  # its agent may come back

    async def _sort_out_the_rest(self, agent: ConnectedAgent) -> None:
        ours = {work.attempt.id for work in self._supervised.values()} | self._collecting.keys()
        for handle, attempt in await self._adoption.strangers(agent, ours.__contains__):
            if attempt is None:
                self._executor.discard(handle)
            elif attempt.log_complete:
                self._executor.acknowledge(handle)
            else:
                await self._collect(attempt, agent.id)

    async def _collect(self, attempt: Attempt, agent_id: UUID) -> None:
        async with self._db.read() as session:
            run = await runs.get(session, attempt.run_id)
        if run is not None and self._tasks is not None:
            work = Supervised(
                run=run, attempt=attempt, agent_id=agent_id, content=None, adopted=True
            )
            self._collecting[attempt.id] = work
            work.task = self._tasks.create_task(
                self._collect_rest(work), name=f"log of run {run.id}"
            )

    async def _collect_rest(self, work: Supervised) -> None:
        try:
            await self._attempts.collect_rest(work)
        finally:
            self._collecting.pop(work.attempt.id, None)

    def _builtin_agent(self) -> ConnectedAgent | None:
        return next((a for a in self._hub.agents.values() if a.name == BUILTIN), None)

    async def _forever(self, step: LoopStep) -> None:
        """Repeat a step; an error in it is logged and tried again, never the end of the loop."""
        while True:
            try:
                await step()
            except Exception:
                log.exception("orchestrator step failed")
                await asyncio.sleep(1)


def _values(wish: SubmitRun, now: datetime) -> dict[str, Any]:
    """The columns of a queued run that are not at their defaults."""
    return {
        "id": new_id(),
        "event_id": wish.event_id,
        "owner_id": wish.owner_id,
        "revision": wish.revision,
        "status": RunStatus.QUEUED.value,
        "place": waiting.place_of(wish.content.target),
        "image": wish.content.resolved_image(),
        "trigger": wish.trigger.value,
        "triggered_by": wish.triggered_by,
        "triggered_by_name": wish.triggered_by_name,
        "hidden": wish.hidden,
        "schedule_id": wish.schedule_id,
        "fire_time": wish.fire_time,
        "priority": wish.content.priority if wish.priority is None else wish.priority,
        "created_at": now,
        "available_at": now,
        "event_name": wish.event_name,
        "search_text": _search_text(wish),
        "inputs": wish.inputs,
    }


def _fire_values(wish: SubmitRun, decision: FireDecision, now: datetime) -> dict[str, Any]:
    """All columns: plain values, because a run as an object costs most of a millisecond."""
    values = fire_rows.blank_run() | _values(wish, now)
    if not decision.runs:
        admission.skip(values, decision.why)
        return values
    values["available_at"] = max(now, decision.not_before or now)
    try:
        values |= admission.rules_of(wish.content, values)
    except KeyUnresolved as error:
        admission.skip(values, f"Skipped: {error}")
    return values


def _search_text(wish: SubmitRun) -> str:
    """What the history's text search looks in; the reason is added at the end."""
    return f"{wish.event_name} {wish.triggered_by_name} {wish.trigger.value}".lower()
