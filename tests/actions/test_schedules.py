from datetime import timedelta

import pytest

from cronium_app.actions import events, home, schedules
from cronium_app.actions.errors import Conflict, Invalid, NotFound


@pytest.fixture
async def event_id(services, alice) -> str:
    view = await events.create(services, alice, {"name": "n", "runtime": "bash", "script": "true"})
    return view.id


@pytest.mark.parametrize(
    ("command", "field"),
    [
        ({"kind": "cron", "expression": "0 0 31 2 *"}, "expression"),
        ({"kind": "cron", "expression": "60 * * * *"}, "expression"),
        ({"kind": "cron", "expression": "@reboot"}, "expression"),
        ({"kind": "cron", "expression": "٣ * * * *"}, "expression"),
        ({"kind": "cron", "expression": "\ud800"}, "expression"),
        ({"kind": "cron"}, "expression"),
        ({"kind": "interval"}, "every_s"),
        ({"kind": "once"}, "at"),
        ({"kind": "once", "at": "2000-01-01T00:00:00Z"}, "at"),
        ({"kind": "once", "at": "soon"}, "at"),
        ({"kind": "cron", "expression": "@daily", "timezone": "Mars/Base"}, "timezone"),
        ({"kind": "cron", "expression": "@daily", "timezone": "../../etc/passwd"}, "timezone"),
        ({"kind": "cron", "expression": "@daily", "end": "2000-01-01T00:00"}, "end"),
        ({"kind": "reboot"}, "kind"),
    ],
)
async def test_what_cannot_fire_is_refused_beside_its_field(
    services, alice, event_id, command, field
):
    for attempt in (
        schedules.preview(services, alice, command),
        schedules.create(services, alice, event_id, command),
    ):
        with pytest.raises(Invalid) as caught:
            await attempt
        assert caught.value.field == field
    assert not await schedules.list_of_event(services, alice, event_id)


async def test_saving_sets_the_next_fire(services, alice, event_id):
    view = await schedules.create(
        services, alice, event_id,
        {"kind": "cron", "expression": "0 6 * * 1-5", "timezone": "Europe/Paris"},
    )  # fmt: skip
    assert view.next_fire_at == view.next_fires[0]
    assert len(view.next_fires) == 5
    assert view.words
    assert view == await schedules.get(services, alice, view.id)


async def test_an_interval_counts_from_its_save(services, alice, event_id):
    before = services.clock.now().replace(microsecond=0)
    view = await schedules.create(services, alice, event_id, {"kind": "interval", "every_s": 90})
    assert view.next_fire_at - before <= timedelta(seconds=92)
    assert view.next_fires[1] - view.next_fires[0] == timedelta(seconds=90)


async def test_a_patch_changes_what_it_names(services, alice, event_id):
    view = await schedules.create(
        services, alice, event_id,
        {"kind": "cron", "expression": "0 6 * * *", "timezone": "Asia/Tokyo", "end": "2199-01-01T00:00"},
    )  # fmt: skip
    off = await schedules.update(services, alice, view.id, {"enabled": False})
    assert (off.next_fire_at, off.next_fires, off.end) == (None, [], view.end)
    on = await schedules.update(services, alice, view.id, {"enabled": True, "end": None})
    assert (on.end, on.timezone, on.expression) == (None, "Asia/Tokyo", "0 6 * * *")
    assert on.next_fire_at == view.next_fire_at
    other = await schedules.update(services, alice, view.id, {"kind": "interval", "every_s": 60})
    assert (other.expression, other.every_s) == (None, 60)
    with pytest.raises(Invalid):
        await schedules.update(services, alice, view.id, {"kind": "cron"})
    assert (await schedules.get(services, alice, view.id)).kind == "interval"


async def test_switching_does_not_move_an_interval(services, alice, event_id):
    view = await schedules.create(services, alice, event_id, {"kind": "interval", "every_s": 3600})
    await schedules.update(services, alice, view.id, {"enabled": False})
    assert (await schedules.update(services, alice, view.id, {"enabled": True})) == view


async def test_deleted_is_gone(services, alice, event_id):
    view = await schedules.create(services, alice, event_id, {"kind": "interval", "every_s": 60})
    await schedules.delete(services, alice, view.id)
    with pytest.raises(NotFound):
        await schedules.get(services, alice, view.id)


async def test_an_event_has_a_bounded_number(services, alice, event_id):
    for _ in range(schedules.MAX_PER_EVENT):
        await schedules.create(services, alice, event_id, {"kind": "interval", "every_s": 3600})
    with pytest.raises(Conflict):
        await schedules.create(services, alice, event_id, {"kind": "interval", "every_s": 3600})


async def test_home_shows_the_next_ten_and_lets_nobody_hide_the_others(services, alice, event_id):
    await schedules.create(services, alice, event_id, {"kind": "interval", "every_s": 600})
    await schedules.create(services, alice, event_id, {"kind": "cron", "expression": "@hourly"})
    found = (await home.home(services, alice)).next_fires
    assert [fire.at for fire in found] == sorted(fire.at for fire in found)
    assert len({fire.schedule_id for fire in found}) == 2
