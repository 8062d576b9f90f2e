"""Brings all bytes of one container into the spool, byte for byte, whatever breaks meanwhile.

Attached from before its start, a container is read live. When that connection ends or is given
up, the engine's own log is read from the offset that the spool has reached: once following, and,
after the container's exit, once more without following, because a following read may stop early.
"""

import asyncio
from collections.abc import Callable

from agent.containers import Attachment, Containers, EngineDown, EngineRefused
from agent.pump import Pump
from agent.spool import Spool
from agent.stream import STDERR, STDOUT, Demux, LogMender, Trailer, TrailerCutter

_YIELD_BYTES = 256 * 1024
_MAX_BACKLOG = 8 * 1024 * 1024
_EOF_GRACE_S = 5.0  # an attachment ends this much before its container at most
_AGAIN_S = 0.5


class Reader:
    """One pass after the other over the output of one container."""

    def __init__(
        self,
        containers: Containers,
        container_id: str,
        nonce: str,
        spool: Spool,
        pump: Pump,
        on_trailer: Callable[[], None],
    ) -> None:
        self._containers = containers
        self._id = container_id
        self._nonce = nonce
        self._spool = spool
        self._pump = pump
        self._on_trailer = on_trailer
        self._skip = {STDOUT: 0, STDERR: 0}
        self._begin_pass()
        self.attached = False
        self.attachment_ended = asyncio.Event()
        self.whole = False  # an attachment from the start ended by itself

    def _begin_pass(self) -> None:
        self._cutter = TrailerCutter(self._nonce)
        self._stderr_cutter = TrailerCutter(self._nonce)

    @property
    def trailer(self) -> Trailer | None:
        return self._cutter.trailer

    async def run(self, attachment: Attachment | None) -> None:
        """Reads until cancelled or until there is nothing more to come."""
        if attachment is not None:
            self.attached = True
            try:
                self.whole = await self._read_attached(attachment)
            finally:
                self.attachment_ended.set()
                await attachment.close()
            if self.whole:
                await asyncio.sleep(_EOF_GRACE_S)
                self.whole = False  # still here: it was the connection that ended, not the job
        while True:
            try:
                await self.read_log(follow=True)
            except (EngineDown, EngineRefused):
                return  # whoever waits for the exit hears of it too
            await asyncio.sleep(_AGAIN_S)

    async def read_log(self, *, follow: bool) -> None:
        """One pass over the engine's log; what the spool has already is skipped."""
        await self._pump.drain()
        self._begin_pass()
        self._skip = dict(self._spool.streams)
        demux, mender = Demux(), LogMender()
        unyielded = 0
        async for chunk in self._containers.logs(self._id, follow=follow):
            for stream, data in demux.feed(chunk):
                self._take(stream, mender.mend(stream, data))
            unyielded += len(chunk)
            if unyielded >= _YIELD_BYTES:
                unyielded = 0
                await asyncio.sleep(0)
            if self._pump.backlog > _MAX_BACKLOG:
                await self._pump.drain()

    async def finish(self) -> None:
        """The last pass is over: lets go of what was held back and waits for the disk."""
        self._pump.put(STDERR, self._stderr_cutter.finish())
        self._pump.put(STDOUT, self._cutter.finish())
        await self._pump.drain()

    async def _read_attached(self, attachment: Attachment) -> bool:
        """True at its end; False when it was given up because the disk is too slow."""
        unyielded = 0
        while (message := await attachment.read()) is not None:
            self._take(*message)
            unyielded += len(message[1])
            if unyielded >= _YIELD_BYTES:
                unyielded = 0
                await asyncio.sleep(0)
            if self._pump.backlog > _MAX_BACKLOG:
                return False  # an attachment that does not read would block the job
        return True

    def _take(self, stream: int, data: bytes) -> None:
        skip = self._skip.get(stream)
        if skip is None:
            return
        if skip:
            # Skipped bytes are in the spool, so no trailer is among them.
            self._skip[stream] = max(0, skip - len(data))
            data = data[skip:]
        if stream == STDERR:
            self._pump.put(STDERR, self._stderr_cutter.feed(data))
            return
        self._pump.put(STDOUT, self._cutter.feed(data))
        if self._cutter.trailer is not None:
            self._on_trailer()
