"""Build and pull with progress: everything that reads the engine's build and pull streams."""

import asyncio
import gzip
import hashlib
import io
import re
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import aiodocker
import aiohttp

from agent.containers import EngineDown
from agent.image_ref import ImageReference

Report = Callable[[float], None]  # how much is done, 0 to 1

_STEP = re.compile(r"Step (\d+)/(\d+) : RUN ")
_APT_TOTAL = re.compile(r"(\d+) newly installed")
_APT_LINE = re.compile(r"Get:\d+ \S+ \S+ \S+ \S+ \S+ |Unpacking |Setting up ")
_MISSING = ("manifest unknown", "not found: manifest", "no such manifest")
_NO_CONNECTION = 900  # the client library's own status
_NO_ANSWER = "the container engine does not answer"
_ANSWER_S = 20.0  # no engine that works takes longer to tell what it knows
_REFUSED = ("access denied", "unauthorized", "denied:", "does not exist", "authentication required")


class ImageUnavailable(Exception):
    """An image that cannot be had; the text is one sentence for the user.

    `permanent` is False where trying again later may help (network or registry down). An engine
    that is down says nothing about an image: that is EngineDown.
    """

    def __init__(self, message: str, *, permanent: bool) -> None:
        super().__init__(message)
        self.permanent = permanent


class BuildProgress:
    """Reads the text of a build and tells how much is done.

    Only RUN steps take time, and inside one it is apt that does: each package is fetched, unpacked
    and set up, one line each, and apt says beforehand how many there are.
    """

    def __init__(self, run_steps: int) -> None:
        self._run_steps = max(1, run_steps)
        self._step = 0
        self._expected = 0
        self._seen = 0
        self._rest = ""
        self.last_line = ""
        self.error_line = ""

    def feed(self, text: str) -> float:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._read(line.strip())
        inside = min(1.0, self._seen / self._expected) if self._expected else 0.0
        return min(1.0, (max(0, self._step - 1) + inside) / self._run_steps)

    def _read(self, line: str) -> None:
        if not line:
            return
        self.last_line = line
        if line.startswith("E: ") and not self.error_line:
            self.error_line = line
        if _STEP.match(line):
            self._step += 1
            self._expected = self._seen = 0
        elif match := _APT_TOTAL.search(line):
            self._expected = 3 * int(match[1])
        elif _APT_LINE.match(line):
            self._seen += 1


class PullProgress:
    """Adds up the layers of a pull. Layers that are here already count as nothing."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def feed(self, item: Mapping[str, Any]) -> float:
        detail = cast("dict[str, int]", item.get("progressDetail") or {})
        if item.get("status") == "Downloading" and detail.get("total"):
            self._layers[str(item.get("id"))] = (detail["current"], detail["total"])
        elif item.get("status") in ("Download complete", "Pull complete"):
            _, total = self._layers.get(str(item.get("id")), (0, 0))
            self._layers[str(item.get("id"))] = (total, total)
        total = sum(total for _, total in self._layers.values())
        done = sum(done for done, _ in self._layers.values())
        return done / total if total else 0.0


class Context:
    """A folder with a Dockerfile, read once: its digest and itself as a tar."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode & 0o111)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        if "Dockerfile" not in self._files:
            raise ImageUnavailable(f"{folder} has no Dockerfile.", permanent=True)

    def digest(self) -> bytes:
        """The same for the same names, contents and executable bits, wherever the folder lies."""
        total = hashlib.sha256()
        for name, (data, mode) in self._files.items():
            head = f"{name}\0{bool(mode)}\0{len(data)}\0"
            total.update(head.encode() + data)
        return total.digest()

    def run_steps(self) -> int:
        return sum(line.startswith(b"RUN ") for line in self._files["Dockerfile"][0].splitlines())

    def tar(self) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, (data, mode) in self._files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o755 if mode else 0o644
                archive.addfile(info, io.BytesIO(data))
        return gzip.compress(out.getvalue(), mtime=0)


