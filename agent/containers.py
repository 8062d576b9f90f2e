"""The one place that speaks to the container engine about containers.

Every list and every removal is filtered by `owner`, this agent's id: other installations on the
same engine are never touched. Names and ids in URLs come from our own records only.
"""

import asyncio
import json
import posixpath
import time
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

import aiodocker
import aiohttp
from aiodocker.stream import Stream
from yarl import URL

from agent import runtime

LABEL_OWNER = "cronium.owner"
LABEL_RUN = "cronium.run"
LABEL_ATTEMPT = "cronium.attempt"
LABEL_EPOCH = "cronium.epoch"
LABEL_KIND = "cronium.kind"
KIND_JOB = "job"

CONTROL_MB = 16  # the tmpfs the payload is unpacked in
SHM_MB = 16
VOLUME_MB = 16  # of each place that the image declares as a volume
MAX_VOLUMES = 16
_INODES_PER_MB = 200
_QUICK_S = 60.0  # no short request to a healthy engine takes longer

_REMOVAL_S = 10.0  # then it is said, and whoever asked decides when to ask again
_REMEMBERED_IMAGES = 100
_OWN_FOLDERS = {runtime.WORK_FOLDER, runtime.CONTROL_FOLDER, "/tmp"}  # noqa: S108

_T = TypeVar("_T")

# Byte-safe under a second reader only with this driver and without rotation.
_LOG_CONFIG = {
    "Type": "local",
    "Config": {"max-size": "1000g", "max-file": "1", "compress": "false"},
}


class EngineDown(Exception):
    """The container engine does not answer. What it was asked may have happened or not."""


class EngineRefused(Exception):
    """The container engine answered with an error; the message is its own sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NameTaken(EngineRefused):
    """A container of this name exists already."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Everything that is fixed when a container is made, and nothing else can be asked for."""

    image: str
    network: bool = True
    memory_mb: int
    work_mb: int
    tmp_mb: int
    cpus: float
    pids: int
    # What the image declares: without something of ours on it, the engine would lay a folder of
    # its own disk there, writable and of any size.
    volumes: tuple[str, ...] = ()

    def config(self) -> dict[str, Any]:
        """The body of a create request, without labels."""
        return {
            "Image": self.image,
            "Entrypoint": ["/bin/sh", "-c", runtime.text("loader.sh")],
            "Cmd": [],
            # Makes the init forward a signal to the script, not only to the wrapper.
            "Env": ["TINI_KILL_PROCESS_GROUP=1"],
            "User": "1000:1000",
            "WorkingDir": "/",
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": False,
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": self._host_config(),
        }

    def _host_config(self) -> dict[str, Any]:
        # tmpfs counts as memory of the container: a full one shall be ENOSPC, not a kill.
        volumes_mb = len(self.volumes) * VOLUME_MB
        memory_mb = self.memory_mb + self.work_mb + self.tmp_mb + CONTROL_MB + SHM_MB + volumes_mb
        memory = memory_mb << 20
        return {
            "NetworkMode": "bridge" if self.network else "none",
            "Init": True,
            "AutoRemove": False,
            "RestartPolicy": {"Name": "no"},
            "Privileged": False,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "IpcMode": "private",
            "ShmSize": SHM_MB << 20,
            "Tmpfs": {
                **{path: _tmpfs(VOLUME_MB, "noexec") for path in self.volumes},
                runtime.WORK_FOLDER: _tmpfs(self.work_mb, "exec"),
                runtime.CONTROL_FOLDER: _tmpfs(CONTROL_MB, "noexec"),
                "/tmp": f"rw,nosuid,nodev,noexec,size={self.tmp_mb}m,mode=1777"  # noqa: S108
                f",nr_inodes={_inodes(self.tmp_mb)}",
            },
            "Memory": memory,
            "MemorySwap": memory,
            "NanoCpus": int(self.cpus * 1_000_000_000),
            "PidsLimit": self.pids,
            # Only lowered: raising one is refused where the engine itself runs confined. The
            # wrapper lowers the number of open files, as far as it is higher.
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "LogConfig": _LOG_CONFIG,
        }


def _tmpfs(size_mb: int, exec_option: str) -> str:
    return (
        f"rw,nosuid,nodev,{exec_option},size={size_mb}m,uid=1000,gid=1000,mode=700"
        f",nr_inodes={_inodes(size_mb)}"
    )


