from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import pytest

from cronium_app.domain.events import EventContent
from cronium_app.store import runs
from cronium_app.store.database import Database
from cronium_app.store.tables import Event, Revision, Run, User

AddRun = Callable[..., Awaitable[Run]]


@pytest.fixture
async def user(db: Database, clock) -> User:
    now = clock.now()
    row = User(
        email="a@example.org", password_hash="", role="admin", created_at=now,
        password_changed_at=now,
    )  # fmt: skip
    async with db.write() as session:
        session.add(row)
    return row


@pytest.fixture
async def event(db: Database, clock, user: User) -> Event:
    now = clock.now()
    content = EventContent(runtime="bash", script="true")
    row = Event(owner_id=user.id, name="Nightly", revision=1, created_at=now, updated_at=now)
    async with db.write() as session:
        session.add(row)
        await session.flush()
        session.add(
            Revision(
                event_id=row.id, number=1, content=content.canonical(), sha256=content.sha256(),
                created_at=now,
            )
        )  # fmt: skip
    return row


@pytest.fixture
def add_run(db: Database, clock, event: Event) -> AddRun:
    """Queue a run; keyword arguments are columns."""

    async def add(**columns: Any) -> Run:
        now: datetime = clock.now()
        values: dict[str, Any] = {
            "event_id": event.id, "owner_id": event.owner_id, "revision": 1, "status": "queued",
            "image": "cronium/bash", "trigger": "manual", "created_at": now, "available_at": now,
        }  # fmt: skip
        run = Run(**(values | columns))
        async with db.write() as session:
            assert await runs.insert(session, run)
        return run

    return add
