"""The execution engine: takes jobs, runs them in containers, reports, and adopts after a restart.

`Engine.run` owns everything and needs no server; `Engine.serve` is one conversation with one.
Cancelling either never ends a job.
"""

import asyncio
import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp

from agent import runtime
from agent.attempt import Attempt
from agent.clock import now_ms
from agent.containers import Containers, EngineDown, EngineRefused
from agent.conversation import Conversation, log_chunk
from agent.images import ImageStore
from agent.jobs import Job, Reason
from agent.journal import Journal, Taken
from agent.link import Link
from agent.protocol import (
    Accepted,
    Finished,
    Heartbeat,
    Hello,
    LogChunk,
    Refused,
    Start,
    Stop,
)
from agent.spool import Spool

_log = logging.getLogger(__name__)

_API_VERSION = (1, 41)  # what this code was written against
_DISK_THREADS = 4
_WATCH_S = 5.0
_RETRY_S = 1.0
_PING_S = 10.0
_MIN_FREE_BYTES = 200 * 1024 * 1024
# What a Stop may give as the reason; anything else is taken as a person's wish.
_STOP_REASONS = {str(reason): reason for reason in (Reason.REPLACED, Reason.EXPIRED)}
_DEFAULT_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """`docker_socket` None means DOCKER_HOST, else the usual socket. `contexts` is the folder of
    the base images' contexts."""

    data_dir: Path
    docker_socket: str | None = None
    slots: int = 4
    name: str = "local"
    version: str
    base_image: str | None = None
    contexts: Path


