"""Small things about asyncio tasks."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def to_the_end(work: Coroutine[Any, Any, T], *, name: str = "finish") -> T:
    """Await `work` even while being cancelled; the cancellation goes on afterwards."""
    task = asyncio.create_task(work, name=name)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        raise


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set, or after that many seconds; clears the event."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
    event.clear()
