"""Time zones and clock changes: which wall-clock times are missing or doubled, and what runs then.

Two ways a cron expression meets a clock change:

- fixed local times (no star in hour or minute): a doubled time fires the first time only; a missing
  one fires at the first instant after the gap (`once`) or not at all (`skip`).
- wildcards follow real time: whatever the clock shows fires, both times in the doubled hour, and
  nothing is invented for the missing one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from cronium_app.domain.cron import Cron
from cronium_app.domain.schedule_error import ScheduleError

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
# A change moves the clock by a day at most (Samoa, 2011), so within JUMP of a candidate computed
# with another offset nothing can be missed; NEAR must be more than that.
_NEAR = 3 * _DAY
_JUMP = 2 * _DAY


@dataclass(frozen=True)
class Change:
    """One jump of a zone's clock at instant `at` (UTC), from one offset to another."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def is_gap(self) -> bool:
        return self.after > self.before

    @property
    def low(self) -> datetime:
        """First wall-clock time (naive) that is missing or doubled."""
        return _naive(self.at) + min(self.before, self.after)

    @property
    def high(self) -> datetime:
        """First wall-clock time (naive) after those."""
        return _naive(self.at) + max(self.before, self.after)


@lru_cache(maxsize=1)
def zone_names() -> tuple[str, ...]:
    """All IANA names. From the data package: the operating system's folder also holds `localtime`."""
    text = resources.files("tzdata").joinpath("zones").read_text("ascii")
    return tuple(sorted(text.split()))


@lru_cache(maxsize=1)
def _names_by_fold() -> dict[str, str]:
    return {name.casefold(): name for name in zone_names()}


def find_zone(name: str) -> ZoneInfo:
    """The zone of that exact IANA name; raises ScheduleError(timezone) with a suggestion."""
    if _names_by_fold().get(name.casefold()) == name:
        return ZoneInfo(name)
    close = _closest(name) if len(name) <= 64 and name.isprintable() else None
    shown = name if close else "That"
    hint = f" Did you mean {close}?" if close else " Use an IANA name such as Europe/Berlin."
    raise ScheduleError("timezone", f"{shown} is not a known time zone.{hint}")


def _closest(name: str) -> str | None:
    wanted = "_".join(name.split()).casefold()
    names = _names_by_fold()
    if wanted in names:
        return names[wanted]
    by_city = [full for fold, full in names.items() if fold.rpartition("/")[2] == wanted]
    if by_city:
        return max(by_city, key=lambda full: full.startswith(("Europe/", "America/", "Asia/")))
    cities = {fold.rpartition("/")[2]: full for fold, full in names.items()}
    for pool in (names, cities):
        if match := difflib.get_close_matches(wanted, pool, n=1, cutoff=0.75):
            return pool[match[0]]
    return None


def _naive(instant: datetime) -> datetime:
    return instant.replace(tzinfo=None)


def offset_at(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def wall_clock(zone: ZoneInfo, instant: datetime) -> datetime:
    """What a clock in the zone shows at that instant (naive)."""
    return _naive(instant.astimezone(zone))


def first_change(zone: ZoneInfo, start: datetime, end: datetime) -> Change | None:
    """The first change with start < at <= end (UTC). Costs a look per day between them."""
    low, before = start, offset_at(zone, start)
    while low < end:
        high = min(low + _DAY, end)
        if offset_at(zone, high) != before:
            return _bisect(zone, low, high, before)
        low = high
    return None


def _bisect(zone: ZoneInfo, low: datetime, high: datetime, before: timedelta) -> Change:
    while high - low > _SECOND:
        middle = (low + (high - low) / 2).replace(microsecond=0)
        middle = middle if middle > low else low + _SECOND
        if offset_at(zone, middle) == before:
            low = middle
        else:
            high = middle
    at = high.replace(microsecond=0)
    return Change(at, before, offset_at(zone, at))


def changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Change]:
    """All changes with start < at <= end, in order."""
    while change := first_change(zone, start, end):
        yield change
        start = change.at


def change_at(zone: ZoneInfo, wall: datetime) -> Change | None:
    """The change that makes this wall-clock time (naive) missing or doubled, if any."""
    early, late = wall.replace(tzinfo=zone, fold=0), wall.replace(tzinfo=zone, fold=1)
    offsets = (early.utcoffset() or timedelta(), late.utcoffset() or timedelta())
    if offsets[0] == offsets[1]:
        return None
    instants = [(wall - offset).replace(tzinfo=UTC) for offset in offsets]
    return first_change(zone, min(instants) - _SECOND, max(instants))


def instant_of(zone: ZoneInfo, wall: datetime) -> tuple[datetime, bool]:
    """The first instant (UTC) at which the clock shows `wall` (naive), and True.

    For a time that does not exist: the first instant after the gap, and False.
    """
    change = change_at(zone, wall)
    if change and change.is_gap:
        return change.at, False
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC), True


def next_fixed(
    cron: Cron, zone: ZoneInfo, after: datetime, until: datetime, *, skip: bool
) -> datetime | None:
    """Next fire of fixed local times: strictly after `after`, not later than `until`."""
    local = after.astimezone(zone)
    wall = _naive(local)
    if local.fold and (change := change_at(zone, wall)):
        # The second pass of a doubled hour: everything up to its end has fired in the first.
        wall = change.high - _SECOND
    while (found := cron.after(wall)) is not None:
        fire, exists = instant_of(zone, found)
        if fire > until:
            return None
        if exists or not skip:
            return fire
        wall = wall_clock(zone, fire) - _SECOND  # leave the gap at once, not time by time
    return None


def next_real(cron: Cron, zone: ZoneInfo, after: datetime, until: datetime) -> datetime | None:
    """Next instant whose clock matches: strictly after `after`, not later than `until`.

    Between two changes wall clock and instant differ by a constant, so one look at the expression
    finds the candidate; it stands if the clock does not change before it. Far candidates are
    approached by one jump, so that an expression of one day in four years costs no walk through
    every change between.
    """
    start = after.replace(microsecond=0) + _SECOND
    while start <= until:
        offset = offset_at(zone, start)
        wall = cron.after(_naive(start) + offset - _SECOND)
        if wall is None:
            return None
        fire = (wall - offset).replace(tzinfo=UTC)
        change = first_change(zone, start, min(fire, start + _NEAR))
        if change:
            start = change.at
        elif fire - start <= _NEAR:
            return fire if fire <= until else None
        else:
            start = fire - _JUMP
    return None
