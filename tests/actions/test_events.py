from datetime import datetime

import pytest

from cronium_app.actions import events, runs, schedules
from cronium_app.actions.access import settle_audit
from cronium_app.actions.errors import Conflict, Invalid, NotFound
from cronium_app.actions.views import EventView
from cronium_app.domain.permissions import Actor
from cronium_app.services import Services
from cronium_app.store import accounts as account_rows

BASH = {"name": "Backup", "runtime": "bash", "script": "echo hi"}
MISSING = "0198f000-0000-7000-8000-000000000000"


async def new(services: Services, actor: Actor, **more: object) -> EventView:
    return await events.create(services, actor, BASH | more)


async def test_an_event_needs_only_name_runtime_and_script(services, alice):
    view = await new(services, alice)
    assert view.revision == 1
    assert view.resolved_image == "cronium/bash"
    assert (view.timeout_s, view.memory_mb, view.cpus, view.pids, view.work_mb) == (
        3600, 512, 1.0, 256, 256,
    )  # fmt: skip
    assert view.network
    assert view == await events.get(services, alice, view.id)


@pytest.mark.parametrize("spelling", ["cronium/bash:latest", "docker.io/cronium/bash"])
async def test_our_own_images_are_stored_in_one_spelling(services, alice, spelling):
    view = await new(services, alice, image=spelling)
    assert (view.image, view.resolved_image) == ("cronium/bash", "cronium/bash")
    other = await new(services, alice, image="python:latest")
    assert other.image == "python:latest"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"kind": "container", "labels": ["gpu"]}, "Labels choose no agent"),
        ({"kind": "container", "agent": "nowhere"}, "no agent named nowhere"),
    ],
)
async def test_a_place_that_does_not_exist_is_refused(services, alice, target, words):
    view = await new(services, alice, target={"kind": "container", "agent": "local"})
    for refused in (
        new(services, alice, target=target),
        events.update(services, alice, view.id, {"target": target}),
        events.test(services, alice, BASH | {"target": target}),
    ):
        with pytest.raises(Invalid, match=words):
            await refused


async def test_each_save_with_other_content_is_a_revision(services, alice):
    view = await new(services, alice)
    same = await events.update(services, alice, view.id, {"script": "echo hi", "name": "Other"})
    assert (same.revision, same.name) == (1, "Other")
    changed = await events.update(services, alice, view.id, {"script": "echo 2"})
    assert changed.revision == 2
    back = await events.restore_revision(services, alice, view.id, 1)
    assert (back.revision, back.script) == (3, "echo hi")
    found = await events.list_revisions(services, alice, view.id)
    assert [row.number for row in found] == [3, 2, 1]
    assert found[0].sha256 == found[2].sha256 != found[1].sha256
    assert found[0].created_by == "alice@example.org"
    assert (await events.revision(services, alice, view.id, 2)).content.script == "echo 2"


async def test_a_save_over_a_newer_revision_is_refused_with_both(services, alice):
    view = await new(services, alice)
    await events.update(services, alice, view.id, {"script": "theirs", "base_revision": 1})
    with pytest.raises(Conflict) as caught:
        await events.update(services, alice, view.id, {"script": "mine", "base_revision": 1})
    assert caught.value.code == "revision_conflict"
    assert caught.value.extra["current"].script == "theirs"
    assert caught.value.extra["base"] == 1
    assert (await events.get(services, alice, view.id)).script == "theirs"


async def test_a_patch_that_does_not_fit_changes_nothing(services, alice):
    view = await new(services, alice)
    with pytest.raises(Invalid):
        await events.update(services, alice, view.id, {"name": "New", "script": "a\0b"})
    assert await events.get(services, alice, view.id) == view


