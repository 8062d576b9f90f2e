"""Bring the database to the newest form. An existing SQLite file is copied first.

Alembic is imported only when there is something to do: it costs most of a second and 9 MB.
"""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL, make_url

HEAD = "0003"  # a test holds this equal to the newest script in alembic/versions
SCRIPTS = Path(__file__).resolve().parents[2] / "alembic"


class MigrationError(Exception):
    """The database cannot be used by this version; the message is one sentence."""


def migrate(url: str, data_dir: Path, *, now: datetime) -> Path | None:
    """Apply what is missing; blocking. Returns the copy made before, None if none was needed."""
    found = current(url)
    if found == HEAD:
        return None
    known = {path.name.partition("_")[0] for path in (SCRIPTS / "versions").glob("*.py")}
    if found is not None and found not in known:
        raise MigrationError(
            f"The database was made by a newer Cronium (its form is {found}, ours {HEAD}); "
            "start that version, or restore a copy from the backups folder."
        )
    copy = None if found is None else _copy_sqlite(url, data_dir, found, now)
    try:
        _upgrade(url)
    except Exception as error:
        where = f" A copy is in {copy}." if copy else ""
        raise MigrationError(
            f"The database could not be brought to form {HEAD} ({_first_line(error)}); it is as it "
            f"was before.{where}"
        ) from error
    return copy


def current(url: str) -> str | None:
    """The form the database has now; None for an empty one. Raises MigrationError if unreachable."""
    sync = _sync_url(url)
    if sync.get_backend_name() == "sqlite" and not Path(sync.database or "").exists():
        return None
    engine = create_engine(sync, hide_parameters=True)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except Exception as error:
        raise MigrationError(f"The database cannot be opened: {_first_line(error)}.") from error
    finally:
        engine.dispose()


def pending(url: str) -> bool:
    return current(url) != HEAD


def _upgrade(url: str) -> None:
    from alembic.config import Config  # noqa: PLC0415

    from alembic import command  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["url"] = _sync_url(url)
    command.upgrade(config, "head")


def _copy_sqlite(url: str, data_dir: Path, form: str, now: datetime) -> Path | None:
    """A consistent copy beside the live file, whoever else has it open."""
    source_url = _sync_url(url)
    if source_url.get_backend_name() != "sqlite" or not source_url.database:
        return None
    folder = data_dir / "backups"
    folder.mkdir(mode=0o700, exist_ok=True)
    target = folder / f"cronium-{form}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.db"
    source, copy = sqlite3.connect(source_url.database), sqlite3.connect(target)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    target.chmod(0o600)
    return target


def _sync_url(url: str) -> URL:
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(drivername="sqlite")
    return parsed.set(drivername="postgresql+psycopg")


def _first_line(error: Exception) -> str:
    """Driver errors may carry the statement and the address; the first line is enough."""
    return (str(getattr(error, "orig", error)).splitlines() or [type(error).__name__])[0].rstrip(
        "."
    )
