"""Times and durations. They tick in the browser; no state is written for them."""

from typing import Literal

import reflex as rx

from cronium_app.ui.components.browser import Since, When
from cronium_app.ui.components.kinds import Number, Text


def since(start: Text, *, end: Text | None = None) -> rx.Component:
    """The time from `start` to `end`, or to now while `end` is empty. RFC 3339 in UTC."""
    return Since.create(start=start, end="" if end is None else end)


def duration(seconds: Number) -> rx.Component:
    """A finished duration in seconds: `0.4 s`, `4.1 s`, `1 m 40 s`, `1 h 12 m`."""
    return Since.create(seconds=seconds)


def when(
    time: Text,
    *,
    show: Literal["relative", "absolute", "both", "clock"] = "relative",
    zone: Text = "",
    empty: str = "\u2013",
) -> rx.Component:
    """A point in time in the reader's zone, or in `zone` (IANA name), which is then named.

    relative: `in 12 min`, `3 h ago` and later a date; absolute: `23 Nov 14:02`; both: absolute
    and relative; clock: `14:02:11`. The title has date, time and zone in full. `empty` stands
    where there is no time.
    """
    return When.create(time=time, show=show, zone=zone, empty=empty)
