"""Words and numbers for people: sizes, durations, limits, triggers, what a run may touch.

Points in time are not here: the browser writes them, in the reader's zone (`components.when`).
Pure functions; no I/O.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from cronium_app.domain.clock import rfc3339
from cronium_app.domain.events import DEFAULT_IMAGES

LANGUAGES: Final = {"python": "Python", "node": "Node.js", "bash": "Bash"}
EDITOR_FILES: Final = {"python": "script.py", "node": "script.js", "bash": "script.sh"}
TRIGGERS: Final = {
    "schedule": "Schedule",
    "manual": "Run now",
    "test": "Test",
    "api": "API",
}
NONE: Final = "\u2013"  # a dash where there is nothing
STATUSES: Final = ("queued", "running", "succeeded", "failed", "cancelled")


def iso(moment: datetime | None) -> str:
    """RFC 3339 in UTC for the browser to write, or nothing."""
    return rfc3339(moment) if moment else ""


def duration(seconds: float | None) -> str:
    """`8 ms`, `0.4 s`, `12.3 s`, `1 m 40 s`, `2 h 05 m`, `3 d 4 h`; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 0.1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes:02d} m"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def span(seconds: float) -> str:
    """A limit in the largest unit that fits exactly: `1 h`, `90 s`, `5 min`, `30 d`."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def size(count: int) -> str:
    """Bytes as a person reads them: `0 B`, `812 B`, `88 KiB`, `1.2 MiB`."""
    if count < 1024:
        return f"{count} B"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    raise AssertionError


# Colours and other escape sequences, and what else no page should print.
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def plain_line(text: str) -> str:
    """A line of output without its colours, at most 300 characters; after a lone carriage return
    only what it would show."""
    last = text.rstrip("\r\n").rsplit("\r", 1)[-1]
    return _ESCAPES.sub("", last)[:300]


def number(value: int) -> str:
    """`1,204`"""
    return f"{value:,}"


def plural(count: int, one: str, many: str = "") -> str:
    """`1 run`, `2 runs`"""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def megabytes(value: int) -> str:
    """`512 MB`, `2 GB`"""
    return f"{value // 1024} GB" if value >= 1024 and value % 1024 == 0 else f"{value} MB"


def cpus(value: float) -> str:
    """`1 CPU`, `0.5 CPU`, `2 CPUs`"""
    return f"{value:g} {'CPU' if value <= 1 else 'CPUs'}"


def limits(values: Mapping[str, Any]) -> str:
    """`512 MB · 1 CPU · 1 h` from a run's limits."""
    parts = (
        (megabytes(int(values["memory_mb"])) if values.get("memory_mb") else ""),
        (cpus(float(values["cpus"])) if values.get("cpus") else ""),
        (span(float(values["timeout_s"])) if values.get("timeout_s") else ""),
    )
    return " · ".join(part for part in parts if part)


def touches(runtime: str, image: str, *, network: bool) -> str:
    """What a run may reach: `container cronium/bash, network on, no files of this host`."""
    defaults: Mapping[str, str] = {str(key): value for key, value in DEFAULT_IMAGES.items()}
    name = image or defaults.get(runtime, "")
    return f"container {name}, network {'on' if network else 'off'}, no files of this host"


def trigger(kind: str, by: str) -> str:
    """Who or what started a run: `schedule “every day at 02:00”`, `ada@example.org`, `the API`."""
    if kind == "schedule":
        return f"schedule “{by}”" if by else "a schedule"
    if kind == "api":
        return f"{by}, by the API" if by else "the API"
    if kind == "test":
        return f"{by}, as a test" if by else "a test"
    return by or "Run now"


def short_digest(digest: str) -> str:
    """`sha256:4e1c…` cut to what a person compares."""
    return digest.removeprefix("sha256:")[:12]


def tick_title(status: str, reason: str | None, seconds: float | None) -> str:
    """`succeeded after 4.1 s`, `failed (timed out) after 1 h 00 m`, `skipped`."""
    if reason == "skipped":
        return "skipped"
    why = f" ({reason.replace('_', ' ')})" if reason and reason not in ("exited",) else ""
    took = f" after {duration(seconds)}" if seconds is not None else ""
    return f"{status}{why}{took}"
