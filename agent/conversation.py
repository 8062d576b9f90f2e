"""One conversation with a server over one link: from Hello until the link closes."""

import asyncio
import contextlib
import logging
import zlib
from collections import deque
from typing import Protocol

from agent import protocol
from agent.attempt import Attempt
from agent.clock import elapsed_s
from agent.link import Link, LinkClosed
from agent.protocol import (
    Accepted,
    FinishAck,
    Finished,
    Forget,
    FromAgent,
    FromServer,
    Heartbeat,
    Hello,
    LogAck,
    LogChunk,
    ProtocolError,
    Refused,
    Resume,
    Start,
    Stop,
    Welcome,
)

_log = logging.getLogger(__name__)

HEARTBEAT_S = 5.0
_LOOK_S = 1.0
_BEAT_AGAIN_S = 0.25  # a build or a pull changes its percentage more often than anybody looks
_WELCOME_S = 30.0


class Desk(Protocol):
    """What a conversation asks of its engine."""

    def hello(self) -> Hello: ...

    def heartbeat(self) -> Heartbeat: ...

    def find(self, attempt_id: str, epoch: int) -> Attempt | None: ...

    async def start(self, message: Start) -> Accepted | Refused:
        """Returns when the promise is on the disk, or at once with the refusal."""
        ...

    def stop(self, message: Stop) -> Refused | None: ...

    def forget(self, attempt_id: str, epoch: int) -> None: ...

    def finish_acknowledged(self, attempt_id: str, epoch: int) -> None: ...

    async def read_log(self, attempt: Attempt, offset: int) -> LogChunk | None:
        """The next bytes of its log, if there are any."""
        ...