def _inodes(size_mb: int) -> int:
    return max(4096, size_mb * _INODES_PER_MB)


@dataclass(frozen=True, kw_only=True)
class Found:
    """One of our own containers, as a list shows it."""

    id: str
    attempt_id: str
    epoch: int
    kind: str
    status: str  # created, running, paused, exited, dead ...


@dataclass(frozen=True, kw_only=True)
class ContainerState:
    """What an inspection says."""

    status: str
    running: bool
    exit_code: int
    oom_killed: bool
    error: str
    started_ms: int | None
    finished_ms: int | None


class Attachment:
    """A two-way connection to a container, opened before it starts: nothing can be missed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._closed = False

    async def deliver(self, data: bytes) -> None:
        """Writes `data` to stdin and closes it. Raises EngineDown."""
        with _translated():
            try:
                for at in range(0, len(data), 65536):
                    await self._stream.write_in(data[at : at + 65536])
                response = self._stream._resp  # pyright: ignore[reportPrivateUsage]
                connection = response.connection if response is not None else None
                transport = connection.transport if connection is not None else None
                if transport is not None and transport.can_write_eof():
                    transport.write_eof()
            except (RuntimeError, AssertionError) as error:
                raise EngineDown("the connection to the container was lost") from error

    async def read(self) -> tuple[int, bytes] | None:
        """The next (stream, data); None at the end, which need not be the end of the job."""
        try:
            message = await self._stream.read_out()
        except (aiohttp.ClientError, OSError, aiodocker.DockerError):
            return None
        return None if message is None else (message.stream, message.data)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._stream.close()
            except (AssertionError, RuntimeError, OSError):
                return  # the connection is gone already


class Containers:
    """All requests about containers. Each may raise EngineDown or EngineRefused."""

    def __init__(self, docker: aiodocker.Docker, owner: str) -> None:
        self._docker = docker
        self._owner = owner
        self._volumes: dict[str, tuple[str, ...]] = {}

    async def list_own(self) -> list[Found]:
        """Every container of this agent, in whatever state."""
        filters = json.dumps({"label": [f"{LABEL_OWNER}={self._owner}"]})
        found = await self._ask(self._docker.containers.list(all=1, filters=filters))
        return [_found(container._container) for container in found]  # pyright: ignore[reportPrivateUsage]

    async def volumes(self, image_id: str) -> tuple[str, ...]:
        """The folders that an image wants as volumes, without those that a job has anyway.

        Remembered: an image of this id ("sha256:...") never changes.
        """
        if image_id not in self._volumes:
            shown = await self._ask(self._docker.images.inspect(image_id))
            config: dict[str, Any] = shown.get("Config") or {}
            wanted = {posixpath.normpath(path) for path in config.get("Volumes") or ()}
            while len(self._volumes) >= _REMEMBERED_IMAGES:
                del self._volumes[next(iter(self._volumes))]
            self._volumes[image_id] = tuple(sorted(wanted - _OWN_FOLDERS))
        return self._volumes[image_id]

    async def create(self, profile: Profile, name: str, labels: dict[str, str]) -> str:
        """Returns the container's id. Raises NameTaken."""
        config = {**profile.config(), "Labels": {LABEL_OWNER: self._owner, **labels}}
        container = await self._ask(self._docker.containers.create(config, name=name))
        return container.id

    async def attach(self, container_id: str) -> Attachment:
        async def where() -> tuple[URL, bytes | None, bool]:
            query = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1", "logs": "0"}
            path = URL(f"containers/{container_id}/attach")
            return path.with_query({**query, "detachKeys": ""}), None, False

        stream = Stream(self._docker, where, aiohttp.ClientTimeout())
        await self._ask(stream._init())  # pyright: ignore[reportPrivateUsage]
        return Attachment(stream)

    async def start(self, container_id: str) -> None:
        await self._ask(self._container(container_id).start())

    async def wait(self, container_id: str) -> int:
        """The exit code. Ask only after the start returned: before it the answer may be wrong."""
        with _translated():
            answer = await self._container(container_id).wait(timeout=None)
        return int(answer["StatusCode"])

    async def inspect(self, container_id: str) -> ContainerState | None:
        """None: there is no such container (any more)."""
        try:
            shown = await self._ask(self._container(container_id).show())
        except EngineRefused as error:
            if error.status == 404:
                return None
            raise
        return _state(shown["State"])

    async def owned_id(self, name: str) -> tuple[str, str] | None:
        """(id, status) of the container called `name` if it is ours."""
        for found in await self._list_named(name):
            if f"/{name}" in found["Names"]:
                return str(found["Id"]), str(found["State"])
        return None

    async def signal(self, container_id: str, signal: Literal["TERM", "KILL"]) -> None:
        """Does nothing to a container that is not running any more."""
        container = self._container(container_id)
        try:
            await self._ask(container.kill(signal=signal))
        except EngineRefused as error:
            if "paused" in str(error):  # by somebody's hand: signals wait until it goes on
                await self._ask(container.unpause())
                await self._ask(container.kill(signal=signal))
            elif error.status not in (404, 409) and "is not running" not in str(error):
                raise

    async def remove(self, container_id: str) -> None:
        """Kills what still runs, removes, and returns when it is verified gone.

        Raises EngineRefused also when that takes the engine unusually long.
        """
        complaint, pause_s, deadline = "", 0.1, time.monotonic() + _REMOVAL_S
        while True:
            try:
                await self._ask(self._container(container_id).delete(force=True, v=True))
            except EngineRefused as error:
                if error.status == 404:
                    return
                if error.status != 409:  # 409: somebody is removing it already
                    raise
                complaint = f" ({error})"
            if await self.inspect(container_id) is None:
                return
            if time.monotonic() >= deadline:
                text = f"Container {container_id[:12]} is still there{complaint}."
                raise EngineRefused(409, text)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)

    async def logs(self, container_id: str, *, follow: bool) -> AsyncIterator[bytes]:
        """The multiplexed bytes of the engine's own log, from the beginning, with timestamps."""
        params = {"stdout": 1, "stderr": 1, "follow": int(follow), "timestamps": 1}
        with _translated():
            async with self._docker._query(  # pyright: ignore[reportPrivateUsage]
                f"containers/{container_id}/logs",
                params=params,
                timeout=aiohttp.ClientTimeout(),
            ) as response:
                async for chunk in response.content.iter_any():
                    yield chunk

    async def _list_named(self, name: str) -> list[dict[str, Any]]:
        filters = {"label": [f"{LABEL_OWNER}={self._owner}"], "name": [name]}
        found = await self._ask(self._docker.containers.list(all=1, filters=json.dumps(filters)))
        return [container._container for container in found]  # pyright: ignore[reportPrivateUsage]

    def _container(self, container_id: str) -> Any:
        return self._docker.containers.container(container_id)

    async def _ask(self, request: Awaitable[_T]) -> _T:
        with _translated():
            async with asyncio.timeout(_QUICK_S):
                return await request


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except aiodocker.DockerError as error:
        if error.status in (503, 900):
            raise EngineDown(str(error.message)) from error
        kind = (
            NameTaken
            if error.status == 409 and "already in use" in error.message
            else EngineRefused
        )
        raise kind(error.status, str(error.message)) from error
    except TimeoutError as error:
        raise EngineDown("the container engine did not answer in time") from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineDown(f"the connection to the container engine was lost ({error})") from error


def _found(listed: dict[str, Any]) -> Found:
    labels: dict[str, str] = listed.get("Labels") or {}
    epoch = labels.get(LABEL_EPOCH, "")
    return Found(
        id=str(listed["Id"]),
        attempt_id=labels.get(LABEL_ATTEMPT, ""),
        epoch=int(epoch) if epoch.isdigit() else -1,
        kind=labels.get(LABEL_KIND, ""),
        status=str(listed["State"]),
    )


def _state(shown: dict[str, Any]) -> ContainerState:
    return ContainerState(
        status=str(shown["Status"]),
        running=bool(shown["Running"]),
        exit_code=int(shown["ExitCode"]),
        oom_killed=bool(shown["OOMKilled"]),
        error=str(shown.get("Error", "")),
        started_ms=_when(shown.get("StartedAt")),
        finished_ms=_when(shown.get("FinishedAt")),
    )


def _when(text: str | None) -> int | None:
    """ms since the epoch of an RFC 3339 time with nanoseconds; the year 1 means never."""
    if not text or text.startswith("0001"):
        return None
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    try:
        whole = datetime.fromisoformat(seconds + "+00:00").timestamp()
    except ValueError:
        return None
    return int(whole * 1000) + int((fraction + "000")[:3] or 0)
