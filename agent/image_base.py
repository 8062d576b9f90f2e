"""Find, or make, the Debian image that the job images are built on."""

import asyncio
import os
import re
import shutil
import socket
import tempfile
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiodocker
import aiohttp

from agent.containers import EngineDown
from agent.image_build import (
    ImageUnavailable,
    Report,
    engine_failed,
    find_image,
    image_id,
    image_labels,
    pull_image,
)
from agent.image_ref import split_image_reference

SUITE = "trixie"
PRODUCT_KIND = "product"  # label `cronium.kind` of the one image that holds the whole product

_CONTAINER = re.compile(r"/containers/([0-9a-f]{64})/")
_SHORT_ID = re.compile(r"[0-9a-f]{12}")
_BOOTSTRAP_LINE = re.compile(r"I: (?:Retrieving|Validating|Extracting|Unpacking|Configuring) ")
_BOOTSTRAP_LINES = 400  # about what a minimal Debian takes; only the percentage hangs on it
_DROPPED = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/info/*", "./usr/share/locale/*")
_EMPTIED = ("./var/lib/apt/lists/*", "./var/cache/apt/*", "./var/cache/debconf/*", "./var/log/*")


@dataclass(frozen=True, kw_only=True)
class BaseSettings:
    """Where a base may come from, in the order of the fields."""

    configured: str | None = None  # CRONIUM_BASE_IMAGE: this one and no other
    stock: str = f"debian:{SUITE}-slim"  # if it is here, else pulled
    own_image: str | None = None  # the product's; None: found out from inside its container
    made: str = f"cronium/base:{SUITE}"  # what debootstrap made here, now or earlier
    may_bootstrap: bool = True


async def find_base(docker: aiodocker.Docker, settings: BaseSettings, report: Report) -> str:
    """A reference or id to build on. Raises EngineDown; ImageUnavailable when there is no way to
    one."""
    if settings.configured:
        return await _configured(docker, settings.configured, report)
    if await find_image(docker, settings.stock) is not None:
        return settings.stock
    try:
        await pull_image(docker, split_image_reference(settings.stock), report, patience_s=20)
        return settings.stock
    except ImageUnavailable as error:
        refused = error
    if own := await find_own_image(docker, settings.own_image):
        return own
    if await find_image(docker, settings.made) is not None:
        return settings.made
    if settings.may_bootstrap and can_bootstrap():
        await make_base(docker, settings.made, report)
        return settings.made
    raise ImageUnavailable(
        f"There is no Debian image to build on: {settings.stock} cannot be pulled; "
        "load it into the engine, or name another image in CRONIUM_BASE_IMAGE.",
        permanent=False,
    ) from refused


async def _configured(docker: aiodocker.Docker, text: str, report: Report) -> str:
    try:
        reference = split_image_reference(text)
    except ValueError as error:
        raise ImageUnavailable(f"CRONIUM_BASE_IMAGE: {error}", permanent=True) from error
    if await find_image(docker, text) is None:
        try:
            await pull_image(docker, reference, report)
        except ImageUnavailable as error:
            raise ImageUnavailable(
                f"CRONIUM_BASE_IMAGE: {error}", permanent=error.permanent
            ) from error
    return text


def own_container_id(mountinfo: str, hostname: str) -> str | None:
    """The id of the container this process lives in, as far as one can tell from inside.

    The engine mounts /etc/hostname and its like from a folder named by the id, whatever host name
    was chosen; elsewhere the host name is the short id unless somebody chose another one.
    """
    if match := _CONTAINER.search(mountinfo):
        return match[1]
    return hostname if _SHORT_ID.fullmatch(hostname) else None


async def find_own_image(
    docker: aiodocker.Docker, configured: str | None = None, *, container: str | None = None
) -> str | None:
    """The id of the product's own image if we run in one container, else None.

    Only an image labelled as the product counts: a process in somebody else's container, or on a
    host whose name looks like an id, must not build on whatever is found there.
    """
    reference = configured
    if reference is None:
        container = container or own_container_id(
            await asyncio.to_thread(_read, "/proc/self/mountinfo"), socket.gethostname()
        )
        if container is None:
            return None
        try:
            found = await docker.containers.get(container)
            reference = str((await found.show())["Image"])
        except aiodocker.DockerError as error:
            if isinstance(failed := engine_failed(error), EngineDown):
                raise failed from error
            return None
    else:
        split_image_reference(reference)
    details = await find_image(docker, reference)
    if details is None or image_labels(details).get("cronium.kind") != PRODUCT_KIND:
        return None
    return image_id(details)


def can_bootstrap() -> bool:
    """Root on Debian itself, with the tool."""
    system = dict(
        line.split("=", 1) for line in _read("/etc/os-release").splitlines() if "=" in line
    )
    is_debian = system.get("ID", "").strip('"') == "debian"
    return is_debian and os.geteuid() == 0 and shutil.which("debootstrap") is not None


async def make_base(docker: aiodocker.Docker, reference: str, report: Report) -> None:
    """Make a minimal Debian with debootstrap, from the mirror this host itself uses, and import it.

    Raises ImageUnavailable.
    """
    name = split_image_reference(reference)
    folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="cronium-base-", dir="/var/tmp")  # noqa: S108 - mkdtemp; /tmp may be too small or noexec
    try:
        await _debootstrap(Path(folder) / "root", report)
        await _import(docker, Path(folder) / "root", name.name, name.tag)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _debootstrap(root: Path, report: Report) -> None:
    mirror, security = apt_mirrors(await asyncio.to_thread(_apt_sources))
    command = ["debootstrap", "--variant=minbase"]
    if mirror and mirror.startswith("https:"):
        command.append("--include=ca-certificates")  # else apt inside could not use its mirror
    process = await asyncio.create_subprocess_exec(
        *(*command, SUITE, str(root), *([mirror] if mirror else [])),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
    )
    seen, last = 0, ""
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        async for raw in process.stdout:
            last = raw.decode(errors="replace").strip() or last
            seen += bool(_BOOTSTRAP_LINE.match(last))
            report(min(0.99, seen / _BOOTSTRAP_LINES))
        code = await process.wait()
    finally:
        await _end(process)
    if code != 0:
        raise ImageUnavailable(f"debootstrap of {SUITE} failed: {last[:200]}.", permanent=False)
    if security:
        line = f"deb {security} {SUITE}-security main\n"
        await asyncio.to_thread(_append, root / "etc/apt/sources.list", line)


async def _import(docker: aiodocker.Docker, root: Path, repository: str, tag: str) -> None:
    excludes = [f"--exclude={pattern}" for pattern in (*_DROPPED, *_EMPTIED)]
    process = await asyncio.create_subprocess_exec(
        *("tar", "-C", str(root), "--one-file-system", "--numeric-owner", *excludes, "-c", "."),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        # The library has no public call for `docker import`.
        async with docker._query_chunked_post(  # pyright: ignore[reportPrivateUsage]
            "images/create",
            params={
                "fromSrc": "-",
                "repo": repository,
                "tag": tag,
                "changes": "LABEL cronium.kind=base",
            },
            data=_chunks(process.stdout),
            timeout=aiohttp.ClientTimeout(),
        ) as response:
            answer = (await response.read()).decode(errors="replace")
    except (aiodocker.DockerError, aiohttp.ClientError, OSError) as error:
        raise engine_failed(error) from error
    finally:
        await _end(process)
    if '"error"' in answer:
        raise ImageUnavailable("The engine refused the base image.", permanent=False)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await reader.read(1 << 20):
        yield chunk


async def _end(process: Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, 9)
        await process.wait()


def apt_mirrors(sources: str) -> tuple[str | None, str | None]:
    """The main and the security mirror in apt's own sources, in either of their two formats."""
    main = security = None
    for uri, suites in _entries(sources):
        if not uri.startswith(("http://", "https://")):
            continue
        if any(suite.endswith("-security") for suite in suites):
            security = security or uri
        elif not any("-" in suite for suite in suites[:1]):
            main = main or uri
    return main, security


def _entries(sources: str) -> list[tuple[str, list[str]]]:
    entries: list[tuple[str, list[str]]] = []
    for stanza in sources.split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.splitlines():
            plain = re.sub(r"\[[^]]*\]", "", line).split()
            if line.startswith("#"):
                continue
            if len(plain) >= 3 and plain[0] == "deb":
                entries.append((plain[1], plain[2:3]))
            elif ":" in line:
                key, _, value = line.partition(":")
                fields[key.strip().lower()] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") != "no":
            suites = fields.get("suites", "").split()
            entries += [(uri, suites) for uri in fields.get("uris", "").split()]
    return entries


def _apt_sources() -> str:
    folder = Path("/etc/apt/sources.list.d")
    files = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list"))]
    files += sorted(folder.glob("*.sources"))
    return "\n\n".join(_read(str(file)) for file in files)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)