class Conversation:
    """Sends small messages first and log bytes of all followed attempts in turns."""

    def __init__(self, desk: Desk, link: Link) -> None:
        self._desk = desk
        self._link = link
        self._small: deque[FromAgent] = deque()
        self._next: dict[str, int] = {}  # offset to send next, of every followed attempt
        self._grown: dict[str, None] = {}  # followed attempts that may have unsent bytes, in turn
        self._wake = asyncio.Event()
        self._beat = asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        # What attempts say of themselves before their Accepted has gone out.
        self._early: dict[str, list[FromAgent]] = {}

    async def run(self) -> None:
        """Returns when the link is closed or the peer is not understood."""
        try:
            await self._link.send(protocol.encode(self._desk.hello()))
            async with asyncio.timeout(_WELCOME_S):
                welcome = protocol.decode_from_server(await self._link.receive())
            if not isinstance(welcome, Welcome) or welcome.protocol != protocol.PROTOCOL_VERSION:
                _log.warning("the server speaks another version of the protocol")
                return
            await self._talk()
        except (LinkClosed, TimeoutError):
            return
        except ProtocolError as error:
            _log.warning("conversation ended: %s", error)
        finally:
            self.close()

    def close(self) -> None:
        self._link.close()
        for task in self._starting:
            task.cancel()

    # --- what the engine has to tell ---

    def say(self, message: FromAgent) -> None:
        self._small.append(message)
        self._wake.set()

    def say_of(self, attempt: Attempt, message: FromAgent) -> None:
        """Only if the server asked for this attempt over this link."""
        if attempt.id in self._early:
            self._early[attempt.id].append(message)
        elif attempt.id in self._next:
            self.say(message)

    def follow(self, attempt_id: str) -> None:
        """The server knows of it: from now on tell everything, the log from its beginning."""
        self._next.setdefault(attempt_id, 0)

    def log_grew(self, attempt: Attempt) -> None:
        if attempt.id in self._next:
            self._grown[attempt.id] = None
            self._wake.set()

    def beat(self) -> None:
        """Something of the heartbeat has changed: send one now."""
        self._beat.set()

    def unfollow(self, attempt_id: str) -> None:
        self._next.pop(attempt_id, None)
        self._grown.pop(attempt_id, None)

    # --- the three loops ---

    async def _talk(self) -> None:
        loops = [
            asyncio.create_task(self._receive(), name="receive"),
            asyncio.create_task(self._send(), name="send"),
            asyncio.create_task(self._beat_on(), name="heartbeat"),
        ]
        try:
            done, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self.close()
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, *self._starting, return_exceptions=True)

    async def _receive(self) -> None:
        while True:
            self._handle(protocol.decode_from_server(await self._link.receive()))

    async def _beat_on(self) -> None:
        """Every few seconds, and sooner when something has changed (slots, engine, images)."""
        said: Heartbeat | None = None
        said_at = 0.0
        while True:
            self._beat.clear()
            beat = self._desk.heartbeat()
            if beat != said or elapsed_s() - said_at >= HEARTBEAT_S:
                said, said_at = beat, elapsed_s()
                self.say(beat)
                await asyncio.sleep(_BEAT_AGAIN_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._beat.wait()

    async def _send(self) -> None:
        while True:
            if self._small:
                await self._link.send(protocol.encode(self._small.popleft()))
            elif self._grown:
                await self._send_log()
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _send_log(self) -> None:
        attempt_id = next(iter(self._grown))
        del self._grown[attempt_id]
        offset = self._next[attempt_id]
        attempt = self._desk.find(attempt_id, -1)
        if attempt is None:
            return
        chunk = await self._desk.read_log(attempt, offset)
        if chunk is None or self._next.get(attempt_id) != offset:
            if self._next.get(attempt_id, offset) != offset:
                self._grown[attempt_id] = None  # asked for again from elsewhere meanwhile
            return
        self._next[attempt_id] = offset + len(chunk.data)
        self._grown[attempt_id] = None  # to the end of the line: others first
        await self._link.send(protocol.encode(chunk))

    # --- what the server says ---

    def _handle(self, message: FromServer) -> None:
        match message:
            case Start():
                task = asyncio.create_task(self._start(message), name="start")
                self._starting.add(task)
                task.add_done_callback(self._starting.discard)
            case Resume():
                self._resume(message)
            case Stop():
                refused = self._desk.stop(message)
                if refused is not None:
                    self.say(refused)
            case LogAck():
                self._acknowledged(message)
            case FinishAck():
                self._desk.finish_acknowledged(message.attempt_id, message.epoch)
            case Forget():
                self.unfollow(message.attempt_id)
                self._desk.forget(message.attempt_id, message.epoch)
            case Welcome():
                raise ProtocolError("a second Welcome")

    async def _start(self, message: Start) -> None:
        job = message.job
        early = self._early.setdefault(job.attempt_id, [])
        try:
            answer = await self._desk.start(message)
        finally:
            self._early.pop(job.attempt_id, None)
        self.say(answer)
        for said in early:
            self.say(said)
        attempt = self._desk.find(job.attempt_id, job.epoch)
        if isinstance(answer, Accepted) and attempt is not None and not early:
            self._catch_up(attempt)

    def _resume(self, message: Resume) -> None:
        attempt = self._desk.find(message.attempt_id, message.epoch)
        if attempt is None:
            self.say(_unknown(message.attempt_id, message.epoch))
            return
        self._next[attempt.id] = message.offset
        if attempt.progress is not None:
            self.say(attempt.progress)
        self._catch_up(attempt)

    def _catch_up(self, attempt: Attempt) -> None:
        self.log_grew(attempt)
        if attempt.outcome is not None:
            self.say(Finished(attempt_id=attempt.id, epoch=attempt.epoch, outcome=attempt.outcome))

    def _acknowledged(self, message: LogAck) -> None:
        attempt = self._desk.find(message.attempt_id, message.epoch)
        if attempt is None or not message.again or attempt.id not in self._next:
            return
        self._next[attempt.id] = message.offset
        self.log_grew(attempt)


def _unknown(attempt_id: str, epoch: int) -> Refused:
    return Refused(
        attempt_id=attempt_id,
        epoch=epoch,
        why="stale",
        detail="This agent does not hold that attempt.",
    )


def log_chunk(
    attempt: Attempt, offset: int, data: bytes, segments: list[protocol.Segment]
) -> LogChunk:
    return LogChunk(
        attempt_id=attempt.id,
        epoch=attempt.epoch,
        offset=offset,
        crc32=zlib.crc32(data),
        data=data,
        segments=segments,
    )
