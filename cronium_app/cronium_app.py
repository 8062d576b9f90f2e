"""Composition root: pages, API, core and the built-in agent become one process. No logic.

Before this is imported to serve, `Settings.process_environment()` must be in `os.environ`.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any, cast

import structlog
import uvicorn
import uvloop
from reflex.compiler import compiler

from agent.engine import Engine, EngineConfig
from cronium_app.actions import accounts
from cronium_app.actions.errors import CroniumError
from cronium_app.api.app import build_api
from cronium_app.security.keyring import KeyringError
from cronium_app.services import VERSION, Services, configure_logging, running, services
from cronium_app.settings import ROOT, Settings
from cronium_app.store.folder import FolderLock
from cronium_app.store.migrate import MigrationError
from cronium_app.ui import guard, push
from cronium_app.ui.app import build_app

log = structlog.get_logger(__name__)

GRACEFUL_S = 4  # for open requests and sockets at the end
LAST_RESORT_S = 9.5  # the process ends by then whatever hangs: running jobs do not need it


class StartRefused(Exception):
    """The server does not start; the message is one sentence for the person who tried."""


async def _identify(cookie: str) -> Any:
    return await services().security.sessions.user_for_cookie(cookie)


def _note_refusal(action: str, detail: str) -> None:
    log.warning("refused", action=action, detail=detail)


_client = Path(os.environ.get("REFLEX_WEB_WORKDIR") or ROOT / ".web") / "build" / "client"
app = build_app(build_api(client_dir=_client))
_guard = guard.install(app, _identify, _note_refusal)


def serve(settings: Settings, lock: FolderLock, *, say: Callable[[str], None] = print) -> None:
    """Run until SIGTERM or Ctrl-C. `lock` is that of the data folder, taken by the caller. `say`
    gets the lines for people. Raises StartRefused."""
    if not (settings.client_dir / "index.html").exists():
        raise StartRefused(
            f"The pages are not built (no client in {settings.client_dir}): run `make up`."
        )
    configure_logging(settings.log_level)
    try:
        with _listener(settings) as listener:
            port = listener.getsockname()[1]
            lock.announce(settings.local_url(port))
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(settings, listener, port, say))
    except (MigrationError, KeyringError, CroniumError) as error:
        raise StartRefused(str(error)) from error


async def _serve(
    settings: Settings, listener: socket.socket, port: int, say: Callable[[str], None]
) -> None:
    async with running(settings, local_agent=_engine(settings)) as built, _pushes(built):
        code = await accounts.first_start(built, settings.admin_email, settings.admin_password)
        # The client is built, and no page of it makes states of its own: nothing to evaluate, and
        # nothing to note down in the client's folder, which may be read-only.
        cast("Any", compiler)._read_stateful_pages_marker = list
        asgi = app()
        cast("Any", app.sio).eio.cors_allowed_origins = None  # same origin; see rxconfig.py
        config = uvicorn.Config(
            asgi,
            ws="websockets-sansio",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_S,
            ws_max_size=4 * 1024 * 1024,
            ws_per_message_deflate=False,  # a core's time for a log that is read next door
        )
        welcome = _welcome(settings, port, code)
        await _Server(config, built, welcome, say).serve(sockets=[listener])


@contextlib.asynccontextmanager
async def _pushes(built: Services) -> AsyncGenerator[None]:
    with built.bus.subscribe() as changes:
        async with push.serving(app, changes, _identify, _guard.sockets_of):
            yield


def _engine(settings: Settings) -> Engine | None:
    if not settings.builtin_agent:
        return None
    return Engine(
        EngineConfig(
            data_dir=settings.data_dir / "agent",
            docker_socket=settings.docker_socket,
            slots=settings.slots,
            version=VERSION,
            base_image=settings.base_image,
            contexts=ROOT / "images",
        )
    )


def _listener(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(2048)
    except OSError as error:
        raise StartRefused(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. "
            "Choose another port with --port."
        ) from error
    return listener


def _welcome(settings: Settings, port: int, setup_code: str | None) -> list[str]:
    """What the person at the terminal is told once it is ready."""
    lines = [f"Cronium is ready: {settings.local_url(port)}"]
    if setup_code is not None:
        lines.append(f"Set up the administrator: {settings.people_url(port)}/setup#{setup_code}")
    if settings.is_everywhere and not settings.public_url:
        here = settings.local_url(port).removeprefix("http://").rpartition(":")[0]
        lines.append(
            f"From another computer: put this machine's name or address in the place of {here}."
        )
    return lines


class _Server(uvicorn.Server):
    """Uvicorn, with signals that end it kindly and words for the person at the terminal."""

    def __init__(
        self,
        config: uvicorn.Config,
        built: Services,
        welcome: list[str],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._built = built
        self._welcome = welcome
        self._say = say

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        for line in self._welcome:
            self._say(line)
        _settle_memory()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)  # the rest of the way out is short

    def _end(self) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        self._built.orchestrator.stop_claiming()
        self._say(_farewell(self._built.orchestrator.running_count))
        watchdog = threading.Timer(LAST_RESORT_S, os._exit, (1,))
        watchdog.daemon = True
        watchdog.start()
        self.should_exit = True


def _settle_memory() -> None:
    """What is there now stays: looking through it again and again for garbage would stop the loop
    for a tenth of a second each time."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(5_000, 20, 20)


def _farewell(running_count: int) -> str:
    if running_count == 0:
        return "Stopping. No run is in progress."
    runs = "1 run goes" if running_count == 1 else f"{running_count} runs go"
    it = "is" if running_count == 1 else "are"
    where = "its container" if running_count == 1 else "their containers"
    return f"Stopping. {runs} on in {where} and {it} picked up at the next start."
