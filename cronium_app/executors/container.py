"""Containers, by way of an agent: the server side of `agent.protocol`.

`AgentHub` holds the conversations with connected agents, `ContainerExecutor` speaks for one
attempt. An attempt outlives any conversation: when its agent says hello again it is resumed from
the length of our own log, stopped if that was asked for meanwhile, or known to be lost.
"""

import asyncio
import contextlib
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, Protocol
from uuid import UUID

import structlog

from agent.jobs import Job, Outcome, Reason
from agent.link import Link, LinkClosed
from agent.protocol import (
    PROTOCOL_VERSION,
    Accepted,
    FinishAck,
    Finished,
    Forget,
    FromAgent,
    FromServer,
    Heartbeat,
    Held,
    Hello,
    ImageState,
    LogAck,
    LogChunk,
    Progress,
    ProtocolError,
    Refused,
    Resume,
    Start,
    Stop,
    Welcome,
    decode_from_agent,
    encode,
)
from cronium_app.domain import waiting
from cronium_app.domain.ids import parse_id
from cronium_app.executors.base import Handle, JobInvalid, NotTaken, Report, Step, Watcher
from cronium_app.logs.files import LogStore

log = structlog.get_logger(__name__)

INBOX_BYTES = 8 * 1024 * 1024  # log bytes of one attempt waiting for the disk
DISK_RETRY_S = 1.0
NEARLY_WHOLE_BYTES = 1024 * 1024
NEARLY_WHOLE_S = 0.5
TRANSIENT = frozenset({"no_slot", "draining", "engine_down"})
LOST = "The agent no longer knows this job: it cannot be told how it ended."


@dataclass(kw_only=True)
class ConnectedAgent:
    """What an agent last said about itself."""

    id: UUID
    name: str
    version: str
    slots: int
    engine: Literal["up", "down", "starting"] = "starting"
    engine_detail: str = ""
    images: list[ImageState] = field(default_factory=list[ImageState])
    holding: dict[UUID, Held] = field(default_factory=dict[UUID, Held])
    refusing: bool = False  # it took no job just now; asked again after its next heartbeat
    adopted: bool = False  # what it held at its hello has been sorted out

    @property
    def images_in_work(self) -> set[str]:
        """Runs that want one of these wait in the queue."""
        return {
            image.image for image in self.images if waiting.is_held_up(image.image, image.state)
        }

    @property
    def takes_jobs(self) -> bool:
        return self.engine == "up" and self.adopted and not self.refusing


class AgentListener(Protocol):
    """Who is told about agents."""

    async def agent_joined(self, agent: ConnectedAgent) -> None: ...
    def agents_changed(self) -> None: ...


