"""What a running server consists of, and for how long. The lifespan enters `running`; pages, API
and use cases take what it built from `services()`."""

import asyncio
import contextlib
import importlib.metadata
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog

from agent.link import Link, memory_link
from agent.protocol import ProtocolError
from cronium_app.domain.clock import Clock, SystemClock
from cronium_app.domain.ids import new_id
from cronium_app.executors.container import AgentHub
from cronium_app.logs.files import LogStore
from cronium_app.orchestrator.adoption import Identity
from cronium_app.orchestrator.bus import Bus
from cronium_app.orchestrator.core import Orchestrator
from cronium_app.scheduler import Scheduler
from cronium_app.security.build import Security, build_security
from cronium_app.security.keyring import Keyring, open_keyring
from cronium_app.settings import Settings
from cronium_app.store import folder, migrate
from cronium_app.store.database import Database

log = structlog.get_logger(__name__)

VERSION = importlib.metadata.version("cronium")
RESTART_S = 1.0


class LocalAgent(Protocol):
    """The built-in engine, as the composition root hands it in."""

    async def run(self) -> None: ...
    async def serve(self, link: Link) -> None: ...


class LoopLag:
    """How late the event loop is: seconds, over the last minute."""

    INTERVAL_S = 0.1

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=round(60 / self.INTERVAL_S))

    @property
    def p99(self) -> float:
        ordered = sorted(self._samples)
        return ordered[int(len(ordered) * 0.99)] if ordered else 0.0

    @property
    def worst(self) -> float:
        return max(self._samples, default=0.0)

    async def run(self) -> None:
        """Endless."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.INTERVAL_S
            await asyncio.sleep(self.INTERVAL_S)
            self._samples.append(max(0.0, loop.time() - due))


@dataclass(frozen=True, kw_only=True)
class Services:
    settings: Settings
    clock: Clock
    db: Database
    logs: LogStore
    bus: Bus
    hub: AgentHub
    orchestrator: Orchestrator
    scheduler: Scheduler
    keyring: Keyring
    security: Security
    loop_lag: LoopLag
    version: str = VERSION


_installed: Services | None = None


def install(value: Services | None) -> None:
    global _installed
    _installed = value


def services() -> Services:
    """What the lifespan built. Raises RuntimeError outside of it."""
    if _installed is None:
        raise RuntimeError("the server is not running")
    return _installed


def configure_logging(level: str) -> None:
    """Our own log: one JSON object a line on stderr, with the run it is about where there is one.

    The libraries' records take the same way, so that there is one form only.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("apscheduler", "alembic", "uvicorn", "aiosqlite", "asyncio", "reflex"):
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))


@contextlib.asynccontextmanager
async def running(
    settings: Settings, *, clock: Clock | None = None, local_agent: LocalAgent | None = None
) -> AsyncGenerator[Services]:
    """Migrate, build everything, let it run; on leaving, detach from all jobs and close.

    The caller holds the lock of the data folder. Raises MigrationError, KeyringError.
    """
    built = await _build(settings, clock or SystemClock())
    orchestrator = built.orchestrator
    keepers = [_keep(orchestrator.run), _keep(built.scheduler.run), _keep(built.loop_lag.run)]
    if local_agent is not None:
        keepers += [_keep(local_agent.run), _keep(_conversations(built.hub, local_agent))]
    tasks = [asyncio.create_task(keeper, name=f"core {n}") for n, keeper in enumerate(keepers)]
    install(built)
    try:
        yield built
    finally:
        orchestrator.stop_claiming()
        built.bus.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        install(None)
        await asyncio.to_thread(built.logs.close)
        built.security.close()
        await built.db.close()


async def _build(settings: Settings, clock: Clock) -> Services:
    url = settings.resolved_database_url()
    copy = await asyncio.to_thread(migrate.migrate, url, settings.data_dir, now=clock.now())
    if copy is not None:
        log.info("database migrated", copy=str(copy))
    db = Database(url)
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    try:
        keyring = await open_keyring(db, settings.data_dir, secret)
    except BaseException:
        await db.close()
        raise
    return _assemble(settings, clock, db, keyring)


def _assemble(settings: Settings, clock: Clock, db: Database, keyring: Keyring) -> Services:
    identity = Identity(server_id=folder.server_id(settings.data_dir), instance_id=str(new_id()))
    logs = LogStore(_logs_folder(settings.data_dir))
    bus = Bus()
    hub = AgentHub(logs, server_id=identity.server_id, version=VERSION)
    orchestrator = Orchestrator(
        db=db, clock=clock, logs=logs, bus=bus, hub=hub, identity=identity,
        limit=settings.max_running,
    )  # fmt: skip
    return Services(
        settings=settings,
        clock=clock,
        db=db,
        logs=logs,
        bus=bus,
        hub=hub,
        orchestrator=orchestrator,
        scheduler=Scheduler(db=db, clock=clock, orchestrator=orchestrator, bus=bus),
        keyring=keyring,
        security=build_security(db, clock),
        loop_lag=LoopLag(),
    )


def _logs_folder(data_dir: Path) -> Path:
    return data_dir / "logs"


def _conversations(hub: AgentHub, agent: LocalAgent) -> Callable[[], Awaitable[None]]:
    """The built-in agent's link: in memory, made anew whenever a conversation ends."""

    async def converse() -> None:
        while True:
            agent_end, server_end = memory_link()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(agent.serve(agent_end), name="built-in agent")
                tasks.create_task(_serve(hub, server_end), name="hub")
            await asyncio.sleep(RESTART_S)

    return converse


async def _serve(hub: AgentHub, link: Link) -> None:
    try:
        await hub.serve(link)
    except ProtocolError:
        log.exception("the built-in agent is not understood")


async def _keep(work: Callable[[], Awaitable[None]]) -> None:
    """Let it run for ever: a part that fails is logged and started again."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("a part of the server failed and is started again")
        await asyncio.sleep(RESTART_S)
