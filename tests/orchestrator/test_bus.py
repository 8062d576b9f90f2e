"""Changes reach everybody, and nobody holds anybody up."""

import asyncio

from cronium_app.domain.ids import new_id
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.tasks import to_the_end


async def test_every_subscriber_hears_every_change_in_order():
    bus, run = Bus(), new_id()
    with bus.subscribe() as one, bus.subscribe() as two:
        bus.publish("run", run)
        bus.publish("engine")
        for changes in (one, two):
            assert [(await anext(changes)).noun for _ in range(2)] == ["run", "engine"]


async def test_a_slow_one_gets_the_newest_change_of_each_thing():
    bus, run = Bus(), new_id()
    with bus.subscribe() as changes:
        for _ in range(10_000):
            bus.publish("run_live", run)
        bus.publish("engine")
        assert (await anext(changes)).version == 10_000
        assert (await anext(changes)).noun == "engine"


async def test_who_waits_for_one_thing_keeps_nothing_of_the_others():
    bus, run = Bus(), new_id()
    with bus.subscribe("run", run) as changes:
        for _ in range(1000):
            bus.publish("run", new_id())
        bus.publish("run_live", run)
        assert changes.waiting == 0
        bus.publish("run", run)
        assert (await anext(changes)).id == run


async def test_closing_the_bus_ends_the_subscriptions():
    bus = Bus()
    with bus.subscribe() as changes:
        waiting = asyncio.ensure_future(_all(changes))
        await asyncio.sleep(0)
        bus.close()
        assert await waiting == []


async def _all(changes):
    return [change async for change in changes]


async def test_a_final_write_is_finished_although_its_caller_is_cancelled_twice():
    begun, go_on, done = asyncio.Event(), asyncio.Event(), False

    async def write() -> None:
        nonlocal done
        begun.set()
        await go_on.wait()
        done = True

    task = asyncio.create_task(to_the_end(write()))
    await begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert done
