"""Rules of the queue as a person meets them: through the use cases, with a real orchestrator."""

from typing import Any

import pytest

from cronium_app.actions import events, queue, runs
from cronium_app.actions.errors import Conflict, Invalid, NotFound
from cronium_app.domain.events import EventContent

DEPLOY = {"group": "deploy", "key": "{{ inputs.env }}"}


async def saved(services: Any, actor: Any, name: str = "Release", **fields: Any) -> str:
    wanted = {"name": name, "runtime": "bash", "script": "true"} | fields
    return (await events.create(services, actor, wanted)).id


async def test_rules_are_saved_shown_and_taken_back(services, alice):
    event_id = await saved(services, alice, retries={"max": 3}, concurrency=DEPLOY, priority=5)
    view = await events.get(services, alice, event_id)
    assert (view.retries.max, view.priority, view.overlap) == (3, 5, "allow")
    assert view.concurrency is not None
    assert view.concurrency.limit == 1
    patched = await events.update(services, alice, event_id, {"overlap": "skip"})
    assert (patched.overlap, patched.retries.max, patched.revision) == ("skip", 3, 2)
    assert patched.concurrency is not None
    ended = await events.update(services, alice, event_id, {"concurrency": None})
    assert (ended.concurrency, ended.overlap) == (None, "skip")


def test_a_rule_at_its_default_leaves_the_content_as_it_was():
    """The sha256 of a revision made before there were these rules."""
    content = EventContent(runtime="bash", script="true")
    assert content.sha256() == "3f60f010e6c6d950dfe561ac99f477105d0eafae28a71e7f5d292ae70078a269"
    assert EventContent(runtime="bash", script="true", priority=1).sha256() != content.sha256()
    assert EventContent.model_validate_json(content.canonical()) == content


async def test_a_missing_input_of_a_key_is_said_at_once(services, alice):
    event_id = await saved(services, alice, concurrency=DEPLOY)
    with pytest.raises(Invalid) as refused:
        await runs.start(services, alice, event_id)
    assert (refused.value.field, "env" in refused.value.message) == ("inputs", True)
    view = await runs.start(services, alice, event_id, {"inputs": {"env": "prod"}})
    assert view.status == "queued"


async def test_a_skip_is_a_run_that_says_why(services, alice):
    event_id = await saved(services, alice, overlap="skip")
    first = await runs.start(services, alice, event_id)
    second = await runs.start(services, alice, event_id)
    assert (first.status, second.status, second.reason) == ("queued", "cancelled", "skipped")
    assert second.reason_text == "Skipped: another run was waiting to start."


async def test_who_waits_is_listed_by_group(services, alice):
    event_id = await saved(services, alice, concurrency=DEPLOY)
    other = await saved(services, alice, "Rollback", concurrency=DEPLOY)
    for which in (event_id, other):
        await runs.start(services, alice, which, {"inputs": {"env": "prod"}})
    await runs.start(services, alice, event_id, {"inputs": {"env": "test"}})
    found = await queue.groups(services, alice)
    assert [(g.kind, g.name, g.limit, g.waiting_count) for g in found] == [
        ("group", "deploy-prod", 1, 2),
        ("group", "deploy-test", 1, 1),
    ]
    assert [member.event_name for member in found[0].waiting] == ["Release", "Rollback"]


async def test_a_run_without_a_try_has_none_to_hurry_or_give_up(services, alice):
    view = await runs.start(services, alice, await saved(services, alice, retries={"max": 2}))
    assert await queue.attempts(services, alice, view.id) == []
    assert (view.retries.max, view.retries.used, view.retries.next_try_at) == (2, 0, None)
    for action in (queue.try_now, queue.give_up):
        with pytest.raises(Conflict):
            await action(services, alice, view.id)


async def test_nobody_else_sees_or_moves_it(services, alice, bob):
    event_id = await saved(services, alice, concurrency={"group": "deploy"})
    view = await runs.start(services, alice, event_id)
    assert await queue.groups(services, bob) == []
    for action in (queue.attempts, queue.try_now, queue.give_up):
        with pytest.raises(NotFound):
            await action(services, bob, view.id)
