import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiodocker
import httpx2
import pytest

ADMIN = {
    "CRONIUM_ADMIN_EMAIL": "admin@example.org",
    "CRONIUM_ADMIN_PASSWORD": "correct horse battery staple",
}


class Api:
    """The REST API of a server that may die between two calls."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self._headers = {"Authorization": f"Bearer {server.token()}"}
        self._client = httpx2.AsyncClient(timeout=30)

    async def call(self, method: str, path: str, **json_body: Any) -> Any:
        answer = await self._client.request(
            method, f"{self.server.url}/api/v1{path}", headers=self._headers,
            json=json_body or None,
        )  # fmt: skip
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    async def event(self, runtime: str, script: str, **fields: Any) -> str:
        made = await self.call(
            "POST", "/events", name=f"{runtime} job", runtime=runtime, script=script, **fields
        )
        return made["id"]

    async def start(self, event_id: str, **inputs: Any) -> str:
        return (await self.call("POST", f"/events/{event_id}/runs", inputs=inputs))["id"]

    async def run(self, run_id: str) -> dict[str, Any]:
        return await self.call("GET", f"/runs/{run_id}")

    async def until(
        self, run_id: str, so: Callable[[dict[str, Any]], bool], seconds: float = 60
    ) -> dict[str, Any]:
        """The run as soon as it is so. Each look is one request; the wait between is short."""
        async with asyncio.timeout(seconds):
            while not so(run := await self.run(run_id)):
                await asyncio.sleep(0.05)
            return run

    async def ended(self, run_id: str, seconds: float = 60) -> dict[str, Any]:
        return await self.until(run_id, lambda run: run["finished_at"] is not None, seconds)

    async def close(self) -> None:
        await self._client.aclose()


@pytest.fixture
async def make_api() -> AsyncIterator[Callable[[Any], Api]]:
    made: list[Api] = []

    def make(server: Any) -> Api:
        made.append(Api(server))
        return made[-1]

    yield make
    for api in made:
        await api.close()


class Engine:
    """What Docker itself says about one installation's containers."""

    def __init__(self, docker: aiodocker.Docker) -> None:
        self.docker = docker

    async def containers(self, owner: str) -> list[Any]:
        label = json.dumps({"label": [f"cronium.owner={owner}"]})
        return await self.docker.containers.list(all=True, filters=label)

    async def remove_all(self, owner: str) -> None:
        for container in await self.containers(owner):
            await container.delete(force=True)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with aiodocker.Docker(os.environ.get("DOCKER_HOST")) as docker:
        yield Engine(docker)
