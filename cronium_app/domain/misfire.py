"""What becomes of the fires of a schedule that are due: runs, or visible skips. Pure.

A fire is *missed* when nobody was looking at the schedules at its time: no server ran, the machine
slept, or its clock was set forward. What happens to missed fires is the schedule's rule:

- `once` (default): the newest of them runs, unless a later fire runs anyway
- `all`: each of them runs
- `skip`: none of them runs

and with `once` and `all` only those missed by at most the schedule's window. Whatever does not run
is a skip with its reason. A fire that somebody was there for runs, however late the machine was.

After a very long silence there would be millions of skips, so a schedule gets at most 1,000 rows
for one silence: the newest 900 due fires have one each, all older ones share one that says how
many they were, from when to when. Shared ones never run, whatever the rule.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from cronium_app.domain import counting, durations, pauses, schedules
from cronium_app.domain.jitter import jitter
from cronium_app.domain.pauses import Pause
from cronium_app.domain.schedules import ScheduleSpec

MisfireRule = Literal["skip", "once", "all"]

GRACE = timedelta(seconds=1)  # so short before the first look nobody missed anything
LONGEST_WINDOW_S = 30 * 86_400
MOST_ROWS = 1_000
OWN_ROWS = 900  # less than MOST_ROWS, so that fires due meanwhile begin no second shared row
_TICK = timedelta(microseconds=1)


def rule_of(text: str) -> MisfireRule:
    """A stored rule; one that is not known counts as the default."""
    return text if text in ("skip", "all") else "once"


@dataclass(frozen=True, kw_only=True)
class FireDecision:
    """`why`: the sentence of a skip. `not_before`: when the run may start at the earliest."""

    runs: bool
    why: str = ""
    not_before: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class FireRules:
    """What of a schedule says how its fires are dealt with. `stopped`: why nothing of it may run
    now (its event is off, say), or ""."""

    schedule_id: UUID
    spec: ScheduleSpec
    misfire: MisfireRule = "once"
    window: timedelta = timedelta(hours=1)
    jitter_s: int = 0
    pauses: Sequence[Pause] = ()
    stopped: str = ""


@dataclass(frozen=True, kw_only=True)
class Fire:
    at: datetime
    decision: FireDecision


@dataclass(frozen=True, kw_only=True)
class FirePlan:
    """Fires in order, and the one that follows them: due or not, None when there is none."""

    fires: tuple[Fire, ...]
    following: datetime | None


def plan(
    rules: FireRules, first: datetime, *, now: datetime, awake_since: datetime, limit: int
) -> FirePlan:
    """Decide on the due fires of a schedule, from the stored one (`first` <= now) on.

    `awake_since`: from when on somebody has been looking without a break. At most `limit` fires
    are answered; planning again from `following` goes on where this ended.
    """
    due, shared = _due(rules.spec, first, now)
    decisions = _decide(rules, due, now, awake_since)
    if shared is not None:
        decisions = [Fire(at=first, decision=shared), *decisions]
    if len(decisions) > limit:
        return FirePlan(fires=tuple(decisions[:limit]), following=decisions[limit].at)
    following = schedules.next_fire(rules.spec, due[-1])
    return FirePlan(fires=tuple(decisions), following=following)


def _due(
    spec: ScheduleSpec, first: datetime, now: datetime
) -> tuple[list[datetime], FireDecision | None]:
    """The due instants with a row of their own, and the decision on all older ones."""
    due = [first]
    while len(due) <= MOST_ROWS:
        fire = schedules.next_fire(spec, due[-1])
        if fire is None or fire > now:
            return due, None
        due.append(fire)
    newest = _newest(spec, first, now)
    last = newest.popleft()
    number = 1 + counting.count(spec, first, last)
    why = (
        f"{number:,} fires from {_shown(first)} to {_shown(last)} were missed, too many for "
        "a row each: no server was running."
    )
    return list(newest), FireDecision(runs=False, why=why)


def _newest(spec: ScheduleSpec, first: datetime, now: datetime) -> deque[datetime]:
    """The last OWN_ROWS + 1 due instants, of at least that many."""
    span = timedelta(seconds=OWN_ROWS)
    while True:
        at = max(first - _TICK, now - span)
        found: deque[datetime] = deque(maxlen=OWN_ROWS + 1)
        fire = schedules.next_fire(spec, at)
        while fire is not None and fire <= now:
            found.append(fire)
            fire = schedules.next_fire(spec, fire)
        if len(found) > OWN_ROWS or at < first:
            return found
        span *= 2


def _decide(
    rules: FireRules, due: Sequence[datetime], now: datetime, awake_since: datetime
) -> list[Fire]:
    edge = awake_since - GRACE
    reasons = [rules.stopped or _no_run(rules, at, now, missed=at < edge) for at in due]
    if rules.misfire == "once":
        newest = next((i for i in reversed(range(len(due))) if not reasons[i]), 0)
        for index in range(newest):
            if due[index] < edge and not reasons[index]:
                reasons[index] = "Missed: no server was running. A later fire runs instead."
    return [
        Fire(at=at, decision=_decision(rules, at, why))
        for at, why in zip(due, reasons, strict=True)
    ]


def _no_run(rules: FireRules, at: datetime, now: datetime, *, missed: bool) -> str:
    """Why this fire does not run, whatever the others do; "" if it does."""
    pause = pauses.at(rules.pauses, at) or (pauses.at(rules.pauses, now) if missed else None)
    if pause is not None:
        return pause.why
    if not missed:
        return ""
    if rules.misfire == "skip":
        return "Missed: no server was running, and this schedule makes up for nothing."
    if now - at > rules.window:
        most = durations.humanise(rules.window.total_seconds())
        return f"Missed by more than {most}: no server was running."
    if rules.spec.end is not None and now > rules.spec.end:
        return f"Missed: no server was running, and the schedule ended {_shown(rules.spec.end)}."
    return ""


def _decision(rules: FireRules, at: datetime, why: str) -> FireDecision:
    if why:
        return FireDecision(runs=False, why=why)
    not_before = at + jitter(rules.schedule_id, at, rules.jitter_s) if rules.jitter_s else None
    return FireDecision(runs=True, not_before=not_before)


def _shown(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
