"""Makes runs of schedules that are due. APScheduler is the alarm clock and nothing else: which
instants there are is said by `domain.schedules`, what was dealt with by `schedules.next_fire_at`.
"""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger
from pydantic import ValidationError
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.domain import misfire, schedules
from cronium_app.domain.clock import Clock
from cronium_app.domain.events import EventContent
from cronium_app.domain.misfire import FireDecision
from cronium_app.domain.runs import Trigger
from cronium_app.domain.schedules import ScheduleError, ScheduleSpec
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.core import Orchestrator, SubmitRun
from cronium_app.store import fires, runs
from cronium_app.store.database import Database
from cronium_app.store.tables import Event, Schedule

log = structlog.get_logger(__name__)

AT_ONCE = 100  # fires in one transaction: more would hold up the loop
GUARD_S = 5  # looks at the schedules this often, whatever the clock did
WAKE = "wake"
UNHEALTHY_S = 30.0


class Scheduler:
    def __init__(self, *, db: Database, clock: Clock, orchestrator: Orchestrator, bus: Bus) -> None:
        self._db = db
        self._clock = clock
        self._orchestrator = orchestrator
        self._bus = bus
        self._wanted = asyncio.Event()
        self._last_look: float | None = None

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
                self._set_alarm(alarm, await fires.earliest(session))
            self._last_look = self._clock.monotonic()
        except Exception:
            log.exception("schedules could not be looked at")  # the guard wakes us again

    def _set_alarm(self, alarm: AsyncIOScheduler, moment: datetime | None) -> None:
        if moment is None:
            try:
                alarm.remove_job(WAKE)
            except JobLookupError:
                return
        else:
            alarm.add_job(
                self.wake,
                DateTrigger(moment, timezone="UTC"),
                id=WAKE,
                replace_existing=True,
                misfire_grace_time=None,
            )

    async def fire_due(self) -> int:
        """Deal with at most 100 due fires in one transaction. Returns how many there were."""
        now = self._clock.now()
        async with self._db.write() as session:
            found = await fires.due(session, now, limit=AT_ONCE)
            contents = await self._contents(session, [event for _, event in found])
            wishes = [
                wish
                for schedule, event in found
                if (wish := self._fire(schedule, event, contents.get(event.id), now)) is not None
            ]
            made = await self._orchestrator.submit_fires(session, wishes)
            session.add_all(schedule for schedule, _ in found)
        for run in made:
            self._orchestrator.submitted(run)
        for schedule, _ in found:
            self._bus.publish("schedule", schedule.id, schedule.owner_id)
        return len(found)

    def _fire(
        self, schedule: Schedule, event: Event, content: EventContent | None, now: datetime
    ) -> tuple[SubmitRun, FireDecision] | None:
        """One fire: move the schedule on, and say what becomes of it. None: nothing."""
        fired = schedule.next_fire_at or now
        try:
            spec = _spec(schedule)
        except ScheduleError:
            log.exception("a stored schedule cannot be read", schedule=str(schedule.id))
            schedule.next_fire_at = None
            return None
        following = schedules.next_fire(spec, fired)
        decision = misfire.decide(fired, following, now)
        if not decision.runs and now - fired > misfire.WINDOW:
            following = _within_window(spec, fired, now)
        fires.moved(schedule, fired=fired, following=following)
        if content is None or not event.enabled or event.archived_at is not None:
            return None
        wish = SubmitRun(
            event_id=event.id,
            owner_id=event.owner_id,
            event_name=event.name,
            revision=event.revision,
            content=content,
            trigger=Trigger.SCHEDULE,
            triggered_by_name=schedules.describe(spec),
            schedule_id=schedule.id,
            fire_time=fired,
        )
        return wish, decision

    async def _contents(
        self, session: AsyncSession, events: list[Event]
    ) -> dict[UUID, EventContent]:
        """The newest revision of each event, read once."""
        contents: dict[UUID, EventContent] = {}
        for event in {event.id: event for event in events}.values():
            text = await runs.content_of(session, event.id, event.revision)
            try:
                contents[event.id] = EventContent.model_validate_json(text or "")
            except ValidationError:
                log.exception("a revision cannot be read", event=str(event.id))
        return contents


def _spec(schedule: Schedule) -> ScheduleSpec:
    return schedules.load(
        schedule.kind,
        anchor=schedule.anchor_at,
        expression=schedule.expression,
        every_s=schedule.every_s,
        at=schedule.at,
        timezone=schedule.timezone,
        start=schedule.start_at,
        end=schedule.end_at,
        dst=schedule.dst,
    )


def _within_window(spec: ScheduleSpec, fired: datetime, now: datetime) -> datetime | None:
    """After a long silence: the first fire that may still run. Those between are covered by the
    skip of the first missed one, so that a week without a server makes no million of rows."""
    edge = now - misfire.WINDOW - timedelta(microseconds=1)
    return schedules.next_fire(spec, max(fired, edge))
