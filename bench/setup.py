"""From a clean clone to the set-up link, and on to the first green run, as a newcomer does it."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from bench.product import EMAIL, PASSWORD, ROOT, free_port
from bench.stats import Figure

LINK = re.compile(r"(http://\S+)/setup#(\S+)")


async def clean_clone(*, fresh_images: bool = False) -> list[Figure]:
    """`fresh_images` first removes the job images of this version, so that they are built."""
    if fresh_images:
        _remove_images()
    folder = Path(tempfile.mkdtemp(prefix="cronium-clone-"))
    server: asyncio.subprocess.Process | None = None
    try:
        begun = time.monotonic()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)  # noqa: ASYNC221
        server = await asyncio.create_subprocess_exec(
            *("make", "up", f"PORT={free_port()}", f"DATA={folder / 'data'}"),
            cwd=folder / "clone",
            env={k: v for k, v in os.environ.items() if not k.startswith(("CRONIUM_", "PYTHON"))},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        url, code = await _link(server)
        link_s = time.monotonic() - begun
        reader = asyncio.create_task(_drain(server))
        await _first_green_run(url, code)
        green_s = time.monotonic() - begun
        reader.cancel()
    finally:
        if server is not None and server.returncode is None:
            server.send_signal(signal.SIGINT)
            await server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    limit = 120 if fresh_images else 45
    state = "built" if fresh_images else "present"
    return [
        Figure(
            f"clone to set-up link (images {state})", f"{link_s:.0f} s", "<= 60 s", link_s <= 60
        ),
        Figure(
            f"clone to first green run (images {state})",
            f"{green_s:.0f} s",
            f"<= {limit} s",
            green_s <= limit,
        ),
    ]


async def _link(server: asyncio.subprocess.Process) -> tuple[str, str]:
    assert server.stdout is not None
    lines: list[str] = []
    while line := (await server.stdout.readline()).decode(errors="replace"):
        lines.append(line)
        if found := LINK.search(line):
            return found[1], found[2]
    raise RuntimeError("make up ended: " + "".join(lines[-20:]))


async def _drain(server: asyncio.subprocess.Process) -> None:
    assert server.stdout is not None
    while await server.stdout.readline():
        pass


async def _first_green_run(url: str, code: str) -> None:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, headers={"Origin": url}) as http:
        account = {"code": code, "email": EMAIL, "password": PASSWORD}
        async with http.post(f"{url}/auth/setup", json=account) as answer:
            answer.raise_for_status()
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with http.get(f"{url}/api/v1/runs?status=succeeded") as answer:
                    found: dict[str, Any] = await answer.json()
                if found.get("items"):
                    return
            await asyncio.sleep(0.2)
        raise RuntimeError("the demo's run did not become green")


def _remove_images() -> None:
    listed = subprocess.run(
        ["docker", "images", "-q", "--filter", "label=cronium.kind=image"],
        capture_output=True,
        text=True,
        check=True,
    )
    ids = sorted(set(listed.stdout.split()))
    if ids:
        subprocess.run(["docker", "rmi", "-f", *ids], capture_output=True, check=False)
