"""What the use cases need of the running server. `services.Services` has all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the command line needs the use cases of people without the whole server
    from cronium_app.domain.clock import Clock
    from cronium_app.logs.files import LogStore
    from cronium_app.orchestrator.bus import Bus
    from cronium_app.orchestrator.core import Orchestrator
    from cronium_app.scheduler import Scheduler
    from cronium_app.security.build import Security
    from cronium_app.store.database import Database


class AccountServices(Protocol):
    """Enough for people and tokens; the CLI has this much beside a running server."""

    @property
    def db(self) -> Database: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def security(self) -> Security: ...


class Services(AccountServices, Protocol):
    @property
    def logs(self) -> LogStore: ...
    @property
    def orchestrator(self) -> Orchestrator: ...
    @property
    def scheduler(self) -> Scheduler: ...
