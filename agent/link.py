"""Links between a server and an agent: frames in both directions, bounded."""

import asyncio
from collections import deque
from typing import Protocol

_MAX_QUEUED_BYTES = 2 * 1024 * 1024


class LinkClosed(Exception):
    """The other side is gone. Say hello again over a new link."""


class Link(Protocol):
    """Frames of `agent.protocol`; both ends look the same."""

    async def send(self, frame: bytes) -> None:
        """Waits while the other side is slow. Raises LinkClosed."""
        ...

    async def receive(self) -> bytes:
        """Raises LinkClosed."""
        ...

    def close(self) -> None: ...


class _Pipe:
    """One direction: a queue bounded by bytes, so that a slow reader holds its writer back."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._closed = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    async def put(self, frame: bytes) -> None:
        while not self._closed and self._bytes >= _MAX_QUEUED_BYTES:
            self._writable.clear()
            await self._writable.wait()
        if self._closed:
            raise LinkClosed
        self._frames.append(frame)
        self._bytes += len(frame)
        self._readable.set()

    async def get(self) -> bytes:
        while not self._closed and not self._frames:
            self._readable.clear()
            await self._readable.wait()
        if self._closed:
            raise LinkClosed
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        self._writable.set()
        return frame

    def close(self) -> None:
        self._closed = True
        self._readable.set()
        self._writable.set()


class _MemoryEnd:
    def __init__(self, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._incoming = incoming
        self._outgoing = outgoing

    async def send(self, frame: bytes) -> None:
        await self._outgoing.put(frame)

    async def receive(self) -> bytes:
        return await self._incoming.get()

    def close(self) -> None:
        self._incoming.close()
        self._outgoing.close()


def memory_link() -> tuple[Link, Link]:
    """(agent's end, server's end) of a link inside one event loop."""
    up, down = _Pipe(), _Pipe()
    return _MemoryEnd(down, up), _MemoryEnd(up, down)
