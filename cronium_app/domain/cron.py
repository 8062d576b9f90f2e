"""Cron expressions without zones: check, explain what is wrong, list matching wall-clock times.

cronsim parses and enumerates; it knows nothing of time zones here, because its own treatment of
clock changes differs between five and six fields. That layer is `dst`. Aliases are ours too.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NoReturn

from cronsim import CronSim, CronSimError

from cronium_app.domain.schedule_error import ScheduleError

MAX_LENGTH = 1_000  # a list of all 60 seconds and all 60 minutes fits three times

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

LAST_DAY = CronSim.LAST
LAST_WORKING_DAY = CronSim.LAST_WEEKDAY

_STEPPED_RANGE = re.compile(r"(\w+)-(\w+)/0*[1-9]\d*", re.ASCII)

Weekday = int | tuple[int, int]

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_SHORT_MONTHS = tuple(name[:3].upper() for name in MONTHS)
_SHORT_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class _Field:
    """What one column of an expression may hold; only used to say what is wrong with it."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first: int = 0  # the number of names[0]
    words: str = ""  # what else may stand there

    def number(self, text: str) -> int | None:
        if text.upper() in self.names:
            return self.names.index(text.upper()) + self.first
        return int(text) if text.isdigit() else None


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day-of-month", 1, 31, words=", L for the last day, LW for the last working day"),
    _Field("month", 1, 12, names=_SHORT_MONTHS, first=1, words=" or jan to dec"),
    _Field(
        "weekday", 0, 7, names=_SHORT_WEEKDAYS, words=" or sun to sat, 5L for the last Friday, 5#2"
    ),
)
_CRONSIM_NAMES = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")


@dataclass(frozen=True)
class Cron:
    """A checked expression. Weekdays are numbers 0 to 7, (day, nth) or (day, LAST_DAY)."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[Weekday]
    both_days: bool  # day-of-month AND weekday must match; else one of them is enough
    wildcard: bool  # hour or minute begins with a star, as in Debian's cron: follows real time
    _template: CronSim

    def after(self, wall: datetime) -> datetime | None:
        """The first matching wall-clock time strictly after `wall` (naive), None within 50 years."""
        # A copy of the parsed object is many times cheaper than parsing again.
        search = copy.copy(self._template)
        search.dt = wall.replace(microsecond=0)
        return next(search, None)

    def within(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """Up to `limit` matching wall-clock times w with start <= w < end (naive)."""
        found: list[datetime] = []
        wall = self.after(start - _SECOND)
        while wall is not None and wall < end and len(found) < limit:
            found.append(wall)
            wall = self.after(wall)
        return found

    def last_before(self, wall: datetime) -> datetime | None:
        """The last matching wall-clock time strictly before `wall` (naive, whole seconds)."""
        search = copy.copy(self._template)
        search.dt, search.tick_direction = wall, -1
        return next(search, None)


def normalise(expression: str) -> str:
    """The text to keep: one space between fields, case as typed."""
    return " ".join(expression.split())


@lru_cache(maxsize=4096)
def _compiled(expression: str) -> Cron:
    parts = ALIASES.get(expression.lower(), expression).split()
    six = parts if len(parts) == 6 else ["0", *parts]
    plain = [_without_lone_ranges(field, part) for field, part in zip(_FIELDS, six, strict=True)]
    try:
        parsed = CronSim(" ".join(plain), datetime(2000, 1, 1))  # noqa: DTZ001 - wall-clock time
    except CronSimError as error:
        _explain(str(error), six)
    return Cron(
        seconds=frozenset(parsed.seconds),
        minutes=frozenset(parsed.minutes),
        hours=frozenset(parsed.hours),
        days=frozenset(parsed.days),
        months=frozenset(parsed.months),
        weekdays=frozenset(parsed.weekdays),
        both_days=parsed.day_and,
        wildcard=six[1].startswith("*") or six[2].startswith("*"),
        _template=parsed,
    )


def _without_lone_ranges(field: _Field, part: str) -> str:
    """5-5/10 is 5 alone, as in crontab(5); cronsim takes it for 5/10, that is 5, 15, 25 …"""
    items: list[str] = []
    for item in part.split(","):
        match = _STEPPED_RANGE.fullmatch(item)
        lone = match and field.number(match[1]) == field.number(match[2]) is not None
        items.append(match[1] if match and lone else item)
    return ",".join(items)


def compile_cron(expression: str) -> Cron:
    """Check an expression of five or six fields (seconds first) or an alias.

    Raises ScheduleError with a sentence that names the column at fault.
    """
    expression = expression.strip(" \t\r\n")
    _check_text(expression)
    if expression.startswith("@"):
        _check_alias(expression)
    elif (count := len(expression.split())) not in (5, 6):
        _fail(
            "A cron expression has five fields (minute, hour, day, month, weekday), or six with "
            f"the second first; got {count}."
        )
    return _compiled(normalise(expression))


def _fail(message: str) -> NoReturn:
    raise ScheduleError("expression", message)


def _check_text(expression: str) -> None:
    if not expression:
        _fail("Write a cron expression such as 0 3 * * * (every day at 03:00).")
    if len(expression) > MAX_LENGTH:
        _fail(_too_long(expression))
    parts = expression.replace("\t", " ").split(" ")
    parts = [part for part in parts if part]
    for index, part in enumerate(parts):
        bad = next((c for c in part if not "!" <= c <= "~"), None)
        if bad is not None:
            where = f"The {_columns(parts)[index].name} field" if len(parts) in (5, 6) else "It"
            _fail(
                f"{where} holds U+{ord(bad):04X}, which no cron expression has; "
                "use plain digits, letters and * , - / only."
            )


def _columns(parts: list[str]) -> tuple[_Field, ...]:
    return _FIELDS[-len(parts) :]


def _too_long(expression: str) -> str:
    parts = expression.split()
    if len(parts) in (5, 6):
        longest = max(range(len(parts)), key=lambda i: len(parts[i]))
        return (
            f"The {_columns(parts)[longest].name} field is {len(parts[longest]):,} characters long; "
            f"a whole expression has at most {MAX_LENGTH:,}."
        )
    return (
        f"The expression is {len(expression):,} characters long; at most {MAX_LENGTH:,} are read."
    )


def _check_alias(expression: str) -> None:
    alias = expression.lower()
    if alias == "@reboot":
        _fail("@reboot has no time of day: a schedule here needs one, for example @daily.")
    if alias not in ALIASES:
        known = ", ".join(ALIASES)
        _fail(f"{_shown(expression)} is not an alias; there are {known}.")


def _shown(text: str) -> str:
    return text if len(text) <= 24 else text[:20] + "…"


def _explain(error: str, parts: list[str]) -> NoReturn:
    """Turn cronsim's "Bad minute" into the reason."""
    index = _CRONSIM_NAMES.index(error.removeprefix("Bad "))
    field, text = _FIELDS[index], parts[index]
    for item in text.split(","):
        reason = _reason(field, item)
        if reason:
            _fail(reason)
    if field.name == "day-of-month":
        _fail(_no_such_date(parts))
    _fail(f"The {field.name} field cannot be read: {_shown(parts[index])}.")


