"""A server that was killed and comes back, or another that takes over."""

import asyncio
from datetime import timedelta
from uuid import UUID

from sqlmodel import col, update

from agent.jobs import Phase
from agent.protocol import Accepted, FinishAck, Forget, Held, LogAck, Resume, Start, Stop
from cronium_app.domain.ids import new_id
from cronium_app.store.tables import Attempt, Run


def held(job, state="running", length=0, epoch=1) -> Held:
    return Held(
        run_id=job.run_id, attempt_id=job.attempt_id, epoch=epoch, state=state, log_length=length
    )


async def started(house, event):
    """A run whose job is under way, known as accepted in the database."""
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.progress(job, Phase.EXECUTION)
    await agent.send_log(job, b"one\n")
    await agent.hear(LogAck)
    await house.orchestrator._progress.flush()
    assert (await house.attempt(run)).accepted_at is not None
    return run, job


async def reborn(house) -> None:
    await house.down()
    await house.up()


async def test_a_running_job_is_adopted_and_its_log_goes_on_without_a_gap(house, event):
    run, job = await started(house, event)
    fence = (await house.run(run)).fence
    await reborn(house)
    agent = await house.agent(held(job, length=8))
    assert (await agent.hears_nothing_of(Start, until=Resume)).offset == 4
    await agent.send_log(job, b"two\n", offset=4)
    await agent.finish(job, b"one\ntwo\n")
    ended = await house.ended(run)
    assert (ended.status, ended.fence, ended.attempt) == ("succeeded", fence + 1, 1)
    attempt = await house.attempt(run)
    assert (attempt.epoch, attempt.log_complete) == (1, True)


async def test_a_job_that_ended_meanwhile_gets_its_true_end(house, event):
    run, job = await started(house, event)
    await reborn(house)
    agent = await house.agent(held(job, "finished", 4))
    await agent.hear(Resume)
    await agent.finish(job, b"one\n", exit_code=3)
    ended = await house.ended(run)
    assert (ended.status, ended.exit_code) == ("failed", 3)
    await agent.hear(FinishAck)


async def test_an_end_that_was_recorded_early_is_completed_after_a_restart(house, event):
    run, job = await started(house, event)
    await house.agents[0].finish(job, b"one\n", log_sha256="")
    assert (await house.ended(run)).status == "succeeded"
    await reborn(house)
    agent = await house.agent(held(job, "finished", 8))
    assert (await agent.hear(Resume)).offset == 4
    await agent.finish(job, b"one\n", log_sha256="")  # it still reads, and says so again
    await agent.send_log(job, b"two\n", offset=4)
    await agent.hears_nothing_of(FinishAck, until=LogAck)
    await agent.finish(job, b"one\ntwo\n", outputs=b'{"x":2}')
    await agent.hear(FinishAck)
    ended, attempt = await house.run(run), await house.attempt(run)
    assert (ended.status, ended.outputs) == ("succeeded", '{"x":2}')
    assert (attempt.log_complete, attempt.log_lines, attempt.log_length) == (True, 2, 8)


async def test_a_job_of_which_the_agent_knows_nothing_is_lost_and_not_run_again(house, event):
    run, _ = await started(house, event)
    await reborn(house)
    await house.agent()
    ended = await house.ended(run)
    assert (ended.status, ended.reason) == ("failed", "lost")


