"""Lengths and distances of time in words."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronium_app.domain.durations import humanise, in_words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 ms"),
        (0, "0 ms"),
        (0.008, "8 ms"),
        (0.0994, "99 ms"),
        (0.0996, "0.10 s"),
        (0.42, "0.42 s"),
        (0.996, "1.0 s"),
        (4.21, "4.2 s"),
        (9.96, "10 s"),
        (42.4, "42 s"),
        (59.7, "1 m"),
        (100, "1 m 40 s"),
        (3_599.6, "1 h"),
        (7_500, "2 h 5 m"),
        (86_399, "23 h 59 m"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_how_long_something_took(seconds, text):
    assert humanise(seconds) == text


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"seconds": 0.4}, "now"),
        ({"seconds": -0.4}, "now"),
        ({"seconds": 42}, "in 42 s"),
        ({"seconds": -1}, "1 s ago"),
        ({"minutes": 12, "seconds": 59}, "in 12 min"),
        ({"minutes": -3}, "3 min ago"),
        ({"hours": 11, "minutes": 48}, "in 11 h 48 m"),
        ({"hours": -1}, "1 h ago"),
        ({"days": 3, "hours": 4}, "in 3 d 4 h"),
        ({"days": 7}, "in 7 days"),
        ({"days": -40}, "40 days ago"),
        ({"days": 61}, "in 2 months"),
        ({"days": 700}, "in 22 months"),
        ({"days": -800}, "2 years ago"),
    ],
)
def test_how_far_away_something_is(delta, text):
    assert in_words(timedelta(**delta)) == text


@given(st.floats(0, 1e9))
def test_no_unit_is_ever_full(seconds):
    words = humanise(seconds).split()
    limits = {"ms": 100, "s": 60, "m": 60, "h": 24, "d": 20_000}
    for number, unit in zip(words[::2], words[1::2], strict=True):
        assert float(number) < limits[unit]
