"""Fire times against a brute-force scan that shares no code with the product.

The oracle looks at every minute (or second) of a window, reads the wall clock there, and applies
the written rule: a star in hour or minute follows real time; otherwise a doubled time counts the
first time and a missing one at the first instant after the gap, or not at all with `skip`.

A run takes a sample of the zones; `CRONIUM_EVERY_ZONE=1` takes every IANA zone and every change
of the years 2024 to 2030.
"""

import os
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronium_app.domain import schedules
from cronium_app.domain.dst import zone_names
from tests.domain.oracle import Oracle, clock_of

EVERY_ZONE = os.environ.get("CRONIUM_EVERY_ZONE") == "1"
SAMPLE = 50
FIRST, LAST = datetime(2024, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
MINUTE, SECOND, HOUR = timedelta(minutes=1), timedelta(seconds=1), timedelta(hours=1)

ODD_ZONES = (  # 30-minute change, midnight gaps, negative DST, Ramadan, 2 hours, southern, none
    *("Australia/Lord_Howe", "Asia/Beirut", "America/Santiago", "America/Nuuk", "Europe/Dublin"),
    *("Africa/Casablanca", "Africa/Cairo", "Antarctica/Troll", "Pacific/Chatham", "Asia/Gaza"),
    *("America/New_York", "Europe/Berlin", "Pacific/Easter", "America/Havana", "Asia/Kathmandu"),
)


@cache
def changes_of(zone: str) -> tuple[datetime, ...]:
    """The minutes at which the zone's offset changes, by looking at every day."""
    info = ZoneInfo(zone)
    found, day = [], FIRST
    while day < LAST:
        low, high = day, day + timedelta(days=1)
        before = low.astimezone(info).utcoffset()
        if high.astimezone(info).utcoffset() != before:
            while high - low > MINUTE:
                middle = low + (high - low) // 2
                middle = middle.replace(second=0, microsecond=0)
                if middle.astimezone(info).utcoffset() == before:
                    low = middle
                else:
                    high = middle
            found.append(high)
        day += timedelta(days=1)
    return tuple(found)


def product_fires(expression: str, zone: str, dst: str, low: datetime, high: datetime) -> list:
    """What the product says for low < fire < high."""
    spec = schedules.load("cron", expression=expression, timezone=zone, dst=dst, anchor=low)
    found: list[datetime] = []
    fire = schedules.next_fire(spec, low)
    while fire and fire < high:
        found.append(fire)
        fire = schedules.next_fire(spec, fire)
    return found


def sampled_zones() -> list[str]:
    if EVERY_ZONE:
        return list(zone_names())
    return [*ODD_ZONES, *random.Random(7).sample(zone_names(), SAMPLE)]


def sampled_changes() -> list[tuple[str, datetime]]:
    pairs = [(zone, change) for zone in sampled_zones() for change in changes_of(zone)]
    return pairs if EVERY_ZONE else random.Random(11).sample(pairs, 40)


# -- against the whole world ----------------------------------------------------------------------

BY_MINUTE = (
    *("30 2 * * *", "0 0 * * *", "15,45 0,1,2,3,23 * * *", "0-59/7 0-23 * * *", "30 1 * * sun"),
    *("*/20 * * * *", "*/15 2 * * *", "10 */2 * * *", "0 0 1-31 * *", "@hourly", "@daily"),
)
BY_SECOND = ("30 30 2 * * *", "*/17 * * * * *", "5-59/9 15,40 0-3,22-23 * * *", "* 0 */2 * * *")
ALIASES = {"@hourly": "0 * * * *", "@daily": "0 0 * * *"}


@pytest.mark.timeout(1800 if EVERY_ZONE else 60)
def test_every_minute_around_clock_changes_agrees_with_the_scan():
    wrong = []
    for zone, change in sampled_changes():
        clock = clock_of(zone, change - 26 * HOUR, change + 26 * HOUR, MINUTE)
        for index, expression in enumerate(BY_MINUTE):
            dst = "skip" if (index + change.year) % 2 else "once"
            wrong.append(_compare(expression, zone, dst, clock))
    assert len(wrong) >= 400
    assert not [w for w in wrong if w]


@pytest.mark.timeout(3600 if EVERY_ZONE else 60)
def test_every_second_around_clock_changes_agrees_with_the_scan():
    changes = sampled_changes()
    wrong = []
    for zone, change in changes if EVERY_ZONE else changes[:12]:
        clock = clock_of(zone, change - 150 * MINUTE, change + 150 * MINUTE, SECOND)
        for index, expression in enumerate(BY_SECOND):
            dst = "skip" if (index + change.year) % 2 else "once"
            wrong.append(_compare(expression, zone, dst, clock))
    assert len(wrong) >= 48
    assert not [w for w in wrong if w]


def _compare(expression: str, zone: str, dst: str, clock: list) -> str | None:
    plain = ALIASES.get(expression, expression)
    expected = Oracle(plain).fires(clock, dst)
    step = clock[1][0] - clock[0][0]
    got = product_fires(expression, zone, dst, clock[0][0], clock[-1][0] + step)
    return None if got == expected else f"{expression!r} {zone} {dst} {clock[0][0]}"


def test_a_daily_job_runs_once_every_local_day():
    for zone in ODD_ZONES:
        for expression in ("30 2 * * *", "0 30 0 * * *"):
            fires = product_fires(expression, zone, "once", FIRST, FIRST + timedelta(days=400))
            dates = [fire.astimezone(ZoneInfo(zone)).date() for fire in fires]
            assert all(b - a == timedelta(days=1) for a, b in pairwise(dates)), (zone, expression)


# -- any expression, any zone, any moment ---------------------------------------------------------


def _column(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda p: f"{min(p)}-{max(p)}")
    step = st.integers(1, high - low + 1)
    item = st.one_of(
        number.map(str),
        span,
        st.tuples(span, step).map(lambda p: f"{p[0]}/{p[1]}"),
        st.tuples(number, step).map(lambda p: f"{p[0]}/{p[1]}"),
    )
    return st.one_of(
        st.just("*"),
        step.map(lambda n: f"*/{n}"),
        item,
        st.lists(item, min_size=2, max_size=4).map(",".join),
    )


TIMES = (_column(0, 59), st.one_of(_column(0, 23), _column(0, 4), _column(20, 23)))
DATES = (
    st.one_of(st.just("*"), _column(1, 31)),
    st.one_of(st.just("*"), _column(1, 12)),
    st.one_of(st.just("*"), _column(0, 7)),
)
FIVE = st.tuples(*TIMES, *DATES).map(" ".join)
SIX = st.tuples(_column(0, 59), *TIMES, *DATES).map(" ".join)
CHANGES = st.sampled_from([(z, c) for z in ODD_ZONES for c in changes_of(z)])
DST = st.sampled_from(["once", "skip"])
QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def _minutes_around(zone: str, change: datetime) -> list:
    return clock_of(zone, change - 26 * HOUR, change + 4 * HOUR, MINUTE)


@settings(QUICK, max_examples=2_000 if EVERY_ZONE else 150)
@given(expression=FIVE, where=CHANGES, dst=DST, minutes=st.integers(0, 29 * 60))
def test_any_five_fields_agree_with_the_scan_from_any_moment(expression, where, dst, minutes):
    zone, change = where
    clock = _minutes_around(zone, change)
    expected = Oracle(expression).fires(clock, dst)
    low, high = clock[0][0], clock[-1][0] + MINUTE
    assert product_fires(expression, zone, dst, low, high) == expected
    after = low + minutes * MINUTE + timedelta(seconds=minutes % 3, microseconds=minutes % 7)
    rest = [fire for fire in expected if fire > after]
    assert product_fires(expression, zone, dst, after, high) == rest


@settings(QUICK, max_examples=300 if EVERY_ZONE else 25)
@given(expression=SIX, where=CHANGES, dst=DST)
def test_any_six_fields_agree_with_the_scan(expression, where, dst):
    zone, change = where
    clock = clock_of(zone, change - 70 * MINUTE, change + 70 * MINUTE, SECOND)
    expected = Oracle(expression).fires(clock, dst)
    got = product_fires(expression, zone, dst, clock[0][0], clock[-1][0] + SECOND)
    assert got == expected


@settings(QUICK, max_examples=40)
@given(expression=FIVE, where=CHANGES, dst=DST)
def test_seconds_first_changes_nothing_when_they_are_zero(expression, where, dst):
    zone, change = where
    window = (change - 30 * HOUR, change + 30 * HOUR)
    five = product_fires(expression, zone, dst, *window)
    assert five == product_fires(f"0 {expression}", zone, dst, *window)


@settings(QUICK, max_examples=150)
@given(
    expression=st.one_of(FIVE, SIX),
    zone=st.sampled_from(zone_names()),
    dst=DST,
    after=st.datetimes(datetime(1999, 1, 1), datetime(2090, 1, 1)),  # noqa: DTZ001
)
def test_fires_only_grow_and_never_repeat(expression, zone, dst, after):
    after = after.replace(tzinfo=UTC)
    spec = (
        schedules.load("cron", expression=expression, timezone=zone, dst=dst, anchor=after)
        if _possible(expression)
        else None
    )
    found = schedules.fires(spec, after, 20) if spec else []
    assert found == sorted(set(found))
    assert all(fire > after and fire.tzinfo is UTC and not fire.microsecond for fire in found)
    # The list is the chain of single steps, wherever one starts in it.
    for earlier, later in pairwise(found):
        between = earlier + (later - earlier) / 2
        assert schedules.next_fire(spec, between) == later


def _possible(expression: str) -> bool:
    try:
        schedules.load("cron", expression=expression, anchor=FIRST)
    except schedules.ScheduleError as error:
        return "never fire" not in error.message
    return True


def test_no_zone_changes_its_clock_twice_within_three_days():
    """What the search for the next fire relies on."""
    for zone in sampled_zones():
        changes = changes_of(zone)
        gaps = [b - a for a, b in pairwise(changes)]
        assert all(gap > timedelta(days=3) for gap in gaps), zone
