"""Makes runs of schedules that are due. APScheduler is the alarm clock and nothing else: which
instants there are is said by `domain.schedules`, what becomes of them by `domain.misfire`, what
was dealt with by `schedules.next_fire_at`.
"""

import asyncio
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.domain import misfire, pauses, schedules
from cronium_app.domain.clock import Clock
from cronium_app.domain.events import EventContent
from cronium_app.domain.misfire import FireDecision, FireRules
from cronium_app.domain.pauses import Pause
from cronium_app.domain.runs import Trigger
from cronium_app.domain.schedules import ScheduleError, ScheduleSpec
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.core import Orchestrator, SubmitRun, Submitted
from cronium_app.store import fires
from cronium_app.store import pauses as pause_rows
from cronium_app.store.database import Database
from cronium_app.store.fires import DueSchedule, Move
from cronium_app.store.pauses import pause_of
from cronium_app.store.schedules import spec_of

log = structlog.get_logger(__name__)

AT_ONCE = 500  # rows in one transaction: more would hold up everybody else's
FEW = 20  # schedules that are planned on the loop itself: about 2 ms
GUARD_S = 5  # looks at the schedules this often, whatever the clock did
GAP = timedelta(seconds=15)  # not looked for longer than this: nobody was there
AGAIN = timedelta(milliseconds=50)
WAKE = "wake"
UNHEALTHY_S = 30.0
KEPT = 5_000  # schedules and contents that are remembered as they were read


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """What becomes of the due fires of one schedule, and as of which state of it."""

    schedule: DueSchedule
    fires: Sequence[tuple[SubmitRun, FireDecision]]
    move: Move


class Scheduler:
    def __init__(self, *, db: Database, clock: Clock, orchestrator: Orchestrator, bus: Bus) -> None:
        self._db = db
        self._clock = clock
        self._orchestrator = orchestrator
        self._bus = bus
        self._planner = _Planner()
        self._wanted = asyncio.Event()
        self._last_look: float | None = None
        self._seen: datetime | None = None  # when we last dealt with everything we found
        self._awake_since: datetime | None = None

    @property
    def healthy(self) -> bool:
        """It looked at the schedules a short while ago, and the database answered."""
        last = self._last_look
        return last is not None and self._clock.monotonic() - last < UNHEALTHY_S

    def wake(self) -> None:
        """A schedule was saved: look again."""
        self._wanted.set()

    async def run(self) -> None:
        """Endless."""
        alarm = AsyncIOScheduler(timezone="UTC")
        alarm.add_job(
            self.wake,
            IntervalTrigger(seconds=GUARD_S, timezone="UTC"),
            coalesce=True,
            misfire_grace_time=None,
        )
        alarm.start()
        try:
            while True:
                self._wanted.clear()
                await self._look(alarm)
                await self._wanted.wait()
        finally:
            alarm.shutdown(wait=False)

    async def _look(self, alarm: AsyncIOScheduler) -> None:
        try:
            while await self.fire_due():
                pass
            async with self._db.read() as session:
                moment = await fires.earliest(session)
            self._set_alarm(alarm, moment)
        except Exception:
            log.exception("schedules could not be looked at")  # the guard wakes us again

    def _set_alarm(self, alarm: AsyncIOScheduler, moment: datetime | None) -> None:
        if moment is None:
            try:
                alarm.remove_job(WAKE)
            except JobLookupError:
                return
        else:
            # What is due and was not dealt with is in another server's hands.
            soon = self._clock.now() + AGAIN
            alarm.add_job(
                self.wake,
                DateTrigger(moment if moment > soon - AGAIN else soon, timezone="UTC"),
                id=WAKE,
                replace_existing=True,
                misfire_grace_time=None,
            )

    async def fire_due(self) -> int:
        """Deal with due fires, at most 500 in one transaction. Returns the number of schedules.

        What becomes of them is worked out before the transaction and beside the loop; a schedule
        that was changed or taken by another server meanwhile is left for the next look.
        """
        now = self._clock.now()
        awake_since = self._present(now)
        async with self._db.read() as session:
            found = await fires.due(session, now, limit=AT_ONCE)
            around = await self._planner.look_around(session, found, now)
        planned = await self._plan(found, around, now, awake_since)
        dealt: list[_Planned] = []
        made: list[Submitted] = []
        if planned:
            async with self._db.write() as session:
                states = await fires.lock(session, [p.schedule.id for p in planned])
                dealt = [p for p in planned if states.get(p.schedule.id) == p.schedule.version]
                made = await self._record(session, dealt)
        self._seen, self._last_look = self._clock.now(), self._clock.monotonic()
        self.announce(made)
        for plan in dealt:
            self._bus.publish("schedule", plan.schedule.id, plan.schedule.owner_id)
        return len(dealt)

    async def settle(
        self, session: AsyncSession, schedule_ids: Collection[UUID]
    ) -> list[Submitted]:
        """Deal with what is due of these schedules inside the caller's write transaction: before
        they are changed or deleted, so that a fire of this very second is not lost. Call
        `announce` after the commit."""
        now = self._clock.now()
        awake_since = self._present(now)
        made: list[Submitted] = []
        while found := await fires.due_of(session, schedule_ids, now):
            around = await self._planner.look_around(session, found, now)
            made += await self._record(session, await self._plan(found, around, now, awake_since))
        return made

    def announce(self, made: Collection[Submitted]) -> None:
        """After the commit."""
        for run in made:
            self._orchestrator.submitted(run)

    def _present(self, now: datetime) -> datetime:
        """From when on the schedules have been looked at without a break. The machine may have
        slept, its clock may have been set, the database may have been away."""
        if self._awake_since is None or self._seen is None or now - self._seen > GAP:
            self._awake_since = now
        self._awake_since = min(self._awake_since, now)
        return self._awake_since

    async def _plan(
        self, found: list[DueSchedule], around: "_Around", now: datetime, awake_since: datetime
    ) -> list[_Planned]:
        if not found:
            return []
        oldest = min(row.next_fire_at for row in found)
        if len(found) <= FEW and now - oldest < GAP:  # quicker than changing threads
            return self._planner.plan(found, around, now, awake_since)
        return await asyncio.to_thread(self._planner.plan, found, around, now, awake_since)

    async def _record(self, session: AsyncSession, planned: list[_Planned]) -> list[Submitted]:
        made = await self._orchestrator.submit_fires(
            session, [fire for plan in planned for fire in plan.fires]
        )
        await fires.move(session, [plan.move for plan in planned])
        return made


