"""What becomes of a new run while others of the same event have not ended. Pure.

    allow    they run beside each other
    skip     the new one does not run
    queue    one after the other; beyond the limit of waiting ones the new one does not run
    replace  the older ones are stopped, the new one begins when they are gone

With any rule but `allow` a run has its event for itself, tests and runs of earlier revisions
included; that is enforced where runs are claimed. A run between two tries is under way: it has not ended.
"""

from dataclasses import dataclass
from typing import Literal

Overlap = Literal["allow", "skip", "queue", "replace"]


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Runs of one event that have not ended, without tests. `begun`: running or between tries."""

    begun: int = 0
    waiting: int = 0


@dataclass(frozen=True, kw_only=True)
class Admission:
    """`replaces`: the older ones are to be stopped. `why`: the sentence of a skip."""

    runs: bool
    why: str = ""
    replaces: bool = False


RUNS = Admission(runs=True)


def is_exclusive(rule: Overlap) -> bool:
    return rule != "allow"


def admit(rule: Overlap, queue_limit: int, others: Unfinished, *, test: bool) -> Admission:
    """Decide at the door. A test is never skipped and replaces nothing: it waits its turn."""
    if rule == "allow" or test:
        return RUNS
    if rule == "replace":
        return Admission(runs=True, replaces=bool(others.begun or others.waiting))
    if rule == "skip" and others.begun:
        return Admission(runs=False, why="Skipped: the run before it had not ended.")
    if rule == "skip" and others.waiting:
        return Admission(runs=False, why="Skipped: another run was waiting to start.")
    behind = others.waiting if others.begun else others.waiting - 1  # the first is next to start
    if rule == "queue" and behind >= queue_limit:
        waited = "1 run" if behind == 1 else f"{behind:,} runs"
        return Admission(
            runs=False, why=f"Skipped: {waited} waited already, as many as this event allows."
        )
    return RUNS
