"""Transitions of runs: the old status and the fence decide, and somebody is always first."""

import asyncio
from datetime import timedelta

import pytest
from sqlmodel import select

from agent.jobs import Outcome, Reason
from cronium_app.domain.ids import new_id
from cronium_app.domain.outcomes import Circumstances, describe
from cronium_app.store import queue, runs
from cronium_app.store.database import Database
from cronium_app.store.runs import AttemptEnd, Hold, LogSummary
from cronium_app.store.tables import Attempt, Run

LEASE = timedelta(seconds=15)
AGENT = new_id()
SUCCESS = Outcome(reason=Reason.EXITED, exit_code=0, outputs=b'{"a":1}')


async def claim(db: Database, clock, owner: str = "one/1", **more) -> Run | None:
    async with db.write() as session:
        return await runs.claim(
            session, owner=owner, now=clock.now(), lease_until=clock.now() + LEASE,
            places=["container"], **more,
        )  # fmt: skip


async def claim_with_attempt(db: Database, clock, owner: str = "one/1") -> Hold:
    async with db.write() as session:
        run = await runs.claim(
            session, owner=owner, now=clock.now(), lease_until=clock.now() + LEASE,
            places=["container"],
        )  # fmt: skip
        assert run is not None
        attempt = await runs.start_attempt(
            session, run, agent_id=AGENT, log_home="one", now=clock.now()
        )
        return runs.hold_of(run, attempt)


def end_of(clock, outcome: Outcome, *, whole: bool = True) -> AttemptEnd:
    return AttemptEnd(
        ending=describe(outcome, Circumstances()), outcome=outcome, report=b"x",
        log=LogSummary(length=5, lines=1, complete=whole), now=clock.now(),
    )  # fmt: skip


async def finish(db: Database, clock, hold: Hold, outcome: Outcome = SUCCESS) -> bool:
    async with db.write() as session:
        return await runs.finish(session, hold, end_of(clock, outcome), duration_ms=10)


async def take_over(db: Database, clock, owner: str, earlier_self: str) -> list[Run]:
    async with db.write() as session:
        taken = await runs.take_over(
            session, owner=owner, earlier_self=earlier_self, agent_ids=[AGENT], now=clock.now(),
            until=clock.now() + LEASE,
        )  # fmt: skip
        return [run for run, _attempt in taken]


async def fresh(db: Database, run_id) -> Run:
    async with db.read() as session:
        run = await runs.get(session, run_id)
        assert run is not None
        return run


async def test_a_claim_marks_the_run_and_counts_its_attempt(db, clock, add_run):
    added = await add_run()
    run = await claim(db, clock)
    assert run is not None
    assert (run.id, run.status, run.attempt, run.fence) == (added.id, "running", 1, 1)
    assert run.lease_owner == "one/1"
    assert run.started_at == clock.now()


async def test_nothing_is_claimed_twice(db, clock, add_run):
    for _ in range(10):
        await add_run()
    claimed = await asyncio.gather(*(claim(db, clock, f"s/{n}") for n in range(20)))
    ids = [run.id for run in claimed if run is not None]
    assert len(ids) == len(set(ids))
    while run := await claim(db, clock):
        ids.append(run.id)
    assert len(ids) == len(set(ids)) == 10


async def test_priority_comes_before_age(db, clock, add_run):
    older = await add_run()
    urgent = await add_run(priority=1)
    first, second = await claim(db, clock), await claim(db, clock)
    assert first is not None
    assert second is not None
    assert [first.id, second.id] == [urgent.id, older.id]


async def test_a_run_whose_time_has_not_come_is_left_alone(db, clock, add_run):
    await add_run(available_at=clock.now() + timedelta(seconds=5))
    assert await claim(db, clock) is None
    async with db.read() as session:
        assert await queue.next_moment(session, clock.now()) == clock.now() + timedelta(seconds=5)
    clock.travel(5)
    assert await claim(db, clock) is not None


