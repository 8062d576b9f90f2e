"""Counting fires agrees with visiting each of them."""

from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cronium_app.domain import schedules
from cronium_app.domain.counting import count

ZONES = (  # changes at midnight, of 30 minutes, of a day; negative; none
    *("Australia/Lord_Howe", "Asia/Beirut", "America/Santiago", "America/Nuuk", "Europe/Dublin"),
    *("Africa/Casablanca", "America/Havana", "America/New_York", "Europe/Berlin", "UTC"),
    *("Africa/Cairo", "Antarctica/Troll"),
)
EXPRESSIONS = (
    *("30 2 * * *", "0 0 * * *", "*/20 * * * *", "15,45 0,1,2,23 * * *", "0 0-23 * * 1-5"),
    *("0 */2 L * *", "10 30 1 * * 0", "0 59 23 * * *", "*/30 30 0-3 * * *", "0 5 * * 5#2"),
)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1))  # noqa: DTZ001
SPANS = st.one_of(
    st.timedeltas(timedelta(0), timedelta(days=2)), st.timedeltas(timedelta(0), timedelta(days=100))
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    expression=st.sampled_from(EXPRESSIONS),
    zone=st.sampled_from(ZONES),
    dst=st.sampled_from(["once", "skip"]),
    after=MOMENTS,
    span=SPANS,
)
def test_counting_is_visiting(expression, zone, dst, after, span):
    after = after.replace(tzinfo=UTC)
    until = after + span
    spec = schedules.load("cron", anchor=after, expression=expression, timezone=zone, dst=dst)
    visited, fire = 0, schedules.next_fire(spec, after)
    while fire is not None and fire <= until:
        visited += 1
        fire = schedules.next_fire(spec, fire)
    assert count(spec, after, until) == visited


@given(every=st.integers(1, 10_000), after=st.integers(0, 10**6), span=st.integers(0, 10**6))
def test_intervals_are_computed(every, after, span):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    spec = schedules.load("interval", anchor=start, every_s=every)
    low = start + timedelta(seconds=after)
    found = count(spec, low, low + timedelta(seconds=span))
    assert found == (after + span) // every - after // every


def test_one_date_counts_once_and_an_end_ends():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    once = schedules.load("once", anchor=start, at=start + timedelta(days=1))
    assert count(once, start, start + timedelta(days=2)) == 1
    assert count(once, start, start + timedelta(hours=2)) == 0
    hourly = schedules.load(
        "cron", anchor=start, expression="@hourly", end=start + timedelta(hours=3)
    )
    assert count(hourly, start, start + timedelta(days=9)) == 3