class Engine:
    """Create it, keep `run` running, and `serve` a link whenever there is one."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._folder = config.data_dir
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.agent_id = _agent_id(self._folder)
        self._attempts: dict[str, Attempt] = {}
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._side_tasks: set[asyncio.Task[Any]] = set()
        self._conversation: Conversation | None = None
        self._ready = asyncio.Event()
        self._up = asyncio.Event()
        self._look_again = asyncio.Event()
        self._engine_detail = "The container engine has not answered yet."
        self._disk_complaint = ""
        self._warming: asyncio.Task[Any] | None = None
        self.cpu_count = os.cpu_count() or 1
        # Made by each `run`.
        self.disk: ThreadPoolExecutor
        self.journal: Journal
        self.containers: Containers
        self.images: ImageStore

    # --- life ---

    async def run(self) -> None:
        """Until cancelled; then it detaches: containers go on, another run adopts them, be it
        of this object or in another process.

        Raises RuntimeError when another engine uses the same data folder.
        """
        lock = _lock(self._folder)
        docker: aiodocker.Docker | None = None
        try:
            self._attempts, self._runs = {}, {}
            self._up.clear()
            self.disk = ThreadPoolExecutor(_DISK_THREADS, thread_name_prefix="cronium-disk")
            self.journal = Journal(self._folder / "journal", self.disk)
            connector, docker = _connect(self._config.docker_socket)
            self.containers = Containers(docker, self.agent_id)
            self.images = ImageStore(
                docker,
                contexts=self._config.contexts,
                version=self._config.version,
                base_image=self._config.base_image,
                owner=self.agent_id,
                on_change=self._beat,
            )
            self._adopt()
            self._ready.set()
            try:
                await self._watch(docker)
            finally:
                await self._detach()
                await self.images.aclose()
                await docker.close()
                await connector.close()
        finally:
            self._ready.clear()
            os.close(lock)

    async def serve(self, link: Link) -> None:
        """One conversation, until the link closes. A later one takes the place of an earlier."""
        await self._ready.wait()
        if self._conversation is not None:
            self._conversation.close()
        conversation = Conversation(self, link)
        self._conversation = conversation
        try:
            await conversation.run()
        finally:
            if self._conversation is conversation:
                self._conversation = None

    def _adopt(self) -> None:
        for entry in self.journal.state.entries.values():
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            self._launch(Attempt(self, entry, self._spool_folder(entry.job), done))
        known = {self._spool_folder(attempt.job) for attempt in self._attempts.values()}
        spools = self._folder / "spool"
        for folder in list(spools.iterdir()) if spools.is_dir() else []:
            if folder not in known:
                Spool.remove(folder)

    async def _detach(self) -> None:
        if self._conversation is not None:
            self._conversation.close()
        for tasks in (list(self._side_tasks), list(self._runs.values())):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self.journal.close()
        # Threads may still write for tasks that were cancelled; then the files can be closed.
        await asyncio.to_thread(self.disk.shutdown, wait=True)
        for attempt in self._attempts.values():
            attempt.close()

    def _launch(self, attempt: Attempt) -> None:
        self._attempts[attempt.id] = attempt
        task = asyncio.create_task(attempt.run(), name=f"attempt {attempt.id}")
        self._runs[attempt.id] = task

    def _spool_folder(self, job: Job) -> Path:
        return self._folder / "spool" / f"{job.attempt_id}-{job.epoch}"

    def _aside(self, step: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task that `run` owns and that nobody waits for."""
        task = asyncio.create_task(step, name=name)
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)
        task.add_done_callback(_hear)
        return task

    # --- the container engine: is it there? ---

    async def engine_up(self) -> None:
        await self._up.wait()

    def engine_failed(self) -> None:
        self._up.clear()
        self._look_again.set()

    async def _watch(self, docker: aiodocker.Docker) -> None:
        was_up = False
        while True:
            self._look_again.clear()
            complaint = await self._look(docker)
            await self._look_at_disk()
            if complaint is None and not (was_up and self._up.is_set()):
                await self._came_up()
            elif complaint is not None:
                self._up.clear()
                if was_up or complaint != self._engine_detail:
                    _log.warning("container engine: %s", complaint)
                self._engine_detail = complaint
            if self._up.is_set() and self.images.wanting:
                self._warm()
            if was_up != self._up.is_set():
                self._beat()
            was_up = self._up.is_set()
            with suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_S if was_up else _RETRY_S):
                    await self._look_again.wait()
                if not was_up:
                    await asyncio.sleep(_RETRY_S)

    async def _look(self, docker: aiodocker.Docker) -> str | None:
        """None if it answers, else one sentence what is wrong."""
        try:
            async with asyncio.timeout(_PING_S):
                version = await docker._query_json("version", versioned_api=False)  # pyright: ignore[reportPrivateUsage]
                docker.api_version = _choose_api(version)
                if not self._up.is_set():
                    info = await docker._query_json("info")  # pyright: ignore[reportPrivateUsage]
                    self.cpu_count = int(info.get("NCPU") or self.cpu_count)
                    self._engine_detail = f"Docker {version.get('Version', '?')}"
        except TimeoutError:
            return f"The container engine did not answer within {_PING_S:g} s."
        except (aiodocker.DockerError, aiohttp.ClientError, OSError, ValueError) as error:
            return _why_down(error, self._config.docker_socket)
        return None

    async def _look_at_disk(self) -> None:
        complaint = await asyncio.to_thread(_disk_complaint, self._folder)
        if complaint != self._disk_complaint:
            self._disk_complaint = complaint
            if complaint:
                _log.warning("%s", complaint)
            self._beat()

    async def _came_up(self) -> None:
        self._up.set()
        try:
            await self._remove_strangers()
        except (EngineDown, EngineRefused) as error:
            _log.warning("left-over containers could not be removed: %s", error)
        self._warm()

    def _warm(self) -> None:
        """Make our own images; again after an engine that went away in the midst of it."""
        if self._warming is None or self._warming.done():
            self._warming = self._aside(self.images.warm(), "images")

    async def _remove_strangers(self) -> None:
        """Containers of ours that the journal knows nothing of: their jobs never ran."""
        for found in await self.containers.list_own():
            attempt = self._attempts.get(found.attempt_id)
            if attempt is not None and attempt.epoch == found.epoch:
                placed = attempt.entry.placed
                if placed is None or placed.container_id == found.id:
                    continue  # its own attempt takes care of it
            _log.info("removing container %s: nothing is known of it", found.id[:12])
            await self.containers.remove(found.id)

    # --- what attempts tell (agent.attempt.Host) ---

    def log_grew(self, attempt: Attempt) -> None:
        if self._conversation is not None:
            self._conversation.log_grew(attempt)

    def progressed(self, attempt: Attempt) -> None:
        if self._conversation is not None and attempt.progress is not None:
            self._conversation.say_of(attempt, attempt.progress)

    def ended(self, attempt: Attempt) -> None:
        if self._conversation is not None and attempt.outcome is not None:
            message = Finished(attempt_id=attempt.id, epoch=attempt.epoch, outcome=attempt.outcome)
            self._conversation.say_of(attempt, message)
        self._beat()

    def _follow(self, attempt: Attempt) -> None:
        if self._conversation is not None:
            self._conversation.follow(attempt.id)

    def _beat(self) -> None:
        if self._conversation is not None:
            self._conversation.beat()

    # --- what the server asks (agent.conversation.Desk) ---

    def hello(self) -> Hello:
        return Hello(
            agent_id=self.agent_id,
            name=self._config.name,
            version=self._config.version,
            slots=self._config.slots,
            holding=[attempt.held for attempt in self._attempts.values()],
        )

    def heartbeat(self) -> Heartbeat:
        is_up = self._up.is_set()
        return Heartbeat(
            free_slots=0 if self._disk_complaint else self._free_slots(),
            engine="up" if is_up else "down",
            engine_detail=(is_up and self._disk_complaint) or self._engine_detail,
            degraded=self._disk_complaint,
            images=self.images.states(),
        )

    def find(self, attempt_id: str, epoch: int) -> Attempt | None:
        """Epoch -1: whichever is held."""
        attempt = self._attempts.get(attempt_id)
        if attempt is None or epoch not in (-1, attempt.epoch):
            return None
        return attempt

    async def start(self, message: Start) -> Accepted | Refused:
        job = message.job
        held = self._attempts.get(job.attempt_id)
        if held is not None and held.epoch == job.epoch:
            await held.taken()
            self._follow(held)
            return Accepted(attempt_id=job.attempt_id, epoch=job.epoch)
        refused = self._refuse(job, held)
        if refused is not None:
            return refused
        if held is not None:
            # Handed out anew: the older one is nobody's any more. Then look again: this may have
            # come twice, and while we waited the other one was taken.
            await self._forget(held)
            return await self.start(message)
        return await self._take(job)

    async def _take(self, job: Job) -> Accepted | Refused:
        record = Taken(attempt_id=job.attempt_id, epoch=job.epoch, job=job, at_ms=now_ms())
        promise = self.journal.append(record)
        entry = self.journal.state.entries[job.attempt_id]
        attempt = Attempt(self, entry, self._spool_folder(job), promise)
        self._follow(attempt)
        self._launch(attempt)
        self._beat()
        try:
            await asyncio.shield(promise)
        except OSError as error:
            self._aside(self._forget(attempt), "forget")
            return _refusal(job, "engine_down", f"The agent cannot write its journal: {error}")
        return Accepted(attempt_id=job.attempt_id, epoch=job.epoch)

    def _refuse(self, job: Job, held: Attempt | None) -> Refused | None:
        if not _is_uuid(job.attempt_id) or not _is_uuid(job.run_id):
            return _refusal(job, "invalid", "The ids of the job are not UUIDs.")
        newest = self.journal.state.tombstones.get(job.attempt_id, -1)
        if held is not None:
            newest = max(newest, held.epoch)
        if job.epoch <= newest:
            return _refusal(job, "stale", "A newer hand-out of this attempt is known here.")
        complaint = runtime.check_job(job)
        if complaint is not None:
            return _refusal(job, "invalid", complaint)
        if not self._up.is_set():
            return _refusal(job, "engine_down", self._engine_detail)
        if self._disk_complaint:
            return _refusal(job, "no_slot", self._disk_complaint)
        if self._free_slots() <= 0 and held is None:
            return _refusal(job, "no_slot", "")
        return None

    def stop(self, message: Stop) -> Refused | None:
        attempt = self.find(message.attempt_id, message.epoch)
        if attempt is None:
            return Refused(
                attempt_id=message.attempt_id,
                epoch=message.epoch,
                why="stale",
                detail="This agent does not hold that attempt.",
            )
        reason = _STOP_REASONS.get(message.why, Reason.CANCELLED_BY_USER)
        self._aside(attempt.stop(reason, max(0.0, message.grace_s)), "stop")
        return None

    def forget(self, attempt_id: str, epoch: int) -> None:
        attempt = self._attempts.get(attempt_id)
        if attempt is not None and attempt.epoch <= epoch:
            self._aside(self._forget(attempt), "forget")

    def finish_acknowledged(self, attempt_id: str, epoch: int) -> None:
        attempt = self.find(attempt_id, epoch)
        if attempt is not None and attempt.final:
            self._aside(self._drop_when_cleared(attempt), "drop")

    async def read_log(self, attempt: Attempt, offset: int) -> LogChunk | None:
        spool = attempt.spool
        if spool is None or offset >= spool.length:
            return None
        loop = asyncio.get_running_loop()
        data, segments = await loop.run_in_executor(self.disk, spool.read, offset)
        return log_chunk(attempt, offset, data, segments) if data else None

    async def _drop_when_cleared(self, attempt: Attempt) -> None:
        await attempt.cleared.wait()
        if self._attempts.get(attempt.id) is attempt:
            await self._remove(attempt)

    async def _forget(self, attempt: Attempt) -> None:
        """Ends it at once, whatever it is doing, and drops all of it."""
        with suppress(OSError):
            await attempt.stop(Reason.REPLACED, 0.0)  # so that a restart ends it as well
        task = self._runs.pop(attempt.id, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await attempt.remove_now()
        if self._attempts.get(attempt.id) is attempt:
            await self._remove(attempt)

    async def _remove(self, attempt: Attempt) -> None:
        del self._attempts[attempt.id]
        task = self._runs.pop(attempt.id, None)
        if self._conversation is not None:
            self._conversation.unfollow(attempt.id)
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)
        await attempt.drop()
        self._beat()

    def _free_slots(self) -> int:
        busy = sum(attempt.busy for attempt in self._attempts.values())
        return max(0, self._config.slots - busy)