async def test_a_run_whose_image_is_in_work_does_not_hold_up_others(db, clock, add_run):
    await add_run(image="cronium/python")
    other = await add_run()
    run = await claim(db, clock, images_in_work={"cronium/python"})
    assert run is not None
    assert run.id == other.id
    assert await claim(db, clock, images_in_work={"cronium/python"}) is None


async def test_a_run_for_another_place_is_not_claimed(db, clock, add_run):
    await add_run(place="container:far-away")
    assert await claim(db, clock) is None


async def test_an_end_is_completed_once_and_keeps_its_status(db, clock, add_run):
    run = await add_run()
    hold = await claim_with_attempt(db, clock)

    async def complete(outputs: bytes, *, whole: bool = True) -> bool:
        outcome = Outcome(
            reason=Reason.TIMED_OUT, exit_code=9, outputs=outputs, log_sha256="s", stdout_bytes=7
        )
        async with db.write() as session:
            return await runs.complete(
                session, hold.attempt_id, outcome, report=b"y",
                log=LogSummary(length=7, lines=2, complete=whole),
            )  # fmt: skip

    assert not await complete(b'{"a":2}')  # it has not ended
    early = Outcome(reason=Reason.EXITED, exit_code=0)
    async with db.write() as session:
        end = end_of(clock, early, whole=False)
        await runs.finish(session, hold, end, duration_ms=10)
    assert await complete(b'{"a":3}')
    assert not await complete(b'{"a":4}')
    ended = await fresh(db, run.id)
    assert (ended.status, ended.reason, ended.exit_code) == ("succeeded", "exited", 0)
    assert ended.outputs == '{"a":3}'
    async with db.read() as session:
        attempt = await runs.get_attempt(session, hold.attempt_id)
    assert (attempt.log_length, attempt.log_lines, attempt.log_complete) == (7, 2, True)
    assert (attempt.stdout_bytes, attempt.log_sha256, attempt.outcome) == (7, "s", b"y")
    assert (attempt.status, attempt.exit_code) == ("succeeded", 0)


async def test_a_fire_becomes_one_run(db, clock, add_run, event):
    schedule, fire = new_id(), clock.now()
    await add_run(schedule_id=schedule, fire_time=fire)
    async with db.write() as session:
        again = Run(
            event_id=event.id, owner_id=event.owner_id, revision=1, status="queued",
            trigger="schedule", created_at=fire, available_at=fire, schedule_id=schedule,
            fire_time=fire,
        )  # fmt: skip
        assert not await runs.insert(session, again)
    async with db.read() as session:
        assert len((await session.exec(select(Run))).all()) == 1


async def test_the_end_is_recorded_once(db, clock, add_run):
    added = await add_run()
    hold = await claim_with_attempt(db, clock)
    assert await finish(db, clock, hold)
    assert not await finish(db, clock, hold, Outcome(reason=Reason.CRASHED))
    run = await fresh(db, added.id)
    assert (run.status, run.reason, run.exit_code) == ("succeeded", "exited", 0)
    assert run.outputs == '{"a":1}'
    assert run.lease_owner is None
    async with db.read() as session:
        attempt = (await session.exec(select(Attempt))).one()
    assert (attempt.status, attempt.log_length, attempt.log_complete) == ("succeeded", 5, True)


async def test_who_lost_the_lease_records_nothing(db, clock, add_run):
    added = await add_run()
    hold = await claim_with_attempt(db, clock, "one/1")
    clock.travel(16)
    taken = await take_over(db, clock, "two/1", "two/")
    assert [run.id for run in taken] == [added.id]
    assert taken[0].fence == hold.fence + 1
    assert not await finish(db, clock, hold)
    assert (await fresh(db, added.id)).status == "running"