class AgentHub:
    def __init__(self, logs: LogStore, *, server_id: str, version: str) -> None:
        self.agents: dict[UUID, ConnectedAgent] = {}
        self.listener: AgentListener | None = None
        self._logs = logs
        self._server_id = server_id
        self._version = version
        self._conversations: dict[UUID, _Conversation] = {}
        self._attempts: dict[UUID, _Attempt] = {}

    async def serve(self, link: Link) -> None:
        """One conversation, from Hello until the link closes. Raises ProtocolError."""
        try:
            hello = decode_from_agent(await link.receive())
        except LinkClosed:
            return
        conversation = _Conversation(link, _checked(hello))
        try:
            await self._converse(conversation)
        except ExceptionGroup as group:
            if (misunderstood := group.subgroup(ProtocolError)) is not None:
                raise ProtocolError(str(misunderstood.exceptions[0])) from group
            raise
        finally:
            link.close()
            self._left(conversation)

    async def _converse(self, conversation: "_Conversation") -> None:
        agent = conversation.agent
        if former := self._conversations.get(agent.id):
            former.link.close()
        self._conversations[agent.id] = conversation
        self.agents[agent.id] = agent
        conversation.post(Welcome(server_version=self._version, server_id=self._server_id))
        await self._resume_known(conversation)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(conversation.send_posted(), name=f"send to agent {agent.name}")
                tasks.create_task(self._welcome(agent), name=f"adopt from agent {agent.name}")
                while True:
                    await self._hear(
                        conversation, decode_from_agent(await conversation.link.receive())
                    )
        except* LinkClosed:
            log.info("agent left", agent=agent.name)

    async def _welcome(self, agent: ConnectedAgent) -> None:
        if self.listener is not None:
            await self.listener.agent_joined(agent)

    def _left(self, conversation: "_Conversation") -> None:
        agent_id = conversation.agent.id
        if self._conversations.get(agent_id) is conversation:
            del self._conversations[agent_id]
            del self.agents[agent_id]
            if self.listener is not None:
                self.listener.agents_changed()

    async def _resume_known(self, conversation: "_Conversation") -> None:
        """A reconnected agent: go on with every attempt that we supervise already."""
        agent = conversation.agent
        for attempt in list(self._attempts.values()):
            if attempt.handle.agent_id != agent.id:
                continue
            if agent.holding.get(attempt.handle.attempt_id) is not None:
                await self._resume(attempt)
            elif attempt.job is not None and not attempt.taken.done():
                conversation.post(Start(job=attempt.job))
            else:
                attempt.lose()

    async def _hear(self, conversation: "_Conversation", message: FromAgent) -> None:
        if isinstance(message, Heartbeat):
            self._note_heartbeat(conversation.agent, message)
        elif isinstance(message, Hello):
            raise ProtocolError("a second hello in one conversation")
        else:
            attempt = self._attempts.get(parse_id(message.attempt_id) or UUID(int=0))
            if attempt is not None and attempt.handle.epoch == message.epoch:
                await attempt.hear(message)
                if isinstance(message, Refused) and message.why in TRANSIENT:
                    self._note_refusal(conversation.agent, message)

    def _note_heartbeat(self, agent: ConnectedAgent, beat: Heartbeat) -> None:
        before = (agent.engine, agent.engine_detail, agent.images, agent.refusing)
        agent.engine, agent.engine_detail = beat.engine, beat.engine_detail
        agent.images = beat.images
        agent.refusing = agent.refusing and beat.free_slots <= 0
        after = (agent.engine, agent.engine_detail, agent.images, agent.refusing)
        if before != after and self.listener is not None:
            self.listener.agents_changed()

    def _note_refusal(self, agent: ConnectedAgent, message: Refused) -> None:
        agent.refusing = True
        if message.why == "engine_down":
            agent.engine, agent.engine_detail = "down", message.detail
        if self.listener is not None:
            self.listener.agents_changed()

    # --- what the executor needs ---

    def post(self, agent_id: UUID, message: FromServer) -> None:
        """Send when possible; dropped without a connection, since a hello sorts everything out."""
        if conversation := self._conversations.get(agent_id):
            conversation.post(message)

    async def begin(self, handle: Handle, watcher: Watcher, job: Job | None) -> "_Attempt":
        """Register an attempt and open its log."""
        await self._logs.open(handle.attempt_id)
        attempt = _Attempt(self, self._logs, handle, watcher, job)
        self._attempts[handle.attempt_id] = attempt
        attempt.begin()
        return attempt

    def find(self, handle: Handle) -> "_Attempt":
        return self._attempts[handle.attempt_id]

    async def resume(self, attempt: "_Attempt") -> None:
        if attempt.handle.agent_id in self._conversations:
            await self._resume(attempt)

    async def _resume(self, attempt: "_Attempt") -> None:
        handle = attempt.handle
        attempt.take()
        length = await self._logs.length(handle.attempt_id)
        name, epoch = str(handle.attempt_id), handle.epoch
        self.post(handle.agent_id, Resume(attempt_id=name, epoch=epoch, offset=length))
        if attempt.stop is not None:
            self.post(handle.agent_id, attempt.stop)

    async def drop(self, handle: Handle) -> None:
        if attempt := self._attempts.pop(handle.attempt_id, None):
            await attempt.end()

    def abandon(self, handle: Handle) -> None:
        if attempt := self._attempts.pop(handle.attempt_id, None):
            attempt.abandon()
            self._logs.detach(handle.attempt_id)


class ContainerExecutor:
    """An `Executor` that hands jobs to agents."""

    def __init__(self, hub: AgentHub, logs: LogStore) -> None:
        self._hub = hub
        self._logs = logs

    async def start(self, handle: Handle, job: Job, watcher: Watcher) -> None:
        attempt = await self._hub.begin(handle, watcher, job)
        if handle.agent_id not in self._hub.agents:
            raise NotTaken("the agent is not connected")
        self._hub.post(handle.agent_id, Start(job=job))
        await asyncio.shield(attempt.taken)

    async def attach(self, handle: Handle, watcher: Watcher) -> None:
        await self._hub.resume(await self._hub.begin(handle, watcher, None))

    async def report(self, handle: Handle) -> Report:
        attempt = self._hub.find(handle)
        await asyncio.shield(attempt.ended)
        return await attempt.report()

    async def stop(self, handle: Handle, grace_s: float, why: str) -> None:
        name, epoch = str(handle.attempt_id), handle.epoch
        message = Stop(attempt_id=name, epoch=epoch, grace_s=grace_s, why=why)
        self._hub.find(handle).stop = message
        self._hub.post(handle.agent_id, message)

    async def collect(self, handle: Handle) -> Report | None:
        return await asyncio.shield(self._hub.find(handle).rest)

    async def release(self, handle: Handle) -> None:
        await self._hub.drop(handle)
        await self._logs.finish(handle.attempt_id)
        self.acknowledge(handle)

    def acknowledge(self, handle: Handle) -> None:
        """For an attempt whose end was recorded in full earlier."""
        name, epoch = str(handle.attempt_id), handle.epoch
        self._hub.post(handle.agent_id, FinishAck(attempt_id=name, epoch=epoch))

    def discard(self, handle: Handle) -> None:
        self._hub.abandon(handle)
        name, epoch = str(handle.attempt_id), handle.epoch
        self._hub.post(handle.agent_id, Forget(attempt_id=name, epoch=epoch))

    def detach(self, handle: Handle) -> None:
        self._hub.abandon(handle)