def _no_such_date(parts: list[str]) -> str:
    days = CronSim(f"0 0 {parts[3]} 1 *", datetime(2000, 1, 1)).days  # noqa: DTZ001
    months = CronSim(f"0 0 1 {parts[4]} *", datetime(2000, 1, 1)).months  # noqa: DTZ001
    names = [MONTHS[month - 1] for month in sorted(months)]
    return f"There is no day {min(days)} in {' or '.join(names)}, so this would never fire."


def _reason(field: _Field, item: str) -> str | None:
    if not item:
        return f"The {field.name} field has an empty place between its commas."
    base, slash, step = item.partition("/")
    if slash and (reason := _step_reason(field, step)):
        return reason
    if base == "*":
        return None
    if field.name in {"weekday", "day-of-month"} and ("#" in base or base[-1:] in "lLwW"):
        return _special_reason(field, item, base)
    low, dash, high = base.partition("-")
    for text in (low, high) if dash else (low,):
        number = field.number(text)
        if number is None:
            return _unreadable(field, item)
        if not field.low <= number <= field.high:
            return (
                f"The {field.name} field goes from {field.low} to {field.high}, got {_shown(text)}."
            )
    if dash and (field.number(high) or 0) < (field.number(low) or 0):
        return f"The range {_shown(item)} in the {field.name} field runs backwards."
    return None


def _step_reason(field: _Field, step: str) -> str | None:
    if not step.isdigit():
        return (
            f"After / the {field.name} field needs a whole number, got {_shown(step) or 'nothing'}."
        )
    if not step.strip("0"):
        return f"A step of 0 in the {field.name} field would never move on; it starts at 1."
    return None


def _special_reason(field: _Field, item: str, base: str) -> str | None:
    if field.name == "weekday":
        day, hash_, nth = base.partition("#")
        number = field.number(day.rstrip("lL") if not hash_ else day)
        if number is None or not field.low <= number <= field.high or "/" in item:
            return (
                f"{_shown(item)} is no weekday: write 5L for the last Friday "
                "or 5#2 for the second Friday of a month."
            )
        if hash_ and nth not in {"1", "2", "3", "4", "5"}:
            return f"After # the weekday field needs 1 to 5, got {_shown(nth) or 'nothing'}."
        if not hash_ and not day.rstrip("lL").isdigit():
            return f"Write {item} with the number of the day: {number}L."
        return None
    if field.name == "day-of-month" and base.upper() in {"L", "LW"}:
        return None
    return _unreadable(field, item)


def _unreadable(field: _Field, text: str) -> str:
    if text == "?":
        return f"The {field.name} field has no ?; write * instead."
    return (
        f"The {field.name} field cannot be {_shown(text)}: it takes {field.low} to "
        f"{field.high}{field.words}, * and lists, ranges and steps of these."
    )
