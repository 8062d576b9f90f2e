"""The one place that opens and commits transactions.

`read()` gives a session on a consistent snapshot that never commits; `write()` gives one that
commits on a clean exit and rolls back on any exception. On SQLite a write takes one in-process
lock and then BEGIN IMMEDIATE, so that nobody sleeps in SQLite's busy handler (measured: without
it, read-then-write fails with "database is locked" under load whatever the busy timeout).
No network or disk wait belongs inside `write()`.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel.ext.asyncio.session import AsyncSession

WRITE = "cronium_write"


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


class Database:
    def __init__(self, url: str) -> None:
        """`url`: sqlite+aiosqlite:///path or postgresql+psycopg://… (driver is filled in)."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            parsed = parsed.set(drivername="sqlite+aiosqlite")
        elif parsed.get_backend_name() in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        else:
            raise ValueError("The database must be SQLite or PostgreSQL.")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.url = parsed
        self.engine: AsyncEngine = create_async_engine(
            parsed,
            poolclass=AsyncAdaptedQueuePool,
            pool_size=5 if self.is_sqlite else 10,
            max_overflow=5 if self.is_sqlite else 10,
            pool_pre_ping=not self.is_sqlite,
            hide_parameters=True,
        )
        event.listen(self.engine.sync_engine, "handle_error", _hide_values)
        self._lock = asyncio.Lock()
        if self.is_sqlite:
            event.listen(self.engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self.engine.sync_engine, "begin", _begin_sqlite)

    @contextlib.asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        async with AsyncSession(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncSession]:
        async with (
            self._lock if self.is_sqlite else contextlib.nullcontext(),
            AsyncSession(self.engine, expire_on_commit=False) as session,
        ):
            await session.connection(execution_options={WRITE: True})
            try:
                yield session
                await session.commit()
            except BaseException:
                await asyncio.shield(session.rollback())
                raise

    async def close(self) -> None:
        await self.engine.dispose()


def _hide_values(context: ExceptionContext) -> None:
    """PostgreSQL shows the row that it refused below the first line; rows hold secrets."""
    for error in (context.original_exception, context.sqlalchemy_exception):
        if error is not None:
            first = str(error.args[0] if error.args else "").partition("\n")[0]
            error.args = (first, *error.args[1:])


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=10000",
        "temp_store=MEMORY",
        "cache_size=-16000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writing = connection.get_execution_options().get(WRITE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
