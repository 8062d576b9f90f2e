"""What a look at this machine finds: one line for each subject, with what to do."""

import contextlib
import http.client
import json
import os
import shutil
import socket
import time
import zoneinfo
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from cronium_app.settings import Settings

TIMEOUT_S = 5.0
LOW_DISK = 1_000_000_000
CLOCK_OFF_S = 30
SOCKET = "/var/run/docker.sock"


class Finding(NamedTuple):
    subject: str
    state: Literal["ok", "note", "wrong"]
    text: str


def examine(settings: Settings) -> Iterator[Finding]:
    yield from _engine(settings)
    yield _clock()
    yield _disk(settings)
    yield _key(settings)
    yield _database(settings)


def _engine(settings: Settings) -> Iterator[Finding]:
    where = engine_address(settings)
    try:
        info = _ask(where, "/info")
        images = _ask(where, "/images/json?filters=%7B%22reference%22%3A%5B%22cronium%2F*%22%5D%7D")
    except PermissionError:
        yield Finding(
            "engine", "wrong", f"No permission for {where}: sudo usermod -aG docker $USER"
        )
        return
    except (OSError, ValueError, http.client.HTTPException) as error:
        yield Finding("engine", "wrong", f"No container engine answers at {where} ({error}).")
        return
    yield Finding("engine", "ok", f"{info.get('ServerVersion', '?')} at {where}")
    yield _images(images)
    if (lag := _engine_lag(info)) is not None and abs(lag) > CLOCK_OFF_S:
        yield Finding("clock", "wrong", f"The engine's clock differs by {lag:.0f} s from this one.")


def _images(images: list[dict[str, Any]]) -> Finding:
    names: set[str] = set()
    for image in images:
        tags: list[str] = image.get("RepoTags") or []
        names |= {tag.partition(":")[0] for tag in tags}
    wanted = ("cronium/python", "cronium/node", "cronium/bash")
    missing = [name for name in wanted if name not in names]
    if missing:
        return Finding(
            "images", "note", f"Not built yet: {', '.join(missing)}. The server does it."
        )
    return Finding("images", "ok", ", ".join(wanted))


def _engine_lag(info: Any) -> float | None:
    with contextlib.suppress(KeyError, ValueError):
        # Go writes nanoseconds; Python reads microseconds.
        text = str(info["SystemTime"])
        head, _, tail = text.partition(".")
        zone = tail.lstrip("0123456789") or "+00:00"
        return datetime.fromisoformat(head + zone.replace("Z", "+00:00")).timestamp() - time.time()
    return None


def _clock() -> Finding:
    if time.time() < datetime.fromisoformat("2026-01-01T00:00:00+00:00").timestamp():
        return Finding("clock", "wrong", "The clock of this machine is in the past: set it.")
    with contextlib.suppress(zoneinfo.ZoneInfoNotFoundError):
        zoneinfo.ZoneInfo("Europe/Paris")
        return Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
    return Finding("clock", "wrong", "There are no time zone files: install tzdata.")


def _disk(settings: Settings) -> Finding:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free for {settings.data_dir}"
    if not os.access(folder, os.W_OK):
        return Finding("disk", "wrong", f"{folder} cannot be written.")
    return Finding("disk", "ok" if free > LOW_DISK else "wrong", text)


def _key(settings: Settings) -> Finding:
    from cronium_app.security.keyring import KEY_FILE, KeyringError, load

    path = settings.data_dir / KEY_FILE
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    if not secret and not path.exists():
        return Finding("key", "note", f"The first start makes it at {path}.")
    try:
        keyring = load(settings.data_dir, secret, _known_key(settings))
    except KeyringError as error:
        return Finding("key", "wrong", str(error))
    if not secret and path.stat().st_mode & 0o077:
        return Finding("key", "wrong", f"Others can read it: chmod 600 {path}")
    return Finding("key", "ok", f"{keyring.id} in {keyring.source}; keep a copy apart")


def _known_key(settings: Settings) -> str | None:
    from sqlalchemy import create_engine, text

    from cronium_app.security.keyring import META_KEY
    from cronium_app.store.migrate import MigrationError, current

    url = settings.resolved_database_url()
    with contextlib.suppress(MigrationError):
        if current(url) is not None:
            sync = url.replace("+aiosqlite", "").replace("postgresql://", "postgresql+psycopg://")
            engine = create_engine(sync, hide_parameters=True)
            try:
                with engine.connect() as connection:
                    query = text("SELECT value FROM meta WHERE key = :key")
                    return connection.execute(query, {"key": META_KEY}).scalar()
            finally:
                engine.dispose()
    return None


def _database(settings: Settings) -> Finding:
    from cronium_app.store.migrate import HEAD, MigrationError, current

    try:
        found = current(settings.resolved_database_url())
    except MigrationError as error:
        return Finding("database", "wrong", str(error))
    if found is None:
        return Finding("database", "note", "There is none yet; the first start makes it.")
    if found != HEAD:
        return Finding(
            "database", "note", f"Its form is {found}; the next start brings it to {HEAD}."
        )
    return Finding("database", "ok", "up to date")


def engine_address(settings: Settings) -> str:
    return settings.docker_socket or os.environ.get("DOCKER_HOST") or SOCKET


def _ask(where: str, path: str) -> Any:
    """A question to the engine's API, read only."""
    connection = _Connection(where)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise ValueError(f"it answers {answer.status}")
        return json.loads(answer.read())
    finally:
        connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, where: str) -> None:
        self._parts = urlsplit(where)
        super().__init__(self._parts.hostname or "localhost", self._parts.port, timeout=TIMEOUT_S)

    def connect(self) -> None:
        if self._parts.scheme in ("", "unix"):
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(TIMEOUT_S)
            self.sock.connect(self._parts.path)
        else:
            super().connect()
