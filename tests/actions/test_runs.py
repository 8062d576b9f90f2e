import asyncio
import json
from datetime import timedelta
from uuid import UUID

import pytest

from cronium_app.actions import events, home, runs
from cronium_app.actions.errors import Conflict, Invalid, NotFound
from cronium_app.domain.ids import new_id
from cronium_app.store.tables import Run


@pytest.fixture
async def event_id(services, alice) -> str:
    view = await events.create(
        services, alice, {"name": "Nightly", "runtime": "node", "script": "1"}
    )
    return view.id


async def history(services, actor, event_id: str, count: int, **columns) -> list[str]:
    """Ended runs, one a minute, the oldest first."""
    start = services.clock.now() - timedelta(days=2)
    made = []
    async with services.db.write() as session:
        for n in range(count):
            at = start + timedelta(minutes=n)
            values = {
                "id": new_id(), "event_id": UUID(event_id), "owner_id": actor.user_id,
                "revision": 1, "status": "succeeded", "reason": "exited", "exit_code": 0,
                "trigger": "schedule", "created_at": at, "available_at": at, "started_at": at,
                "finished_at": at, "duration_ms": 1000 * n, "event_name": "Nightly",
                "search_text": f"nightly number-{n}.",
            }  # fmt: skip
            row = Run(**values | {k: v(n) if callable(v) else v for k, v in columns.items()})
            session.add(row)
            made.append(str(row.id))
    return made


async def ids(services, actor, cursor=None, **query) -> list[str]:
    page = await runs.list_runs(services, actor, query, cursor)
    return [row.id for row in page.items]


async def test_starting_queues_the_newest_revision(services, alice, event_id):
    await events.update(services, alice, event_id, {"script": "2"})
    view = await runs.start(services, alice, event_id, {"inputs": {"a": [1, "é"]}})
    assert (view.status, view.revision, view.trigger) == ("queued", 2, "manual")
    assert view.inputs == {"a": [1, "é"]}
    assert view.triggered_by == "alice@example.org"
    assert view.waiting_text
    assert (view.runtime, view.image, view.limits["memory_mb"]) == ("node", "cronium/node", 512)
    old = await runs.start(services, alice, event_id, {"revision": 1})
    assert old.revision == 1
    with pytest.raises(Invalid):
        await runs.start(services, alice, event_id, {"revision": 9})


async def test_rerun_takes_revision_and_inputs_of_the_old_one(services, alice, event_id):
    first = await runs.start(services, alice, event_id, {"inputs": {"n": 1}})
    await events.update(services, alice, event_id, {"script": "2"})
    again = await runs.rerun(services, alice, first.id)
    assert (again.revision, again.inputs) == (1, {"n": 1})
    assert again.id != first.id


async def test_a_queued_run_is_cancelled_at_once(services, alice, event_id):
    view = await runs.start(services, alice, event_id)
    waiting = asyncio.create_task(runs.wait(services, alice, view.id, 30))
    over = await runs.cancel(services, alice, view.id)
    assert (over.status, over.reason) == ("cancelled", "cancelled_by_user")
    assert (await asyncio.wait_for(waiting, 5))[1]
    with pytest.raises(Conflict):
        await runs.cancel(services, alice, view.id)


async def test_pages_forwards_backwards_and_the_last(services, alice, event_id):
    made = (await history(services, alice, event_id, 7))[::-1]
    first = await runs.list_runs(services, alice, limit=3)
    assert ([r.id for r in first.items], first.prev) == (made[:3], None)
    second = await runs.list_runs(services, alice, cursor=first.next, limit=3)
    assert [r.id for r in second.items] == made[3:6]
    third = await runs.list_runs(services, alice, cursor=second.next, limit=3)
    assert ([r.id for r in third.items], third.next) == (made[6:], None)
    back = await runs.list_runs(services, alice, cursor=third.prev, limit=3)
    assert [r.id for r in back.items] == made[3:6]
    last = await runs.list_runs(services, alice, limit=3, last=True)
    assert ([r.id for r in last.items], last.next) == (made[4:], None)
    before = await runs.list_runs(services, alice, cursor=last.prev, limit=3)
    assert [r.id for r in before.items] == made[1:4]
    assert before.items[0].runtime == "node"