async def test_a_live_lease_is_not_taken_over(db, clock, add_run):
    await add_run()
    await claim_with_attempt(db, clock, "one/1")
    clock.travel(14)
    assert await take_over(db, clock, "two/1", "two/") == []
    async with db.write() as session:
        kept = await runs.renew(session, owner="one/1", until=clock.now() + LEASE)
    assert len(kept) == 1
    clock.travel(14)
    assert await take_over(db, clock, "two/1", "two/") == []


async def test_a_restarted_server_takes_its_own_runs_over_at_once(db, clock, add_run):
    await add_run()
    await claim_with_attempt(db, clock, "one/1")
    assert len(await take_over(db, clock, "one/2", "one/")) == 1
    assert await take_over(db, clock, "one/2", "one/") == []  # not from itself


async def test_a_run_on_an_agent_out_of_reach_is_not_taken_over(db, clock, add_run):
    await add_run()
    await claim_with_attempt(db, clock, "one/1")
    clock.travel(60)
    async with db.write() as session:
        taken = await runs.take_over(
            session, owner="two/1", earlier_self="two/", agent_ids=[new_id()], now=clock.now(),
            until=clock.now() + LEASE,
        )  # fmt: skip
    assert taken == []


async def test_a_job_that_nobody_took_goes_back_as_if_it_had_not_been_claimed(db, clock, add_run):
    added = await add_run()
    hold = await claim_with_attempt(db, clock)
    async with db.write() as session:
        assert await runs.give_back(session, hold, available_at=clock.now())
    run = await fresh(db, added.id)
    assert (run.status, run.attempt, run.started_at, run.lease_owner) == ("queued", 0, None, None)
    async with db.read() as session:
        assert (await session.exec(select(Attempt))).all() == []
    again = await claim_with_attempt(db, clock)
    assert again.fence > hold.fence


async def test_a_run_that_is_to_stop_does_not_go_back(db, clock, add_run):
    added = await add_run()
    hold = await claim_with_attempt(db, clock)
    async with db.write() as session:
        assert await runs.request_stop(
            session, added.id, owner_id=added.owner_id, by="a", now=clock.now()
        )
    async with db.write() as session:
        assert not await runs.give_back(session, hold, available_at=clock.now())


@pytest.mark.parametrize("first", ["cancel", "claim"])
async def test_cancelling_and_claiming_exclude_each_other(db, clock, add_run, first):
    added = await add_run()

    async def cancel() -> bool:
        async with db.write() as session:
            return await runs.cancel_queued(
                session,
                added.id,
                owner_id=added.owner_id,
                by="a",
                reason_text="Cancelled.",
                now=clock.now(),
            )

    if first == "cancel":
        assert await cancel()
        assert await claim(db, clock) is None
    else:
        assert await claim(db, clock) is not None
        assert not await cancel()


async def test_the_first_wish_to_stop_counts(db, clock, add_run):
    added = await add_run()
    await claim_with_attempt(db, clock)
    async with db.write() as session:
        assert await runs.request_stop(
            session, added.id, owner_id=added.owner_id, by="ann", now=clock.now()
        )
        assert not await runs.request_stop(
            session, added.id, owner_id=added.owner_id, by="bob", now=clock.now()
        )
    assert (await fresh(db, added.id)).stop_requested_by == "ann"
    async with db.write() as session:
        kept = await runs.renew(session, owner="one/1", until=clock.now() + LEASE)
    assert kept[0].stop_requested_at == clock.now()


async def test_progress_of_an_ended_attempt_changes_nothing(db, clock, add_run):
    await add_run()
    hold = await claim_with_attempt(db, clock)
    await finish(db, clock, hold)
    async with db.write() as session:
        await runs.record_progress(session, hold.attempt_id, {"phase": "execution"})
    async with db.read() as session:
        assert (await session.exec(select(Attempt.phase))).one() == "setup"


async def test_outputs_that_are_no_json_are_left_out(db, clock, add_run):
    added = await add_run()
    hold = await claim_with_attempt(db, clock)
    outcome = Outcome(reason=Reason.EXITED, exit_code=0, outputs=b'{"a": 1}\x00\xff')
    assert await finish(db, clock, hold, outcome)
    assert (await fresh(db, added.id)).outputs == "{}"


