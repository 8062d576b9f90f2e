"""Schedules as people write them: published examples, clock changes, refusals, words."""

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from cronium_app.domain.schedules import (
    CronRule,
    IntervalRule,
    OnceRule,
    ScheduleError,
    ScheduleSpec,
    describe,
    dst_notes,
    fires,
    load,
    next_fire,
    parse,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)  # a Sunday


def cron(expression: str, zone: str = "UTC", dst: str = "once", **more: str) -> ScheduleSpec:
    return parse("cron", expression=expression, timezone=zone, dst=dst, anchor=NOW, **more)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def listed(spec: ScheduleSpec, after: str, count: int = 3) -> list[str]:
    return [
        f"{fire:%Y-%m-%d %H:%M:%S}".removesuffix(":00") for fire in fires(spec, utc(after), count)
    ]


# -- cron, without a clock change -----------------------------------------------------------------

PUBLISHED = [
    # crontab(5), Vixie and Debian
    ("5 0 * * *", ["2026-03-01 00:05", "2026-03-02 00:05", "2026-03-03 00:05"]),
    ("15 14 1 * *", ["2026-03-01 14:15", "2026-04-01 14:15", "2026-05-01 14:15"]),
    ("0 22 * * 1-5", ["2026-03-02 22:00", "2026-03-03 22:00", "2026-03-04 22:00"]),
    ("23 0-23/2 * * *", ["2026-03-01 00:23", "2026-03-01 02:23", "2026-03-01 04:23"]),
    ("5 4 * * sun", ["2026-03-01 04:05", "2026-03-08 04:05", "2026-03-15 04:05"]),
    ("30 4 1,15 * 5", ["2026-03-01 04:30", "2026-03-06 04:30", "2026-03-13 04:30"]),
    ("0 */4 1 * mon", ["2026-03-01 04:00", "2026-03-01 08:00", "2026-03-01 12:00"]),
    ("0 0 */2 * sun", ["2026-03-15 00:00", "2026-03-29 00:00", "2026-04-05 00:00"]),
    ("0 4 8-14 * *", ["2026-03-08 04:00", "2026-03-09 04:00", "2026-03-10 04:00"]),
    ("0 0-4,8-12 * * *", ["2026-03-01 01:00", "2026-03-01 02:00", "2026-03-01 03:00"]),
    # Debian's /etc/crontab
    ("17 * * * *", ["2026-03-01 00:17", "2026-03-01 01:17", "2026-03-01 02:17"]),
    ("25 6 * * *", ["2026-03-01 06:25", "2026-03-02 06:25", "2026-03-03 06:25"]),
    ("47 6 * * 7", ["2026-03-01 06:47", "2026-03-08 06:47", "2026-03-15 06:47"]),
    ("52 6 1 * *", ["2026-03-01 06:52", "2026-04-01 06:52", "2026-05-01 06:52"]),
    # aliases
    ("@hourly", ["2026-03-01 01:00", "2026-03-01 02:00", "2026-03-01 03:00"]),
    ("@daily", ["2026-03-02 00:00", "2026-03-03 00:00", "2026-03-04 00:00"]),
    ("@Midnight", ["2026-03-02 00:00", "2026-03-03 00:00", "2026-03-04 00:00"]),
    ("@weekly", ["2026-03-08 00:00", "2026-03-15 00:00", "2026-03-22 00:00"]),
    ("@monthly", ["2026-04-01 00:00", "2026-05-01 00:00", "2026-06-01 00:00"]),
    ("@yearly", ["2027-01-01 00:00", "2028-01-01 00:00", "2029-01-01 00:00"]),
    ("@annually", ["2027-01-01 00:00", "2028-01-01 00:00", "2029-01-01 00:00"]),
    # where other schedulers go wrong
    ("0 0 * * 0", ["2026-03-08 00:00", "2026-03-15 00:00", "2026-03-22 00:00"]),
    ("0 0 * * 7", ["2026-03-08 00:00", "2026-03-15 00:00", "2026-03-22 00:00"]),
    ("0 0 13 * 5", ["2026-03-06 00:00", "2026-03-13 00:00", "2026-03-20 00:00"]),
    ("0 0 L * *", ["2026-03-31 00:00", "2026-04-30 00:00", "2026-05-31 00:00"]),
    ("0 0 LW * *", ["2026-03-31 00:00", "2026-04-30 00:00", "2026-05-29 00:00"]),
    ("0 0 * * 5L", ["2026-03-27 00:00", "2026-04-24 00:00", "2026-05-29 00:00"]),
    ("0 0 * * 5#2", ["2026-03-13 00:00", "2026-04-10 00:00", "2026-05-08 00:00"]),
    ("0 0 * JAN,dec Mon-wed", ["2026-12-01 00:00", "2026-12-02 00:00", "2026-12-07 00:00"]),
    ("5-5/10 0 1 * *", ["2026-03-01 00:05", "2026-04-01 00:05", "2026-05-01 00:05"]),
    ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
    ("0 0 * * 5-7", ["2026-03-06 00:00", "2026-03-07 00:00", "2026-03-08 00:00"]),
    # six fields, seconds first
    ("* * * * * *", ["2026-03-01 00:00:01", "2026-03-01 00:00:02", "2026-03-01 00:00:03"]),
    ("*/20 5 * * * *", ["2026-03-01 00:05", "2026-03-01 00:05:20", "2026-03-01 00:05:40"]),
    ("30 0 12 * * 1", ["2026-03-02 12:00:30", "2026-03-09 12:00:30", "2026-03-16 12:00:30"]),
]


