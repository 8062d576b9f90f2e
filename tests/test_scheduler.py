"""What is due becomes runs or visible skips, once, whoever looks and however late."""

import asyncio
import time
from datetime import timedelta

import pytest
from sqlmodel import col, select

from cronium_app.domain import schedules
from cronium_app.domain.clock import SystemClock
from cronium_app.domain.events import EventContent
from cronium_app.domain.jitter import jitter
from cronium_app.executors.container import AgentHub
from cronium_app.logs.files import LogStore
from cronium_app.orchestrator.adoption import Identity
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.core import Orchestrator
from cronium_app.scheduler import Scheduler
from cronium_app.store.database import Database
from cronium_app.store.tables import Event, Revision, Run, Schedule, User


class Place:
    """A scheduler with its own orchestrator, as one server has it; nothing of it runs by itself."""

    def __init__(self, db: Database, clock, folder, name: str) -> None:
        bus = Bus()
        self.bus = bus
        self.logs = LogStore(folder / name)
        self.orchestrator = Orchestrator(
            db=db, clock=clock, logs=self.logs, bus=bus,
            hub=AgentHub(self.logs, server_id=name, version="1"),
            identity=Identity(server_id=name, instance_id="1"),
        )  # fmt: skip
        self.scheduler = Scheduler(db=db, clock=clock, orchestrator=self.orchestrator, bus=bus)


@pytest.fixture
def place(db, clock, tmp_path):
    made = Place(db, clock, tmp_path, "one")
    yield made
    made.logs.close()


@pytest.fixture
async def event(db, clock) -> Event:
    return await saved_event(db, clock)


async def saved_event(db, clock) -> Event:
    now = clock.now()
    user = User(email="a", password_hash="", role="admin", created_at=now, password_changed_at=now)
    content = EventContent(runtime="bash", script="true")
    row = Event(owner_id=user.id, name="Nightly", revision=1, created_at=now, updated_at=now)
    async with db.write() as session:
        session.add(user)
        await session.flush()
        session.add(row)
        await session.flush()
        session.add(
            Revision(event_id=row.id, number=1, content=content.canonical(),
                     sha256=content.sha256(), created_at=now)
        )  # fmt: skip
    return row


async def add_schedule(db, clock, event: Event, **columns) -> Schedule:
    now = clock.now()
    values = {
        "event_id": event.id, "owner_id": event.owner_id, "kind": "interval", "every_s": 60,
        "anchor_at": now, "created_at": now, "updated_at": now,
    } | columns  # fmt: skip
    row = Schedule(**values)
    if row.next_fire_at is None:
        spec = schedules.load(
            row.kind, anchor=row.anchor_at, expression=row.expression, every_s=row.every_s,
            at=row.at, timezone=row.timezone,
        )  # fmt: skip
        row.next_fire_at = schedules.next_fire(spec, now)
    async with db.write() as session:
        session.add(row)
    return row


async def rows(db) -> list[Run]:
    async with db.read() as session:
        return list((await session.exec(select(Run).order_by(col(Run.fire_time)))).all())


async def fire_all(place: Place) -> int:
    count = 0
    while found := await place.scheduler.fire_due():
        count += found
    return count


async def test_a_due_schedule_becomes_one_queued_run(db, clock, place, event):
    schedule = await add_schedule(db, clock, event)
    clock.travel(60.2)
    assert await fire_all(place) == 1
    assert await fire_all(place) == 0
    (run,) = await rows(db)
    assert (run.status, run.trigger, run.schedule_id) == ("queued", "schedule", schedule.id)
    assert run.fire_time == schedule.next_fire_at
    async with db.read() as session:
        after = await session.get(Schedule, schedule.id)
    assert after.next_fire_at == schedule.next_fire_at + timedelta(seconds=60)
    assert after.last_fire_at == schedule.next_fire_at