async def test_switching_off_and_archiving_stop_the_schedules(services, alice):
    view = await new(services, alice)
    planned = await schedules.create(
        services, alice, view.id, {"kind": "interval", "every_s": 3600}
    )
    assert planned.next_fire_at

    async def fires() -> datetime | None:
        return (await schedules.get(services, alice, planned.id)).next_fire_at

    await events.update(services, alice, view.id, {"enabled": False})
    assert await fires() is None
    await events.update(services, alice, view.id, {"enabled": True})
    assert await fires() == planned.next_fire_at
    await events.archive(services, alice, view.id)
    assert await fires() is None
    with pytest.raises(Conflict):
        await runs.start(services, alice, view.id)
    assert not (await events.list_events(services, alice)).items
    assert len((await events.list_events(services, alice, archived=True)).items) == 1
    await events.restore(services, alice, view.id)
    assert await fires() == planned.next_fire_at


async def test_a_duplicate_has_its_schedules_switched_off(services, alice):
    view = await new(services, alice, tags=["a"])
    await schedules.create(services, alice, view.id, {"kind": "cron", "expression": "@daily"})
    copy = await events.duplicate(services, alice, view.id)
    assert (copy.name, copy.tags, copy.script) == ("Backup (copy)", ["a"], "echo hi")
    assert [(s.expression, s.enabled, s.next_fire_at) for s in copy.schedules] == [
        ("0 0 * * *", False, None)
    ] or [s.enabled for s in copy.schedules] == [False]


async def test_deleting_takes_all_that_was_announced(services, alice):
    view = await new(services, alice)
    await schedules.create(services, alice, view.id, {"kind": "interval", "every_s": 3600})
    run = await runs.start(services, alice, view.id)
    preview = await events.delete_preview(services, alice, view.id)
    assert (preview.runs, preview.schedules, preview.running) == (1, 1, 1)
    with pytest.raises(Conflict) as caught:
        await events.delete(services, alice, view.id)
    assert caught.value.code == "still_running"
    await runs.cancel(services, alice, run.id)
    await events.delete(services, alice, view.id)
    for gone in (events.get(services, alice, view.id), runs.get(services, alice, run.id)):
        with pytest.raises(NotFound):
            await gone


async def test_search_tags_and_pages_by_name(services, alice):
    for name, tags in (("Zebra", []), ("alpha 50%", ["Night"]), ("Beta_x", ["night", "db"])):
        await new(services, alice, name=name, tags=tags)

    async def names(**query: object) -> list[str]:
        return [row.name for row in (await events.list_events(services, alice, **query)).items]

    assert await names() == ["alpha 50%", "Beta_x", "Zebra"]
    assert await names(search="50%") == ["alpha 50%"]
    assert await names(search="%") == ["alpha 50%"]
    assert await names(search="_") == ["Beta_x"]
    assert await names(search="beta DB") == ["Beta_x"]
    assert await names(tag="night") == ["alpha 50%", "Beta_x"]
    assert await events.tags(services, alice) == [
        "db",
        "Night",
        "night",
    ]  # capitals first where only case differs
    first = await events.list_events(services, alice, limit=2)
    rest = await events.list_events(services, alice, limit=2, cursor=first.next)
    assert [row.name for row in rest.items] == ["Zebra"]
    assert rest.next is None


@pytest.mark.parametrize("cursor", ["", "x", "WzFd", "bnVsbA", "é", "A" * 400, "W10", "eyJhIjoxfQ"])
async def test_a_cursor_that_is_not_ours_is_refused(services, alice, cursor):
    for listing in (events.list_events, runs.list_runs):
        with pytest.raises(Invalid) as caught:
            await listing(services, alice, cursor=cursor)
        assert caught.value.field == "cursor"


async def test_a_row_shows_the_last_thirty_runs_oldest_first(services, alice):
    view = await new(services, alice)
    made = [await runs.start(services, alice, view.id) for _ in range(32)]
    await events.test(services, alice, BASH | {"event_id": view.id})
    row = (await events.list_events(services, alice)).items[0]
    assert [tick.run_id for tick in row.ticks] == [run.id for run in made[2:]]
    assert row.last_status == "queued"
    assert (row.runtime, row.image) == ("bash", "cronium/bash")