@pytest.mark.parametrize(("expression", "expected"), PUBLISHED)
def test_published_examples(expression, expected):
    assert listed(cron(expression), "2026-03-01") == expected


# -- clock changes --------------------------------------------------------------------------------

BERLIN, NEW_YORK, LORD_HOWE = "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"

CHANGES = [
    # New York: the measured table of the project's notes
    (NEW_YORK, "30 2 * * *", "once", "2026-03-07 12:00", ["2026-03-08 07:00", "2026-03-09 06:30"]),
    (NEW_YORK, "30 2 * * *", "skip", "2026-03-07 12:00", ["2026-03-09 06:30", "2026-03-10 06:30"]),
    (NEW_YORK, "30 1 * * *", "once", "2026-10-31 12:00", ["2026-11-01 05:30", "2026-11-02 06:30"]),
    (NEW_YORK, "30 1 * * *", "skip", "2026-10-31 12:00", ["2026-11-01 05:30", "2026-11-02 06:30"]),
    (NEW_YORK, "0 0 * * *", "once", "2026-03-08 00:00", ["2026-03-08 05:00", "2026-03-09 04:00"]),
    # several missing times make one fire, also together with the one that exists
    (BERLIN, "10,40 2 * * *", "once", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:10"]),
    (BERLIN, "0 2,3 * * *", "once", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:00"]),
    (BERLIN, "* 30 2 * * *", "once", "2026-03-28 12:00", ["2026-03-29 01:00", "2026-03-30 00:30"]),
    # wildcards follow real time
    (BERLIN, "30 * * * *", "once", "2026-03-29 00:00", ["2026-03-29 00:30", "2026-03-29 01:30"]),
    (BERLIN, "*/30 2 * * *", "once", "2026-03-28 12:00", ["2026-03-30 00:00", "2026-03-30 00:30"]),
    (BERLIN, "0 */2 * * *", "once", "2026-10-24 22:00", ["2026-10-25 00:00", "2026-10-25 01:00"]),
    # from the middle of the doubled hour: it has fired already
    (BERLIN, "30 2 * * *", "once", "2026-10-25 00:45", ["2026-10-26 01:30", "2026-10-27 01:30"]),
    (BERLIN, "30 2 * * *", "once", "2026-10-25 01:15", ["2026-10-26 01:30", "2026-10-27 01:30"]),
    # half an hour
    (LORD_HOWE, "15 2 * * *", "once", "2026-10-03 00:00", ["2026-10-03 15:30", "2026-10-04 15:15"]),
    (LORD_HOWE, "45 1 * * *", "once", "2026-04-04 00:00", ["2026-04-04 14:45", "2026-04-05 15:15"]),
    # midnight does not exist
    (
        "Asia/Beirut",
        "0 0 * * *",
        "once",
        "2026-03-28 00:00",
        ["2026-03-28 22:00", "2026-03-29 21:00"],
    ),
    (
        "America/Santiago",
        "30 0 * * *",
        "once",
        "2026-09-05 12:00",
        ["2026-09-06 04:00", "2026-09-07 03:30"],
    ),
    (
        "America/Nuuk",
        "30 23 * * *",
        "once",
        "2026-03-28 12:00",
        ["2026-03-29 01:00", "2026-03-30 00:30"],
    ),
    # Dublin's winter is the "saving" one in the data
    (
        "Europe/Dublin",
        "30 1 * * *",
        "once",
        "2026-03-28 12:00",
        ["2026-03-29 01:00", "2026-03-30 00:30"],
    ),
    (
        "Europe/Dublin",
        "30 1 * * *",
        "once",
        "2026-10-24 12:00",
        ["2026-10-25 00:30", "2026-10-26 01:30"],
    ),
    # Ramadan: an hour back in February, forward in March
    (
        "Africa/Casablanca",
        "30 2 * * *",
        "once",
        "2026-02-14 12:00",
        ["2026-02-15 01:30", "2026-02-16 02:30"],
    ),
    (
        "Africa/Casablanca",
        "30 2 * * *",
        "once",
        "2026-03-21 12:00",
        ["2026-03-22 02:00", "2026-03-23 01:30"],
    ),
    # a whole day that Samoa did not have
    (
        "Pacific/Apia",
        "0 9 * * *",
        "once",
        "2011-12-29 00:00",
        ["2011-12-29 19:00", "2011-12-30 10:00", "2011-12-30 19:00"],
    ),
    (
        "Pacific/Apia",
        "0 9 * * *",
        "skip",
        "2011-12-29 00:00",
        ["2011-12-29 19:00", "2011-12-30 19:00"],
    ),
]


@pytest.mark.parametrize(("zone", "expression", "dst", "after", "expected"), CHANGES)
def test_clock_changes(zone, expression, dst, after, expected):
    assert listed(cron(expression, zone, dst), after, len(expected)) == expected
    if len(expression.split()) == 5:
        assert listed(cron(f"0 {expression}", zone, dst), after, len(expected)) == expected


def test_intervals_do_not_notice_clock_changes():
    spec = parse("interval", every_s=3600, timezone=BERLIN, anchor=utc("2026-03-28 23:30"))
    found = fires(spec, utc("2026-03-28 23:30"), 400)
    assert all(b - a == timedelta(hours=1) for a, b in pairwise(found))


def test_notes_say_what_the_clock_changes_do():
    assert dst_notes(cron("30 2 * * *", BERLIN), NOW, 2) == [
        "02:30 does not exist on 29 March 2026 in Europe/Berlin: runs at 03:00",
        "02:30 happens twice on 25 October 2026 in Europe/Berlin: runs the first time only",
    ]
    assert dst_notes(cron("0,20,40,50 2 * * *", BERLIN), NOW, 1) == [
        "02:00 to 02:50 do not exist on 29 March 2026 in Europe/Berlin: runs once, at 03:00"
    ]
    assert dst_notes(cron("30 2 * * *", BERLIN, "skip"), NOW, 1) == [
        "02:30 does not exist on 29 March 2026 in Europe/Berlin: skipped"
    ]
    assert dst_notes(cron("*/30 2 * * *", BERLIN), NOW, 2) == [
        "02:00 and 02:30 do not exist on 29 March 2026 in Europe/Berlin: skipped",
        "02:00 and 02:30 happen twice on 25 October 2026 in Europe/Berlin: runs both times",
    ]
    assert dst_notes(cron("30 23 * * *", "America/Nuuk"), NOW, 1) == [
        "23:30 does not exist on 28 March 2026 in America/Nuuk: runs at 00:00 on 29 March 2026"
    ]


@pytest.mark.parametrize(
    "spec",
    [
        cron("30 4 * * *", BERLIN),
        cron("*/5 * * * *", BERLIN),
        cron("30 2 * * *"),
        cron("30 2 * * mon", BERLIN),
        cron("30 2 * * *", BERLIN, start="2026-04-01T00:00", end="2026-10-01T00:00"),
        parse("interval", every_s=60, timezone=BERLIN, anchor=NOW),
        parse("once", at="2026-03-29T03:00", timezone=BERLIN, anchor=NOW),
    ],
)
def test_no_notes_for_what_a_change_does_not_touch(spec):
    assert dst_notes(spec, NOW, 5) == []


# -- intervals, single dates, start and end -------------------------------------------------------


def test_an_interval_without_start_fires_first_after_one_interval():
    spec = parse("interval", every_s=90, anchor=utc("2026-03-01 00:00:10"))
    assert spec.rule == IntervalRule(every_s=90, anchor=utc("2026-03-01 00:00:10"))
    assert listed(spec, "2020-01-01", 2) == ["2026-03-01 00:01:40", "2026-03-01 00:03:10"]


def test_an_interval_with_start_fires_at_the_start_and_keeps_in_step_for_ten_years():
    spec = parse("interval", every_s=7, start="2016-03-01T00:00:00Z", anchor=NOW)
    assert listed(spec, "2016-01-01", 2) == ["2016-03-01 00:00", "2016-03-01 00:00:07"]
    late = next_fire(spec, NOW)
    assert (late - utc("2016-03-01")) % timedelta(seconds=7) == timedelta()
    assert NOW < late <= NOW + timedelta(seconds=7)


def test_a_single_date_is_wall_clock_time_in_its_zone_unless_it_has_an_offset():
    local = parse("once", at="2026-07-01T14:30", timezone=BERLIN, anchor=NOW)
    assert local.rule == OnceRule(at=utc("2026-07-01 12:30"))
    exact = parse("once", at="2026-07-01 14:30:15.5-04:00", timezone=BERLIN, anchor=NOW)
    assert exact.rule == OnceRule(at=utc("2026-07-01 18:30:15"))
    assert fires(local, NOW, 3) == [utc("2026-07-01 12:30")]
    assert next_fire(local, utc("2026-07-01 12:30")) is None
    distant = parse("once", at="2150-01-01T00:00Z", anchor=NOW)
    assert next_fire(distant, NOW) == utc("2150-01-01")


def test_a_single_date_at_a_clock_change():
    gap = {"at": "2026-03-29T02:30", "timezone": BERLIN, "anchor": NOW}
    assert parse("once", **gap).rule == OnceRule(at=utc("2026-03-29 01:00"))
    with pytest.raises(ScheduleError, match="02:30 does not exist on 29 March 2026") as error:
        parse("once", dst="skip", **gap)
    assert error.value.field == "at"
    doubled = parse("once", at="2026-10-25T02:30", timezone=BERLIN, anchor=NOW)
    assert doubled.rule == OnceRule(at=utc("2026-10-25 00:30"))


def test_start_and_end_are_included():
    spec = cron("0 12 * * *", start="2026-03-05T12:00Z", end="2026-03-07T12:00Z")
    assert listed(spec, "2026-03-01", 9) == [f"2026-03-0{day} 12:00" for day in (5, 6, 7)]


def test_a_stored_schedule_that_is_over_still_loads():
    over = {"kind": "once", "at": utc("2026-01-01"), "anchor": NOW}
    assert next_fire(load(**over), NOW) is None
    with pytest.raises(ScheduleError, match="already passed"):
        parse(**over)


def test_naive_moments_are_a_bug():
    with pytest.raises(ValueError, match="aware"):
        next_fire(cron("* * * * *"), datetime(2026, 1, 1))  # noqa: DTZ001


def test_the_text_is_kept_as_typed_but_for_spaces():
    assert cron(" 0\t3 * *  MON ").rule == CronRule(expression="0 3 * * MON")
    assert cron("@Daily").rule == CronRule(expression="@Daily")


# -- refusals -------------------------------------------------------------------------------------

WRONG = [
    ("", "Write a cron expression"),
    ("60 * * * *", "The minute field goes from 0 to 59, got 60."),
    ("* 24 * * *", "The hour field goes from 0 to 23, got 24."),
    ("60 * * * * *", "The second field goes from 0 to 59, got 60."),
    ("0 0 0 * *", "The day-of-month field goes from 1 to 31, got 0."),
    ("0 0 * 13 *", "The month field goes from 1 to 12, got 13."),
    ("0 0 * jul,foo *", "The month field cannot be foo"),
    ("0 0 * * 8", "The weekday field goes from 0 to 7, got 8."),
    ("*/0 * * * *", "A step of 0 in the minute field"),
    ("*/x * * * *", "After / the minute field needs a whole number, got x."),
    ("5-1 * * * *", "The range 5-1 in the minute field runs backwards."),
    ("0 0 * * sat-sun", "The range sat-sun in the weekday field runs backwards."),
    ("1,,2 * * * *", "The minute field has an empty place"),
    ("1.5 * * * *", "The minute field cannot be 1.5"),
    ("-1 * * * *", "The minute field cannot be -1"),
    ("0 0 ? * *", "The day-of-month field has no ?"),
    ("0 0 15W * *", "The day-of-month field cannot be 15W"),
    ("0 0 * * 5#6", "After # the weekday field needs 1 to 5, got 6."),
    ("0 0 * * friL", "Write friL with the number of the day: 5L."),
    ("0 0 31 2 *", "There is no day 31 in February, so this would never fire."),
    ("0 0 31 4,feb *", "There is no day 31 in February or April"),
    ("0 0 */31 * mon#2", "This never fires"),
    ("* * * *", "got 4"),
    ("* * * * * * *", "got 7"),
    ("@reboot", "@reboot has no time of day"),
    ("@fortnightly", "@fortnightly is not an alias"),
    ("٣ * * * *", "The minute field holds U+0663"),
    ("* ３ * * *", "The hour field holds U+FF13"),  # noqa: RUF001 - a full-width digit
    ("* * *\0 * *", "The day-of-month field holds U+0000"),
    ("* * *\n* *", "holds U+000A"),
    ("9" * 5_000 + " * * * *", "The minute field is 5,000 characters long"),
    ("* " + "9" * 600 + " * * *", "The hour field goes from 0 to 23, got 9999"),
    ("9" * 1_000_000, "1,000,000 characters long"),
    ("* " * 500_000, "characters long"),
    ("\0" * 1_000_000, "characters long"),
]


@pytest.mark.parametrize(("expression", "sentence"), WRONG, ids=lambda value: value[:20])
def test_a_wrong_expression_is_explained_quickly(expression, sentence):
    # Time of this thread, the best of three: neighbours on the machine are no failure of ours.
    spent = []
    for _ in range(3):
        started = time.thread_time()
        with pytest.raises(ScheduleError) as error:
            cron(expression)
        spent.append(time.thread_time() - started)
    assert min(spent) < 0.05
    assert sentence in error.value.message
    assert error.value.field == "expression"
    assert len(error.value.message) < 200


def test_what_never_fires_in_a_zone_is_refused():
    """The wildcard would need 02:xx on the one day that skips it."""
    with pytest.raises(ScheduleError, match="never fires"):
        cron("*/5 2 * 3 0L", BERLIN)


REFUSED = [
    ({"kind": "cron"}, "expression"),
    ({"kind": "yearly"}, "kind"),
    ({"kind": "interval"}, "every_s"),
    ({"kind": "interval", "every_s": 0}, "every_s"),
    ({"kind": "interval", "every_s": -5}, "every_s"),
    ({"kind": "interval", "every_s": True}, "every_s"),
    ({"kind": "interval", "every_s": 1.5}, "every_s"),
    ({"kind": "interval", "every_s": 10**30}, "every_s"),
    ({"kind": "interval", "every_s": 11 * 365 * 86_400}, "every_s"),
    ({"kind": "once"}, "at"),
    ({"kind": "once", "at": ""}, "at"),
    ({"kind": "once", "at": "tomorrow"}, "at"),
    ({"kind": "once", "at": "2026-02-30T10:00"}, "at"),
    ({"kind": "once", "at": "2026-04-01T25:00"}, "at"),
    ({"kind": "once", "at": "٢٠٢٦-04-01T10:00"}, "at"),
    ({"kind": "once", "at": "2026-04-01T10:00" * 100_000}, "at"),
    ({"kind": "once", "at": "9999-12-31T23:59:59Z"}, "at"),
    ({"kind": "once", "at": "0001-01-01T00:00+14:00"}, "at"),
    ({"kind": "once", "at": "2026-02-28T23:59:59Z"}, "at"),
    ({"kind": "once", "at": "2026-05-01T00:00Z", "end": "2026-04-01T00:00Z"}, "at"),
    ({"kind": "cron", "expression": "* * * * *", "dst": "twice"}, "dst"),
    ({"kind": "cron", "expression": "* * * * *", "start": "x"}, "start"),
    ({"kind": "cron", "expression": "* * * * *", "end": "2026-01-01T00:00Z"}, "end"),
    ({"kind": "cron", "expression": "0 0 1 1 *", "end": "2026-12-01T00:00Z"}, "end"),
    (
        {
            "kind": "cron",
            "expression": "* * * * *",
            "start": "2026-05-02T00:00Z",
            "end": "2026-05-01T00:00Z",
        },
        "end",
    ),
]


@pytest.mark.parametrize(("arguments", "field"), REFUSED)
def test_other_wrong_input_names_its_field(arguments, field):
    with pytest.raises(ScheduleError) as error:
        parse(**arguments, anchor=NOW)
    assert error.value.field == field
    assert error.value.message.endswith(".")


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("europe/berlin", "Did you mean Europe/Berlin?"),
        ("Berlin", "Did you mean Europe/Berlin?"),
        ("Europe/Berln", "Did you mean Europe/Berlin?"),
        ("new york", "Did you mean America/New_York?"),
        ("../x", "IANA name"),
        ("/etc/passwd", "IANA name"),
        ("Europe", "IANA name"),
        ("localtime", "IANA name"),
        ("posixrules", "IANA name"),
        ("", "IANA name"),
        ("UTC\0", "IANA name"),
        ("x" * 1_000_000, "IANA name"),
    ],
    ids=lambda value: value[:20].replace("\0", "0"),
)
def test_a_zone_must_exist_and_a_slip_gets_a_hint(zone, hint):
    with pytest.raises(ScheduleError, match="not a known time zone") as error:
        cron("* * * * *", zone)
    assert error.value.field == "timezone"
    assert hint in error.value.message
    assert len(error.value.message) < 120