@dataclass(frozen=True, kw_only=True)
class _Around:
    """What else counts for due schedules: their events' contents, and pauses."""

    contents: dict[tuple[UUID, int], EventContent]
    pauses: tuple[Pause, ...]


class _Planner:
    """Says what becomes of due schedules. Remembers what it read: rules and contents change seldom,
    and taking them apart costs more than the fire itself."""

    def __init__(self) -> None:
        self._contents: dict[tuple[UUID, int], EventContent] = {}
        self._specs: dict[tuple[UUID, datetime], tuple[ScheduleSpec, str]] = {}

    async def look_around(
        self, session: AsyncSession, found: Sequence[DueSchedule], now: datetime
    ) -> _Around:
        if not found:
            return _Around(contents={}, pauses=())
        wanted = {(row.event_id, row.event_revision) for row in found}
        texts = await fires.contents(session, wanted - self._contents.keys())
        if len(self._contents) + len(texts) > KEPT:
            self._contents.clear()
            texts = await fires.contents(session, wanted)
        for key, text in texts.items():
            try:
                self._contents[key] = EventContent.model_validate_json(text)
            except ValidationError:
                log.exception("a revision cannot be read", event=str(key[0]), revision=key[1])
        oldest = min(row.next_fire_at for row in found)
        owners = {row.owner_id for row in found}
        stops = await pause_rows.since(session, owners, min(oldest, now))
        return _Around(
            contents={key: self._contents[key] for key in wanted & self._contents.keys()},
            pauses=tuple(pause_of(row) for row in stops),
        )

    def plan(
        self, found: list[DueSchedule], around: _Around, now: datetime, awake_since: datetime
    ) -> list[_Planned]:
        """At most AT_ONCE fires altogether; schedules beyond that are left for the next look."""
        planned: list[_Planned] = []
        room = AT_ONCE
        for row in found:
            if room <= 0:
                break
            plan = self._plan_one(row, around, now, awake_since, room)
            room -= len(plan.fires)
            planned.append(plan)
        return planned

    def _plan_one(
        self, row: DueSchedule, around: _Around, now: datetime, awake_since: datetime, limit: int
    ) -> _Planned:
        content = around.contents.get((row.event_id, row.event_revision))
        try:
            spec, words = self._spec(row)
        except ScheduleError as error:
            log.exception("a stored schedule cannot be read", schedule=str(row.id))
            why = f"The schedule cannot be read any more: {error.message}"
            wish = _wish(row, content, "", row.next_fire_at)
            skip = FireDecision(runs=False, why=why)
            return _Planned(
                schedule=row, fires=[(wish, skip)], move=(row.id, row.next_fire_at, None)
            )
        plan = misfire.plan(
            _rules(row, spec, around, content),
            row.next_fire_at,
            now=now,
            awake_since=awake_since,
            limit=limit,
        )
        return _Planned(
            schedule=row,
            fires=[(_wish(row, content, words, fire.at), fire.decision) for fire in plan.fires],
            move=(row.id, plan.fires[-1].at, plan.following),
        )

    def _spec(self, row: DueSchedule) -> tuple[ScheduleSpec, str]:
        key = (row.id, row.updated_at)
        if (known := self._specs.get(key)) is None:
            spec = spec_of(row)
            if len(self._specs) >= KEPT:
                self._specs.clear()
            known = self._specs[key] = spec, schedules.describe(spec)
        return known


def _rules(
    row: DueSchedule, spec: ScheduleSpec, around: _Around, content: EventContent | None
) -> FireRules:
    stops = (
        pauses.concerning(
            around.pauses,
            owner_id=row.owner_id,
            schedule_id=row.id,
            event_id=row.event_id,
            tags=json.loads(row.event_tags),
        )
        if around.pauses
        else ()
    )
    return FireRules(
        schedule_id=row.id,
        spec=spec,
        misfire=misfire.rule_of(row.misfire),
        window=timedelta(seconds=row.misfire_window_s),
        jitter_s=row.jitter_s,
        pauses=stops,
        stopped=_stopped(row, content),
    )


def _stopped(row: DueSchedule, content: EventContent | None) -> str:
    """Saving an event moves its schedules, so these are for what slipped through."""
    if row.event_archived_at is not None:
        return "Its event is in the archive."
    if not row.event_enabled:
        return "Its event is switched off."
    if row.event_draft:
        return "Its event has never been saved."
    if content is None:
        return f"Revision {row.event_revision} of its event cannot be read."
    return ""


def _wish(row: DueSchedule, content: EventContent | None, words: str, fire: datetime) -> SubmitRun:
    return SubmitRun(
        event_id=row.event_id,
        owner_id=row.owner_id,
        event_name=row.event_name,
        revision=row.event_revision,
        content=content or _UNREADABLE,
        trigger=Trigger.SCHEDULE,
        triggered_by_name=words,
        schedule_id=row.id,
        fire_time=fire,
    )


_UNREADABLE = EventContent(runtime="bash", script="")  # never runs: its fires are skips