# --- retries ---


FAILED = Outcome(reason=Reason.EXITED, exit_code=3)


async def requeue(db: Database, clock, hold: Hold, *, wait_s: float = 40, counted=True) -> bool:
    async with db.write() as session:
        return await runs.requeue(
            session, hold, end_of(clock, FAILED), counted=counted,
            available_at=clock.now() + timedelta(seconds=wait_s),
        )  # fmt: skip


async def test_a_retry_is_a_new_attempt_of_the_same_run(db, clock, add_run):
    added = await add_run()
    started = clock.now()
    first = await claim_with_attempt(db, clock)
    assert await requeue(db, clock, first)
    waiting = await fresh(db, added.id)
    assert (waiting.status, waiting.attempt, waiting.reason) == ("queued", 1, None)
    assert await claim(db, clock) is None
    assert not await finish(db, clock, first)
    clock.travel(40)
    second = await claim_with_attempt(db, clock)
    assert await finish(db, clock, second)
    ended = await fresh(db, added.id)
    assert (ended.status, ended.attempt, ended.infra_faults) == ("succeeded", 2, 0)
    assert ended.started_at == started
    async with db.read() as session:
        found = await runs.attempts_of(session, added.id)
    assert [(a.number, a.status, a.exit_code) for a in found] == [
        (1, "failed", 3),
        (2, "succeeded", 0),
    ]


async def test_faults_of_the_infrastructure_are_counted_apart(db, clock, add_run):
    added = await add_run()
    assert await requeue(db, clock, await claim_with_attempt(db, clock), wait_s=0, counted=False)
    assert (await fresh(db, added.id)).infra_faults == 1


async def test_a_second_try_that_nobody_took_leaves_the_first_as_it_was(db, clock, add_run):
    added = await add_run()
    started = clock.now()
    await requeue(db, clock, await claim_with_attempt(db, clock), wait_s=0)
    clock.travel(1)
    second = await claim_with_attempt(db, clock)
    async with db.write() as session:
        assert await runs.give_back(session, second, available_at=clock.now())
    run = await fresh(db, added.id)
    assert (run.status, run.attempt, run.started_at) == ("queued", 1, started)


async def test_no_retry_of_what_is_to_stop(db, clock, add_run):
    added = await add_run()
    hold = await claim_with_attempt(db, clock)
    async with db.write() as session:
        assert await runs.request_stop(
            session, added.id, owner_id=added.owner_id, by="ann", now=clock.now()
        )
    assert not await requeue(db, clock, hold)


async def test_the_wait_for_the_next_try_can_be_cut_short(db, clock, add_run):
    added = await add_run()
    async with db.write() as session:
        assert not await runs.try_now(
            session, added.id, owner_id=added.owner_id, now=clock.now()
        )  # its first is to come
    await requeue(db, clock, await claim_with_attempt(db, clock))
    async with db.write() as session:
        assert await runs.try_now(session, added.id, owner_id=added.owner_id, now=clock.now())
    async with db.write() as session:
        assert not await runs.try_now(session, added.id, owner_id=added.owner_id, now=clock.now())
    assert await claim(db, clock) is not None


async def test_giving_up_ends_the_run_as_its_last_attempt_did(db, clock, add_run):
    added = await add_run()
    async with db.write() as session:
        assert not await runs.give_up(
            session, added.id, owner_id=added.owner_id, by="ann", now=clock.now()
        )
    await requeue(db, clock, await claim_with_attempt(db, clock))
    async with db.write() as session:
        assert await runs.give_up(
            session, added.id, owner_id=added.owner_id, by="ann", now=clock.now()
        )
    run = await fresh(db, added.id)
    assert (run.status, run.reason, run.exit_code) == ("failed", "exited", 3)
    assert "ann gave up" in run.reason_text
    clock.travel(60)
    assert await claim(db, clock) is None
