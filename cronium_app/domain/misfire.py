"""What becomes of a fire that is due: a run, or a visible skip. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

TOLERANCE = timedelta(seconds=60)  # later than this, a fire counts as missed
WINDOW = timedelta(hours=1)  # missed by more than this, it does not run any more


@dataclass(frozen=True, kw_only=True)
class FireDecision:
    runs: bool
    why: str = ""  # the sentence of a skip


def decide(fire: datetime, following: datetime | None, now: datetime) -> FireDecision:
    """A missed fire runs late, once: the newest one of each schedule, at most one hour late."""
    late = now - fire
    if late <= TOLERANCE:
        return FireDecision(runs=True)
    if late > WINDOW:
        return FireDecision(runs=False, why="Missed by more than an hour: no server was running.")
    if following is not None and following <= now:
        return FireDecision(runs=False, why="Missed: no server was running. A later fire runs.")
    return FireDecision(runs=True)
