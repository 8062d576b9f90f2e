"""A run from submit to its end, with an agent that says what the test wants it to say."""

import asyncio
import hashlib
from uuid import UUID

from sqlalchemy.exc import OperationalError

from agent.jobs import Phase, Reason
from agent.protocol import (
    Accepted,
    FinishAck,
    Forget,
    Held,
    ImageState,
    LogAck,
    Refused,
    Resume,
    Start,
    Stop,
)
from cronium_app.domain.ids import new_id
from cronium_app.orchestrator import attempt as attempt_module
from cronium_app.store import runs


async def test_a_run_goes_from_submit_to_its_recorded_end(house, event):
    agent = await house.agent()
    run = await house.submit(event, inputs='{"n": 1}', triggered_by_name="ann")
    job = await agent.accept()
    assert (job.run_id, job.inputs, job.context["triggered_by"]) == (
        str(run.id),
        b'{"n": 1}',
        "ann",
    )
    await agent.send_log(job, b"hello\n")
    await agent.finish(job, b"hello\n", outputs=b'{"x":2}')
    ended = await house.ended(run)
    assert (ended.status, ended.reason, ended.exit_code) == ("succeeded", "exited", 0)
    assert ended.outputs == '{"x":2}'
    whole = (ended.finished_at - ended.started_at).total_seconds()
    assert ended.duration_ms == round(whole * 1000)
    attempt = await house.attempt(run)
    assert (attempt.log_length, attempt.log_lines, attempt.log_complete) == (6, 1, True)
    assert (attempt.setup_s, attempt.execution_s, attempt.cleanup_s) == (0.1, 0.2, 0.3)
    await agent.hear(FinishAck)


async def test_log_bytes_are_acknowledged_after_they_are_written(house, event):
    agent = await house.agent()
    await house.submit(event)
    job = await agent.accept()
    await agent.send_log(job, b"abc")
    ack = await agent.hear(LogAck)
    assert (ack.offset, ack.again) == (3, False)
    assert await house.logs.read(house_id(job), 0) == b"abc"


async def test_a_repeated_chunk_is_trimmed_and_a_gap_asked_for_again(house, event):
    agent = await house.agent()
    await house.submit(event)
    job = await agent.accept()
    await agent.send_log(job, b"abc")
    assert (await agent.hear(LogAck)).offset == 3
    await agent.send_log(job, b"bcd", offset=1)
    assert (await agent.hear(LogAck)).offset == 4
    await agent.send_log(job, b"xyz", offset=100)
    ack = await agent.hear(LogAck)
    assert (ack.offset, ack.again) == (4, True)
    assert await house.logs.read(house_id(job), 0) == b"abcd"


