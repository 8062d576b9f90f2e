"""The queue: never more than its limits, fair, and the same on both databases."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from agent.jobs import Outcome, Reason
from cronium_app.domain.ids import new_id
from cronium_app.domain.outcomes import Circumstances, describe
from cronium_app.domain.overlap import Unfinished
from cronium_app.store import queue, runs
from cronium_app.store.database import Database
from cronium_app.store.runs import AttemptEnd, Hold, LogSummary
from cronium_app.store.tables import Event, QueueLane, QueueTurn, Run

LEASE = timedelta(seconds=15)
AGENT = new_id()


async def claim(db: Database, clock, **more: Any) -> Run | None:
    async with db.write() as session:
        return await runs.claim(
            session, owner="one/1", now=clock.now(), lease_until=clock.now() + LEASE,
            places=["container"], **more,
        )  # fmt: skip


async def hold(db: Database, clock, owner: str = "one/1") -> tuple[Run, Hold] | None:
    async with db.write() as session:
        run = await runs.claim(
            session, owner=owner, now=clock.now(), lease_until=clock.now() + LEASE,
            places=["container"],
        )  # fmt: skip
        if run is None:
            return None
        attempt = await runs.start_attempt(
            session, run, agent_id=AGENT, log_home="one", now=clock.now()
        )
        return run, runs.hold_of(run, attempt)


def end_of(clock, code: int = 0) -> AttemptEnd:
    outcome = Outcome(reason=Reason.EXITED, exit_code=code)
    return AttemptEnd(
        ending=describe(outcome, Circumstances()), outcome=outcome, report=b"", now=clock.now(),
        log=LogSummary(length=0, lines=0, complete=True),
    )  # fmt: skip


async def finish(db: Database, clock, held: Hold) -> bool:
    async with db.write() as session:
        return await runs.finish(session, held, end_of(clock), duration_ms=1)


@pytest.fixture
async def events(db: Database, clock, event: Event) -> list[Event]:
    """Three of them; the first is the one that `add_run` uses."""
    more = [
        Event(owner_id=event.owner_id, name=name, revision=1, created_at=clock.now(),
              updated_at=clock.now())
        for name in ("Release", "Report")
    ]  # fmt: skip
    async with db.write() as session:
        session.add_all(more)
    return [event, *more]


# --- order ---


async def test_events_take_turns(db, clock, add_run, events):
    many, one, other = events
    for _ in range(6):
        await add_run(event_id=many.id)
    clock.travel(1)
    await add_run(event_id=one.id)
    await add_run(event_id=other.id)
    await add_run(event_id=other.id)
    order = [(await claim(db, clock)).event_id for _ in range(9)]
    names = {many.id: "m", one.id: "o", other.id: "r"}
    assert "".join(names[i] for i in order) == "mormrmmmm"


async def test_an_event_that_comes_one_by_one_does_not_overtake(db, clock, add_run, events):
    many, one, _ = events
    for _ in range(3):
        await add_run(event_id=many.id)
    served: list[Any] = []
    for _ in range(4):
        await add_run(event_id=one.id)
        served.append((await claim(db, clock)).event_id)
    assert served == [many.id, one.id, many.id, one.id]


async def test_runs_of_an_event_go_in_order_of_arrival(db, clock, add_run):
    added = []
    for image in ("cronium/bash", "cronium/python", "cronium/bash"):
        added.append((await add_run(image=image)).id)
        clock.travel(1)
    assert [(await claim(db, clock)).id for _ in added] == added


async def test_what_is_empty_leaves_no_lane_behind(db, clock, add_run):
    for number in range(5):
        await add_run(group_key=f"k{number}", group_limit=1)
    while await claim(db, clock):
        pass
    async with db.read() as session:
        assert (await session.exec(select(QueueLane))).all() == []
        assert (await session.exec(select(QueueTurn))).all() == []


async def test_cancelled_runs_do_not_hide_those_behind_them(db, clock, add_run):
    gone = [await add_run(group_key=f"k{n}", group_limit=1) for n in range(20)]
    last = await add_run(priority=-1)
    async with db.write() as session:
        await queue.sort_in(session)
    async with db.write() as session:
        for run in gone:
            assert await runs.cancel_queued(
                session, run.id, owner_id=run.owner_id, by="a", reason_text="", now=clock.now()
            )
    assert (await claim(db, clock)).id == last.id


# --- limits ---


async def test_a_group_has_so_many_holders_across_events(db, clock, add_run, events):
    for event in events:
        await add_run(event_id=event.id, group_key="deploy", group_limit=2)
    clock.travel(1)
    free = await add_run(event_id=events[0].id)
    first, second, third = [await hold(db, clock) for _ in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    assert [first[0].group_key, second[0].group_key] == ["deploy", "deploy"]
    assert third[0].id == free.id
    assert await claim(db, clock) is None
    assert await finish(db, clock, first[1])
    assert (await claim(db, clock)).group_key == "deploy"


async def test_another_key_is_another_group(db, clock, add_run):
    await add_run(group_key="prod", group_limit=1)
    await add_run(group_key="test", group_limit=1)
    assert await claim(db, clock) is not None
    assert await claim(db, clock) is not None


async def test_an_exclusive_run_waits_for_any_other_of_its_event(db, clock, add_run):
    await add_run(hidden=True)
    await add_run(exclusive=True)
    await add_run(exclusive=True)
    for _ in range(3):
        held = await hold(db, clock)
        assert held is not None
        assert await claim(db, clock) is None
        assert await finish(db, clock, held[1])


async def test_between_two_tries_no_other_run_of_the_event_slips_in(db, clock, add_run):
    first = await add_run(exclusive=True)
    clock.travel(1)
    await add_run(exclusive=True)
    held = await hold(db, clock)
    assert held is not None
    async with db.write() as session:
        later = clock.now() + timedelta(seconds=40)
        assert await runs.requeue(
            session, held[1], end_of(clock, 1), available_at=later, counted=True
        )
    assert await claim(db, clock) is None
    clock.travel(40)
    assert (await claim(db, clock)).id == first.id


async def test_the_whole_server_has_a_limit(db, clock, add_run):
    for _ in range(4):
        await add_run()
    got = [await claim(db, clock, server_limit=2) for _ in range(3)]
    assert [run is not None for run in got] == [True, True, False]


async def test_who_holds_is_known(db, clock, add_run, event):
    await add_run(group_key="k", group_limit=1, event_name="Nightly")
    held = await hold(db, clock)
    assert held is not None
    async with db.read() as session:
        (holder,) = await queue.holders(session)
    assert (holder.run_id, holder.event_id, holder.event_name) == (
        held[0].id,
        event.id,
        "Nightly",
    )
    assert (holder.group_key, holder.since) == ("k", clock.now())


# --- at the door ---


async def test_unfinished_runs_are_counted_without_tests(db, clock, add_run, events):
    for _ in range(5):
        await add_run()
    await add_run(hidden=True)
    for _ in range(2):
        await hold(db, clock)
    event, other, _ = events
    async with db.read() as session:
        counted = await queue.unfinished(session, [event.id, other.id], at_most=100)
        assert counted == {event.id: Unfinished(begun=2, waiting=3), other.id: Unfinished()}
        (capped,) = (await queue.unfinished(session, [event.id], at_most=2)).values()
        assert capped.waiting == 2


async def test_the_newest_takes_the_place_of_the_others(db, clock, add_run, events):
    running = await add_run()
    assert await claim(db, clock) is not None
    waiting, test = await add_run(), await add_run(hidden=True)
    elsewhere = await add_run(event_id=events[1].id)
    new = await add_run()
    async with db.write() as session:
        found = await queue.replace_older(session, new.event_id, [new.id], now=clock.now())
    assert found == ([waiting.id], [running.id])
    async with db.read() as session:
        rows = {run.id: run for run in (await session.exec(select(Run))).all()}
    assert (rows[waiting.id].status, rows[waiting.id].reason) == ("cancelled", "replaced")
    assert (rows[running.id].status, rows[running.id].stop_reason) == ("running", "replaced")
    assert {rows[i].status for i in (test.id, elsewhere.id, new.id)} == {"queued"}


async def test_a_run_that_waited_too_long_expires(db, clock, add_run):
    late = await add_run(expires_at=clock.now() + timedelta(seconds=10))
    begun = await add_run(expires_at=clock.now() + timedelta(seconds=10), priority=1)
    held = await hold(db, clock)
    assert held is not None
    async with db.write() as session:
        assert await runs.requeue(
            session, held[1], end_of(clock, 1), available_at=clock.now(), counted=True
        )
        assert await queue.expire(session, clock.now()) == []
        await queue.sort_in(session)
        assert await queue.next_moment(session, clock.now()) == late.expires_at
    clock.travel(10)
    async with db.write() as session:
        assert await queue.expire(session, clock.now()) == [(late.id, late.owner_id)]
    async with db.read() as session:
        row = await runs.get(session, late.id)
    assert row is not None
    assert (row.status, row.reason) == ("cancelled", "expired")
    assert (await claim(db, clock)).id == begun.id


# --- many at once ---


LIMITS = {"g": 2, "h": 1, "": 0}


class Claimers:
    """Workers that claim, run, end, retry, give back, and now and then die between two
    transactions. What runs at any moment is noted outside the database and held against it."""

    def __init__(self, db: Database, clock, total: int, seed: int) -> None:
        self.db, self.clock, self.total = db, clock, total
        self.rng = random.Random(seed)
        self.now_running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.started: Counter[Any] = Counter()
        self.ended = 0
        self.claims = 0
        self.dead: list[tuple[Run, Hold]] = []  # to be adopted

    def _start(self, run: Run) -> None:
        for name in self._names(run):
            self.now_running[name] += 1
            self.most[name] = max(self.most[name], self.now_running[name])
        beside = self.now_running[f"event {run.event_id}"]
        if beside > 1 and self.now_running[f"alone {run.event_id}"]:
            self.most["beside an exclusive one"] += 1

    def _stop(self, run: Run) -> None:
        for name in self._names(run):
            self.now_running[name] -= 1

    def _names(self, run: Run) -> list[str]:
        alone = [f"alone {run.event_id}"] if run.exclusive else []
        return [f"group {run.group_key}", f"event {run.event_id}", *alone, "all"]

    async def work(self, name: str) -> None:
        while self.ended < self.total:
            if self.dead and self.rng.random() < 0.5:
                await self._end(*self.dead.pop())
                continue
            try:
                held = await self._claimed(name)
            except asyncio.CancelledError:
                continue
            if held is None:
                await asyncio.sleep(0.002)
                continue
            self._start(held[0])
            await asyncio.sleep(0)
            if self.rng.random() < 0.2:
                self.dead.append(held)  # it died: the job goes on, somebody else ends it
            else:
                await self._end(*held)

    async def _claimed(self, name: str) -> tuple[Run, Hold] | None:
        self.claims += 1
        name = f"{name}{self.claims}"
        task = asyncio.create_task(hold(self.db, self.clock, f"{name}/x"))
        if self.rng.random() < 0.1:  # cancelled at any point of the claim
            for _ in range(self.rng.randrange(12)):
                await asyncio.sleep(0)
            task.cancel()
        held = await asyncio.gather(task, return_exceptions=True)
        if isinstance(held[0], asyncio.CancelledError):
            await self._adopt_the_unknown(name)
            return None
        if isinstance(held[0], BaseException):
            raise held[0]
        return held[0]

    async def _adopt_the_unknown(self, name: str) -> None:
        """A claim that was committed although its caller never heard of it."""
        async with self.db.write() as session:
            taken = await runs.take_over(
                session, owner=f"{name}+", earlier_self=f"{name}/", agent_ids=[], now=self.clock.now(),
                until=self.clock.now() + LEASE,
            )  # fmt: skip
        for run, attempt in taken:
            self._start(run)
            self.dead.append((run, runs.hold_of(run, attempt)))

    async def _end(self, run: Run, held: Hold) -> None:
        self._stop(run)
        choice = self.rng.random()
        async with self.db.write() as session:
            if choice < 0.1:
                done = await runs.give_back(session, held, available_at=self.clock.now())
            elif choice < 0.3:
                done = await runs.requeue(
                    session, held, end_of(self.clock, 1), available_at=self.clock.now(),
                    counted=True,
                )  # fmt: skip
            else:
                done = await runs.finish(session, held, end_of(self.clock), duration_ms=1)
                self.ended += done
        if done and choice >= 0.1:
            self.started[run.id] += 1


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", [7])
async def test_no_limit_is_ever_exceeded(database_url, db, clock, add_run, events, seed):
    """Two servers (two pools) with many claimers each, some of which die."""
    total = 120
    rng = random.Random(seed)
    for _ in range(total):
        group = rng.choice(list(LIMITS))
        await add_run(
            event_id=rng.choice(events).id, group_key=group, group_limit=LIMITS[group],
            exclusive=rng.random() < 0.5, priority=rng.choice([0, 0, 3]),
        )  # fmt: skip
    claimers = Claimers(db, clock, total, seed)
    other = Database(database_url)
    second = Claimers(other, clock, total, seed + 1)
    for name in ("now_running", "most", "started", "dead"):
        setattr(second, name, getattr(claimers, name))
    try:
        async with asyncio.TaskGroup() as tasks:
            workers = [tasks.create_task(claimers.work(f"a{n}/")) for n in range(6)]
            if not db.is_sqlite:
                workers += [tasks.create_task(second.work(f"b{n}/")) for n in range(6)]
            while claimers.ended + second.ended < total:
                await asyncio.sleep(0.02)
            claimers.total = second.total = 0
    finally:
        await other.close()
    async with db.read() as session:
        states = Counter((await session.exec(select(Run.status))).all())
    assert states == {"succeeded": total}
    for group, limit in LIMITS.items():
        assert not group or claimers.most[f"group {group}"] <= limit
    assert not claimers.most["beside an exclusive one"]
    assert claimers.most["all"] >= 2
