"""The hub's side of a conversation: whom it listens to, and what it makes of nonsense."""

import asyncio
import zlib

import pytest

from agent.jobs import Job
from agent.link import LinkClosed, memory_link
from agent.protocol import (
    Accepted,
    Heartbeat,
    Hello,
    LogAck,
    LogChunk,
    ProtocolError,
    Resume,
    Segment,
    Start,
    Welcome,
    decode_from_server,
    encode,
)
from cronium_app.domain.ids import new_id
from cronium_app.executors.base import Handle, NotTaken, Step
from cronium_app.executors.container import AgentHub, ConnectedAgent, ContainerExecutor
from cronium_app.logs.files import LogStore

AGENT = new_id()
HELLO = Hello(agent_id=str(AGENT), name="local", version="1", slots=2)


class Silent:
    def accepted(self) -> None: ...
    def stepped(self, step: Step) -> None: ...
    def logged(self) -> None: ...


class Listener:
    """Adopts nothing; notes that it was told."""

    def __init__(self) -> None:
        self.told = 0

    async def agent_joined(self, agent: ConnectedAgent) -> None:
        agent.adopted = True

    def agents_changed(self) -> None:
        self.told += 1


@pytest.fixture
def logs(tmp_path):
    store = LogStore(tmp_path)
    yield store
    store.close()


@pytest.fixture
def hub(logs):
    made = AgentHub(logs, server_id="s", version="1")
    made.listener = Listener()
    return made


def handle() -> Handle:
    return Handle(run_id=new_id(), attempt_id=new_id(), epoch=1, agent_id=AGENT)


def job(of: Handle) -> Job:
    return Job(
        run_id=str(of.run_id), attempt_id=str(of.attempt_id), attempt=1, epoch=1,
        event_name="e", runtime="bash", script=b"", image="x",
    )  # fmt: skip


async def talk(hub: AgentHub, *frames: bytes) -> None:
    """A conversation that the hub itself ends."""
    ours, theirs = memory_link()
    for frame in frames:
        await ours.send(frame)
    async with asyncio.timeout(5):
        await hub.serve(theirs)


@pytest.mark.parametrize(
    "frames",
    [
        [b"\xc1"],
        [encode(Heartbeat(free_slots=1, engine="up"))],
        [encode(Hello(agent_id=str(AGENT), name="l", version="1", slots=1, protocol=99))],
        [encode(Hello(agent_id="not-an-id", name="l", version="1", slots=1))],
    ],
)
async def test_who_does_not_say_a_proper_hello_is_not_listened_to(hub, frames):
    with pytest.raises(ProtocolError):
        await talk(hub, *frames)
    assert hub.agents == {}


async def test_nonsense_later_ends_the_conversation_and_no_other(hub):
    with pytest.raises(ProtocolError):
        await talk(hub, encode(HELLO), encode(HELLO))
    assert hub.agents == {}


class Agent:
    def __init__(self, hub: AgentHub) -> None:
        self.link, theirs = memory_link()
        self.task = asyncio.create_task(hub.serve(theirs))

    async def hello(self) -> "Agent":
        await self.say(HELLO)
        await self.hear(Welcome)
        return self

    async def say(self, message) -> None:
        await self.link.send(encode(message))

    async def hear(self, kind):
        async with asyncio.timeout(5):
            while not isinstance(message := decode_from_server(await self.link.receive()), kind):
                pass
            return message


async def test_an_agent_that_comes_again_takes_the_place_of_its_older_self(hub):
    first = await Agent(hub).hello()
    second = await Agent(hub).hello()
    with pytest.raises(LinkClosed):
        await first.hear(Start)
    await first.task
    assert list(hub.agents) == [AGENT]
    second.link.close()
    await second.task
    assert hub.agents == {}


async def test_a_job_for_an_agent_that_is_not_there_is_not_taken(hub, logs):
    executor, of = ContainerExecutor(hub, logs), handle()
    with pytest.raises(NotTaken):
        await executor.start(of, job(of), Silent())
    executor.detach(of)


async def test_a_damaged_chunk_is_not_written_and_asked_for_again(hub, logs):
    agent = await Agent(hub).hello()
    executor, of = ContainerExecutor(hub, logs), handle()
    starting = asyncio.create_task(executor.start(of, job(of), Silent()))
    await agent.hear(Start)
    await agent.say(Accepted(attempt_id=str(of.attempt_id), epoch=1))
    await starting

    async def send(data: bytes, crc: int) -> LogAck:
        await agent.say(
            LogChunk(
                attempt_id=str(of.attempt_id), epoch=1, offset=0, crc32=crc, data=data,
                segments=[Segment(1, len(data), 0)],
            )
        )  # fmt: skip
        return await agent.hear(LogAck)

    ack = await send(b"abc", zlib.crc32(b"abd"))
    assert (ack.offset, ack.again) == (0, True)
    ack = await send(b"abc", zlib.crc32(b"abc"))
    assert (ack.offset, ack.again) == (3, False)
    executor.detach(of)
    agent.link.close()
    await agent.task


async def test_words_about_another_epoch_change_nothing(hub, logs):
    agent = await Agent(hub).hello()
    executor, of = ContainerExecutor(hub, logs), handle()
    starting = asyncio.create_task(executor.start(of, job(of), Silent()))
    await agent.hear(Start)
    await agent.say(Accepted(attempt_id=str(of.attempt_id), epoch=2))
    await agent.say(Heartbeat(free_slots=2, engine="up"))
    while not hub.listener.told:
        await asyncio.sleep(0.01)
    assert not starting.done()
    await agent.say(Accepted(attempt_id=str(of.attempt_id), epoch=1))
    await starting
    executor.detach(of)
    agent.link.close()
    await agent.task


@pytest.mark.parametrize("ending", ["deleted", "detached"])
async def test_a_log_that_nobody_writes_any_more_holds_up_no_other_run(hub, logs, ending):
    agent = await Agent(hub).hello()
    executor, of = ContainerExecutor(hub, logs), handle()
    await executor.attach(of, Silent())
    await agent.hear(Resume)
    stuck = asyncio.Event()
    if ending == "deleted":
        await logs.delete(of.attempt_id)
    else:
        logs.append_all = lambda *_: stuck.wait()

    async def pour() -> None:
        data = bytes(1_000_000)
        for n in range(20):
            await agent.say(
                LogChunk(
                    attempt_id=str(of.attempt_id), epoch=1, offset=n * len(data),
                    crc32=zlib.crc32(data), data=data, segments=[Segment(1, len(data), 0)],
                )
            )  # fmt: skip
        await agent.say(Heartbeat(free_slots=1, engine="up"))

    pouring = asyncio.create_task(pour())
    if ending == "detached":
        await asyncio.wait([pouring], timeout=0.2)
        assert not pouring.done()  # the inbox is full: the agent waits
        executor.detach(of)
    async with asyncio.timeout(5):
        await pouring
        while not hub.listener.told:
            await asyncio.sleep(0.01)
    executor.detach(of)
    agent.link.close()
    await agent.task