async def test_nothing_fires_before_its_time_or_for_a_disabled_event(db, clock, place, event):
    await add_schedule(db, clock, event)
    clock.travel(59.9)
    assert await fire_all(place) == 0
    async with db.write() as session:
        found = await session.get(Event, event.id)
        found.enabled = False
        session.add(found)
    clock.travel(1)
    assert await fire_all(place) == 1
    (run,) = await rows(db)
    assert (run.status, run.reason, run.attempt) == ("cancelled", "skipped", 0)
    assert run.reason_text == "Its event is switched off."


async def test_a_clock_set_back_fires_nothing_again(db, clock, place, event):
    await add_schedule(db, clock, event)
    clock.travel(61)
    await fire_all(place)
    clock.travel(-30)
    await fire_all(place)
    clock.travel(30)
    await fire_all(place)
    assert len(await rows(db)) == 1


async def test_two_servers_make_one_run_of_each_fire(db, clock, tmp_path, event):
    places = [Place(db, clock, tmp_path, name) for name in ("one", "two")]
    for _ in range(30):
        await add_schedule(db, clock, event)
    clock.travel(61)
    await asyncio.gather(*(fire_all(p) for p in places for _ in range(2)))
    assert len(await rows(db)) == 30
    for p in places:
        p.logs.close()


async def test_after_a_short_silence_the_newest_missed_fire_runs_and_the_others_are_seen(
    db, clock, place, event
):
    await add_schedule(db, clock, event)
    clock.travel(60 * 10 + 1)
    await fire_all(place)
    found = await rows(db)
    assert [run.status for run in found] == ["cancelled"] * 9 + ["queued"]
    assert {run.reason for run in found[:9]} == {"skipped"}
    assert all(run.reason_text and run.attempt == 0 for run in found[:9])


async def test_after_a_long_silence_the_oldest_fires_share_a_row(db, clock, place, event):
    await add_schedule(db, clock, event)
    clock.travel(86_400 * 7)
    await fire_all(place)
    found = await rows(db)
    assert len(found) == 901
    assert found[0].reason_text.startswith("9,180 fires from 2026-03-01T12:01:00Z to ")
    assert 9_180 + 900 == 7 * 1440
    assert {run.reason for run in found[:-1]} == {"skipped"}
    assert (found[-1].status, found[-1].fire_time) == ("queued", clock.now())


async def add_many(db, clock, event: Event, number: int) -> None:
    now = clock.now()
    async with db.write() as session:
        for n in range(number):
            session.add(
                Schedule(event_id=event.id, owner_id=event.owner_id, kind="cron",
                         expression="0 * * * *" if n % 2 else "0 9-17 * * *", anchor_at=now,
                         timezone="Europe/Paris", next_fire_at=now, created_at=now, updated_at=now)
            )  # fmt: skip


async def test_a_thousand_due_at_once_are_all_made_within_a_second(db, clock, place, event):
    await add_many(db, clock, event, 1000)
    begun = time.process_time()
    task = asyncio.create_task(fire_all(place))
    held = await longest_hold(task)
    spent = time.process_time() - begun
    assert task.result() == 1000
    found = await rows(db)
    assert len({run.schedule_id for run in found}) == len(found) == 1000
    assert {run.status for run in found} == {"queued"}
    assert spent < 1
    assert held < 0.2
    async with db.read() as session:
        left = (await session.exec(select(Schedule.next_fire_at).distinct())).all()
    assert left == [clock.now() + timedelta(hours=1)]


async def test_two_servers_share_a_thousand(db, clock, tmp_path, event):
    places = [Place(db, clock, tmp_path, name) for name in ("one", "two")]
    await add_many(db, clock, event, 1000)
    while sum(await asyncio.gather(*(fire_all(p) for p in places))):
        pass
    assert len({run.schedule_id for run in await rows(db)}) == len(await rows(db)) == 1000
    for p in places:
        p.logs.close()


