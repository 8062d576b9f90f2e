"""Who supervises what: leases are renewed, runs whose supervisor is gone are taken over, and what
an agent still holds is matched with what the database says. The same path after a crash, an
upgrade and a lost connection."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from agent.jobs import Outcome, Reason
from agent.protocol import Held
from cronium_app.domain.clock import Clock
from cronium_app.domain.runs import FINAL, LEASE_S, RunStatus
from cronium_app.executors.base import Handle
from cronium_app.executors.container import ConnectedAgent
from cronium_app.store import agents, runs
from cronium_app.store.database import Database
from cronium_app.store.tables import Attempt, Run

log = structlog.get_logger(__name__)

NEVER_CAME_BACK = (
    "The job was handed out, but the container engine's side has no trace of it: "
    "nobody can tell how it ended."
)


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`server_id` lives as long as the data folder, `instance_id` as long as the process."""

    server_id: str
    instance_id: str

    @property
    def owner(self) -> str:
        return f"{self.server_id}/{self.instance_id}"

    @property
    def earlier_self(self) -> str:
        return f"{self.server_id}/"


def lease_until(now: datetime) -> datetime:
    return now + timedelta(seconds=LEASE_S)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run that was taken over, and what is to be done with it."""

    run: Run
    attempt: Attempt
    held: bool  # its agent still has it
    restart: bool  # no agent ever accepted it: hand it out again, in the same epoch


LOST = Outcome(reason=Reason.LOST, detail=NEVER_CAME_BACK)


class Adoption:
    def __init__(self, db: Database, clock: Clock, identity: Identity) -> None:
        self._db = db
        self._clock = clock
        self._identity = identity

    async def welcome(self, agent: ConnectedAgent, *, builtin: bool) -> None:
        """Note that this agent said hello."""
        async with self._db.write() as session:
            await agents.seen(
                session,
                agent.id,
                name=agent.name,
                builtin=builtin,
                slots=agent.slots,
                version=agent.version,
                now=self._clock.now(),
            )

    async def renew(self) -> dict[UUID, bool]:
        """Prolong our leases. Returns what is still ours, and whether a stop is wanted."""
        async with self._db.write() as session:
            kept = await runs.renew(
                session, owner=self._identity.owner, until=lease_until(self._clock.now())
            )
        return {row.run_id: row.stop_requested_at is not None for row in kept}

    async def take_over(self, connected: Collection[ConnectedAgent]) -> list[Found]:
        """Runs without a supervisor that live on these agents are ours from now on."""
        now = self._clock.now()
        async with self._db.write() as session:
            taken = await runs.take_over(
                session,
                owner=self._identity.owner,
                earlier_self=self._identity.earlier_self,
                agent_ids=[agent.id for agent in connected],
                now=now,
                until=lease_until(now),
            )
        holding = {
            attempt_id: held for agent in connected for attempt_id, held in agent.holding.items()
        }
        return [_found(run, attempt, holding) for run, attempt in taken]

    async def strangers(
        self, agent: ConnectedAgent, is_ours: Callable[[UUID], bool]
    ) -> list[tuple[Handle, Attempt | None]]:
        """What the agent holds besides the running runs: to be forgotten, or with a log to be
        completed (then the attempt comes with it)."""
        found: list[tuple[Handle, Attempt | None]] = []
        async with self._db.read() as session:
            for attempt_id, held in agent.holding.items():
                if is_ours(attempt_id):
                    continue
                attempt = await runs.get_attempt(session, attempt_id)
                if attempt is not None and _still_wanted(attempt, held):
                    continue
                handle = Handle(
                    run_id=UUID(held.run_id),
                    attempt_id=attempt_id,
                    epoch=held.epoch,
                    agent_id=agent.id,
                )
                stale = attempt is None or attempt.epoch != held.epoch
                found.append((handle, None if stale else attempt))
        return found


def _found(run: Run, attempt: Attempt, holding: dict[UUID, Held]) -> Found:
    held = holding.get(attempt.id)
    is_held = held is not None and held.epoch == attempt.epoch
    restart = not is_held and attempt.accepted_at is None
    log.info("run taken over", run=str(run.id), held=is_held, restart=restart)
    return Found(run=run, attempt=attempt, held=is_held, restart=restart)


def _still_wanted(attempt: Attempt, held: Held) -> bool:
    """Running under somebody else's lease: it will be taken over when that expires."""
    return attempt.epoch == held.epoch and RunStatus(attempt.status) not in FINAL
