"""A simulated world for the scheduler: a clock that is set back and forward, servers that die in
the middle of a transaction, silences, pauses. The database is real, and so is the scheduler.

Everything that happens follows from the seed, but for how threads take turns.
"""

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import event as sa_event
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.domain import schedules
from cronium_app.domain.events import EventContent
from cronium_app.domain.ids import new_id
from cronium_app.executors.container import AgentHub
from cronium_app.logs.files import LogStore
from cronium_app.orchestrator.adoption import Identity
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.core import Orchestrator
from cronium_app.scheduler import GAP, Scheduler
from cronium_app.store import fires
from cronium_app.store.database import Database
from cronium_app.store.schedules import spec_of
from cronium_app.store.tables import Event, Pause, Revision, Run, Schedule, User
from tests.conftest import TravelClock
from tests.domain.oracle import Oracle, clock_of

ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Moscow"),
    *("America/New_York", "America/Chicago", "America/Los_Angeles", "America/St_Johns"),
    *("America/Havana", "America/Santiago", "America/Sao_Paulo", "America/Nuuk", "Pacific/Easter"),
    *("Africa/Cairo", "Africa/Casablanca", "Africa/Johannesburg", "Asia/Beirut", "Asia/Gaza"),
    *("Asia/Kathmandu", "Asia/Kolkata", "Asia/Tehran", "Asia/Tokyo", "Australia/Lord_Howe"),
    *(
        "Australia/Sydney",
        "Antarctica/Troll",
        "Pacific/Auckland",
        "Pacific/Chatham",
        "Pacific/Apia",
    ),
)
EXPRESSIONS = (
    *("30 2 * * *", "0 0 * * *", "15,45 0,1,2,3,23 * * *", "*/20 * * * *", "30 1 * * sun"),
    *("*/15 2 * * *", "10 */2 * * *", "5 6 * * 1-5", "0 * * * *", "59 23 * * *", "0 3 1 * *"),
)
MINUTE = timedelta(minutes=1)
SHARED = re.compile(r"([\d,]+) fires from (\S+) to (\S+) were missed")


class Died(Exception):
    """The server is gone, here and now."""