async def test_the_status_does_not_wait_for_a_log_that_is_far_behind(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    log = b"x" * 3_000_000
    await agent.finish(job, log)
    assert (await house.ended(run)).status == "succeeded"
    assert not (await house.attempt(run)).log_complete
    for start in range(0, len(log), 250_000):
        await agent.send_log(job, log[start : start + 250_000], offset=start)
    await agent.hear(FinishAck)
    attempt = await house.attempt(run)
    assert (attempt.log_complete, attempt.log_length) == (True, len(log))


async def test_a_log_with_another_checksum_is_not_called_complete(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.send_log(job, b"abc")
    await agent.finish(job, b"abd")
    await agent.hear(FinishAck)
    assert (await house.ended(run)).status == "succeeded"
    assert not (await house.attempt(run)).log_complete


async def test_the_first_of_two_ends_is_recorded_and_the_second_completes_it(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    log = b"x" * 1000
    await agent.send_log(job, log[:400])
    await agent.finish(job, log[:400], log_sha256="", exit_code=3)
    ended = await house.ended(run)
    assert (ended.status, ended.reason, ended.exit_code) == ("failed", "exited", 3)
    assert not (await house.attempt(run)).log_complete
    await agent.send_log(job, log[400:], offset=400)
    await agent.hears_nothing_of(FinishAck, until=LogAck)
    await agent.finish(
        job, log, exit_code=3, outputs=b'{"x":2}', conditions=b'{"ok":true}', stdout_bytes=1000
    )
    await agent.hear(FinishAck)
    ended, attempt = await house.run(run), await house.attempt(run)
    assert (ended.status, ended.exit_code) == ("failed", 3)
    assert (ended.outputs, ended.conditions) == ('{"x":2}', '{"ok":true}')
    assert (attempt.log_complete, attempt.log_length, attempt.stdout_bytes) == (True, 1000, 1000)
    assert attempt.log_sha256 == hashlib.sha256(log).hexdigest()


async def test_the_last_bytes_may_come_after_both_ends(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.finish(job, b"", log_sha256="")
    await house.ended(run)
    await agent.finish(job, b"late", outputs=b'{"x":2}')
    await agent.send_log(job, b"late")
    await agent.hear(FinishAck)
    assert (await house.attempt(run)).log_complete
    assert (await house.run(run)).outputs == '{"x":2}'


async def test_an_end_that_is_never_completed_stands_as_it_is(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.send_log(job, b"abc")
    await agent.finish(job, b"abc", log_sha256="")
    await house.ended(run)
    await agent.leave()
    await house.agent()  # holding nothing: the rest is gone
    while house.orchestrator._supervised:
        await asyncio.sleep(0.01)
    attempt = await house.attempt(run)
    assert (attempt.status, attempt.log_complete, attempt.log_length) == ("succeeded", False, 3)


async def test_a_stop_is_passed_on_and_the_run_is_cancelled(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    assert await house.orchestrator.cancel(run.id, "ann", owner_id=run.owner_id)
    stop = await agent.hear(Stop)
    assert (stop.attempt_id, stop.grace_s) == (job.attempt_id, 10)
    await agent.finish(job, exit_code=143, stopped=True)
    ended = await house.ended(run)
    assert (ended.status, ended.reason) == ("cancelled", "cancelled_by_user")
    assert ended.reason_text == "Cancelled by ann."
    assert not await house.orchestrator.cancel(run.id, "bob", owner_id=run.owner_id)


async def test_a_queued_run_is_cancelled_at_once(house, event):
    run = await house.submit(event)
    assert await house.orchestrator.cancel(run.id, "ann", owner_id=run.owner_id)
    ended = await house.ended(run)
    assert (ended.status, ended.attempt) == ("cancelled", 0)


async def test_a_job_that_was_refused_is_handed_out_again(house, event):
    agent = await house.agent(slots=1)
    run = await house.submit(event)
    first = (await agent.hear(Start)).job
    await agent.say(Refused(attempt_id=first.attempt_id, epoch=first.epoch, why="no_slot"))
    await agent.hear(Forget)
    await agent.beat()
    second = await agent.accept()
    assert second.run_id == first.run_id
    assert second.attempt == 1
    await agent.finish(second)
    assert (await house.ended(run)).status == "succeeded"


async def test_a_refused_job_runs_although_the_database_was_away_when_it_was_given_back(
    house, event, monkeypatch
):
    monkeypatch.setattr(attempt_module, "RECORD_RETRY_S", 0.01)
    give_back, failures = runs.give_back, iter((1, 2))

    async def fails_twice(*arguments, **fields):
        if next(failures, None):
            raise OperationalError("UPDATE", {}, OSError("no connection"))
        return await give_back(*arguments, **fields)

    monkeypatch.setattr(runs, "give_back", fails_twice)
    agent = await house.agent(slots=1)
    run = await house.submit(event)
    first = (await agent.hear(Start)).job
    await agent.say(Refused(attempt_id=first.attempt_id, epoch=first.epoch, why="no_slot"))
    await agent.hear(Forget)
    await agent.beat()
    await agent.finish(await agent.accept())
    ended = await house.ended(run)
    assert (ended.status, ended.attempt) == ("succeeded", 1)


async def test_a_job_that_was_never_taken_is_handed_out_by_the_supervision_that_begins_anew(
    house, event, monkeypatch
):
    monkeypatch.setattr("cronium_app.orchestrator.core.LEASE_RENEW_S", 0.1)
    await house.down()
    await house.up()

    give_back = runs.give_back

    async def broken(*_arguments, **_fields):
        monkeypatch.setattr(runs, "give_back", give_back)
        raise ZeroDivisionError

    agent = await house.agent(slots=1)
    monkeypatch.setattr(runs, "give_back", broken)
    run = await house.submit(event)
    first = (await agent.hear(Start)).job
    await agent.say(Refused(attempt_id=first.attempt_id, epoch=first.epoch, why="no_slot"))
    again = await agent.accept()
    assert again.attempt_id == first.attempt_id
    await agent.finish(again)
    assert (await house.ended(run)).status == "succeeded"


async def test_an_end_that_was_just_recorded_is_told_although_the_lease_went_with_it(
    house, event, monkeypatch
):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    write_end = house.orchestrator._attempts._write_end

    async def crossed_by_a_renewal(work, report):
        recorded = await write_end(work, report)
        await house.orchestrator._let_go(work)  # the committed end took the lease away
        return recorded

    monkeypatch.setattr(house.orchestrator._attempts, "_write_end", crossed_by_a_renewal)
    await agent.send_log(job, b"abc")
    await agent.finish(job, b"abc")
    await agent.hear(FinishAck)
    assert (await house.ended(run)).status == "succeeded"


async def test_only_the_owner_of_a_run_cancels_it(house, event):
    run = await house.submit(event)
    assert not await house.orchestrator.cancel(run.id, "eve", owner_id=new_id())
    assert (await house.run(run)).status == "queued"
    agent = await house.agent()
    await agent.accept()
    assert not await house.orchestrator.cancel(run.id, "eve", owner_id=new_id())
    assert (await house.run(run)).stop_requested_at is None
    assert await house.orchestrator.cancel(run.id, "ann", owner_id=event.owner_id)


async def test_a_deleted_log_is_not_collected_any_longer(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    log = b"x" * 2_000_000
    await agent.finish(job, log)  # most of the log is still to come
    assert not (await house.attempt(run)).log_complete or await house.ended(run)
    await house.ended(run)
    attempt_id = UUID(job.attempt_id)
    house.orchestrator.forget(attempt_id)
    await house.logs.delete(attempt_id)
    assert (await agent.hear(Forget)).attempt_id == job.attempt_id
    await agent.send_log(job, log[:100_000])
    await agent.beat(free_slots=1)
    assert await house.logs.length(attempt_id) == 0
    assert house.logs.live(attempt_id) is None


async def test_a_job_that_no_agent_will_ever_take_fails_with_the_reason(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = (await agent.hear(Start)).job
    await agent.say(
        Refused(attempt_id=job.attempt_id, epoch=1, why="invalid", detail="Too long a script.")
    )
    ended = await house.ended(run)
    assert (ended.status, ended.reason, ended.reason_text) == (
        "failed", "not_started", "Too long a script.",
    )  # fmt: skip


async def test_no_more_jobs_than_slots(house, event):
    agent = await house.agent(slots=1)
    first = await house.submit(event)
    second = await house.submit(event)
    job = await agent.accept()
    await agent.progress(job, Phase.EXECUTION)
    assert house.orchestrator.waiting_text(await house.run(second)) == (
        "waits for a free slot (1 of 1 in use)"
    )
    await agent.finish(job)
    await house.ended(first)
    assert (await agent.accept()).run_id == str(second.id)


async def test_a_run_waits_while_its_image_is_made_and_holds_no_slot(house, event):
    building = ImageState(image="cronium/bash", state="building", percent=60)
    agent = await house.agent(slots=2, images=[building])
    run = await house.submit(event)

    async def shown() -> bool:
        text = house.orchestrator.waiting_text(await house.run(run))
        return text == "preparing cronium/bash, 60 %"

    await house.until(shown)
    other = await house.submit(event, runtime="node")
    assert (await agent.accept()).run_id == str(other.id)
    assert house.orchestrator.engine_state().free_slots == 1
    await agent.beat(images=[ImageState(image="cronium/bash", state="ready")])
    assert (await agent.accept()).run_id == str(run.id)


async def test_a_run_waits_for_an_image_that_nobody_has_begun_to_make(house, event):
    missing = ImageState(image="cronium/bash", state="missing")
    agent = await house.agent(images=[missing])
    run = await house.submit(event)

    async def shown() -> bool:
        text = house.orchestrator.waiting_text(await house.run(run))
        return text == "preparing cronium/bash"

    await house.until(shown)
    other = await house.submit(event, runtime="node")
    assert (await agent.accept()).run_id == str(other.id)
    assert (await house.run(run)).status == "queued"
    await agent.beat(images=[ImageState(image="cronium/bash", state="ready")])
    assert (await agent.accept()).run_id == str(run.id)


async def test_a_run_whose_image_cannot_be_made_fails_with_the_sentence(house, event):
    sentence = "cronium/bash could not be built: no base."
    agent = await house.agent(
        images=[ImageState(image="cronium/bash", state="unavailable", text=sentence)]
    )
    run = await house.submit(event)
    job = await agent.accept()
    await agent.finish(job, reason=Reason.IMAGE_UNAVAILABLE, exit_code=None, detail=sentence)
    ended = await house.ended(run)
    assert (ended.status, ended.reason, ended.reason_text) == (
        "failed", "image_unavailable", sentence,
    )  # fmt: skip


async def test_a_run_whose_image_is_pulled_says_so_while_it_runs(house, event):
    pulling = ImageState(image="cronium/bash", state="ready")
    agent = await house.agent(
        images=[pulling, ImageState(image="python:3.13", state="pulling", percent=40)]
    )
    run = await house.submit(event, image="python:3.13")
    job = await agent.accept()
    await agent.progress(job, Phase.SETUP, text="pulling python:3.13, 40 %")

    async def shown() -> bool:
        live = house.orchestrator.live(run.id)
        return live is not None and live.waiting_text == "pulling python:3.13, 40 %"

    await house.until(shown)
    assert (await house.run(run)).status == "running"
    await agent.progress(job, Phase.EXECUTION)

    async def begun() -> bool:
        live = house.orchestrator.live(run.id)
        return live is not None and (live.phase, live.waiting_text) == (Phase.EXECUTION, "")

    await house.until(begun)


async def test_a_run_waits_while_the_engine_is_down(house, event):
    agent = await house.agent(engine="down", engine_detail="Docker does not answer.")
    run = await house.submit(event)

    async def shown() -> bool:
        return house.orchestrator.engine_state().state == "down"

    await house.until(shown)
    waiting = house.orchestrator.waiting_text(await house.run(run))
    assert waiting == "waits for the container engine"
    await agent.beat()
    assert (await agent.accept()).run_id == str(run.id)


async def test_live_state_shows_phase_lines_and_the_last_of_them(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.progress(job, Phase.EXECUTION, image_digest="sha256:1")
    await agent.send_log(job, b"one\ntwo\nthree")
    await agent.hear(LogAck)
    live = house.orchestrator.live(run.id)
    assert (live.phase, live.lines, live.last_lines) == (
        Phase.EXECUTION, 3, ("one", "two", "three"),
    )  # fmt: skip


async def test_a_follower_sees_the_log_from_the_queue_to_the_end(house, event):
    run = await house.submit(event)
    seen = bytearray()

    async def follow() -> None:
        async for frame in house.orchestrator.follow(run.id):
            assert frame.offset == len(seen)
            seen.extend(frame.data)

    follower = asyncio.create_task(follow())
    agent = await house.agent()
    job = await agent.accept()
    await agent.send_log(job, b"one\n")
    await agent.hear(LogAck)
    await agent.send_log(job, b"two\n", offset=4, stream=2)
    await agent.finish(job, b"one\ntwo\n")
    async with asyncio.timeout(5):
        await follower
    assert bytes(seen) == b"one\ntwo\n"


async def test_a_bug_fails_the_run_instead_of_stranding_it(house, event, monkeypatch):
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    agent = await house.agent()
    monkeypatch.setattr(house.orchestrator._executor, "report", broken)
    run = await house.submit(event)
    job = await agent.accept()
    ended = await house.ended(run)
    assert (ended.status, ended.reason) == ("failed", "crashed")
    assert (await agent.hear(Forget)).attempt_id == job.attempt_id


async def test_an_agent_that_reconnects_goes_on_from_our_own_length(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.send_log(job, b"abc")
    await agent.hear(LogAck)
    await agent.leave()
    held = Held(
        run_id=job.run_id, attempt_id=job.attempt_id, epoch=1, state="running", log_length=6
    )
    agent = await house.agent(held)
    resume = await agent.hear(Resume)
    assert (resume.attempt_id, resume.offset) == (job.attempt_id, 3)
    await agent.send_log(job, b"def", offset=3)
    await agent.finish(job, b"abcdef")
    await house.ended(run)
    assert (await house.attempt(run)).log_complete


async def test_a_stop_that_could_not_be_said_is_said_when_the_agent_is_back(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.send_log(job, b"abc")
    await agent.hear(LogAck)
    await agent.leave()
    await house.orchestrator.cancel(run.id, "ann", owner_id=run.owner_id)
    held = Held(
        run_id=job.run_id, attempt_id=job.attempt_id, epoch=1, state="running", log_length=3
    )
    agent = await house.agent(held)
    await agent.hear(Resume)
    assert (await agent.hear(Stop)).attempt_id == job.attempt_id


async def test_a_supervision_that_broke_down_begins_anew(house, event, monkeypatch):
    monkeypatch.setattr("cronium_app.orchestrator.core.LEASE_RENEW_S", 0.1)
    await house.down()
    await house.up()
    broken = True
    record = house.orchestrator._attempts._record

    async def fails_once(work, report):
        nonlocal broken
        if broken:
            broken = False
            raise ZeroDivisionError
        return await record(work, report)

    monkeypatch.setattr(house.orchestrator._attempts, "_record", fails_once)
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.finish(job)
    assert (await agent.hear(Resume)).attempt_id == job.attempt_id
    await agent.finish(job)
    assert (await house.ended(run)).status == "succeeded"


async def test_a_running_job_that_the_agent_disowns_is_lost(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.say(Refused(attempt_id=job.attempt_id, epoch=1, why="stale"))
    assert (await house.ended(run)).reason == "lost"


async def test_an_agent_that_forgot_a_job_means_that_it_is_lost(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    await agent.send_log(job, b"abc")
    await agent.hear(LogAck)
    await agent.leave()
    agent = await house.agent()
    ended = await house.ended(run)
    assert (ended.status, ended.reason) == ("failed", "lost")


async def test_a_start_that_was_not_answered_is_said_again(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    first = (await agent.hear(Start)).job
    await agent.leave()
    agent = await house.agent()
    again = (await agent.hear(Start)).job
    assert (again.attempt_id, again.epoch) == (first.attempt_id, first.epoch)
    await agent.say(Accepted(attempt_id=again.attempt_id, epoch=again.epoch))
    await agent.finish(again)
    assert (await house.ended(run)).status == "succeeded"


def house_id(job):
    from uuid import UUID

    return UUID(job.attempt_id)


async def test_what_failed_and_why_is_said_from_the_last_lines(house, event):
    agent = await house.agent()
    run = await house.submit(event)
    job = await agent.accept()
    log = b"script.sh: line 1: frobnicate: command not found\n"
    await agent.finish(job, log, exit_code=127, reason=Reason.EXITED)
    await agent.send_log(job, log)
    ended = await house.ended(run)
    assert ended.reason_text.endswith("the command frobnicate was not found.")
    assert ended.next_step
