"""How many fires lie between two instants, without visiting each: a year of seconds in
milliseconds. Days on which the clock changes are walked fire by fire."""

from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cronium_app.domain import dst, schedules
from cronium_app.domain.cron import Cron, compile_cron
from cronium_app.domain.schedules import CronRule, IntervalRule, ScheduleSpec

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


def count(spec: ScheduleSpec, after: datetime, until: datetime) -> int:
    """Fires with after < fire <= until (aware)."""
    until = min(until, spec.end or until)
    first = schedules.next_fire(spec, after)
    if first is None or first > until:
        return 0
    match spec.rule:
        case IntervalRule() as rule:
            return (until - first) // timedelta(seconds=rule.every_s) + 1
        case CronRule() as rule:
            zone, cron = dst.find_zone(spec.timezone), compile_cron(rule.expression)
            return 1 + _CronDays(spec, cron, zone, first, until).count()
        case _:
            return 1


class _CronDays:
    """The fires of a cron rule in (after, until], local day by local day."""

    def __init__(
        self, spec: ScheduleSpec, cron: Cron, zone: ZoneInfo, after: datetime, until: datetime
    ) -> None:
        self._spec, self._cron, self._zone = spec, cron, zone
        self._after, self._until = after, until
        self._times = sorted(
            h * 3600 + m * 60 + s for h in cron.hours for m in cron.minutes for s in cron.seconds
        )
        self._changing: set[date] = set()
        for change in dst.changes(zone, after - 3 * _DAY, until + 3 * _DAY):
            day = change.low.date()
            while day <= change.high.date():
                self._changing.add(day)
                day += _DAY

    def count(self) -> int:
        last = dst.wall_clock(self._zone, self._until).date()
        day: date | None = dst.wall_clock(self._zone, self._after).date()
        total = 0
        while day is not None and day <= last:
            total += self._walked(day) if day in self._changing else self._computed(day)
            day = self._next_day(day)
        return total

    def _next_day(self, day: date) -> date | None:
        """The next that has fires, or that changes the clock: a gap moves fires to another day."""
        found = self._cron.after(datetime.combine(day, time(23, 59, 59)))
        changing = (other for other in self._changing if other > day)
        return min([*changing, *([found.date()] if found else [])], default=None)

    def _computed(self, day: date) -> int:
        """On a day without a change every matching time of the clock fires once."""
        midnight = datetime.combine(day, time())
        found = self._cron.after(midnight - _SECOND)
        if found is None or found.date() != day:
            return 0
        after = (dst.wall_clock(self._zone, self._after) - midnight).total_seconds()
        until = (dst.wall_clock(self._zone, self._until) - midnight).total_seconds()
        return bisect_right(self._times, until) - bisect_right(self._times, after)

    def _walked(self, day: date) -> int:
        start, _ = dst.instant_of(self._zone, datetime.combine(day, time()))
        end, _ = dst.instant_of(self._zone, datetime.combine(day + _DAY, time()))
        at, total = max(self._after, start - _SECOND), 0
        until = min(self._until, end - _SECOND)
        while (at := schedules.next_fire(self._spec, at) or self._until + _DAY) <= until:
            total += 1
        return total
