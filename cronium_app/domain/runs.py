"""The run's state machine: where a run is (status), and why it ended (reason).

    queued  -> running | failed | cancelled
    running -> succeeded | failed | cancelled | queued (only between two attempts)

Everything else is refused. `docs/run-lifecycle.md` draws this and a test holds them equal.
"""

from enum import StrEnum

from agent.jobs import Outcome, Reason


class RunStatus(StrEnum):
    QUEUED = "queued"  #: The row is the queue entry; a claim or a cancel moves it on
    RUNNING = "running"  #: A server supervises it under a lease
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    SCHEDULE = "schedule"
    MANUAL = "manual"
    TEST = "test"
    API = "api"


TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset(
        {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.QUEUED}
    ),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELLED: frozenset(),
}

FINAL = frozenset({status for status, following in TRANSITIONS.items() if not following})

LEASE_S = 15.0
LEASE_RENEW_S = 5.0


def final_status(outcome: Outcome) -> RunStatus:
    """The status a finished attempt gives its run."""
    if outcome.reason in (Reason.CANCELLED_BY_USER, Reason.REPLACED, Reason.SKIPPED):
        return RunStatus.CANCELLED
    if outcome.reason is Reason.EXITED and outcome.exit_code == 0:
        return RunStatus.SUCCEEDED
    return RunStatus.FAILED