async def test_new_runs_do_not_shift_a_page(services, alice, event_id):
    made = (await history(services, alice, event_id, 4))[::-1]
    first = await runs.list_runs(services, alice, limit=2)
    await runs.start(services, alice, event_id)
    second = await runs.list_runs(services, alice, cursor=first.next, limit=2)
    assert [r.id for r in second.items] == made[2:]


async def test_filters(services, alice, event_id):
    made = await history(
        services, alice, event_id, 6,
        status=lambda n: "failed" if n == 2 else "succeeded",
        trigger=lambda n: "api" if n == 3 else "schedule",
        hidden=lambda n: n == 5,
    )  # fmt: skip
    assert await ids(services, alice) == made[4::-1]
    assert await ids(services, alice, include_tests=True) == made[::-1]
    assert await ids(services, alice, status="failed") == [made[2]]
    assert await ids(services, alice, trigger="api") == [made[3]]
    assert await ids(services, alice, text="NUMBER-4.") == [made[4]]
    assert await ids(services, alice, text="4. nightly") == [made[4]]
    assert await ids(services, alice, text="%") == []
    assert await ids(services, alice, event_id=event_id, status="failed") == [made[2]]
    assert await ids(services, alice, event_id="no id") == []
    page = await runs.list_runs(services, alice, {"text": "number-1."})
    at = page.items[0].created_at
    assert await ids(services, alice, since=at.isoformat(), until=(at + timedelta(minutes=2)).isoformat()) == [made[2], made[1]]  # fmt: skip


async def test_the_usual_duration_is_the_median_of_successes(services, alice, event_id):
    made = await history(
        services, alice, event_id, 5, status=lambda n: "failed" if n == 4 else "succeeded"
    )
    assert (await runs.get(services, alice, made[0])).usual_s == 1.5


async def test_what_a_run_answered_is_shown_whatever_json_it_is(services, alice, event_id):
    made = await history(
        services, alice, event_id, 1, outputs=json.dumps([1, {"a": None}]), conditions='{"ok":true}'
    )
    view = await runs.get(services, alice, made[0])
    assert (view.outputs, view.conditions) == ([1, {"a": None}], {"ok": True})
    assert json.loads(view.model_dump_json())["created_at"].endswith("Z")


async def test_home_counts_the_last_day(services, alice, event_id):
    now = services.clock.now()
    await history(services, alice, event_id, 2, status="failed", created_at=lambda _: now)
    await history(services, alice, event_id, 3)
    await runs.start(services, alice, event_id)
    found = await home.home(services, alice)
    assert (found.counts.failed, found.counts.succeeded, found.counts.queued) == (2, 0, 1)
    assert len(found.failed) == 2
    assert [row.status for row in found.running] == ["queued"]
    assert found.engine.state == "starting"


async def test_no_log_yet_is_empty(services, alice, event_id):
    view = await runs.start(services, alice, event_id)
    assert await runs.read_log(services, alice, view.id, 0, 10) == (b"", 0)
    with pytest.raises(NotFound):
        await runs.read_log(services, alice, str(new_id()), 0, 10)


async def test_results_nested_too_deep_for_an_answer_are_shown_as_text(services, alice, event_id):
    deep = "[" * 400 + "]" * 400
    deeper = "[" * 40_000 + "]" * 40_000
    for text in (deep, deeper):
        (run_id,) = await history(services, alice, event_id, 1, outputs=text)
        view = await runs.get(services, alice, run_id)
        assert view.outputs == text
        view.model_dump_json()
