"""From nothing to the newest form, and never without a copy of what was there."""

import re
import sqlite3
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlmodel import SQLModel

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
                "ORDER BY q.priority DESC, q.available_at, q.id LIMIT 1"
            ).fetchall()
        assert "ix_runs_queue" in str(plan)
        assert "TEMP B-TREE" not in str(plan)
    else:
        import psycopg

        url = make_url(request.getfixturevalue("postgres").migrated_url())
        with psycopg.connect(host=url.query["host"], user="cronium", dbname=url.database) as db:
            sql = db.execute("SELECT indexdef FROM pg_indexes WHERE indexname='ix_runs_queue'"
                             ).fetchone()  # fmt: skip
    assert re.search(r"priority DESC.*available_at.*WHERE .*status.* = 'queued'", sql[0])


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
    monkeypatch.setattr(migrations, "HEAD", "0002")  # as if there were a newer script
    copy = migrate(url, tmp_path, now=NOW)
    assert copy == tmp_path / "backups" / "cronium-0001-20260301T123000Z.db"
    with sqlite3.connect(copy) as db:
        assert db.execute("SELECT value FROM meta").fetchone() == ("yes",)
    assert copy.stat().st_mode & 0o077 == 0


def test_a_database_from_the_future_is_refused_with_a_sentence(tmp_path):
    url = f"sqlite:///{tmp_path / 'cronium.db'}"
    migrate(url, tmp_path, now=NOW)
    with sqlite3.connect(tmp_path / "cronium.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(MigrationError, match="newer Cronium"):
        migrate(url, tmp_path, now=NOW)


def test_a_database_out_of_reach_is_one_sentence():
    with pytest.raises(MigrationError, match=r"cannot be opened: .*\.$") as caught:
        migrate("postgresql://nobody:hunter2@127.0.0.1:1/x", migrations.SCRIPTS, now=NOW)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def _driver(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"