def _refusal(job: Job, why: Any, detail: str) -> Refused:
    return Refused(attempt_id=job.attempt_id, epoch=job.epoch, why=why, detail=detail)


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _agent_id(folder: Path) -> str:
    """Made once. Never copy it to another installation: containers belong to it."""
    path = folder / "agent-id"
    try:
        found = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        found = str(uuid.uuid4())
        fresh = path.with_suffix(".new")
        fresh.write_text(found + "\n", encoding="ascii")
        fresh.rename(path)
    return str(uuid.UUID(found))


def _lock(folder: Path) -> int:
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise RuntimeError(f"Another engine is using {folder}.") from error
    return fd


def _connect(socket: str | None) -> tuple[aiohttp.BaseConnector, aiodocker.Docker]:
    """A client without a limit of connections: each running job holds two."""
    where = socket or os.environ.get("DOCKER_HOST") or _DEFAULT_SOCKET
    if where.startswith(("tcp://", "http://")):
        connector: aiohttp.BaseConnector = aiohttp.TCPConnector(limit=0)
        url = where
    else:
        connector = aiohttp.UnixConnector(where.removeprefix("unix://"), limit=0)
        url = "unix://localhost"
    version = f"v{_API_VERSION[0]}.{_API_VERSION[1]}"
    return connector, aiodocker.Docker(url, connector=connector, api_version=version)


