"""Who changed what: published after commit, for whoever shows it. In memory, never blocking.

A subscriber that is slow gets, for each thing that changed, only the newest change.
"""

import asyncio
import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from itertools import count
from typing import Literal
from uuid import UUID

Noun = Literal["run", "run_live", "event", "schedule", "engine", "account"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """`version` grows with every change that this process publishes."""

    noun: Noun
    id: UUID | None = None  # None: all of them, or there is only one
    owner_id: UUID | None = None  # None: concerns everybody
    version: int = 0


class Subscription:
    """An endless iterator of changes; ends when the bus is closed."""

    def __init__(self, noun: Noun | None = None, id: UUID | None = None) -> None:
        self._noun = noun
        self._id = id
        self._pending: dict[tuple[Noun, UUID | None], Change] = {}
        self._wake = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Change:
        while not self._pending:
            if self._closed:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._pending.pop(next(iter(self._pending)))

    @property
    def waiting(self) -> int:
        """Changes that were not taken yet."""
        return len(self._pending)

    def put(self, change: Change) -> None:
        if self._noun not in (None, change.noun) or self._id not in (None, change.id):
            return
        self._pending[change.noun, change.id] = change
        self._wake.set()

    def close(self) -> None:
        self._closed = True
        self._wake.set()


class Bus:
    def __init__(self) -> None:
        self._subscribers: set[Subscription] = set()
        self._versions = count(1)

    def publish(self, noun: Noun, id: UUID | None = None, owner_id: UUID | None = None) -> None:
        """Tell everybody. To be called after the commit, never before."""
        change = Change(noun=noun, id=id, owner_id=owner_id, version=next(self._versions))
        for subscriber in self._subscribers:
            subscriber.put(change)

    @contextlib.contextmanager
    def subscribe(
        self, noun: Noun | None = None, id: UUID | None = None
    ) -> Generator[Subscription]:
        """With a noun or an id: only changes of that. Who is slow keeps one of each thing."""
        subscription = Subscription(noun, id)
        self._subscribers.add(subscription)
        try:
            yield subscription
        finally:
            self._subscribers.discard(subscription)

    def close(self) -> None:
        for subscriber in self._subscribers:
            subscriber.close()
