"""What the orchestrator wants of any place where jobs can run."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from agent.jobs import Job, Outcome, Phase


@dataclass(frozen=True, kw_only=True)
class Handle:
    """Names one attempt at its executor, across restarts of the server."""

    run_id: UUID
    attempt_id: UUID
    epoch: int
    agent_id: UUID


class NotTaken(Exception):
    """The job was not accepted and did not run. It may be handed out again later."""


class JobInvalid(Exception):
    """The executor will never take this job; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """An attempt entered a phase, or says what goes on in it."""

    phase: Phase
    time_ms: int
    text: str = ""
    image_digest: str = ""
    container_id: str = ""


class Watcher(Protocol):
    """Who is told what happens to an attempt. Must not block."""

    def accepted(self) -> None: ...
    def stepped(self, step: Step) -> None: ...
    def logged(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Report:
    """How the attempt ended. `log_whole`: every byte of its log is here, checksum and all.

    `final`: nothing more will be said of it. Else status, reason and exit code stand already, and
    `Executor.collect` has the numbers and what the script reported at its end.
    """

    outcome: Outcome
    log_whole: bool
    final: bool = True


class Executor(Protocol):
    """Cancelling any of these means detach: the job goes on, and `attach` finds it again."""

    async def start(self, handle: Handle, job: Job, watcher: Watcher) -> None:
        """Hand the job out; returns once it is accepted. Raises NotTaken, JobInvalid."""
        ...

    async def attach(self, handle: Handle, watcher: Watcher) -> None:
        """Go on with an attempt handed out earlier, by this server or another."""
        ...

    async def report(self, handle: Handle) -> Report:
        """Wait for the end."""
        ...

    async def stop(self, handle: Handle, grace_s: float, why: str) -> None:
        """Ask for the end: signal, grace, kill. `report` then returns."""
        ...

    async def collect(self, handle: Handle) -> Report | None:
        """Wait for the final report of an ended attempt and the last bytes of its log; None if
        they will not come."""
        ...

    async def release(self, handle: Handle) -> None:
        """Everything is recorded: the executor may delete what it kept."""
        ...

    def discard(self, handle: Handle) -> None:
        """Nobody will record this attempt: stop it if it runs, drop all of it."""
        ...

    def detach(self, handle: Handle) -> None:
        """Let go of it without touching it."""
        ...
