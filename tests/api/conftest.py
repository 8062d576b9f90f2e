"""The API on a real socket in the test's own loop, in front of a core without an engine."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from cronium_app.actions import tokens
from cronium_app.api.app import build_api
from cronium_app.domain.permissions import Actor, Role
from cronium_app.services import Services, running
from cronium_app.settings import load_settings
from cronium_app.store.tables import User

PAGE = b"<html><script>let a = 1</script><script src='/x.js'></script></html>"


@pytest.fixture
async def services(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Services]:
    shutil.copy(migrated_sqlite, tmp_path / "cronium.db")
    settings = load_settings(
        {"data_dir": str(tmp_path), "builtin_agent": False}, environ={"HOME": str(tmp_path)}
    )
    async with running(settings) as built:
        yield built


@pytest.fixture
def api(services: Services, tmp_path: Path):
    client = tmp_path / "client"
    client.mkdir()
    (client / "index.html").write_bytes(PAGE)
    return build_api(client_dir=client, services=lambda: services)


@pytest.fixture
async def base(api) -> AsyncIterator[str]:
    config = uvicorn.Config(
        api, port=0, log_level="error", lifespan="off", ws="websockets-sansio", server_header=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.fixture
async def http(base: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A stranger."""
    async with httpx2.AsyncClient(base_url=base, timeout=20) as client:
        yield client


@pytest.fixture
async def alice(services: Services) -> Actor:
    return await person(services, "alice@example.org")


@pytest.fixture
async def bob(services: Services) -> Actor:
    return await person(services, "bob@example.org")


async def person(services: Services, email: str) -> Actor:
    now = services.clock.now()
    row = User(email=email, password_hash="", role="user", created_at=now, password_changed_at=now)
    async with services.db.write() as session:
        session.add(row)
    return Actor(user_id=row.id, email=email, role=Role.USER)


@pytest.fixture
async def alices(services: Services, base: str, alice: Actor) -> AsyncIterator[httpx2.AsyncClient]:
    """Alice's program, with a token."""
    made = await tokens.create(services, alice, {"name": "test"})
    headers = {"Authorization": f"Bearer {made.token}"}
    async with httpx2.AsyncClient(base_url=base, timeout=20, headers=headers) as client:
        yield client


@pytest.fixture
async def bobs(services: Services, base: str, bob: Actor) -> AsyncIterator[httpx2.AsyncClient]:
    made = await tokens.create(services, bob, {"name": "test"})
    headers = {"Authorization": f"Bearer {made.token}"}
    async with httpx2.AsyncClient(base_url=base, timeout=20, headers=headers) as client:
        yield client


@pytest.fixture
async def alices_cookie(services: Services, alice: Actor) -> str:
    """A Cookie header of Alice's browser."""
    async with services.db.write() as session:
        token = await services.security.sessions.open(session, alice.user_id, "test")
    return f"cronium_session={token}"
