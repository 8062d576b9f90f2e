"""Lengths of time and distances from now, as short as a table cell needs them."""

from __future__ import annotations

from datetime import timedelta

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_MONTH, _YEAR = 2_629_746, 31_556_952  # means of the Gregorian calendar


def humanise(seconds: float) -> str:
    """How long something took: 8 ms, 0.42 s, 4.2 s, 42 s, 1 m 40 s, 2 h 5 m, 3 d 4 h.

    Negative lengths (a clock was set back) count as none.
    """
    seconds = max(seconds, 0.0)
    # Each limit lies where rounding would reach the next form, so "60 s" or "1000 ms" never occur.
    if seconds < 0.0995:
        return f"{round(seconds * 1000)} ms"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    return _two_units(round(seconds))


def in_words(delta: timedelta) -> str:
    """How far away something is: now, in 42 s, in 12 min, in 11 h 48 m, 3 min ago, in 5 months.

    `delta` is the moment minus now; what has not passed whole is not counted.
    """
    seconds = int(abs(delta.total_seconds()))
    if not seconds:
        return "now"
    distance = _distance(seconds)
    return f"in {distance}" if delta > timedelta() else f"{distance} ago"


def _two_units(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return _pair(seconds, _MINUTE, "m", 1, "s")
    if seconds < _DAY:
        return _pair(seconds, _HOUR, "h", _MINUTE, "m")
    return _pair(seconds, _DAY, "d", _HOUR, "h")


def _pair(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    number, rest = seconds // large, seconds % large // small
    return f"{number} {large_unit} {rest} {small_unit}" if rest else f"{number} {large_unit}"


def _distance(seconds: int) -> str:
    if _MINUTE <= seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < 7 * _DAY:
        return _two_units(seconds)
    for limit, size, unit in ((2 * _MONTH, _DAY, "days"), (2 * _YEAR, _MONTH, "months")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // _YEAR} years"
