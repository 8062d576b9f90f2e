"""When heartbeats are sent: at once, soon, or in time."""

import asyncio
import contextlib

from agent.conversation import Conversation
from agent.link import Link, memory_link
from agent.protocol import Heartbeat, Hello, ImageState, Welcome, decode_from_agent, encode


class Desk:
    """An engine with one image in work."""

    def __init__(self) -> None:
        self.percent = 0

    def hello(self) -> Hello:
        return Hello(agent_id="a", name="local", version="1", slots=1)

    def heartbeat(self) -> Heartbeat:
        image = ImageState(image="cronium/bash", state="building", percent=self.percent)
        return Heartbeat(free_slots=1, engine="up", images=[image])


@contextlib.asynccontextmanager
async def talking(desk: Desk):
    near, far = memory_link()
    conversation = Conversation(desk, near)  # pyright: ignore[reportArgumentType]
    task = asyncio.create_task(conversation.run())
    assert isinstance(decode_from_agent(await far.receive()), Hello)
    await far.send(encode(Welcome(server_version="1", server_id="s")))
    try:
        yield conversation, far
    finally:
        conversation.close()
        await task


async def percent(link: Link) -> int | None:
    beat = decode_from_agent(await link.receive())
    assert isinstance(beat, Heartbeat)
    return beat.images[0].percent


async def test_what_changes_fast_is_told_four_times_a_second_and_the_last_of_it_always():
    desk = Desk()
    async with talking(desk) as (conversation, far):
        assert await percent(far) == 0
        began = asyncio.get_running_loop().time()
        told: list[int | None] = []

        async def listen() -> None:
            while not told or told[-1] != 60:
                told.append(await percent(far))

        listening = asyncio.create_task(listen())
        for done in range(1, 61):
            desk.percent = done
            conversation.beat()
            await asyncio.sleep(0.01)
        async with asyncio.timeout(2):
            await listening
        took = asyncio.get_running_loop().time() - began
        assert 2 <= len(told) <= took / 0.25 + 1


async def test_a_change_after_a_quiet_while_is_told_at_once():
    desk = Desk()
    async with talking(desk) as (conversation, far):
        await percent(far)
        await asyncio.sleep(0.3)
        desk.percent = 50
        conversation.beat()
        async with asyncio.timeout(0.2):
            assert await percent(far) == 50