def _choose_api(version: dict[str, Any]) -> str:
    """The version this code knows where the engine still speaks it, else the nearest it speaks."""
    newest = _api(version.get("ApiVersion")) or _API_VERSION
    oldest = _api(version.get("MinAPIVersion")) or _API_VERSION
    major, minor = min(max(_API_VERSION, oldest), newest)
    return f"v{major}.{minor}"


def _api(text: Any) -> tuple[int, int] | None:
    major, _, minor = str(text or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def _why_down(error: Exception, socket: str | None) -> str:
    where = (socket or os.environ.get("DOCKER_HOST") or _DEFAULT_SOCKET).removeprefix("unix://")
    text = str(error)
    if "Permission denied" in text:
        return f"No permission for the container engine's socket {where}."
    if "No such file" in text or "Cannot connect" in text or "refused" in text:
        return f"No container engine answers at {where}."
    return f"The container engine at {where} does not work: {text[:200]}"


def _disk_complaint(folder: Path) -> str:
    """ "" if there is room for jobs, else one sentence."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return f"The disk of this agent cannot be used: {error.strerror}."
    if free >= _MIN_FREE_BYTES:
        return ""
    return (
        f"The disk of this agent is nearly full: {free >> 20} MB are free at {folder}, "
        f"and jobs wait until there are {_MIN_FREE_BYTES >> 20} MB."
    )


def _hear(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("%s failed", task.get_name(), exc_info=task.exception())


__all__ = ["Engine", "EngineConfig"]