async def test_a_run_starts_later_by_its_jitter_wherever_it_is_made(db, clock, tmp_path, event):
    schedule = await add_schedule(db, clock, event, jitter_s=600)
    clock.travel(60)
    place = Place(db, clock, tmp_path, "one")
    await fire_all(place)
    place.logs.close()
    (run,) = await rows(db)
    assert run.fire_time == clock.now()
    assert run.available_at == clock.now() + jitter(schedule.id, clock.now(), 600)
    assert run.available_at > clock.now()


@pytest.mark.parametrize(("rule", "runs"), [("once", 1), ("all", 5), ("skip", 0)])
async def test_a_restart_makes_up_for_fires_by_the_rule(sqlite_db, clock, tmp_path, rule, runs):
    event = await saved_event(sqlite_db, clock)
    await add_schedule(sqlite_db, clock, event, misfire=rule)
    clock.travel(60 * 5 + 30)
    place = Place(sqlite_db, clock, tmp_path, "again")
    await fire_all(place)
    clock.travel(30)
    for _ in range(2):  # somebody is there now, so this one is simply run
        await fire_all(place)
        clock.travel(5)
    found = await rows(sqlite_db)
    assert [run.status for run in found].count("queued") == runs + 1
    assert len(found) == 6
    assert all(run.reason_text.startswith("Missed") for run in found if run.reason)
    place.logs.close()


async def test_a_machine_that_slept_missed_its_fires(sqlite_db, clock, tmp_path):
    event = await saved_event(sqlite_db, clock)
    await add_schedule(sqlite_db, clock, event, misfire="skip")
    place = Place(sqlite_db, clock, tmp_path, "one")
    await fire_all(place)
    clock.travel(70)  # nobody looked for more than 15 seconds
    await fire_all(place)
    assert [run.status for run in await rows(sqlite_db)] == ["cancelled"]
    place.logs.close()


async def test_a_busy_machine_misses_nothing(sqlite_db, clock, tmp_path):
    event = await saved_event(sqlite_db, clock)
    await add_schedule(sqlite_db, clock, event, misfire="skip", every_s=4)
    place = Place(sqlite_db, clock, tmp_path, "one")
    for _ in range(3):
        await fire_all(place)
        clock.travel(12)
    await fire_all(place)
    assert [run.status for run in await rows(sqlite_db)] == ["queued"] * 9
    place.logs.close()


async def test_a_schedule_that_cannot_be_read_says_so_and_ends(db, clock, place, event):
    await add_schedule(
        db, clock, event, kind="cron", expression="nonsense", next_fire_at=clock.now()
    )
    await fire_all(place)
    (run,) = await rows(db)
    assert run.reason_text.startswith("The schedule cannot be read any more: ")
    assert await fire_all(place) == 0


async def longest_hold(task: asyncio.Task) -> float:
    """Seconds of its own CPU time for which the event loop came to nothing else meanwhile."""
    worst = 0.0
    while not task.done():
        begun = time.thread_time()  # not the time that other processes take
        await asyncio.sleep(0.002)
        worst = max(worst, time.thread_time() - begun)
    return worst


async def test_the_alarm_clock_wakes_it_in_time(sqlite_db, tmp_path):
    clock = SystemClock()
    now = clock.now()
    row = await saved_event(sqlite_db, clock)
    place = Place(sqlite_db, clock, tmp_path, "one")
    due = now + timedelta(seconds=0.4)
    task = asyncio.create_task(place.scheduler.run())
    with place.bus.subscribe() as changes:
        await add_schedule(sqlite_db, clock, row, every_s=3600, next_fire_at=due)
        place.scheduler.wake()
        async with asyncio.timeout(4):  # the guard alone would need five seconds
            async for change in changes:
                if change.noun == "run":
                    break
    assert place.scheduler.healthy
    (run,) = await rows(sqlite_db)
    assert run.created_at - due < timedelta(seconds=1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    place.logs.close()
