"""Alembic's entry point. `cronium_app.store.migrate` passes the address of the database in."""

from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from alembic import context
from cronium_app.store import tables  # noqa: F401 - fills SQLModel.metadata

MIGRATIONS_LOCK = 0x63726F6E  # one server at a time migrates a shared PostgreSQL


def run() -> None:
    engine = create_engine(
        context.config.attributes["url"], poolclass=NullPool, hide_parameters=True
    )
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _begin_ourselves)
        event.listen(engine, "begin", _begin)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATIONS_LOCK})")
        context.configure(
            connection=connection,
            target_metadata=SQLModel.metadata,
            render_as_batch=True,
            compare_type=True,
            transactional_ddl=True,
            include_object=_include,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def _begin_ourselves(connection: Any, _record: Any) -> None:
    """Python's driver would commit every CREATE TABLE for itself: a migration that was killed
    would leave half of its tables, and no version."""
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _include(item: Any, name: str | None, kind: str, _reflected: bool, _other: Any) -> bool:
    """Partial, expression and one-dialect indexes cannot be compared; the migration's test looks at them."""
    return not (kind == "index" and name in {"ix_runs_queue", "ix_runs_lease", "ix_runs_search"})


run()
