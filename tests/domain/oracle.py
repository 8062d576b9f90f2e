"""Fire times by brute force. Shares no code with the product: it looks at each minute (or second)
of a window, reads the wall clock there, and applies the written rule.
"""

import calendar
from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

NAMES = {
    4: {name.lower(): n for n, name in enumerate(calendar.month_abbr) if name},
    5: {n.lower(): i for i, n in enumerate(["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"])},
}
BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


class Oracle:
    def __init__(self, expression: str) -> None:
        columns = expression.lower().split()
        self.columns = columns if len(columns) == 6 else ["0", *columns]
        self.by_second = self.columns[0] != "0"
        self.sets = [self._values(i) for i in range(6)]
        self.wildcard = self.columns[1][0] == "*" or self.columns[2][0] == "*"

    def _values(self, column: int) -> set[int]:
        low, high = BOUNDS[column]
        found: set[int] = set()
        for item in self.columns[column].split(","):
            span, _, step = item.partition("/")
            if span == "*":
                a, b = low, high
            else:
                first, dash, last = span.partition("-")
                a = self._number(column, first)
                b = self._number(column, last) if dash else (high if step else a)
            found |= {n for n in range(a, b + 1) if (n - a) % int(step or 1) == 0}
        return {0 if n == 7 else n for n in found} if column == 5 else found

    def _number(self, column: int, text: str) -> int:
        return NAMES[column][text] if column in NAMES and text in NAMES[column] else int(text)

    @cache  # noqa: B019 - an oracle lives as long as its test
    def _date(self, year: int, month: int, day: int) -> bool:
        weekday = (calendar.weekday(year, month, day) + 1) % 7
        in_days, in_weekdays = day in self.sets[3], weekday in self.sets[5]
        either = self.columns[3][0] != "*" and self.columns[5][0] != "*"
        dates = in_days or in_weekdays if either else in_days and in_weekdays
        return dates and month in self.sets[4]

    def matches(self, wall: datetime) -> bool:
        return (
            wall.minute in self.sets[1]
            and wall.hour in self.sets[2]
            and wall.second in self.sets[0]
            and self._date(wall.year, wall.month, wall.day)
        )

    def fires(self, clock: "list[tuple[datetime, datetime]]", dst: str) -> list[datetime]:
        """Fires in a series of (instant, wall clock); the first entry is only looked back at."""
        found: list[datetime] = []
        step = clock[1][0] - clock[0][0]
        latest = previous = clock[0][1]
        for instant, wall in clock[1:]:
            if self.wildcard:
                fire = self.matches(wall)
            else:
                fire = wall > latest and self.matches(wall)
                if dst == "once" and wall > previous + step:
                    missing = previous + step
                    while missing < wall and not fire:
                        fire = self.matches(missing)
                        missing += step
            if fire:
                found.append(instant)
            previous, latest = wall, max(latest, wall)
        return found


def clock_of(zone: str, low: datetime, high: datetime, step: timedelta) -> list:
    """(instant, naive wall clock) from low to high."""
    info, series = ZoneInfo(zone), []
    while low < high:
        series.append((low, low.astimezone(info).replace(tzinfo=None)))
        low += step
    return series
