"""From nothing to the newest form, and never without a copy of what was there."""

import re
import sqlite3
from datetime import UTC, datetime

import pytest
from alembic.config import Config
from sqlalchemy import Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

from alembic import command
from cronium_app.store import migrate as migrations
from cronium_app.store import tables
from cronium_app.store.migrate import MigrationError, current, migrate

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def test_the_newest_form_is_the_newest_script():
    scripts = [p.name.partition("_")[0] for p in (migrations.SCRIPTS / "versions").glob("*.py")]
    assert max(scripts) == migrations.HEAD


def test_the_migrations_make_exactly_the_tables(database_url):
    """Column by column and index by index; alembic cannot compare partial indexes."""
    made = create_engine(make_url(database_url).set(drivername=_driver(database_url)))
    wanted = SQLModel.metadata.tables
    found = inspect(made)
    assert tables.Run.__tablename__ in wanted
    assert set(found.get_table_names()) == set(wanted) | {"alembic_version"}
    for name, table in wanted.items():
        columns = {c["name"]: c["nullable"] for c in found.get_columns(name)}
        assert columns == {c.name: c.nullable for c in table.columns}, name
        indexes = {i["name"] for i in found.get_indexes(name) if not i.get("unique")}
        assert indexes >= {str(i.name) for i in table.indexes} - {
            "ix_runs_queue",
            "ix_runs_search",
        }, name
    made.dispose()


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_the_queue_has_its_index(kind, request, migrated_sqlite):
    if kind == "sqlite":
        with sqlite3.connect(migrated_sqlite) as db:
            sql = db.execute("SELECT sql FROM sqlite_master WHERE name='ix_runs_queue'").fetchone()
            plan = db.execute(
                "EXPLAIN QUERY PLAN SELECT q.id FROM runs AS q WHERE q.status = 'queued' "
                "AND q.lane = x'00' ORDER BY q.available_at, q.id LIMIT 1"
            ).fetchall()
        assert "ix_runs_queue" in str(plan)
        assert "TEMP B-TREE" not in str(plan)
    else:
        import psycopg

        url = make_url(request.getfixturevalue("postgres").migrated_url())
        with psycopg.connect(host=url.query["host"], user="cronium", dbname=url.database) as db:
            sql = db.execute("SELECT indexdef FROM pg_indexes WHERE indexname='ix_runs_queue'"
                             ).fetchone()  # fmt: skip
    assert re.search(r"lane, available_at.*WHERE .*status.* = 'queued'", sql[0])


def test_an_up_to_date_database_is_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path / 'cronium.db'}"
    assert migrate(url, tmp_path, now=NOW) is None
    assert current(url) == migrations.HEAD
    assert migrate(url, tmp_path, now=NOW) is None
    assert not (tmp_path / "backups").exists()


def test_an_older_database_is_copied_before_it_is_changed(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'cronium.db'}"
    migrate(url, tmp_path, now=NOW)
    with sqlite3.connect(tmp_path / "cronium.db") as db:
        db.execute("INSERT INTO meta VALUES ('before', 'yes')")
    form = migrations.HEAD
    monkeypatch.setattr(migrations, "HEAD", "9998")  # as if there were a newer script
    copy = migrate(url, tmp_path, now=NOW)
    assert copy == tmp_path / "backups" / f"cronium-{form}-20260301T123000Z.db"
    with sqlite3.connect(copy) as db:
        assert db.execute("SELECT value FROM meta").fetchone() == ("yes",)
    assert copy.stat().st_mode & 0o077 == 0


FIRST_USER = "INSERT INTO users VALUES ('u', 'a', '', 'admin', NULL, '2026-03-01', '2026-03-01')"
FIRST_EVENT = (
    "INSERT INTO events (id, owner_id, name, tags, enabled, draft, revision, created_at, updated_at)"
    " VALUES ('e', 'u', 'n', '[]', true, false, 1, '2026-03-01', '2026-03-01')"
)
FIRST_SCHEDULE = (
    "INSERT INTO schedules (id, event_id, owner_id, kind, timezone, dst, anchor_at, enabled,"
    " created_at, updated_at) VALUES ('s', 'e', 'u', 'interval', 'UTC', 'once', '2026-03-01', true,"
    " '2026-03-01', '2026-03-01')"
)
ID = "00000000-0000-4000-8000-00000000000{}"


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_schedule_of_the_first_version_keeps_to_its_defaults(kind, request, tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if kind == "postgres":
        url = request.getfixturevalue("postgres").empty_url()
    upgrade(url, "0001")
    engine = create_engine(make_url(url).set(drivername=_driver(url)))
    with engine.begin() as db:
        for statement in (FIRST_USER, FIRST_EVENT, FIRST_SCHEDULE):
            for number, letter in enumerate("ues", 1):
                statement = statement.replace(f"'{letter}'", f"'{ID.format(number)}'")
            db.exec_driver_sql(statement)
    migrate(url, tmp_path, now=NOW)
    with engine.connect() as db:
        found = db.exec_driver_sql("SELECT misfire, misfire_window_s, jitter_s FROM schedules")
        assert found.one() == ("once", 3600, 0)
    engine.dispose()


def upgrade(url: str, form: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.SCRIPTS))
    config.attributes["url"] = make_url(url).set(drivername=_driver(url))
    command.upgrade(config, form)


def test_a_database_from_the_future_is_refused_with_a_sentence(tmp_path):
    url = f"sqlite:///{tmp_path / 'cronium.db'}"
    migrate(url, tmp_path, now=NOW)
    with sqlite3.connect(tmp_path / "cronium.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MigrationError, match="newer Cronium"):
        migrate(url, tmp_path, now=NOW)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
@pytest.mark.parametrize("begun", ["", "0001"])
def test_a_migration_that_stops_half_way_changes_nothing(kind, begun, request, tmp_path):
    url = f"sqlite:///{tmp_path / 'cronium.db'}"
    if kind == "postgres":
        url = request.getfixturevalue("postgres").empty_url()
    if begun:
        upgrade(url, begun)
    seen: list[str] = []

    def stop(_c, _cursor, statement: str, *_rest) -> None:
        if statement.lstrip().startswith(("CREATE TABLE", "ALTER TABLE")):
            seen.append(statement)
            if len(seen) == 3:
                raise OSError("the disk is full")

    event.listen(Engine, "before_cursor_execute", stop)
    try:
        with pytest.raises(MigrationError, match="the disk is full") as caught:
            migrate(url, tmp_path, now=NOW)
    finally:
        event.remove(Engine, "before_cursor_execute", stop)
    assert current(url) == (begun or None)
    assert ("backups" in str(caught.value)) == (kind == "sqlite" and begun != "")
    migrate(url, tmp_path, now=NOW)
    assert current(url) == migrations.HEAD


def test_a_database_out_of_reach_is_one_sentence():
    with pytest.raises(MigrationError, match=r"cannot be opened: .*\.$") as caught:
        migrate("postgresql://nobody:hunter2@127.0.0.1:1/x", migrations.SCRIPTS, now=NOW)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def _driver(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"
