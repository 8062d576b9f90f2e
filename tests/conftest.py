"""What tests of several rooms share: time that travels, real databases, a real server process."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright

from cronium_app.domain.clock import SystemClock
from cronium_app.store.database import Database
from cronium_app.store.migrate import migrate

ROOT = Path(__file__).resolve().parents[1]
CRONIUM = str(Path(sys.executable).parent / "cronium")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CRONIUM_")]:
        monkeypatch.delenv(name)


class TravelClock(SystemClock):
    """Stands still until told otherwise."""

    def __init__(self, start: datetime = START) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def travel(self, seconds: float) -> datetime:
        self.moment += timedelta(seconds=seconds)
        return self.moment


@pytest.fixture
def clock() -> TravelClock:
    return TravelClock()


# --- databases ---


class Postgres:
    """A PostgreSQL of our own on a socket in a folder of its own; not durable, hence fast."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cronium-pg-", dir="/tmp"))
        self.folder.chmod(0o755)
        self._binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self._as: list[str] = []
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._run("initdb", "-D", "data", "-A", "trust", "-U", "cronium", "--no-sync")
        options = f"-k {self.folder} -h '' -c fsync=off -c max_connections=200"
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", options, "start")
        self._template = self._create()
        migrate(self.url(self._template), self.folder, now=START)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._binaries / program), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://cronium@/{name}?host={self.folder}"

    def _create(self, template: str | None = None) -> str:
        name = f"t{uuid.uuid4().hex}"
        like = f" TEMPLATE {template}" if template else ""
        with psycopg.connect(
            host=str(self.folder), user="cronium", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name}{like}".encode())
        return name

    def empty_url(self) -> str:
        """The address of a database without any table."""
        return self.url(self._create())

    def migrated_url(self) -> str:
        return self.url(self._create(self._template))

    def stop(self) -> None:
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file at the newest form, to be copied."""
    folder = tmp_path_factory.mktemp("sqlite")
    migrate(f"sqlite:///{folder / 'cronium.db'}", folder, now=START)
    return folder / "cronium.db"


BOTH = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path) -> str:
    """The address of a migrated, empty database of either kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres").migrated_url()
    shutil.copy(migrated_sqlite, tmp_path / "cronium.db")
    return f"sqlite:///{tmp_path / 'cronium.db'}"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """Every test that takes it runs on SQLite and on PostgreSQL."""
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def sqlite_db(tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Database]:
    """SQLite only: for tests that are about something else than the database."""
    shutil.copy(migrated_sqlite, tmp_path / "cronium.db")
    database = Database(f"sqlite:///{tmp_path / 'cronium.db'}")
    yield database
    await database.close()


# --- a server process ---


class ServerProcess:
    """`cronium serve` as a process of its own, which may be killed and started again."""

    def __init__(self, data: Path, **environment: str) -> None:
        self.data = data
        self.url = ""
        self.setup_code = ""
        self.lines: list[str] = []
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "ServerProcess":
        """Returns when it is ready. Port 0: any free one."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CRONIUM_")}
        environment |= {"CRONIUM_HOST": "127.0.0.1", "CRONIUM_PORT": "0"} | self._environment
        self.log = (self.data.parent / f"{self.data.name}.log").open("a")
        self._process = subprocess.Popen(
            [CRONIUM, "serve", "--data", str(self.data)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self._read_until("Cronium is ready: ")
        return self

    def _read_until(self, wanted: str) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith(wanted):
                self.url = line.removeprefix(wanted).strip()
                return
        raise AssertionError(f"the server ended: {self.lines}; see {self.log.name}")

    def token(self) -> str:
        """A token of the administrator named in the environment."""
        email = self._environment["CRONIUM_ADMIN_EMAIL"]
        made = subprocess.run(
            [CRONIUM, "token", "create", "--email", email, "--name", "test"],
            env={**os.environ, **self._environment, "CRONIUM_DATA_DIR": str(self.data)},
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return made.stdout.strip()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """kill -9: nothing of it gets to say goodbye."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Returns the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        out, _ = self._process.communicate(timeout=15)
        self.lines += out.splitlines()
        return self._process.returncode

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.poll() is None


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Makes servers, each in its own data folder unless told otherwise; ends what still runs."""
    made: list[ServerProcess] = []

    def start(data: Path | None = None, **environment: str) -> ServerProcess:
        server = ServerProcess(data or tmp_path / f"data{len(made)}", **environment)
        made.append(server)
        return server.start()

    yield start
    for server in made:
        if server.runs:
            server.stop()


@pytest.fixture
def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    return start_server()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One for all browser tests: Playwright's synchronous API cannot be started twice."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browser tests come last: Playwright's synchronous API leaves a running event loop in this
    thread for as long as its browser lives, and no asynchronous test can start inside of one."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)
