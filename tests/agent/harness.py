"""A small server side for tests of the engine: keeps what it is told, acknowledges like the real one."""

import asyncio
import contextlib
import hashlib
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent import protocol
from agent.engine import Engine, EngineConfig
from agent.jobs import Job, Limits, Outcome
from agent.link import Link, LinkClosed, memory_link
from agent.protocol import (
    Accepted,
    FinishAck,
    Finished,
    Heartbeat,
    Hello,
    LogAck,
    LogChunk,
    Progress,
    Refused,
    Resume,
    Start,
    Stop,
    Welcome,
)

ROOT = Path(__file__).parents[2]
CONTEXTS = ROOT / "images"
IMAGES = {"python": "cronium/python", "node": "cronium/node", "bash": "cronium/bash"}


def config(data_dir: Path, **changes) -> EngineConfig:
    values = {
        "data_dir": data_dir,
        "slots": 8,
        "version": "test",
        "base_image": None,
        "contexts": CONTEXTS,
        **changes,
    }
    return EngineConfig(**values)


def make_job(script: str | bytes, runtime="bash", **changes) -> Job:
    limits = changes.pop("limits", None) or {}
    values = {
        "run_id": str(uuid.uuid4()),
        "attempt_id": str(uuid.uuid4()),
        "attempt": 1,
        "epoch": 1,
        "event_name": "test",
        "runtime": runtime,
        "script": script.encode() if isinstance(script, str) else script,
        "image": IMAGES[runtime],
        "network": False,
        "limits": Limits(**{"memory_mb": 128, "work_mb": 32, "tmp_mb": 16, **limits}),
        **changes,
    }
    return Job(**values)


@dataclass
class Recorded:
    """What the server knows of one attempt."""

    log: bytearray = field(default_factory=bytearray)
    streams: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})
    segments: list[tuple[int, int, int]] = field(default_factory=list)
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)
    accepted: int = 0
    refused: list[Refused] = field(default_factory=list)
    finished: list[Outcome] = field(default_factory=list)
    finished_at: float = 0.0

    @property
    def outcome(self) -> Outcome | None:
        return self.finished[-1] if self.finished else None

    @property
    def complete(self) -> bool:
        end = self.outcome
        return end is not None and end.log_sha256 != "" and len(self.log) >= end.log_length

    @property
    def stdout(self) -> bytes:
        return bytes(self.streams[1])

    @property
    def stderr(self) -> bytes:
        return bytes(self.streams[2])


class Server:
    """The server's end of a link. `acknowledge`: commit logs and finishes as they come."""

    def __init__(self, link: Link, *, acknowledge: bool = True, resume: bool = True) -> None:
        self.link = link
        self.acknowledge = acknowledge
        self.resume = resume
        self.known: dict[str, Recorded] = {}
        self.hello: Hello | None = None
        self.heartbeats: list[Heartbeat] = []
        self.changed = asyncio.Event()

    def of(self, attempt_id: str) -> Recorded:
        return self.known.setdefault(attempt_id, Recorded())

    async def send(self, message: protocol.FromServer) -> None:
        await self.link.send(protocol.encode(message))

    async def run(self) -> None:
        with contextlib.suppress(LinkClosed):
            while True:
                await self.handle(protocol.decode_from_agent(await self.link.receive()))
                self.changed.set()

    async def handle(self, message: protocol.FromAgent) -> None:
        match message:
            case Hello():
                self.hello = message
                await self.send(Welcome(server_version="test", server_id="test"))
                for held in message.holding if self.resume else []:
                    offset = len(self.of(held.attempt_id).log)
                    await self.send(
                        Resume(attempt_id=held.attempt_id, epoch=held.epoch, offset=offset)
                    )
            case Heartbeat():
                self.heartbeats.append(message)
            case Accepted():
                self.of(message.attempt_id).accepted += 1
            case Refused():
                self.of(message.attempt_id).refused.append(message)
            case Progress():
                self.of(message.attempt_id).progress.append(message)
            case LogChunk():
                await self.log(message)
            case Finished():
                record = self.of(message.attempt_id)
                record.finished.append(message.outcome)
                record.finished_at = record.finished_at or time.perf_counter()
                await self.acknowledge_finish(message.attempt_id, message.epoch)

    async def log(self, chunk: LogChunk) -> None:
        record = self.of(chunk.attempt_id)
        assert zlib.crc32(chunk.data) == chunk.crc32
        assert sum(segment.length for segment in chunk.segments) == len(chunk.data)
        if chunk.offset > len(record.log):
            await self.send(
                LogAck(
                    attempt_id=chunk.attempt_id,
                    epoch=chunk.epoch,
                    offset=len(record.log),
                    again=True,
                )
            )
            return
        skip = len(record.log) - chunk.offset
        at = 0
        for segment in chunk.segments:
            piece = chunk.data[max(at, skip) : at + segment.length]
            if piece:
                record.streams[segment.stream] += piece
                record.segments.append((segment.stream, len(piece), segment.time_ms))
            at += segment.length
        fresh = chunk.data[skip:]
        record.log += fresh
        if fresh:
            record.arrivals.append((time.perf_counter(), fresh))
        if self.acknowledge:
            await self.send(
                LogAck(attempt_id=chunk.attempt_id, epoch=chunk.epoch, offset=len(record.log))
            )
            await self.acknowledge_finish(chunk.attempt_id, chunk.epoch)

    async def acknowledge_finish(self, attempt_id: str, epoch: int) -> None:
        record = self.of(attempt_id)
        if self.acknowledge and record.complete:
            end = record.outcome
            assert end is not None
            assert len(record.log) == end.log_length
            assert hashlib.sha256(record.log).hexdigest() == end.log_sha256
            await self.send(FinishAck(attempt_id=attempt_id, epoch=epoch))

    async def until(self, condition: Callable[[], object], timeout_s: float = 40) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def start(self, job: Job) -> Recorded:
        await self.send(Start(job=job))
        return self.of(job.attempt_id)

    async def run_job(self, job: Job, timeout_s: float = 40) -> Recorded:
        """From Start to the whole log and the outcome."""
        record = await self.start(job)
        await self.until(lambda: record.complete or record.refused, timeout_s)
        return record

    async def stop(self, job: Job, grace_s: float = 10.0, why: str = "") -> None:
        await self.send(Stop(attempt_id=job.attempt_id, epoch=job.epoch, grace_s=grace_s, why=why))


async def nothing_held(engine: Engine, timeout_s: float = 20) -> None:
    """Until the engine has dropped every attempt and ended what it did aside."""
    async with asyncio.timeout(timeout_s):
        while engine._attempts or engine._side_tasks:
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(engine: Engine) -> AsyncIterator[Engine]:
    """The engine at work; leaving detaches."""
    task = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        task.cancel()
        results = await asyncio.gather(task, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


@contextlib.asynccontextmanager
async def connected(engine: Engine, **options) -> AsyncIterator[Server]:
    """A conversation over a link in memory."""
    near, far = memory_link()
    server = Server(far, **options)
    tasks = [asyncio.create_task(engine.serve(near)), asyncio.create_task(server.run())]
    try:
        await server.until(lambda: server.heartbeats)
        yield server
    finally:
        far.close()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


@contextlib.asynccontextmanager
async def engine_and_server(data_dir: Path, **changes) -> AsyncIterator[tuple[Engine, Server]]:
    async with running(Engine(config(data_dir, **changes))) as engine, connected(engine) as server:
        await server.until(lambda: server.heartbeats[-1].engine == "up")
        yield engine, server