async def test_testing_saves_nothing_that_people_see(services, alice):
    run = await events.test(services, alice, {"runtime": "bash", "script": "echo 1", "name": "New"})
    assert (run.trigger, run.hidden, run.status) == ("test", True, "queued")
    assert not (await events.list_events(services, alice)).items
    assert not (await runs.list_runs(services, alice)).items
    again = await events.test(
        services, alice, {"runtime": "bash", "script": "echo 2", "event_id": run.event_id}
    )
    assert again.event_id == run.event_id
    assert again.revision != run.revision
    saved = await events.update(services, alice, run.event_id, {"name": "Kept", "script": "echo 3"})
    assert (saved.draft, saved.revision) == (False, 1)
    tested = await events.test(
        services, alice, {"runtime": "bash", "script": "echo 4", "event_id": saved.id}
    )
    assert tested.revision > 1
    assert (await events.update(services, alice, saved.id, {"script": "echo 5"})).revision == 2
    assert [r.number for r in await events.list_revisions(services, alice, saved.id)] == [2, 1]
    same = await events.test(
        services, alice, {"runtime": "bash", "script": "echo 5", "event_id": saved.id}
    )
    assert same.revision == 2


def test_eight_templates_with_distinct_keys():
    found = events.templates()
    assert len(found) == 8
    assert len({template.key for template in found}) == 8
    assert {template.runtime for template in found} == {"python", "node", "bash"}


async def test_templates_can_be_saved_as_they_are(services, alice):
    for template in events.templates():
        values = template.model_dump(exclude={"key", "description"})
        assert (await events.create(services, alice, values)).script == template.script


async def test_another_persons_things_look_like_missing_ones(services, alice, bob):
    view = await new(services, alice)
    planned = await schedules.create(
        services, alice, view.id, {"kind": "interval", "every_s": 3600}
    )
    run = await runs.start(services, alice, view.id)

    def tries(event: str, schedule: str, run_id: str):
        return [
            events.get(services, bob, event),
            events.update(services, bob, event, {"name": "mine"}),
            events.duplicate(services, bob, event),
            events.archive(services, bob, event),
            events.restore(services, bob, event),
            events.delete_preview(services, bob, event),
            events.delete(services, bob, event),
            events.list_revisions(services, bob, event),
            events.revision(services, bob, event, 1),
            events.restore_revision(services, bob, event, 1),
            events.test(services, bob, BASH | {"event_id": event}),
            schedules.create(services, bob, event, {"kind": "interval", "every_s": 9}),
            schedules.list_of_event(services, bob, event),
            schedules.get(services, bob, schedule),
            schedules.update(services, bob, schedule, {"enabled": False}),
            schedules.delete(services, bob, schedule),
            runs.start(services, bob, event),
            runs.get(services, bob, run_id),
            runs.rerun(services, bob, run_id),
            runs.cancel(services, bob, run_id),
            runs.read_log(services, bob, run_id, 0, 100),
            runs.log_length(services, bob, run_id),
            anext(runs.follow_log(services, bob, run_id, 0)),
        ]

    answers: list[list[tuple[str, str]]] = []
    for ids in ((view.id, planned.id, run.id), (MISSING,) * 3, ("../x",) * 3):
        found = []
        for attempt in tries(*ids):
            with pytest.raises(NotFound) as caught:
                await attempt
            found.append((caught.value.code, caught.value.message))
        answers.append(found)
    assert answers[0] == answers[1] == answers[2]
    assert not (await events.list_events(services, bob)).items
    assert not (await runs.list_runs(services, bob, {"event_id": view.id})).items
    assert not await events.tags(services, bob)
    await settle_audit()
    async with services.db.read() as session:
        trail = await account_rows.audit_trail(session)
    denied = [entry for entry in trail if entry.action == "access.denied"]
    assert {entry.actor for entry in denied} == {str(bob.user_id)}
    assert {entry.object_id for entry in denied} == {view.id, planned.id, run.id}
    assert await events.get(services, alice, view.id) == view.model_copy(
        update={"schedules": [planned]}
    )
