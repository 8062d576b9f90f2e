"""An orchestrator with everything real but the agent: that one is played by the test."""

import asyncio
import contextlib
import hashlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from agent.jobs import Job, Outcome, Phase, Reason
from agent.link import LinkClosed, memory_link
from agent.protocol import (
    Accepted,
    FinishAck,
    Finished,
    Forget,
    FromServer,
    Heartbeat,
    Held,
    Hello,
    LogAck,
    LogChunk,
    Progress,
    Resume,
    Segment,
    Start,
    Stop,
    decode_from_server,
    encode,
)
from cronium_app.domain.clock import SystemClock
from cronium_app.domain.events import EventContent
from cronium_app.domain.ids import new_id
from cronium_app.domain.runs import Trigger
from cronium_app.executors.container import AgentHub
from cronium_app.logs.files import LogStore
from cronium_app.orchestrator.adoption import Identity
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.core import Orchestrator, SubmitRun
from cronium_app.store import runs
from cronium_app.store.database import Database
from cronium_app.store.tables import Attempt, Event, Revision, Run, User

AGENT_ID = str(new_id())


class PlayedAgent:
    """One conversation; the test says every word of it."""

    def __init__(self, hub: AgentHub, *, slots: int = 4, holding: tuple[Held, ...] = ()) -> None:
        self._link, server_end = memory_link()
        self._task = asyncio.create_task(hub.serve(server_end))
        self._heard: list[FromServer] = []
        self.slots = slots
        self.holding = list(holding)

    async def hello(self, agent_id: str = AGENT_ID, **heartbeat: Any) -> "PlayedAgent":
        await self._link.send(
            encode(
                Hello(
                    agent_id=agent_id, name="local", version="1", slots=self.slots,
                    holding=self.holding,
                )
            )
        )  # fmt: skip
        await self.beat(**heartbeat)
        return self

    async def beat(self, **fields: Any) -> None:
        values: dict[str, Any] = {"free_slots": self.slots, "engine": "up"}
        await self.say(Heartbeat(**(values | fields)))

    async def say(self, message: Any) -> None:
        await self._link.send(encode(message))

    async def hear(self, kind: type[Any]) -> Any:
        """The next message of that kind; others wait."""
        async with asyncio.timeout(5):
            while True:
                for message in self._heard:
                    if isinstance(message, kind):
                        self._heard.remove(message)
                        return message
                self._heard.append(decode_from_server(await self._link.receive()))

    async def hears_nothing_of(self, kind: type[Any], *, until: type[Any]) -> Any:
        """Wait for `until`; no `kind` came before it."""
        message = await self.hear(until)
        assert not [m for m in self._heard if isinstance(m, kind)]
        return message

    async def accept(self) -> Job:
        job: Job = (await self.hear(Start)).job
        await self.say(Accepted(attempt_id=job.attempt_id, epoch=job.epoch))
        return job

    async def send_log(self, job: Job, data: bytes, offset: int = 0, stream: int = 1) -> None:
        await self.say(
            LogChunk(
                attempt_id=job.attempt_id, epoch=job.epoch, offset=offset,
                crc32=zlib.crc32(data), data=data,
                segments=[Segment(stream, len(data), 1_700_000_000_000)],
            )
        )  # fmt: skip

    async def finish(self, job: Job, log: bytes = b"", **fields: Any) -> None:
        values: dict[str, Any] = {
            "reason": Reason.EXITED, "exit_code": 0, "log_length": len(log),
            "log_sha256": hashlib.sha256(log).hexdigest(), "setup_s": 0.1, "execution_s": 0.2,
            "cleanup_s": 0.3,
        }  # fmt: skip
        outcome = Outcome(**(values | fields))
        await self.say(Finished(attempt_id=job.attempt_id, epoch=job.epoch, outcome=outcome))

    async def progress(self, job: Job, phase: Phase, **fields: Any) -> None:
        await self.say(
            Progress(
                attempt_id=job.attempt_id, epoch=job.epoch, phase=phase,
                time_ms=1_700_000_000_000, **fields,
            )
        )  # fmt: skip

    async def leave(self) -> None:
        self._link.close()
        with contextlib.suppress(LinkClosed):
            await self._task


class House:
    """A server's core on a database; may be taken down and put up again like a process."""

    def __init__(self, db: Database, folder: Any, server_id: str = "server-1") -> None:
        self.db = db
        self.folder = folder
        self.server_id = server_id
        self.life = 0
        self.agents: list[PlayedAgent] = []

    async def up(self) -> None:
        self.life += 1
        self.clock = SystemClock()
        self.logs = LogStore(self.folder / "logs")
        self.bus = Bus()
        self.hub = AgentHub(self.logs, server_id=self.server_id, version="1")
        self.orchestrator = Orchestrator(
            db=self.db, clock=self.clock, logs=self.logs, bus=self.bus, hub=self.hub,
            identity=Identity(server_id=self.server_id, instance_id=str(self.life)),
        )  # fmt: skip
        self._task = asyncio.create_task(self.orchestrator.run())

    async def agent(self, *holding: Held, slots: int = 4, **heartbeat: Any) -> PlayedAgent:
        agent = PlayedAgent(self.hub, slots=slots, holding=holding)
        self.agents.append(agent)
        return await agent.hello(**heartbeat)

    async def down(self) -> None:
        for agent in self.agents:
            await agent.leave()
        self.agents.clear()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self.logs.close()

    async def submit(
        self, event: Event, *, runtime: str = "bash", image: str = "", **fields: Any
    ) -> Run:
        content = EventContent(runtime=runtime, script="true", image=image)
        async with self.db.write() as session:
            run = await self.orchestrator.submit(
                session,
                SubmitRun(
                    event_id=event.id, owner_id=event.owner_id, event_name=event.name, revision=1,
                    content=content, trigger=Trigger.MANUAL, **fields,
                ),
            )  # fmt: skip
        assert run is not None
        self.orchestrator.submitted(run)
        return run

    async def run(self, run: Run) -> Run:
        async with self.db.read() as session:
            found = await runs.get(session, run.id)
        assert found is not None
        return found

    async def attempt(self, run: Run) -> Attempt:
        async with self.db.read() as session:
            found = await runs.attempt_of(session, run.id)
        assert found is not None
        return found

    async def ended(self, run: Run) -> Run:
        assert await self.orchestrator.wait_finished(run.id, 5)
        return await self.run(run)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Look again at every change that is published, until it is so."""
        with self.bus.subscribe() as changes:
            async with asyncio.timeout(5):
                while not await condition():
                    await anext(changes)


@pytest.fixture
async def house(sqlite_db: Database, tmp_path) -> AsyncIterator[House]:
    made = House(sqlite_db, tmp_path)
    await made.up()
    yield made
    await made.down()


@pytest.fixture
async def event(sqlite_db: Database) -> Event:
    now = SystemClock().now()
    user = User(
        email="a@example.org", password_hash="", role="admin", created_at=now,
        password_changed_at=now,
    )  # fmt: skip
    content = EventContent(runtime="bash", script="true")
    row = Event(owner_id=user.id, name="Nightly", revision=1, created_at=now, updated_at=now)
    async with sqlite_db.write() as session:
        session.add(user)
        await session.flush()
        session.add(row)
        await session.flush()
        session.add(
            Revision(
                event_id=row.id, number=1, content=content.canonical(), sha256=content.sha256(),
                created_at=now,
            )
        )  # fmt: skip
    return row


__all__ = ["FinishAck", "Forget", "House", "LogAck", "PlayedAgent", "Resume", "Stop"]
