"""A running server core without an engine, on a database of its own per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cronium_app.domain.permissions import Actor, Role
from cronium_app.services import Services, running
from cronium_app.settings import load_settings
from cronium_app.store.tables import User


@pytest.fixture
async def services(database_url: str, tmp_path: Path) -> AsyncIterator[Services]:
    """Runs a test on SQLite and on PostgreSQL."""
    settings = load_settings(
        {"data_dir": str(tmp_path), "builtin_agent": False, "database_url": database_url},
        environ={"HOME": str(tmp_path)},
    )
    async with running(settings) as built:
        yield built


@pytest.fixture
async def alice(services: Services) -> Actor:
    return await person(services, "alice@example.org", "admin")


@pytest.fixture
async def bob(services: Services) -> Actor:
    return await person(services, "bob@example.org", "user")


async def person(services: Services, email: str, role: str) -> Actor:
    """Straight into the table: hashing a password takes longer than most tests."""
    now = services.clock.now()
    row = User(email=email, password_hash="", role=role, created_at=now, password_changed_at=now)
    async with services.db.write() as session:
        session.add(row)
    return Actor(user_id=row.id, email=email, role=Role(role))
