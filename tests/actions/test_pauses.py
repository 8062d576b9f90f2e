from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from cronium_app.actions import events, pauses, schedules
from cronium_app.actions.errors import Invalid, NotFound
from cronium_app.store.tables import Run, Schedule


@pytest.fixture
def until(services) -> datetime:
    return services.clock.now() + timedelta(hours=1)


@pytest.fixture
async def event(services, alice):
    wanted = {"name": "Nightly", "runtime": "bash", "script": "true", "tags": ["Night"]}
    return await events.create(services, alice, wanted)


@pytest.fixture
async def schedule(services, alice, event):
    return await schedules.create(services, alice, event.id, {"kind": "interval", "every_s": 3600})


async def fires(services) -> list[Run]:
    async with services.db.read() as session:
        return list((await session.exec(select(Run))).all())


@pytest.mark.parametrize("scope", ["schedule", "event", "tag", "all"])
async def test_a_pause_is_seen_and_makes_fires_visible_skips(
    services, alice, event, schedule, until, scope
):
    target = {"schedule": schedule.id, "event": event.id, "tag": "night"}.get(scope, "")
    made = await pauses.pause(
        services, alice, {"scope": scope, "target": target, "until": until, "note": "repairs"}
    )
    assert made in await pauses.pauses(services, alice)
    assert (made.by, made.until, made.note) == ("alice@example.org", until, "repairs")
    shown = await schedules.get(services, alice, schedule.id)
    assert (shown.paused_until, shown.paused_by) == (until, "alice@example.org")
    assert (await events.get(services, alice, event.id)).schedules == [shown]
    async with services.db.write() as session:
        row = (await session.exec(select(Schedule))).one()
        row.next_fire_at = services.clock.now()
        session.add(row)
    while await services.scheduler.fire_due():
        pass
    (run,) = await fires(services)
    assert (run.status, run.reason) == ("cancelled", "skipped")
    assert run.reason_text.startswith("Paused")
    assert run.reason_text.endswith("UTC: repairs.")
    await pauses.resume(services, alice, made.id)
    assert await pauses.pauses(services, alice) == []
    assert (await schedules.get(services, alice, schedule.id)).paused_until is None


async def test_pausing_again_changes_the_end(services, alice, schedule, until):
    wanted = {"scope": "schedule", "target": schedule.id, "until": until}
    await pauses.pause(services, alice, wanted)
    later = await pauses.pause(services, alice, wanted | {"until": until + timedelta(hours=1)})
    assert await pauses.pauses(services, alice) == [later]
    assert later.target_name == "Nightly: every hour"


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ({"scope": "all", "hours": -1}, "until"),
        ({"scope": "all", "hours": 24 * 4000}, "until"),
        ({"scope": "tag", "target": "nobody", "hours": 1}, "target"),
        ({"scope": "everything", "hours": 1}, "scope"),
        ({"scope": "all", "hours": 1, "note": "\0"}, "note"),
        ({"scope": "all"}, "until"),
    ],
)
async def test_what_cannot_be_paused_is_refused(services, alice, event, command, field):
    hours = command.pop("hours", None)
    if hours is not None:
        command["until"] = services.clock.now() + timedelta(hours=hours)
    with pytest.raises(Invalid) as caught:
        await pauses.pause(services, alice, command)
    assert caught.value.field == field


async def test_another_persons_things_do_not_exist(services, alice, bob, event, schedule, until):
    for scope, target in (("schedule", schedule.id), ("event", event.id), ("event", "x")):
        with pytest.raises(NotFound):
            await pauses.pause(services, bob, {"scope": scope, "target": target, "until": until})
    made = await pauses.pause(services, alice, {"scope": "all", "until": until})
    await pauses.pause(services, bob, {"scope": "all", "until": until})
    with pytest.raises(NotFound):
        await pauses.resume(services, bob, made.id)
    assert await pauses.pauses(services, alice) == [made]


async def test_a_pause_of_something_deleted_is_not_shown(services, alice, schedule, until):
    await pauses.pause(
        services, alice, {"scope": "schedule", "target": schedule.id, "until": until}
    )
    await schedules.delete(services, alice, schedule.id)
    assert await pauses.pauses(services, alice) == []


# -- a change in the second of a fire --


@pytest.mark.parametrize(
    "change",
    [
        lambda s, a, e, p: schedules.update(s, a, p, {"every_s": 60}),
        lambda s, a, e, p: schedules.update(s, a, p, {"enabled": False}),
        lambda s, a, e, p: schedules.delete(s, a, p),
        lambda s, a, e, p: events.update(s, a, e, {"enabled": False}),
        lambda s, a, e, p: events.update(s, a, e, {"script": "false"}),
        lambda s, a, e, p: events.archive(s, a, e),
    ],
)
async def test_a_fire_that_was_due_is_not_lost_by_a_save(
    services, alice, event, schedule, change, monkeypatch
):
    async def busy() -> int:
        return 0

    monkeypatch.setattr(services.scheduler, "fire_due", busy)  # it has not come to it yet
    async with services.db.write() as session:
        row = (await session.exec(select(Schedule))).one()
        row.next_fire_at = services.clock.now()
        session.add(row)
    await change(services, alice, event.id, schedule.id)
    (run,) = await fires(services)
    assert (run.status, run.trigger, str(run.schedule_id)) == ("queued", "schedule", schedule.id)


async def test_rules_are_saved_and_patched(services, alice, event):
    wanted = {"kind": "cron", "expression": "@daily", "dst": "skip", "misfire": "all"}
    wanted |= {"misfire_window_s": 60, "jitter_s": 30}
    view = await schedules.create(services, alice, event.id, wanted)
    assert (view.dst, view.misfire, view.misfire_window_s, view.jitter_s) == ("skip", "all", 60, 30)
    view = await schedules.update(services, alice, view.id, {"misfire": "skip", "jitter_s": 0})
    assert (view.misfire, view.misfire_window_s, view.jitter_s) == ("skip", 60, 0)
    view = await schedules.update(services, alice, view.id, {"dst": "once", "misfire_window_s": 0})
    assert (view.dst, view.misfire, view.misfire_window_s) == ("once", "skip", 0)
    assert (view.expression, view.jitter_s) == ("@daily", 0)


async def test_twenty_fires_before_and_after_a_save(services, alice, event):
    wanted = {"kind": "cron", "expression": "0 6 * * *", "timezone": "Europe/Paris"}
    before = await schedules.preview(services, alice, wanted, 20)
    view = await schedules.create(services, alice, event.id, wanted | {"enabled": False})
    after = await schedules.preview_saved(services, alice, view.id)
    assert before == after
    assert len(after.fires) == 20
    assert len((await schedules.preview_saved(services, alice, view.id, 3)).fires) == 3
