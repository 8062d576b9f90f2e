"""How long a claim takes with 1,000, 10,000 and 100,000 queued runs, on SQLite and PostgreSQL.

Three shapes of queue: one event that has all the runs beside one that has a single one, a hundred
events, and a blocked one: nearly all runs wait for a group that somebody holds.
"""

import os
import resource
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench.stats import Figure, percentile
from cronium_app.domain.ids import new_id
from cronium_app.store import fires, queue
from cronium_app.store.database import Database, sqlite_url
from cronium_app.store.migrate import migrate
from cronium_app.store.tables import Event, Run, User

SIZES = (1_000, 10_000, 100_000)
SHAPES = ("one event", "100 events", "blocked")
CLAIMS = 100
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@asynccontextmanager
async def _database(kind: str) -> AsyncIterator[Database]:
    folder = Path(tempfile.mkdtemp(prefix="cronium-bench-", dir="/tmp"))
    if kind == "SQLite":
        migrate(sqlite_url(folder / "cronium.db"), folder, now=NOW)
        database = Database(sqlite_url(folder / "cronium.db"))
        stop = None
    else:
        from tests.conftest import Postgres

        server = Postgres()
        database, stop = Database(server.migrated_url()), server.stop
    try:
        yield database
    finally:
        await database.close()
        if stop is not None:
            stop()
        shutil.rmtree(folder, ignore_errors=True)


async def _fill(database: Database, shape: str, count: int) -> None:
    user = User(email="a", password_hash="", role="admin", created_at=NOW, password_changed_at=NOW)
    events = [
        Event(owner_id=user.id, name=f"E{n}", revision=1, created_at=NOW, updated_at=NOW)
        for n in range(100)
    ]
    async with database.write() as session:
        session.add(user)
        await session.flush()
        session.add_all(events)
        await session.flush()
        if shape == "blocked":
            held = _row(events[0], 0, group_key="g", group_limit=1, priority=9)
            held |= {"status": "running", "attempt": 1}
            await (await session.connection()).execute(insert(Run), [held])
    for base in range(0, count, 5000):
        rows = [_of(shape, events, n, count) for n in range(base, min(base + 5000, count))]
        async with database.write() as session:
            await (await session.connection()).execute(insert(Run), rows)


def _of(shape: str, events: list[Event], number: int, count: int) -> dict[str, Any]:
    if shape == "one event":
        return _row(events[1 if number == count - 1 else 0], number)
    if shape == "100 events":
        return _row(events[number % 100], number)
    if number < count - CLAIMS - 10:  # more urgent than those that may start
        return _row(events[number % 50], number, group_key="g", group_limit=1, priority=5)
    return _row(events[50 + number % 50], number)


def _row(event: Event, number: int, **more: Any) -> dict[str, Any]:
    at = NOW + timedelta(milliseconds=number)
    return fires.blank_run() | {
        "id": new_id(), "event_id": event.id, "owner_id": event.owner_id, "revision": 1,
        "status": "queued", "trigger": "manual", "created_at": at, "available_at": at,
        "event_name": event.name,
    } | more  # fmt: skip


async def _claims(database: Database) -> tuple[float, list[float]]:
    """(seconds to sort all in, ms of each claim)."""
    begun = time.perf_counter()
    while True:
        async with database.write() as session:
            await queue.lock(session)
            if not await queue.sort_in(session):
                break
    sorting = time.perf_counter() - begun
    if not database.is_sqlite:  # as autovacuum has long done in a queue that grew
        async with database.read() as session:
            connection = await session.connection(
                execution_options={"isolation_level": "AUTOCOMMIT"}
            )
            await connection.exec_driver_sql("ANALYZE")
    now = NOW + timedelta(days=1)
    times: list[float] = []
    for _ in range(CLAIMS):
        begun = time.perf_counter()
        async with database.write() as session:
            run = await queue.claim(
                session, owner="bench/1", now=now, lease_until=now + timedelta(seconds=15),
                places=["container"],
            )  # fmt: skip
        times.append((time.perf_counter() - begun) * 1e3)
        if run is None:
            raise RuntimeError("nothing to claim")
    return sorting, times


async def claims(sizes: tuple[int, ...] = SIZES) -> list[Figure]:
    figures: list[Figure] = []
    for kind in ("SQLite", "PostgreSQL"):
        for shape in SHAPES:
            quickest: dict[int, float] = {}  # what a busy machine adds tells nothing of the queue
            for size in sizes:
                async with _database(kind) as database:
                    await _fill(database, shape, size)
                    sorting, times = await _claims(database)
                quickest[size] = percentile(times, 0.1)
                flat = quickest[size] <= 1.5 * quickest[sizes[0]]
                memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                figures.append(
                    Figure(
                        f"claim, {kind}, {shape}, {size:,} queued",
                        f"p10 {quickest[size]:.1f} ms, p50 {percentile(times, 0.5):.1f} ms; "
                        f"sorted in {sorting * 1e3 / size:.3f} ms a run; peak {memory:.0f} MB",
                        f"p10 <= 1.5 x that of {sizes[0]:,}",
                        flat,
                        detail={"ms": times, "cores": os.cpu_count()},
                    )
                )
    return figures
