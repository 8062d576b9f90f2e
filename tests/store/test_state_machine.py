"""Two servers do whatever they like in any order; the store must agree with the plain model."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import col, delete, select

from agent.jobs import Outcome, Reason
from cronium_app.domain.ids import new_id
from cronium_app.domain.outcomes import Circumstances, describe
from cronium_app.domain.runs import LEASE_S, TRANSITIONS, RunStatus
from cronium_app.store import runs
from cronium_app.store.database import Database
from cronium_app.store.runs import AttemptEnd, Hold, LogSummary
from cronium_app.store.tables import Event, Run, User
from tests.conftest import START

OWNERS = st.sampled_from(["one", "two"])
AGENT = new_id()
LEASE = timedelta(seconds=LEASE_S)


@dataclass
class Believed:
    """What the model knows of a run."""

    status: RunStatus = RunStatus.QUEUED
    fence: int = 0
    owner: str = ""
    lease_until: Any = None
    stopping: bool = False
    attempts: int = 0
    infra: int = 0
    event: int = 0
    priority: int = 0
    exclusive: bool = False
    group: str = ""
    limit: int = 0
    available_at: Any = START

    @property
    def running(self) -> bool:
        return self.status is RunStatus.RUNNING

    def becomes(self, status: RunStatus) -> None:
        assert status in TRANSITIONS[self.status]
        self.status = status


class TwoServers(RuleBasedStateMachine):
    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.db = self.runner.run(self._open())
        self.now = START
        self.model: dict[UUID, Believed] = {}
        self.holds: list[tuple[str, Hold]] = []  # also those that are void by now

    async def _open(self) -> Database:
        db = Database(self.url)
        user = User(
            email="a", password_hash="", role="admin", created_at=START, password_changed_at=START
        )
        self.events = [
            Event(owner_id=user.id, name=name, revision=1, created_at=START, updated_at=START)
            for name in "EF"
        ]
        async with db.write() as session:
            await session.exec(delete(Run))
            await session.exec(delete(Event))
            await session.exec(delete(User))
            session.add(user)
            await session.flush()
            session.add_all(self.events)
        return db

    def teardown(self) -> None:
        self.runner.run(self.db.close())
        self.runner.close()

    def write(self, work) -> Any:
        async def transaction() -> Any:
            async with self.db.write() as session:
                return await work(session)

        return self.runner.run(transaction())

    # --- what servers and people do ---

    @rule(seconds=st.sampled_from([1, 10, 20]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(
        event=st.sampled_from([0, 1]), priority=st.sampled_from([0, 0, 5]), exclusive=st.booleans(),
        group=st.sampled_from(["", "g", "h"]), limit=st.sampled_from([1, 2]),
    )  # fmt: skip
    def submit(self, event: int, priority: int, exclusive: bool, group: str, limit: int) -> None:
        row = self.events[event]
        run = Run(
            event_id=row.id, owner_id=row.owner_id, revision=1, status="queued", trigger="manual",
            created_at=self.now, available_at=self.now, priority=priority, exclusive=exclusive,
            group_key=group, group_limit=limit if group else 0,
        )  # fmt: skip
        assert self.write(lambda session: runs.insert(session, run))
        self.model[run.id] = Believed(
            event=event, priority=priority, exclusive=exclusive, group=group, limit=limit,
            available_at=self.now,
        )  # fmt: skip

    def _free(self, run_id: UUID) -> bool:
        """Whether nothing holds up this queued run."""
        wanted = self.model[run_id]
        others = [b for i, b in self.model.items() if i != run_id]
        beside = [b for b in others if b.running and b.event == wanted.event]
        if not wanted.attempts:  # one between two tries is under way, too
            beside += [
                b for b in others
                if b.status is RunStatus.QUEUED and b.attempts and b.event == wanted.event
            ]  # fmt: skip
        held = sum(b.running and b.group == wanted.group for b in others)
        return (
            wanted.status is RunStatus.QUEUED
            and wanted.available_at <= self.now
            and not (wanted.exclusive and beside)
            and not any(b.exclusive for b in beside)
            and not (wanted.group and held >= wanted.limit)
        )

    @rule(owner=OWNERS)
    def claim(self, owner: str) -> None:
        async def claim(session) -> tuple[Run, Hold] | None:
            run = await runs.claim(
                session, owner=f"{owner}/1", now=self.now, lease_until=self.now + LEASE,
                places=["container"],
            )  # fmt: skip
            if run is None:
                return None
            attempt = await runs.start_attempt(
                session, run, agent_id=AGENT, log_home=owner, now=self.now
            )
            return run, runs.hold_of(run, attempt)

        got = self.write(claim)
        free = {i for i in self.model if self._free(i)}
        assert (got is not None) == bool(free)
        if got is not None:
            run, hold = got
            believed = self.model[run.id]
            assert run.id in free
            assert believed.priority == max(self.model[i].priority for i in free)
            believed.becomes(RunStatus.RUNNING)
            believed.fence += 1
            believed.attempts += 1
            believed.owner, believed.lease_until = owner, self.now + LEASE
            self.holds.append((owner, hold))

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), outcome=st.sampled_from([Reason.EXITED, Reason.CRASHED]))
    def finish(self, data, outcome: Reason) -> None:
        _, hold = data.draw(st.sampled_from(self.holds))
        ended = Outcome(reason=outcome, exit_code=0)
        end = self._end(ended)
        done = self.write(lambda session: runs.finish(session, hold, end, duration_ms=1))
        believed = self.model[hold.run_id]
        assert done == self._valid(hold)
        if done:
            believed.becomes(end.ending.status)

    def _end(self, outcome: Outcome) -> AttemptEnd:
        return AttemptEnd(
            ending=describe(outcome, Circumstances()), outcome=outcome, report=b"", now=self.now,
            log=LogSummary(length=0, lines=0, complete=True),
        )  # fmt: skip

    @precondition(lambda self: self.holds)
    @rule(data=st.data(), wait=st.sampled_from([0, 15]), counted=st.booleans())
    def retry(self, data, wait: int, counted: bool) -> None:
        _, hold = data.draw(st.sampled_from(self.holds))
        end = self._end(Outcome(reason=Reason.EXITED, exit_code=1))
        at = self.now + timedelta(seconds=wait)
        done = self.write(lambda s: runs.requeue(s, hold, end, available_at=at, counted=counted))
        believed = self.model[hold.run_id]
        assert done == (self._valid(hold) and not believed.stopping)
        if done:
            believed.becomes(RunStatus.QUEUED)
            believed.available_at = at
            believed.infra += not counted

    @precondition(lambda self: self.model)
    @rule(data=st.data(), up=st.booleans())
    def between_tries(self, data, up: bool) -> None:
        """Somebody wants the next try now, or no further one."""
        run_id = data.draw(st.sampled_from(sorted(self.model)))
        believed = self.model[run_id]
        waits = believed.status is RunStatus.QUEUED and believed.attempts > 0
        if up:
            done = self.write(
                lambda s: runs.give_up(
                    s, run_id, owner_id=self.events[0].owner_id, by="a", now=self.now
                )
            )
            assert done == waits
            if done:
                believed.becomes(RunStatus.FAILED)
        else:
            done = self.write(
                lambda s: runs.try_now(s, run_id, owner_id=self.events[0].owner_id, now=self.now)
            )
            assert done == (waits and believed.available_at > self.now)
            if done:
                believed.available_at = self.now

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def give_back(self, data) -> None:
        _, hold = data.draw(st.sampled_from(self.holds))
        done = self.write(lambda session: runs.give_back(session, hold, available_at=self.now))
        believed = self.model[hold.run_id]
        assert done == (self._valid(hold) and not believed.stopping)
        if done:
            believed.becomes(RunStatus.QUEUED)
            believed.attempts -= 1
            believed.available_at = self.now

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data) -> None:
        run_id = data.draw(st.sampled_from(sorted(self.model)))
        believed = self.model[run_id]
        cancelled = self.write(
            lambda s: runs.cancel_queued(
                s, run_id, owner_id=self.events[0].owner_id, by="a", reason_text="", now=self.now
            )
        )
        stopping = self.write(
            lambda s: runs.request_stop(
                s, run_id, owner_id=self.events[0].owner_id, by="a", now=self.now
            )
        )
        assert cancelled == (believed.status is RunStatus.QUEUED)
        assert stopping == (believed.status is RunStatus.RUNNING and not believed.stopping)
        believed.stopping |= stopping
        if cancelled:
            believed.becomes(RunStatus.CANCELLED)

    @rule(owner=OWNERS)
    def renew(self, owner: str) -> None:
        kept = self.write(lambda s: runs.renew(s, owner=f"{owner}/1", until=self.now + LEASE))
        mine = {i for i, b in self.model.items() if b.owner == owner and b.running}
        assert {row.run_id for row in kept} == mine
        for run_id in mine:
            self.model[run_id].lease_until = self.now + LEASE

    @rule(owner=OWNERS)
    def take_over(self, owner: str) -> None:
        taken = self.write(
            lambda s: runs.take_over(
                s, owner=f"{owner}/1", earlier_self=f"{owner}/", agent_ids=[AGENT], now=self.now,
                until=self.now + LEASE,
            )
        )  # fmt: skip
        due = {
            i for i, b in self.model.items()
            if b.running and b.owner != owner and b.lease_until < self.now
        }  # fmt: skip
        assert {run.id for run, _ in taken} == due
        for run, attempt in taken:
            believed = self.model[run.id]
            believed.fence += 1
            believed.owner, believed.lease_until = owner, self.now + LEASE
            self.holds.append((owner, runs.hold_of(run, attempt)))

    def _valid(self, hold: Hold) -> bool:
        believed = self.model[hold.run_id]
        return believed.running and believed.fence == hold.fence

    # --- what must hold at any time ---

    @invariant()
    def the_database_says_the_same(self) -> None:
        async def read() -> list[Run]:
            async with self.db.read() as session:
                return list((await session.exec(select(Run).order_by(col(Run.id)))).all())

        rows = self.runner.run(read())
        assert [(r.id, r.status, r.fence, r.attempt, r.infra_faults) for r in rows] == [
            (i, b.status.value, b.fence, b.attempts, b.infra) for i, b in sorted(self.model.items())
        ]
        for row in rows:
            assert (row.lease_owner is not None) == (row.status == "running")


@pytest.mark.timeout(120)
def test_two_servers_and_the_model_agree(database_url):
    class Here(TwoServers):
        url = database_url

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=12, stateful_step_count=30, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