async def test_a_job_that_was_never_accepted_is_handed_out_in_the_same_epoch(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    first = (await agent.hear(Start)).job
    await reborn(house)
    agent = await house.agent()
    job = await agent.accept()
    assert (job.attempt_id, job.epoch) == (first.attempt_id, 1)
    await agent.finish(job)
    assert (await house.ended(run)).status == "succeeded"


async def test_an_unknown_attempt_is_forgotten(house, event):
    stranger = Held(
        run_id=str(new_id()), attempt_id=str(new_id()), epoch=1, state="running", log_length=0
    )
    agent = await house.agent(stranger)
    assert (await agent.hear(Forget)).attempt_id == stranger.attempt_id


async def test_an_attempt_of_an_old_epoch_is_forgotten(house, event):
    run, job = await started(house, event)
    async with house.db.write() as session:
        await session.exec(
            update(Attempt).where(col(Attempt.id) == UUID(job.attempt_id)).values(epoch=2)
        )
    await reborn(house)
    agent = await house.agent(held(job))
    assert (await agent.hear(Forget)).epoch == 1
    assert (await house.ended(run)).reason == "lost"


async def test_an_acknowledgement_that_got_lost_is_said_again(house, event):
    run, job = await started(house, event)
    agent = house.agents[0]
    await agent.finish(job, b"one\n")
    await house.ended(run)
    await reborn(house)
    agent = await house.agent(held(job, "finished", 4))
    assert (await agent.hear(FinishAck)).attempt_id == job.attempt_id


async def test_the_rest_of_a_log_is_fetched_after_the_end_was_recorded(house, event):
    run, job = await started(house, event)
    whole = b"one\n" + b"x" * 2_000_000
    await house.agents[0].finish(job, whole)
    assert (await house.ended(run)).status == "succeeded"
    await reborn(house)
    agent = await house.agent(held(job, "finished", len(whole)))
    assert (await agent.hear(Resume)).offset == 4
    await agent.finish(job, whole)
    for start in range(4, len(whole), 200_000):
        await agent.send_log(job, whole[start : start + 200_000], offset=start)
    await agent.hear(FinishAck)
    assert (await house.attempt(run)).log_complete
    assert (await house.run(run)).status == "succeeded"


async def test_a_wish_to_stop_survives_the_server(house, event):
    run, job = await started(house, event)
    await house.agents[0].leave()
    house.agents.clear()
    await house.orchestrator.cancel(run.id, "ann", owner_id=run.owner_id)
    await reborn(house)
    agent = await house.agent(held(job))
    assert (await agent.hear(Stop)).attempt_id == job.attempt_id
    await agent.finish(job, b"", exit_code=137, stopped=True)
    assert (await house.ended(run)).reason == "cancelled_by_user"


async def test_a_server_whose_run_was_taken_over_records_nothing(house, event):
    run, job = await started(house, event)
    agent = house.agents[0]
    async with house.db.write() as session:
        await session.exec(
            update(Run)
            .where(col(Run.id) == run.id)
            .values(fence=col(Run.fence) + 1, lease_owner="another/1")
        )
    await agent.finish(job, b"one\n")
    await agent.beat()
    while house.orchestrator.running_count:
        await asyncio.sleep(0.01)
    assert (await house.run(run)).status == "running"


async def test_leases_are_renewed_and_a_lost_one_is_let_go(house, event, monkeypatch):
    monkeypatch.setattr("cronium_app.orchestrator.core.LEASE_RENEW_S", 0.05)
    run, _ = await started(house, event)
    before = (await house.run(run)).lease_until
    await house.down()
    await house.up()  # so that the shorter interval counts
    await house.agent(held(_))
    until = before

    async def renewed() -> bool:
        nonlocal until
        until = (await house.run(run)).lease_until
        return until > before + timedelta(seconds=0.05)

    async with asyncio.timeout(5):
        while not await renewed():
            await asyncio.sleep(0.02)
    async with house.db.write() as session:
        await session.exec(
            update(Run).where(col(Run.id) == run.id).values(
                lease_owner="another/1", fence=99, lease_until=until + timedelta(seconds=60)
            )
        )  # fmt: skip
    async with asyncio.timeout(5):
        while house.orchestrator.running_count:
            await asyncio.sleep(0.02)


async def test_stopping_to_claim_leaves_the_queue_alone(house, event):
    house.orchestrator.stop_claiming()
    agent = await house.agent()
    run = await house.submit(event)
    await agent.beat()
    assert (await house.run(run)).status == "queued"


__all__ = ["Accepted"]