async def find_image(docker: aiodocker.Docker, reference: str) -> dict[str, Any] | None:
    """What the engine knows of a local image, or None. Raises EngineDown, ImageUnavailable.

    `reference` has passed the grammar, or is an id that the engine gave us.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await docker.images.inspect(reference)
    except aiodocker.DockerError as error:
        if error.status == 404:
            return None
        raise engine_failed(error) from error
    except (aiohttp.ClientError, OSError) as error:
        raise engine_failed(error) from error


async def build_image(
    docker: aiodocker.Docker,
    context: Context,
    *,
    name: str,
    tag: str,
    base: str,
    labels: Mapping[str, str],
    report: Report,
    fresh: bool = False,
) -> str:
    """Build and tag an image; its id. Raises EngineDown, or ImageUnavailable with the line that
    says why."""
    progress = BuildProgress(context.run_steps())
    image = ""
    try:
        stream = docker.images.build(
            fileobj=io.BytesIO(context.tar()),
            encoding="gzip",
            tag=tag,
            buildargs={"BASE": base},
            labels=labels,
            forcerm=True,
            nocache=fresh,
            stream=True,
        )
        async for item in stream:
            if "stream" in item:
                report(progress.feed(str(item["stream"])))
            image = cast("dict[str, str]", item.get("aux") or {}).get("ID") or image
    except aiodocker.DockerError as error:
        await _confirm_answers(docker, error)
        why = progress.error_line or progress.last_line or error.message
        raise ImageUnavailable(
            f"{name} could not be built: {_one_line(why)}", permanent=False
        ) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise engine_failed(error) from error
    if not image:
        raise EngineDown(f"the container engine broke off the build of {name}")
    return image


async def pull_image(
    docker: aiodocker.Docker, reference: ImageReference, report: Report, *, patience_s: float = 60
) -> None:
    """Pull with progress. Raises EngineDown, ImageUnavailable; also when nothing moves for
    `patience_s`."""
    progress = PullProgress()
    whole = False
    name = f"{reference.name}@{reference.digest}" if reference.digest else reference.name
    tag = "" if reference.digest else (reference.tag or "latest")
    try:
        stream = docker.images.pull(name, tag=tag, stream=True)
        async for item in _patiently(stream, patience_s):
            report(progress.feed(item))
            whole = whole or str(item.get("status", "")).startswith("Status: ")
    except aiodocker.DockerError as error:
        await _confirm_answers(docker, error)
        raise pull_failed(reference, error) from error
    except TimeoutError as error:
        await _confirm_answers(docker, error)
        raise ImageUnavailable(
            f"Image pull failed: the registry of {reference} does not answer.", permanent=False
        ) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise engine_failed(error) from error
    # To the client a lost connection looks like the end of the stream.
    if not whole and await find_image(docker, str(reference)) is None:
        raise EngineDown(f"the container engine broke off the pull of {reference}")


async def _confirm_answers(docker: aiodocker.Docker, error: Exception) -> None:
    """Raises EngineDown where what went wrong was the engine itself: one that is being shut down
    fails what it is doing with an error like any other."""
    if isinstance(error, aiodocker.DockerError) and error.status == _NO_CONNECTION:
        raise engine_failed(error) from error
    try:
        async with asyncio.timeout(_ANSWER_S):
            await docker.version()
    except (aiodocker.DockerError, aiohttp.ClientError, OSError, ValueError) as down:
        raise EngineDown(_NO_ANSWER) from down


async def _patiently(stream: AsyncIterator[Any], patience_s: float) -> AsyncIterator[Any]:
    iterator = aiter(stream)
    while True:
        async with asyncio.timeout(patience_s):
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return
        yield item


def pull_failed(reference: ImageReference, error: aiodocker.DockerError) -> ImageUnavailable:
    """One sentence for what a registry answered, and whether trying again may help."""
    text = str(error.message).lower()
    if any(sign in text for sign in _MISSING):
        return ImageUnavailable(f"Image pull failed: no such tag {reference}.", permanent=True)
    if any(sign in text for sign in _REFUSED):
        return ImageUnavailable(
            f"Image pull failed: {reference.name} does not exist, or its registry wants a login.",
            permanent=True,
        )
    if "toomanyrequests" in text or "rate limit" in text:
        return ImageUnavailable(
            f"Image pull failed: the registry of {reference} allows no more pulls for now.",
            permanent=False,
        )
    return ImageUnavailable(
        f"Image pull failed: the registry of {reference} cannot be reached from this engine, "
        "and the image is not on it.",
        permanent=False,
    )


def engine_failed(error: Exception) -> ImageUnavailable | EngineDown:
    """ImageUnavailable only where the engine has answered; no connection or no answer in time
    is EngineDown."""
    if isinstance(error, aiodocker.DockerError) and error.status not in (503, _NO_CONNECTION):
        text = f"The container engine refused: {_one_line(error.message)}"
        return ImageUnavailable(text, permanent=False)
    return EngineDown(_NO_ANSWER)


def _one_line(text: object) -> str:
    line = " ".join(str(text).split())[:300].removeprefix("E: ")
    return line if line.endswith(".") else f"{line}."


def image_id(details: Mapping[str, Any]) -> str:
    return str(details["Id"])


def image_labels(details: Mapping[str, Any]) -> dict[str, str]:
    config = cast("dict[str, Any]", details.get("Config") or {})
    return cast("dict[str, str]", config.get("Labels") or {})
