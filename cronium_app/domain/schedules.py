"""When a schedule fires. Pure: the present is passed in, instants in and out are aware UTC.

`parse` checks what a person typed; `load` rebuilds the same value from stored columns. `next_fire`
answers from the last fire, never from the present, so a late wake-up loses and doubles nothing.

An interval is a number of seconds from an anchor and does not know of clocks: fire k is
anchor + k * every. With a `start` the anchor is that start and the start itself is the first fire;
without one the anchor is the moment of the save and the first fire comes one interval later.
`start` and `end` are both included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, NoReturn
from zoneinfo import ZoneInfo

from cronium_app.domain import dst as clock_changes
from cronium_app.domain import words
from cronium_app.domain.cron import Cron, compile_cron, normalise
from cronium_app.domain.dst import Change
from cronium_app.domain.schedule_error import ScheduleError

__all__ = [
    "CronRule",
    "DstRule",
    "IntervalRule",
    "OnceRule",
    "Rule",
    "ScheduleError",
    "ScheduleKind",
    "ScheduleSpec",
    "describe",
    "dst_notes",
    "fires",
    "load",
    "next_fire",
    "parse",
    "to_instant",
]

ScheduleKind = Literal["cron", "interval", "once"]
DstRule = Literal["once", "skip"]

SHORTEST_INTERVAL_S = 1
LONGEST_INTERVAL_S = 3_653 * 86_400  # ten years, two or three of them leap years
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
_LOOK_AHEAD = timedelta(days=50 * 366)  # 29 February on one weekday is at most 40 years apart
_NOTES_AHEAD = timedelta(days=400)
_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)

_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)


@dataclass(frozen=True, kw_only=True)
class CronRule:
    expression: str
    dst: DstRule = "once"


@dataclass(frozen=True, kw_only=True)
class IntervalRule:
    every_s: int
    anchor: datetime


@dataclass(frozen=True, kw_only=True)
class OnceRule:
    at: datetime


Rule = CronRule | IntervalRule | OnceRule


@dataclass(frozen=True, kw_only=True)
class ScheduleSpec:
    rule: Rule
    timezone: str
    start: datetime | None = None
    end: datetime | None = None


def parse(  # noqa: PLR0913 - the columns of a schedule
    kind: str,
    *,
    anchor: datetime,
    expression: str | None = None,
    every_s: int | None = None,
    at: datetime | str | None = None,
    timezone: str = "UTC",
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    dst: str = "once",
) -> ScheduleSpec:
    """Check a schedule as typed; raises ScheduleError with the field and a sentence.

    `anchor` is the moment of the save (aware). What could never fire after it is refused. `at`,
    `start` and `end` are RFC 3339, or without an offset wall-clock time in `timezone`.
    """
    spec = load(
        kind,
        anchor=anchor,
        expression=expression,
        every_s=every_s,
        at=at,
        timezone=timezone,
        start=start,
        end=end,
        dst=dst,
    )
    if next_fire(spec, anchor - _TICK) is None:
        _refuse_silence(spec, anchor)
    return spec


def load(  # noqa: PLR0913 - the columns of a schedule
    kind: str,
    *,
    anchor: datetime,
    expression: str | None = None,
    every_s: int | None = None,
    at: datetime | str | None = None,
    timezone: str = "UTC",
    start: datetime | str | None = None,
    end: datetime | str | None = None,
    dst: str = "once",
) -> ScheduleSpec:
    """Like `parse`, for a stored schedule: one that has fired for the last time is no error."""
    zone = clock_changes.find_zone(timezone)
    if dst not in ("once", "skip"):
        raise ScheduleError("dst", "The rule for clock changes is once or skip.")
    first = None if start is None else to_instant(start, zone, field="start")
    last = None if end is None else to_instant(end, zone, field="end")
    if first and last and last < first:
        raise ScheduleError("end", "The end lies before the start.")
    rule: Rule
    match kind:
        case "cron":
            rule = _cron_rule(expression, dst)
        case "interval":
            rule = _interval_rule(every_s, first or anchor)
        case "once":
            rule = _once_rule(at, zone, dst)
        case _:
            raise ScheduleError("kind", "A schedule is of kind cron, interval or once.")
    return ScheduleSpec(rule=rule, timezone=timezone, start=first, end=last)


def _cron_rule(expression: str | None, dst: DstRule) -> CronRule:
    compile_cron(expression or "")
    return CronRule(expression=normalise(expression or ""), dst=dst)


def _interval_rule(every_s: int | None, anchor: datetime) -> IntervalRule:
    if every_s is None:
        raise ScheduleError("every_s", "An interval needs its length in seconds.")
    if type(every_s) is not int:
        raise ScheduleError("every_s", "The interval is a whole number of seconds.")
    if not SHORTEST_INTERVAL_S <= every_s <= LONGEST_INTERVAL_S:
        got = f"{every_s:,}" if abs(every_s) < 10**15 else "far more"
        raise ScheduleError(
            "every_s", f"An interval lasts from 1 second to ten years, got {got} seconds."
        )
    return IntervalRule(every_s=every_s, anchor=_utc(anchor).replace(microsecond=0))


def _once_rule(at: datetime | str | None, zone: ZoneInfo, dst: DstRule) -> OnceRule:
    if at is None or at == "":
        raise ScheduleError("at", "A schedule for one date needs that date and time.")
    return OnceRule(at=to_instant(at, zone, field="at", exact=dst == "skip"))


def to_instant(
    moment: datetime | str, zone: ZoneInfo, *, field: str, exact: bool = False
) -> datetime:
    """A whole second in UTC from RFC 3339 or from a wall-clock time in the zone.

    A doubled wall-clock time means its first occurrence. One that does not exist means the first
    instant after the gap, or with `exact` a ScheduleError. Raises ScheduleError(field).
    """
    parsed = _read_moment(moment, field) if isinstance(moment, str) else moment
    parsed = parsed.replace(microsecond=0)
    if not EARLIEST.year < parsed.year < LATEST.year:
        raise ScheduleError(field, f"The year must lie between 1971 and 2199, got {parsed.year}.")
    if parsed.tzinfo is not None:
        return parsed.astimezone(UTC)
    instant, exists = clock_changes.instant_of(zone, parsed)
    if exact and not exists:
        then = clock_changes.wall_clock(zone, instant)
        raise ScheduleError(
            field,
            f"{words.clock(parsed)} does not exist on {words.day(parsed)} in {zone.key}: "
            f"the clock jumps to {words.clock(then)}.",
        )
    return instant


def _read_moment(text: str, field: str) -> datetime:
    match = _MOMENT.fullmatch(text.strip()) if len(text) <= 64 else None
    if match is None:
        raise ScheduleError(
            field, "Write the date and time as 2026-03-29T14:30, or with an offset at the end."
        )
    date, time, offset = match.groups()
    try:
        return datetime.fromisoformat(f"{date}T{time}{(offset or '').upper()}")
    except ValueError:
        raise ScheduleError(field, "That date or time does not exist.") from None


def _refuse_silence(spec: ScheduleSpec, anchor: datetime) -> NoReturn:
    if spec.end and spec.end < anchor:
        raise ScheduleError("end", "The end has already passed, so this would never fire.")
    if isinstance(spec.rule, OnceRule):
        if spec.rule.at < anchor:
            raise ScheduleError("at", "That moment has already passed.")
        raise ScheduleError("at", "That moment lies outside start and end.")
    if spec.end:
        raise ScheduleError("end", "Nothing fires before the end.")
    if isinstance(spec.rule, CronRule):
        raise ScheduleError("expression", "This never fires: no day of the calendar matches it.")
    raise ScheduleError("start", "Nothing fires before the year 2200.")


def next_fire(spec: ScheduleSpec, after: datetime) -> datetime | None:
    """The first fire strictly after `after` (aware), or None when there is none any more."""
    after = max(_utc(after), EARLIEST)
    if spec.start:
        after = max(after, spec.start - _TICK)
    until = min(spec.end or LATEST, LATEST)
    if after >= until:
        return None
    match spec.rule:
        case CronRule() as rule:
            return _next_cron(rule, clock_changes.find_zone(spec.timezone), after, until)
        case IntervalRule() as rule:
            fire = _next_interval(rule, after, from_anchor=spec.start is not None)
        case OnceRule() as rule:
            fire = rule.at if rule.at > after else None
    return fire if fire and fire <= until else None


def _next_cron(rule: CronRule, zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    cron = compile_cron(rule.expression)
    until = min(until, after + _LOOK_AHEAD)
    if cron.wildcard:
        return clock_changes.next_real(cron, zone, after, until)
    return clock_changes.next_fixed(cron, zone, after, until, skip=rule.dst == "skip")


def _next_interval(rule: IntervalRule, after: datetime, *, from_anchor: bool) -> datetime | None:
    first = 0 if from_anchor else 1
    every = timedelta(seconds=rule.every_s)
    # Whole-number arithmetic: floats would drift by microseconds over years.
    k = max(first, (after - rule.anchor) // every + 1)
    return rule.anchor + k * every


def fires(spec: ScheduleSpec, after: datetime, count: int) -> list[datetime]:
    """The next `count` fires strictly after `after`, fewer if the schedule ends."""
    found: list[datetime] = []
    while len(found) < count and (fire := next_fire(spec, after)):
        found.append(fire)
        after = fire
    return found


def describe(spec: ScheduleSpec) -> str:
    """In words, without the zone: "every 15 minutes, 06:00-20:45, Monday to Friday" (en dash)."""
    match spec.rule:
        case CronRule() as rule:
            return words.cron(compile_cron(rule.expression))
        case IntervalRule() as rule:
            return words.interval(rule.every_s)
        case OnceRule() as rule:
            wall = clock_changes.wall_clock(clock_changes.find_zone(spec.timezone), rule.at)
            return f"once, on {words.day(wall)} at {words.clock(wall)}"


def dst_notes(spec: ScheduleSpec, after: datetime, count: int) -> list[str]:
    """Up to `count` sentences on clock changes within 400 days that touch this schedule's fires.

    Intervals and single dates have none: they are instants.
    """
    if not isinstance(spec.rule, CronRule):
        return []
    zone = clock_changes.find_zone(spec.timezone)
    cron = compile_cron(spec.rule.expression)
    low = max(_utc(after), EARLIEST, (spec.start or EARLIEST) - _SECOND)
    high = min(low + _NOTES_AHEAD, spec.end or LATEST)
    notes: list[str] = []
    for change in clock_changes.changes(zone, low, high):
        if len(notes) >= count:
            break
        if note := _note(change, cron, zone, spec.rule.dst):
            notes.append(note)
    return notes


def _note(change: Change, cron: Cron, zone: ZoneInfo, dst: DstRule) -> str | None:
    times = cron.within(change.low, change.high, limit=4)
    # A job of every hour in real time neither loses nor gains anything worth a sentence.
    if not times or (cron.wildcard and len(cron.hours) == 24):
        return None
    last = cron.last_before(change.high) or times[-1]
    shown, many = words.times_of_day(times, last), last != times[0]
    where = f"on {words.day(times[0])} in {zone.key}"
    if not change.is_gap:
        verb = "happen" if many else "happens"
        outcome = "runs both times" if cron.wildcard else "runs the first time only"
        return f"{shown} {verb} twice {where}: {outcome}"
    verb = "do not exist" if many else "does not exist"
    if cron.wildcard or dst == "skip":
        return f"{shown} {verb} {where}: skipped"
    moved = words.clock(change.high)
    if change.high.date() != times[0].date():
        moved += f" on {words.day(change.high)}"
    return f"{shown} {verb} {where}: runs {'once, ' if many else ''}at {moved}"


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("an aware datetime is needed")
    return moment.astimezone(UTC)
