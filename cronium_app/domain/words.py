"""Schedules in words, made from what an expression matches rather than from how it is written.

`0 */5 * * *` is not "every 5 hours" (there are four between 20:00 and midnight), so it says
"at 00:00, 05:00, 10:00, 15:00 and 20:00".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise

from cronium_app.domain.cron import LAST_DAY, LAST_WORKING_DAY, MONTHS, Cron

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_ORDINALS = ("", "first", "second", "third", "fourth", "fifth")
_MOST_TIMES = 6
_TO = "\N{EN DASH}"


def day(moment: datetime) -> str:
    """29 March 2026"""
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}"


def clock(moment: datetime) -> str:
    """14:30, or 14:30:05 when there are seconds"""
    return _clock(moment.hour, moment.minute, moment.second)


def times_of_day(times: Sequence[datetime], last: datetime) -> str:
    """The first few of a series: "02:30", "02:10 and 02:40", "02:00 to 02:59"."""
    if times[-1] == last and len(times) <= 3:
        return _and([clock(t) for t in times])
    return f"{clock(times[0])} to {clock(last)}"


def interval(every_s: int) -> str:
    """every second, every 15 minutes, every 1 hour 30 minutes"""
    parts: list[str] = []
    left = every_s
    units = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
    if every_s == 86_400:  # not "every day": an interval keeps its length when the clock changes
        units = units[1:]
    for size, unit in units:
        number, left = divmod(left, size)
        if number:
            parts.append(_count(number, unit))
    if len(parts) == 1:
        return f"every {parts[0].removeprefix('1 ')}"
    return f"every {' '.join(parts)}"


def cron(expression: Cron) -> str:
    """every 15 minutes, 06:00-20:45, Monday to Friday (with an en dash)"""
    time, is_list = _time(expression)
    days = _days(expression)
    months = _months(expression)
    if is_list and not days:
        days = "every day"
    separator = " " if days == "every day" else ", "
    text = f"{time}{separator}{days}" if days else time
    return f"{text}{months}" if months.startswith(" ") or not months else f"{text}, {months}"


# -- time of day ------------------------------------------------------------------------------


def _time(expression: Cron) -> tuple[str, bool]:
    """The words, and whether they are a list of times of day."""
    seconds, minutes = sorted(expression.seconds), sorted(expression.minutes)
    hours = sorted(expression.hours)
    if len(seconds) * len(minutes) * len(hours) <= _MOST_TIMES:
        times = [_clock(h, m, s) for h in hours for m in minutes for s in seconds]
        return f"at {_and(times)}", True
    if len(seconds) > 1:
        return _by_second(seconds, minutes, hours), False
    at_second = f" at second {seconds[0]}" if seconds[0] else ""
    if len(minutes) == 1:
        return _by_hour(minutes[0], hours) + at_second, False
    return _by_minute(minutes, hours) + at_second, False


def _by_hour(minute: int, hours: list[int]) -> str:
    step = _step(hours)
    every = _every(step, "hour") if step else ""
    if step and _fills(hours, step, 24):
        past = f" at minute {minute}" if minute else ""
        begin = f", from {_clock(hours[0], minute)}" if hours[0] else ""
        return f"{every}{past}{begin}"
    if step:
        return f"{every}, {_clock(hours[0], minute)}{_TO}{_clock(hours[-1], minute)}"
    return f"at minute {minute} of the hours {_spans(hours)}"


def _by_minute(minutes: list[int], hours: list[int]) -> str:
    step = _step(minutes)
    even = step and _fills(minutes, step, 60)
    if even:
        text = _every(step, "minute")
        if minutes[0] and len(hours) == 24:
            text += f" from minute {minutes[0]}"
    elif step and len(minutes) > 2:
        text = f"{_every(step, 'minute')} from minute {minutes[0]} to {minutes[-1]}"
    else:
        text = f"at minutes {_spans(minutes)}"
    if len(hours) == 24:
        return text if even else f"{text} of every hour"
    if even and _step(hours) == 1:
        return f"{text}, {_clock(hours[0], minutes[0])}{_TO}{_clock(hours[-1], minutes[-1])}"
    if len(hours) == 1:
        return f"{text}, {_clock(hours[0], minutes[0])}{_TO}{_clock(hours[0], minutes[-1])}"
    return f"{text}, in the hours {_spans(hours)}"


def _by_second(seconds: list[int], minutes: list[int], hours: list[int]) -> str:
    step = _step(seconds)
    if step and _fills(seconds, step, 60):
        text = _every(step, "second") + (f" from second {seconds[0]}" if seconds[0] else "")
    else:
        text = f"at seconds {_spans(seconds)}"
        if len(minutes) == 60:
            text += " of every minute"
    if len(minutes) < 60:
        text += f", in minute{'s' if len(minutes) > 1 else ''} {_spans(minutes)}"
    if len(hours) == 24:
        return text if len(minutes) == 60 else f"{text} of every hour"
    return f"{text}, in {'the hours' if len(hours) > 1 else 'hour'} {_spans(hours)}"


# -- days -------------------------------------------------------------------------------------


def _days(expression: Cron) -> str:
    dates = "" if expression.days >= set(range(1, 32)) else _dates(expression)
    weekdays = _weekdays(expression)
    if not dates or not weekdays:
        # With "one of them is enough" an unrestricted half lets every day through.
        return dates or weekdays if expression.both_days else ""
    if expression.both_days:
        return f"{weekdays} but only {dates}"
    return f"{dates} or {weekdays}"


def _dates(expression: Cron) -> str:
    numbers = sorted(d for d in expression.days if d > 0)
    parts: list[str] = []
    only_month = len(expression.months) == 1
    if numbers and only_month and len(expression.days) == 1:
        (month,) = expression.months
        return f"on {numbers[0]} {MONTHS[month - 1]}"
    if numbers:
        parts.append(f"day{'s' if len(numbers) > 1 else ''} {_spans(numbers)}")
    if LAST_DAY in expression.days:
        parts.append("the last day")
    if LAST_WORKING_DAY in expression.days:
        parts.append("the last working day")
    return f"on {_and(parts)} of the month"


def _weekdays(expression: Cron) -> str:
    plain = sorted({(d + 6) % 7 for d in expression.weekdays if isinstance(d, int)})
    if len(plain) == 7:
        return ""
    special = sorted(d for d in expression.weekdays if isinstance(d, tuple))
    if not special:
        return _plain_weekdays(plain)
    nth = [_nth_weekday(number, nth) for number, nth in special]
    return f"on {_and([f'every {WEEKDAYS[d]}' for d in plain] + nth)} of the month"


def _plain_weekdays(days: list[int]) -> str:
    if len(days) > 2 and _step(days) == 1:
        return f"{WEEKDAYS[days[0]]} to {WEEKDAYS[days[-1]]}"
    return f"on {_and([f'{WEEKDAYS[d]}s' for d in days])}"


def _nth_weekday(number: int, nth: int) -> str:
    which = "last" if nth == LAST_DAY else _ORDINALS[nth]
    return f"the {which} {WEEKDAYS[(number + 6) % 7]}"


def _months(expression: Cron) -> str:
    months = sorted(expression.months)
    if len(months) == 12:
        return ""
    if len(months) == 1 and len(expression.days) == 1 and min(expression.days) > 0:
        return "" if _says_month(expression) else f" in {MONTHS[months[0] - 1]}"
    if len(months) > 2 and _step(months) == 1:
        return f"{MONTHS[months[0] - 1]} to {MONTHS[months[-1] - 1]}"
    return f" in {_and([MONTHS[m - 1] for m in months])}"


def _says_month(expression: Cron) -> bool:
    return expression.both_days and not _weekdays(expression)


# -- lists ------------------------------------------------------------------------------------


def _step(numbers: list[int]) -> int:
    """The constant distance of the numbers, 0 if there is none."""
    steps = {b - a for a, b in pairwise(numbers)}
    return steps.pop() if len(steps) == 1 else 0


def _fills(numbers: list[int], step: int, cycle: int) -> bool:
    """Whether the distance also holds from the last number to the first of the next cycle."""
    return numbers[0] + cycle - numbers[-1] == step


def _spans(numbers: Iterable[int]) -> str:
    """4-8 and 22 (with an en dash); 1, 3 … 31 for long even steps"""
    numbers = list(numbers)
    if len(numbers) > 4 and _step(numbers) > 1:
        return f"{numbers[0]}, {numbers[1]} … {numbers[-1]}"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][-1] + 1 == number:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts: list[str] = []
    for run in runs:
        parts += [f"{run[0]}{_TO}{run[-1]}"] if len(run) > 2 else [str(n) for n in run]
    return _and(parts)


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _clock(hour: int, minute: int, second: int = 0) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _every(number: int, unit: str) -> str:
    return f"every {unit}" if number == 1 else f"every {number} {unit}s"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