# -- speed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression", ["0 0 29 2 *", "0 0 * 2 1#5", "*/5 * 29 2 *", "* * * 2 1#5", "59 59 23 31 12 *"]
)
def test_seldom_fires_are_found_quickly(expression):
    spec = cron(expression, "Africa/Casablanca")
    best = min(_seconds_for(spec) for _ in range(3))
    assert best < 0.02, f"{best * 1e3:.1f} ms"


def _seconds_for(spec: ScheduleSpec) -> float:
    started = time.thread_time()
    assert next_fire(spec, NOW)
    return time.thread_time() - started


# -- words ----------------------------------------------------------------------------------------

# A plain "-" here stands for the en dash of the product.
WORDS = [
    ("*/15 6-20 * * 1-5", "every 15 minutes, 06:00-20:45, Monday to Friday"),
    ("* * * * *", "every minute"),
    ("* * * * * *", "every second"),
    ("*/2 * * * * *", "every 2 seconds"),
    ("15 * * * * *", "every minute at second 15"),
    ("5/10 * * * *", "every 10 minutes from minute 5"),
    ("10-20/3 * * * *", "every 3 minutes from minute 10 to 19 of every hour"),
    ("7,11 * * * *", "at minutes 7 and 11 of every hour"),
    ("@hourly", "every hour"),
    ("17 * * * *", "every hour at minute 17"),
    ("0 */2 * * *", "every 2 hours"),
    ("0 1/2 * * *", "every 2 hours, from 01:00"),
    ("0 */5 * * *", "at 00:00, 05:00, 10:00, 15:00 and 20:00 every day"),
    ("0 8-18 * * *", "every hour, 08:00-18:00"),
    ("23 0-20/2 * * *", "every 2 hours, 00:23-20:23"),
    ("0 0-4,8-12 * * *", "at minute 0 of the hours 0-4 and 8-12"),
    ("*/5 2 * * *", "every 5 minutes, 02:00-02:55"),
    ("*/15 6-20/2 * * *", "every 15 minutes, in the hours 6, 8 … 20"),
    ("*/10 5-9 * * * *", "every 10 seconds, in minutes 5-9 of every hour"),
    ("1,8 * 3 * * *", "at seconds 1 and 8 of every minute, in hour 3"),
    ("30 2 * * *", "at 02:30 every day"),
    ("30 0 0 * * *", "at 00:00:30 every day"),
    ("30 9,17 * * *", "at 09:30 and 17:30 every day"),
    ("0 0 * * 7", "at 00:00, on Sundays"),
    ("0 0 * * 0,6", "at 00:00, on Saturdays and Sundays"),
    ("0 0 * * 1-7", "at 00:00 every day"),
    ("0 0 * * 5-7", "at 00:00, Friday to Sunday"),
    ("0 0 * * 5#2", "at 00:00, on the second Friday of the month"),
    ("0 0 * * 5L,1", "at 00:00, on every Monday and the last Friday of the month"),
    ("0 0 1,15 * *", "at 00:00, on days 1 and 15 of the month"),
    ("0 0 L * *", "at 00:00, on the last day of the month"),
    ("0 0 1,LW * *", "at 00:00, on day 1 and the last working day of the month"),
    ("0 0 13 * 5", "at 00:00, on day 13 of the month or on Fridays"),
    ("0 0 */2 * 1", "at 00:00, on Mondays but only on days 1, 3 … 31 of the month"),
    ("0 0 1-31 * 1", "at 00:00 every day"),
    ("@yearly", "at 00:00, on 1 January"),
    ("0 9 1 1,7 *", "at 09:00, on day 1 of the month in January and July"),
    ("0 9 * jan-mar *", "at 09:00 every day, January to March"),
    ("0 9 * 2 *", "at 09:00 every day in February"),
]


@pytest.mark.parametrize(("expression", "text"), WORDS)
def test_cron_in_words(expression, text):
    assert describe(cron(expression)) == text.replace("-", "\N{EN DASH}")


@pytest.mark.parametrize(
    ("every_s", "text"),
    [
        (1, "every second"),
        (2, "every 2 seconds"),
        (60, "every minute"),
        (900, "every 15 minutes"),
        (90, "every 1 minute 30 seconds"),
        (3600, "every hour"),
        (86_400, "every 24 hours"),
        (604_800, "every 7 days"),
    ],
)
def test_intervals_in_words(every_s, text):
    assert describe(parse("interval", every_s=every_s, anchor=NOW)) == text


def test_a_single_date_in_words():
    spec = parse("once", at="2026-07-01T14:30", timezone=BERLIN, anchor=NOW)
    assert describe(spec) == "once, on 1 July 2026 at 14:30"