class _Conversation:
    """One link. Posting never waits, so that hearing never waits for sending."""

    def __init__(self, link: Link, hello: Hello) -> None:
        self.link = link
        self.agent = ConnectedAgent(
            id=_uuid(hello.agent_id), name=hello.name, version=hello.version, slots=hello.slots
        )
        self.agent.holding = {_uuid(held.attempt_id): held for held in hello.holding}
        self._outgoing: deque[FromServer] = deque()
        self._posted = asyncio.Event()

    def post(self, message: FromServer) -> None:
        self._outgoing.append(message)
        self._posted.set()

    async def send_posted(self) -> None:
        while True:
            await self._posted.wait()
            self._posted.clear()
            while self._outgoing:
                await self.link.send(encode(self._outgoing.popleft()))


class _Attempt:
    """The server's side of one attempt at an agent: its answers, and the writer of its log."""

    def __init__(
        self, hub: AgentHub, logs: LogStore, handle: Handle, watcher: Watcher, job: Job | None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.handle = handle
        self.job = job
        self.stop: Stop | None = None
        self.taken: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()  # its status is known
        self.rest: asyncio.Future[Report | None] = loop.create_future()  # and all there is to it
        self._outcome: Outcome | None = None
        self._hub = hub
        self._logs = logs
        self._watcher = watcher
        self._inbox: deque[LogChunk] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()  # nothing that arrived is unwritten
        self._drained.set()
        self._space = asyncio.Event()
        self._closed = False
        self._writer: asyncio.Task[None] | None = None
        self.taken.add_done_callback(_consume)

    def begin(self) -> None:
        self._writer = asyncio.create_task(
            self._write_log(), name=f"log of attempt {self.handle.attempt_id}"
        )

    async def end(self) -> None:
        """Every byte received is written first."""
        await self._drained.wait()
        self.abandon()

    def abandon(self) -> None:
        self._refuse_bytes()
        if self._writer is not None:
            self._writer.cancel()

    def _refuse_bytes(self) -> None:
        """Nobody writes any more: what comes is dropped and stays unacknowledged. It must not
        wait for space either, or the agent's whole conversation would wait with it."""
        self._closed = True
        self._inbox.clear()
        self._waiting_bytes = 0
        self._space.set()
        self._drained.set()

    def take(self) -> None:
        self.job = None
        if not self.taken.done():
            self.taken.set_result(None)

    def lose(self) -> None:
        """The agent does not know the attempt any more."""
        self.take()
        if self._outcome is None:
            self._end(Outcome(reason=Reason.LOST, detail=LOST))
        self._settle(None)

    async def hear(self, message: Accepted | Refused | Progress | LogChunk | Finished) -> None:
        match message:
            case LogChunk():
                await self._receive(message)
            case Finished():
                self.take()
                self._end(message.outcome)
                self._arrived.set()  # nothing may be missing: let the writer look
            case Progress():
                self.take()
                self._watcher.stepped(_step(message))
            case Accepted():
                self.take()
                self._watcher.accepted()
            case Refused():
                self._refuse(message)

    def _refuse(self, message: Refused) -> None:
        if self.taken.done():
            if message.why == "stale":  # it was ours, and the agent no longer knows it
                self.lose()
            return
        if message.why == "invalid":
            self.taken.set_exception(JobInvalid(message.detail or "The agent refused the job."))
        else:
            self.taken.set_exception(NotTaken(message.detail or message.why))

    async def _receive(self, chunk: LogChunk) -> None:
        while self._waiting_bytes > INBOX_BYTES:
            self._space.clear()
            await self._space.wait()
        if self._closed:
            return
        self._inbox.append(chunk)
        self._waiting_bytes += len(chunk.data)
        self._drained.clear()
        self._arrived.set()

    def _end(self, outcome: Outcome) -> None:
        """The first word decides how it ended; a later one adds what was not known yet."""
        if self._outcome is None or (_is_final(outcome) and not _is_final(self._outcome)):
            self._outcome = outcome
        if not self.ended.done():
            self.ended.set_result(None)

    async def report(self) -> Report:
        """What is known once it has ended.

        The outcome comes before the last bytes. If little is missing, wait for it a moment: the
        end of the log often says why the script failed, and one commit is enough for both.
        """
        await self._drained.wait()
        outcome = self._known()
        missing = outcome.log_length - await self._logs.length(self.handle.attempt_id)
        if _is_final(outcome) and 0 < missing <= NEARLY_WHOLE_BYTES:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(NEARLY_WHOLE_S):
                    await asyncio.shield(self.rest)
        outcome = self._known()
        whole = await self._is_whole(outcome)
        return Report(outcome=outcome, log_whole=whole, final=_is_final(outcome))

    def _known(self) -> Outcome:
        if self._outcome is None:
            raise RuntimeError("it has not ended")
        return self._outcome

    async def _write_log(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._inbox:
                    await self._write_arrived()
                self._drained.set()
                outcome = self._outcome
                if outcome is not None and _is_final(outcome) and not self.rest.done():
                    await self._look_for_the_end(outcome)
        except Exception:
            log.exception("writing a log failed", attempt=str(self.handle.attempt_id))
            self._refuse_bytes()
            self._settle(None)

    async def _look_for_the_end(self, outcome: Outcome) -> None:
        if await self._is_whole(outcome):
            self._settle(Report(outcome=outcome, log_whole=True))
        elif await self._logs.length(self.handle.attempt_id) >= outcome.log_length:
            log.error("a log differs from the agent's", attempt=str(self.handle.attempt_id))
            self._settle(Report(outcome=outcome, log_whole=False))

    def _settle(self, report: Report | None) -> None:
        if not self.rest.done():
            self.rest.set_result(report)

    async def _write_arrived(self) -> None:
        """Append all that has arrived, then acknowledge it: never the other way round."""
        attempt_id = self.handle.attempt_id
        chunks = [chunk for chunk in self._inbox if zlib.crc32(chunk.data) == chunk.crc32]
        taken = len(self._inbox)
        try:
            length = await self._logs.append_all(
                attempt_id, [(chunk.offset, chunk.data, chunk.segments) for chunk in chunks]
            )
        except OSError as error:
            log.error("log cannot be written", attempt=str(attempt_id), error=str(error))
            await asyncio.sleep(DISK_RETRY_S)
            return
        end = max(
            (chunk.offset + len(chunk.data) for chunk in list(self._inbox)[:taken]), default=0
        )
        for _ in range(taken):
            self._waiting_bytes -= len(self._inbox.popleft().data)
        self._hub.post(
            self.handle.agent_id,
            LogAck(
                attempt_id=str(attempt_id),
                epoch=self.handle.epoch,
                offset=length,
                again=end > length,
            ),
        )
        self._space.set()
        self._watcher.logged()

    async def _is_whole(self, outcome: Outcome) -> bool:
        """Does our log equal what the agent says it sent?"""
        length = await self._logs.length(self.handle.attempt_id)
        if not outcome.log_sha256 or length != outcome.log_length:
            return False
        return await self._logs.digest(self.handle.attempt_id) == (length, outcome.log_sha256)


def _step(message: Progress) -> Step:
    return Step(
        phase=message.phase,
        time_ms=message.time_ms,
        text=message.text,
        image_digest=message.image_digest,
        container_id=message.container_id,
    )


def _checked(message: FromAgent) -> Hello:
    if not isinstance(message, Hello):
        raise ProtocolError("the first message must be a hello")
    if message.protocol != PROTOCOL_VERSION:
        raise ProtocolError(f"the agent speaks version {message.protocol}, not {PROTOCOL_VERSION}")
    return message


def _uuid(text: str) -> UUID:
    value = parse_id(text)
    if value is None:
        raise ProtocolError("an id is not a lower-case UUID")
    return value


def _is_final(outcome: Outcome) -> bool:
    """Else its log is still being read where it ran, and another outcome follows."""
    return outcome.log_sha256 != "" or outcome.reason is Reason.LOST


def _consume(future: "asyncio.Future[None]") -> None:
    """An answer that nobody waits for any more is no error."""
    if not future.cancelled():
        future.exception()
