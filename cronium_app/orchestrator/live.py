"""What running runs look like right now: kept in memory, told to the bus at most 4 times a second."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from agent.jobs import Phase
from cronium_app.executors.base import Step
from cronium_app.logs.files import LogStore
from cronium_app.orchestrator.bus import Bus

INTERVAL_S = 0.25


@dataclass(kw_only=True)
class LiveRun:
    """A running run. `last_lines`: at most 20 lines and 4 kB together."""

    run_id: UUID
    attempt_id: UUID
    owner_id: UUID
    phase: Phase = Phase.SETUP
    phase_started_at: datetime
    text: str = ""  # what goes on in the phase
    lines: int = 0
    bytes: int = 0
    last_lines: tuple[str, ...] = ()
    image_digest: str = ""
    setup_s: float | None = None  # of phases that are over
    execution_s: float | None = None

    @property
    def waiting_text(self) -> str:
        """What its set-up takes its time with, for instance `pulling python:3.13, 40 %`."""
        return self.text if self.phase is Phase.SETUP else ""

    def enter(self, step: Step) -> bool:
        """Take a step in; True if the phase changed. Late or repeated steps change nothing."""
        order = list(Phase)
        if order.index(step.phase) < order.index(self.phase):
            return False
        self.text = step.text
        self.image_digest = step.image_digest or self.image_digest
        if step.phase is self.phase:
            return False
        at = datetime.fromtimestamp(step.time_ms / 1000, UTC)
        spent = max(0.0, (at - self.phase_started_at).total_seconds())
        if self.phase is Phase.SETUP:
            self.setup_s = spent
        else:
            self.execution_s = spent
        self.phase, self.phase_started_at = step.phase, at
        return True


class LiveRuns:
    def __init__(self, logs: LogStore, bus: Bus) -> None:
        self._logs = logs
        self._bus = bus
        self._runs: dict[UUID, LiveRun] = {}
        self._changed: set[UUID] = set()
        self._wake = asyncio.Event()

    def get(self, run_id: UUID) -> LiveRun | None:
        run = self._runs.get(run_id)
        if run is not None:
            self._count(run)
        return run

    def add(self, run: LiveRun) -> None:
        self._runs[run.run_id] = run
        self.touch(run.run_id)

    def remove(self, run_id: UUID, attempt_id: UUID) -> None:
        """That attempt is not shown any more; another one of the run may be already."""
        run = self._runs.get(run_id)
        if run is not None and run.attempt_id == attempt_id:
            del self._runs[run_id]
            self._changed.discard(run_id)

    def touch(self, run_id: UUID) -> None:
        """Something about it changed: to be told within a quarter of a second."""
        self._changed.add(run_id)
        self._wake.set()

    async def publish(self) -> None:
        """Endless: the first change is told at once, later ones at most every 250 ms."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            for run_id in self._changed:
                if run := self._runs.get(run_id):
                    self._bus.publish("run_live", run_id, run.owner_id)
            self._changed.clear()
            await asyncio.sleep(INTERVAL_S)

    def _count(self, run: LiveRun) -> None:
        with contextlib.suppress(LookupError):
            if found := self._logs.live(run.attempt_id):
                stats, lines = found
                run.lines, run.bytes, run.last_lines = stats.lines, stats.bytes, tuple(lines)
