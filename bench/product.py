"""Starts a Cronium of its own for a measurement: own data folder, own port, real engine."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
EMAIL = "ada@example.org"
PASSWORD = "correct horse battery 7"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Product:
    url: str
    data: Path
    process: subprocess.Popen[bytes]
    http: aiohttp.ClientSession
    token: str
    ready_s: float

    async def call(
        self, method: str, path: str, body: Any = None, expect: int | None = None
    ) -> Any:
        async with self.http.request(method, self.url + path, json=body) as answer:
            if expect is not None and answer.status != expect:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")
            return await answer.json()

    async def event(self, **fields: Any) -> str:
        return str((await self.call("POST", "/api/v1/events", fields, 201))["id"])

    async def run(self, event_id: str, wait: int = 60) -> dict[str, Any]:
        """Starts a run and waits until its end is visible by GET."""
        path = f"/api/v1/events/{event_id}/runs?wait={wait}"
        started = await self.call("POST", path, {})
        return await self.call("GET", f"/api/v1/runs/{started['id']}", expect=200)


@contextlib.asynccontextmanager
async def product(**environment: str) -> AsyncGenerator[Product]:
    data = Path(tempfile.mkdtemp(prefix="cronium-bench-"))
    port = free_port()
    python = Path(sys.executable)
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("CRONIUM_", "PYTHONDONTW"))},
        "CRONIUM_ADMIN_EMAIL": EMAIL,
        "CRONIUM_ADMIN_PASSWORD": PASSWORD,
        "CRONIUM_LOG_LEVEL": "warning",
        **environment,
    }
    command = [str(python.parent / "cronium"), "serve", "--port", str(port), "--data", str(data)]
    log = (data / "server.out").open("wb")
    begun = time.monotonic()
    process = subprocess.Popen(  # noqa: ASYNC220 - start-up itself is what is measured
        command, cwd=ROOT, env=env, stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession() as probe:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with probe.get(url + "/readyz") as answer:
                        if answer.status == 200:
                            break
                if process.poll() is not None or time.monotonic() - begun > 60:
                    raise RuntimeError((data / "server.out").read_text()[-4000:])
                await asyncio.sleep(0.02)
        ready_s = time.monotonic() - begun
        token = await _token(python, data, env)
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(limit=0)
        ) as http:
            yield Product(url, data, process, http, token, ready_s)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(data, ignore_errors=True)


async def _token(python: Path, data: Path, env: dict[str, str]) -> str:
    made = await asyncio.create_subprocess_exec(
        str(python.parent / "cronium"),
        "token",
        "create",
        "--email",
        EMAIL,
        "--name",
        "bench",
        cwd=ROOT,
        env={**env, "CRONIUM_DATA_DIR": str(data)},
        stdout=subprocess.PIPE,
    )
    out, _ = await made.communicate()
    return out.decode().strip()


async def engine_ready(cronium: Product, image: str = "cronium/bash", limit_s: float = 300) -> None:
    """Waits until the image can be used: the first run of it has ended."""
    event = await cronium.event(name="warm-up", runtime=image.split("/")[1], script="")
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        run = await cronium.run(event, wait=60)
        if run["status"] == "succeeded":
            return await _demo_over(cronium)
        if run["status"] == "failed":
            raise RuntimeError(f"warm-up failed: {run['reason_text']}")
    raise RuntimeError("the warm-up run did not end")


async def _demo_over(cronium: Product) -> None:
    """The demo that a first start runs is no part of any measurement."""
    for status in ("running", "queued"):
        for run in (await cronium.call("GET", f"/api/v1/runs?status={status}"))["items"]:
            await cronium.call("POST", f"/api/v1/runs/{run['id']}/cancel")
            path = f"/api/v1/runs/{run['id']}"
            while (await cronium.call("GET", path))["finished_at"] is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
