"""What becomes of due fires: the rule, the window, pauses, jitter, and the bound on rows."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cronium_app.domain import misfire, schedules
from cronium_app.domain.jitter import jitter
from cronium_app.domain.misfire import FireRules
from cronium_app.domain.pauses import Pause, concerning

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = UUID(int=7)
ME = UUID(int=1)
MINUTE = timedelta(minutes=1)


def every(seconds: int, **more) -> schedules.ScheduleSpec:
    return schedules.load("interval", anchor=NOON, every_s=seconds, start=NOON, **more)


def plan(spec, *, now, awake_since=None, limit=5_000, first=NOON, **rules):
    return misfire.plan(
        FireRules(schedule_id=ID, spec=spec, **rules),
        first,
        now=now,
        awake_since=awake_since or now,
        limit=limit,
    )


def running(found) -> list[int]:
    """Which of the fires run, by their minute."""
    return [(fire.at - NOON) // MINUTE for fire in found.fires if fire.decision.runs]


def test_what_somebody_was_there_for_runs_however_late():
    found = plan(every(60), now=NOON + 5 * MINUTE, awake_since=NOON, misfire="skip")
    assert running(found) == [0, 1, 2, 3, 4, 5]
    assert found.following == NOON + 6 * MINUTE


@pytest.mark.parametrize(
    ("rule", "runs"), [("once", [5]), ("all", [0, 1, 2, 3, 4, 5]), ("skip", [])]
)
def test_missed_fires_follow_the_rule(rule, runs):
    now = NOON + 5.5 * MINUTE
    found = plan(every(60), now=now, misfire=rule)
    assert running(found) == runs
    assert len(found.fires) == 6
    assert all(fire.decision.runs != bool(fire.decision.why) for fire in found.fires)


def test_a_fire_that_runs_anyway_makes_up_for_the_missed_ones():
    now = NOON + 5 * MINUTE + timedelta(seconds=0.5)  # the newest is within the grace
    assert running(plan(every(60), now=now)) == [5]
    assert running(plan(every(60), now=now, misfire="skip")) == [5]


@pytest.mark.parametrize(("window_s", "runs"), [(3600, [5]), (30, [5]), (29, []), (0, [])])
def test_nothing_runs_that_was_missed_by_more_than_the_window(window_s, runs):
    now = NOON + 5.5 * MINUTE
    found = plan(every(60), now=now, window=timedelta(seconds=window_s))
    assert running(found) == runs
    if not runs:
        assert found.fires[-1].decision.why.startswith("Missed by more than")


def test_all_means_all_within_the_window():
    found = plan(every(60), now=NOON + 9.5 * MINUTE, misfire="all", window=5 * MINUTE)
    assert running(found) == [5, 6, 7, 8, 9]


def test_a_missed_fire_does_not_run_after_the_end():
    spec = every(60, end=NOON + 3 * MINUTE)
    found = plan(spec, now=NOON + 9.5 * MINUTE)
    assert running(found) == []
    assert found.following is None
    assert "the schedule ended 2026-03-01T12:03:00Z" in found.fires[-1].decision.why
    on_time = plan(spec, now=NOON + 3.1 * MINUTE, awake_since=NOON, first=NOON + 3 * MINUTE)
    assert running(on_time) == [3]


def test_what_may_not_run_is_told_for_each():
    found = plan(every(60), now=NOON + MINUTE, awake_since=NOON, stopped="Off.")
    assert [fire.decision.why for fire in found.fires] == ["Off.", "Off."]


def test_a_cut_plan_goes_on_where_it_ended():
    now, spec = NOON + 10.5 * MINUTE, every(60)
    first = plan(spec, now=now, limit=4)
    rest = plan(spec, now=now, first=first.following)
    whole = plan(spec, now=now)
    assert first.fires + rest.fires == whole.fires


# -- the bound --


@pytest.mark.parametrize("rule", ["once", "all", "skip"])
@pytest.mark.parametrize("spec", [every(1), schedules.load("cron", anchor=NOON, expression="* * * * * *")])  # fmt: skip
def test_a_year_of_seconds_is_a_thousand_rows_at_most(spec, rule):
    now = NOON + timedelta(days=365)
    found = plan(spec, now=now, misfire=rule, window=timedelta(days=30))
    shared, own = found.fires[0], found.fires[1:]
    seconds = 365 * 86_400 + 1
    assert len(own) == misfire.OWN_ROWS
    assert own[-1].at == now
    assert shared.at == NOON
    assert not shared.decision.runs
    last = own[0].at - timedelta(seconds=1)
    assert shared.decision.why.startswith(
        f"{seconds - 900:,} fires from 2026-03-01T12:00:00Z to {last:%Y-%m-%dT%H:%M:%SZ} "
    )


@pytest.mark.parametrize("number", [900, 901, 1000, 1001, 1002])
def test_the_bound_begins_where_it_says(number):
    found = plan(every(60), now=NOON + (number - 1) * MINUTE)
    assert len(found.fires) == (number if number <= misfire.MOST_ROWS else misfire.OWN_ROWS + 1)
    assert found.following == NOON + number * MINUTE


# -- pauses --


def pause(scope="all", target="", minutes=(0, 5), owner=ME) -> Pause:
    low, high = (NOON + m * MINUTE for m in minutes)
    return Pause(owner_id=owner, scope=scope, target=target, since=low, until=high, by="a@b.c")


def test_fires_of_a_pause_are_skipped_and_the_end_is_not_part_of_it():
    found = plan(every(60), now=NOON + 6 * MINUTE, awake_since=NOON, pauses=[pause(minutes=(2, 5))])
    assert running(found) == [0, 1, 5, 6]
    assert found.fires[2].decision.why == (
        "Paused (all schedules) by a@b.c until 2026-03-01 12:05 UTC."
    )


def test_a_missed_fire_does_not_run_into_a_pause():
    found = plan(every(60), now=NOON + 6.5 * MINUTE, pauses=[pause(minutes=(6, 60))])
    assert running(found) == []


def test_the_newest_missed_fire_outside_a_pause_runs():
    found = plan(every(60), now=NOON + 6.5 * MINUTE, pauses=[pause(minutes=(3, 6.2))])
    assert running(found) == [2]


def test_whom_a_pause_concerns():
    event = UUID(int=3)
    asked = {"owner_id": ME, "schedule_id": ID, "event_id": event, "tags": ["Nightly"]}
    mine = [
        pause(),
        pause("tag", "nightly"),
        pause("event", str(event)),
        pause("schedule", str(ID)),
    ]
    assert len(concerning(mine, **asked)) == 4
    others = [
        pause(owner=UUID(int=2)), pause("tag", "night"), pause("event", str(ID)),
        pause("schedule", str(event)),
    ]  # fmt: skip
    assert concerning(others, **asked) == ()


# -- jitter --


def test_jitter_is_the_same_every_time_and_spread_out():
    moments = [NOON + MINUTE * n for n in range(400)]
    found = [jitter(ID, moment, 60) for moment in moments]
    assert found == [jitter(ID, moment, 60) for moment in moments]
    assert all(timedelta() <= delay < MINUTE for delay in found)
    tenths = {int(delay.total_seconds() // 6) for delay in found}
    assert tenths == set(range(10))
    assert jitter(UUID(int=8), NOON, 60) != found[0]
    assert jitter(ID, NOON, 0) == timedelta()


def test_a_run_waits_for_its_jitter_and_keeps_its_fire_time():
    (fire,) = plan(every(60), now=NOON, jitter_s=60).fires
    assert fire.at == NOON
    assert fire.decision.not_before == NOON + jitter(ID, NOON, 60)


def test_any_silence_accounts_for_each_fire_once():
    """Random rules, silences and cuts: the fires are those of the schedule, in order, once."""
    rng = random.Random(20260301)
    for _ in range(40):
        step, number = rng.choice([1, 7, 60, 3600]), rng.randrange(1, 400)
        now = NOON + timedelta(seconds=number * step - 1)
        awake_since = NOON + timedelta(seconds=rng.randrange(0, number * step))
        spec, first, seen = every(step), NOON, []
        while first <= now:
            found = plan(
                spec, now=now, first=first, limit=rng.randrange(1, 300), awake_since=awake_since,
                misfire=rng.choice(["once", "all", "skip"]),
            )  # fmt: skip
            seen += [fire.at for fire in found.fires]
            first = found.following
        assert seen == [NOON + timedelta(seconds=k * step) for k in range(number)]
