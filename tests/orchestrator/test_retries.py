"""Retries, overlap and groups through the whole orchestrator; only the agent is played."""

from typing import Any

import pytest

from agent.jobs import Reason
from agent.protocol import Start, Stop
from cronium_app.domain.concurrency import Concurrency
from cronium_app.domain.events import EventContent
from cronium_app.domain.retries import Retries
from cronium_app.domain.runs import Trigger
from cronium_app.orchestrator.core import SubmitRun
from cronium_app.store import runs
from cronium_app.store.tables import Event, Revision, Run
from tests.orchestrator.conftest import House

AT_ONCE = Retries(max=1, delay_s=0, max_delay_s=0)
LATER = Retries(max=1, delay_s=40, max_delay_s=40)


async def submit(house: House, event: Event, *, inputs: str = "{}", **rules: Any) -> Run:
    """Save the rules as the event's revision and run it."""
    content = EventContent(runtime="bash", script="true", **rules)
    async with house.db.write() as session:
        saved = await session.get(Revision, (event.id, 1))
        assert saved is not None
        saved.content = content.canonical()
        session.add(saved)
        run = await house.orchestrator.submit(
            session,
            SubmitRun(
                event_id=event.id, owner_id=event.owner_id, event_name=event.name, revision=1,
                content=content, trigger=Trigger.MANUAL, inputs=inputs,
            ),
        )  # fmt: skip
    assert run is not None
    house.orchestrator.submitted(run)
    return run


def is_queued(house: House, run: Run) -> Any:
    async def queued() -> bool:
        row = await house.run(run)
        return row.status == "queued" and row.attempt > 0

    return queued


async def test_a_failed_attempt_is_followed_by_another_with_a_log_of_its_own(house, event):
    agent = await house.agent()
    run = await submit(house, event, retries=AT_ONCE)
    first = await agent.accept()
    await agent.send_log(first, b"one\n")
    await agent.finish(first, b"one\n", exit_code=1)
    second = await agent.accept()
    assert (second.run_id, second.attempt, second.context["attempt"]) == (first.run_id, 2, "2")
    assert second.attempt_id != first.attempt_id
    await agent.send_log(second, b"two\n")
    await agent.finish(second, b"two\n")
    ended = await house.ended(run)
    assert (ended.status, ended.attempt) == ("succeeded", 2)
    async with house.db.read() as session:
        made = await runs.attempts_of(session, run.id)
    assert [(a.status, a.exit_code) for a in made] == [("failed", 1), ("succeeded", 0)]
    logs = [await house.logs.read(a.id, 0, 100) for a in made]
    assert logs == [b"one\n", b"two\n"]


async def test_the_last_try_decides(house, event):
    agent = await house.agent()
    run = await submit(house, event, retries=AT_ONCE)
    for code in (1, 2):
        await agent.finish(await agent.accept(), exit_code=code)
    ended = await house.ended(run)
    assert (ended.status, ended.exit_code, ended.attempt) == ("failed", 2, 2)


async def test_the_wait_is_said_and_can_be_cut_short(house, event):
    agent = await house.agent()
    run = await submit(house, event, retries=LATER)
    await agent.finish(await agent.accept(), exit_code=1)
    await house.until(is_queued(house, run))
    assert house.orchestrator.waiting_text(await house.run(run)).startswith("next try in ")
    assert not await house.orchestrator.wait_finished(run.id, 0)
    assert await house.orchestrator.try_now(run.id, owner_id=run.owner_id)
    await agent.finish(await agent.accept())
    assert (await house.ended(run)).status == "succeeded"


@pytest.mark.parametrize("how", ["give up", "cancel"])
async def test_between_two_tries_it_can_be_ended(house, event, how):
    agent = await house.agent()
    run = await submit(house, event, retries=LATER)
    await agent.finish(await agent.accept(), exit_code=1)
    await house.until(is_queued(house, run))
    if how == "cancel":
        assert await house.orchestrator.cancel(run.id, "ann", owner_id=run.owner_id)
    else:
        assert await house.orchestrator.give_up(run.id, "ann", owner_id=run.owner_id)
    ended = await house.ended(run)
    assert (ended.status, ended.reason) == (
        ("cancelled", "cancelled_by_user") if how == "cancel" else ("failed", "exited")
    )
    assert "ann" in ended.reason_text


async def test_a_fault_of_the_engine_costs_no_try(house, event):
    agent = await house.agent()
    run = await submit(house, event)  # no retries at all
    job = await agent.accept()
    await agent.finish(job, reason=Reason.NOT_STARTED, exit_code=None, permanent=False)
    await house.until(is_queued(house, run))
    assert (await house.run(run)).infra_faults == 1
    assert await house.orchestrator.try_now(run.id, owner_id=run.owner_id)
    await agent.finish(await agent.accept())
    assert (await house.ended(run)).status == "succeeded"


async def test_what_was_stopped_is_not_tried_again(house, event):
    agent = await house.agent()
    run = await submit(house, event, retries=AT_ONCE)
    job = await agent.accept()
    assert await house.orchestrator.cancel(run.id, "ann", owner_id=run.owner_id)
    await agent.hear(Stop)
    await agent.finish(job, exit_code=143, stopped=True)
    ended = await house.ended(run)
    assert (ended.status, ended.reason, ended.attempt) == ("cancelled", "cancelled_by_user", 1)


async def test_a_run_is_skipped_while_another_has_not_ended(house, event):
    agent = await house.agent()
    first = await submit(house, event, overlap="skip")
    job = await agent.accept()
    second = await submit(house, event, overlap="skip")
    assert (second.status, second.reason, second.attempt) == ("cancelled", "skipped", 0)
    assert "had not ended" in second.reason_text
    await agent.finish(job)
    assert (await house.ended(first)).status == "succeeded"


async def test_the_newer_run_begins_when_the_older_one_is_gone(house, event):
    agent = await house.agent()
    older = await submit(house, event, overlap="replace")
    job = await agent.accept()
    between = await submit(house, event, overlap="replace")
    newer = await submit(house, event, overlap="replace")
    assert (await house.ended(between)).reason == "replaced"
    await agent.hears_nothing_of(Start, until=Stop)
    await agent.finish(job, exit_code=143, stopped=True)
    ended = await house.ended(older)
    assert (ended.status, ended.reason) == ("cancelled", "replaced")
    await agent.finish(await agent.accept())
    assert (await house.ended(newer)).status == "succeeded"


async def test_who_waits_for_a_group_is_told_who_holds_it(house, event):
    agent = await house.agent()
    rule = Concurrency(group="deploy", key="{{ inputs.env }}")
    first = await submit(house, event, concurrency=rule, inputs='{"env": "prod"}')
    job = await agent.accept()
    second = await submit(house, event, concurrency=rule, inputs='{"env": "prod"}')

    async def said() -> bool:
        text = house.orchestrator.waiting_text(await house.run(second))
        return text.startswith("waits for deploy-prod, held by Nightly since ")

    await house.until(said)
    await agent.finish(job)
    await agent.finish(await agent.accept())
    assert (await house.ended(first)).status == (await house.ended(second)).status == "succeeded"


async def test_a_run_that_waits_too_long_expires(house, event):
    run = await submit(house, event, queue_expires_s=1)  # no agent is there
    ended = await house.ended(run)
    assert (ended.status, ended.reason, ended.attempt) == ("cancelled", "expired", 0)