class FailingDatabase(Database):
    """Dies at the end of a write when told to: before the commit, or after it unnoticed."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.dies: str | None = None
        # Processes die here, machines do not: waiting for the disk would only take time.
        sa_event.listen(self.engine.sync_engine, "connect", self._no_waiting)

    def _no_waiting(self, connection, _record) -> None:
        connection.cursor().execute("PRAGMA synchronous=OFF").close()

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncSession]:
        async with super().write() as session:
            yield session
            if self.dies == "before":
                raise Died
        if self.dies == "after":
            raise Died


@dataclass
class Stop:
    """A pause, and from where on it must have stopped each schedule."""

    row: Pause
    from_: dict[UUID, datetime]


@dataclass
class World:
    url: str
    folder: Path
    seed: int
    days: int
    count: int
    start: datetime
    happened: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self._minute = self.start.replace(second=0)
        self.clock = TravelClock(self.start)
        self.end = self.start + timedelta(days=self.days)
        self.latest = self.start  # as far as anybody has looked
        self.stops: list[Stop] = []
        self.on_time: set[datetime] = set()  # due instants with an untroubled server
        self.rows: list[Schedule] = []
        self.owner = User(
            email="a", password_hash="", role="admin", created_at=self.start,
            password_changed_at=self.start,
        )  # fmt: skip

    # -- the beginning --

    async def prepare(self) -> None:
        content = EventContent(runtime="bash", script="true")
        events = [
            Event(owner_id=self.owner.id, name=f"e{n}", revision=1, tags=f'["t{n % 4}"]',
                  created_at=self.start, updated_at=self.start)
            for n in range(min(8, self.count))
        ]  # fmt: skip
        self.rows = [self._schedule(n, events[n % len(events)]) for n in range(self.count)]
        self.tags = {row.id: f"t{n % len(events) % 4}" for n, row in enumerate(self.rows)}
        self._open()
        async with self.db.write() as session:
            session.add(self.owner)
            await session.flush()
            session.add_all(events)
            await session.flush()
            session.add_all(
                Revision(event_id=event.id, number=1, content=content.canonical(),
                         sha256=content.sha256(), created_at=self.start)
                for event in events
            )  # fmt: skip
            session.add_all(self.rows)

    def _schedule(self, number: int, event: Event) -> Schedule:
        rng = self.rng
        row = Schedule(
            id=UUID(int=rng.getrandbits(128)), event_id=event.id, owner_id=event.owner_id,
            kind="interval" if number % 5 == 4 else "cron", anchor_at=self.start,
            timezone=ZONES[number % len(ZONES)], dst=rng.choice(["once", "skip"]),
            misfire=rng.choice(["once", "all", "skip"]),
            misfire_window_s=rng.choice([0, 600, 3600, 86_400]), jitter_s=rng.choice([0, 0, 300]),
            created_at=self.start, updated_at=self.start,
        )  # fmt: skip
        if row.kind == "cron":
            row.expression = rng.choice(EXPRESSIONS)
        else:
            row.every_s = rng.choice([600, 3600, 7 * 3600 + 13, 86_400])
        if number % 7 == 3:
            row.end_at = self.start + timedelta(days=self.days * 0.7)
        row.next_fire_at = schedules.next_fire(spec_of(row), self.start)
        return row

    def _open(self) -> None:
        """A server, or on some days two, begin anew."""
        self.db = FailingDatabase(self.url)
        self.servers = [self._server(f"s{n}") for n in range(self.rng.choice([1, 1, 2]))]

    def _server(self, name: str) -> Scheduler:
        bus = Bus()
        self.logs = LogStore(self.folder / name)
        orchestrator = Orchestrator(
            db=self.db, clock=self.clock, logs=self.logs, bus=bus,
            hub=AgentHub(self.logs, server_id=name, version="1"),
            identity=Identity(server_id=name, instance_id="1"),
        )  # fmt: skip
        self.logs.close()
        return Scheduler(db=self.db, clock=self.clock, orchestrator=orchestrator, bus=bus)

    async def _restart(self) -> None:
        self.happened["restarts"] += 1
        await self.db.close()
        self._open()

    # -- what happens --

    async def live(self) -> None:
        while self.latest < self.end:
            await self._something()
        self.clock.moment = max(self.clock.moment, self.latest)
        await self._restart()
        await self._look_all()
        await self.db.close()

    async def _something(self) -> None:
        chance = self.rng.random()
        if chance < 0.02:
            self._silence()
            await self._restart()
        elif chance < 0.05:
            self.happened["steps back"] += 1
            self.clock.travel(-self.rng.uniform(1, 7200))
        elif chance < 0.07:
            self.happened["steps forward"] += 1
            self.clock.travel(self.rng.uniform(1, self.days * 7_200))
        elif chance < 0.09:
            await self._pause()
        await self._wait_for_the_next()
        if chance > 0.93:
            await self._die_while_looking()
        else:
            await self._look_on_time()

    def _silence(self) -> None:
        self.happened["silences"] += 1
        longest = self.rng.choice([60, 3600, 21_600, self.days * 7_200])
        self.clock.travel(self.rng.uniform(1, longest))

    async def _wait_for_the_next(self) -> None:
        """As the alarm clock does, a little late."""
        async with self.db.read() as session:
            moment = await fires.earliest(session)
        late = timedelta(milliseconds=self.rng.randrange(1, 400))
        if moment is not None:
            self.clock.moment = max(self.clock.moment, moment + late)
        else:
            self.clock.travel(3600)

    async def _look_on_time(self) -> None:
        now = self.clock.now()
        await self._look_all()
        self.on_time |= {now.replace(microsecond=0)}

    async def _look_all(self) -> None:
        self.latest = max(self.latest, self.clock.now())

        async def look(server: Scheduler) -> None:
            while await server.fire_due():
                pass

        await asyncio.gather(*(look(server) for server in self.servers))
        self.happened["looks"] += 1

    async def _die_while_looking(self) -> None:
        """In one of three ways; then another server begins, at once or after a while."""
        how = self.rng.choice(["before", "after", "cancelled"])
        self.happened[f"died {how}"] += 1
        if how == "cancelled":
            work = asyncio.gather(*(server.fire_due() for server in self.servers))
            for _ in range(self.rng.randrange(1, 60)):
                await asyncio.sleep(0)
            work.cancel()
        else:
            self.db.dies = how
            work = asyncio.gather(
                *(server.fire_due() for server in self.servers), return_exceptions=True
            )
        with contextlib.suppress(asyncio.CancelledError):
            await work
        self.db.dies = None
        self.latest = max(self.latest, self.clock.now())
        if self.rng.random() < 0.5:
            self.clock.travel(self.rng.uniform(0, 120))
        await self._restart()
        await self._look_all()

    async def _pause(self) -> None:
        self.happened["pauses"] += 1
        now = self.clock.now()
        some = self.rng.choice(self.rows)
        scope, target = self.rng.choice(
            [("all", ""), ("tag", self.tags[some.id]), ("event", str(some.event_id)),
             ("schedule", str(some.id))]
        )  # fmt: skip
        row = Pause(
            id=new_id(), owner_id=self.owner.id, scope=scope, target=target, since_at=now,
            until_at=now + timedelta(seconds=self.rng.uniform(60, 86_400)), created_by_name="a",
        )  # fmt: skip
        async with self.db.write() as session:
            session.add(row)
            states = (await session.exec(select(Schedule.id, Schedule.next_fire_at))).all()
        self.stops.append(Stop(row, {id: at for id, at in states if at is not None}))

    # -- the checker --

    def due(self, row: Schedule) -> list[datetime]:
        """What the oracle says must have been dealt with."""
        until = min(self.latest, row.end_at or self.latest)
        if row.kind == "interval":
            step = timedelta(seconds=row.every_s)
            return [self.start + k * step for k in range(1, (until - self.start) // step + 1)]
        clock = clock_of(row.timezone, self._minute - 180 * MINUTE, until + MINUTE, MINUTE)
        found = Oracle(row.expression).fires(clock, row.dst)
        return [fire for fire in found if self.start < fire <= until]

    async def faults(self) -> list[str]:
        """Everything that is not as promised."""
        database = Database(self.url)
        async with database.read() as session:
            runs = (await session.exec(select(Run).order_by(col(Run.fire_time)))).all()
        await database.close()
        by_schedule: dict[UUID, list[Run]] = {row.id: [] for row in self.rows}
        for run in runs:
            by_schedule[run.schedule_id].append(run)
            self.happened["runs" if run.status == "queued" else "skips"] += 1
        found: list[str] = []
        for row in self.rows:
            name = f"{row.expression or row.every_s} {row.timezone} {row.dst} {row.misfire}"
            problems = self._accounting(row, by_schedule[row.id])
            problems += self._promises(row, by_schedule[row.id])
            found += [f"{name}: {problem}" for problem in problems]
        return found

    def _accounting(self, row: Schedule, runs: list[Run]) -> list[str]:
        """Each due instant has exactly one row, of its own or shared."""
        covered: Counter[datetime] = Counter()
        problems: list[str] = []
        due = self.due(row)
        for run in runs:
            if shared := SHARED.match(run.reason_text):
                low, high = (datetime.fromisoformat(shared[n]).astimezone(UTC) for n in (2, 3))
                inside = [at for at in due if low <= at <= high]
                covered.update(inside)
                self.happened["shared rows"] += 1
                if len(inside) != int(shared[1].replace(",", "")):
                    problems.append(f"says {shared[0]}, but there were {len(inside)}")
            else:
                covered[run.fire_time] += 1
        problems += [f"no row for {at}" for at in due if not covered[at]]
        problems += [f"{n} rows for {at}" for at, n in covered.items() if n > 1]
        return problems + [f"nothing was due {at}" for at in covered.keys() - set(due)]

    def _promises(self, row: Schedule, runs: list[Run]) -> list[str]:
        """Nothing runs later than its rule allows; what is on time runs unless it is paused."""
        window = timedelta(0 if row.misfire == "skip" else row.misfire_window_s / 86_400)
        problems: list[str] = []
        for run in runs:
            skipped = run.status == "cancelled"
            paused = self._is_paused(row, run.fire_time)
            if skipped != (run.reason == "skipped") or skipped != bool(run.reason_text):
                problems.append(f"{run.fire_time} is {run.status} for no reason")
            if not skipped and run.created_at - run.fire_time > window + GAP:
                problems.append(f"{run.fire_time} ran at {run.created_at}")
            if not skipped and paused:
                problems.append(f"{run.fire_time} ran in a pause")
            if (
                skipped
                and not run.reason_text.startswith("Paused")
                and (run.fire_time in self.on_time and run.created_at - run.fire_time < MINUTE / 60)
            ):
                problems.append(f"{run.fire_time} was on time, but {run.reason_text}")
            if not skipped and not 0 <= (run.available_at - run.fire_time).total_seconds() < max(
                row.jitter_s, (run.created_at - run.fire_time).total_seconds() + 1e-6
            ):
                problems.append(f"{run.fire_time} would start at {run.available_at}")
        return problems

    def _is_paused(self, row: Schedule, fire: datetime) -> bool:
        return any(
            stop.row.since_at <= fire < stop.row.until_at
            and fire >= stop.from_.get(row.id, fire)
            and stop.row.target in ("", self.tags[row.id], str(row.event_id), str(row.id))
            for stop in self.stops
        )
