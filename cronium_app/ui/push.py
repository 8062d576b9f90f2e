"""From the bus to the tabs. The only module that touches Reflex' event namespace.

A tab says in `on_load` what it shows; a change of that runs the page's own guarded, owner-scoped
refresh in that tab, as if the tab had asked. So a push can show nothing that a reload would not.
Refreshes are coalesced per tab, never overlap, and a slow one slows only its own tab. What a tab
registered dies with its socket.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import reflex as rx
import structlog
from reflex.state import StateUpdate
from reflex_base.event import Event

from cronium_app.domain.permissions import Actor
from cronium_app.ui import routes

log = structlog.get_logger(__name__)

EVERY_S: Final = 0.25  # at most four refreshes a second and tab
GATHER_S: Final = 0.02  # changes of one transaction arrive together; one refresh shows them all
# A refresh that takes long may use up to a quarter of the time, no more.
REST_FACTOR: Final = 3.0
LONGEST_S: Final = 30.0

PATROL_S: Final = 3.0  # as long as an identity is kept; a look-up each, and only for open tabs

ANY: Final[frozenset[str]] = frozenset()
LIVE: Final = "run_live"
Interest = Mapping[str, frozenset[str]]  # noun -> ids, or ANY


class Change(Protocol):
    """What the bus carries."""

    @property
    def noun(self) -> str: ...
    @property
    def id(self) -> Any: ...
    @property
    def owner_id(self) -> Any: ...


@dataclass
class _Watch:
    """What one tab shows, and how it is brought up to date."""

    sid: str
    user_id: str
    interest: Interest
    refresh: Any  # the page's refresh handler
    live: Any | None  # a cheaper one for live run state
    due: set[str] = field(default_factory=set[str])  # "full", "live"
    timer: asyncio.TimerHandle | None = None
    not_before: float = 0.0
    working: bool = False

    def wants(self, change: Change) -> bool:
        if change.owner_id is not None and str(change.owner_id) != self.user_id:
            return False
        wanted = self.interest.get(change.noun)
        return wanted is not None and (wanted == ANY or str(change.id) in wanted)


class Pushes:
    """One per process. `run` serves the bus until it is cancelled."""

    def __init__(
        self,
        app: rx.App,
        identify: Callable[[str], Awaitable[Actor | None]],
        sockets_of: Callable[[str], list[str]],
    ) -> None:
        self._app = app
        self._identify = identify
        self._sockets_of = sockets_of
        self._watches: dict[str, _Watch] = {}  # by tab token
        self._tasks: set[asyncio.Task[None]] = set()

    # --- what tabs show -----------------------------------------------------------------

    def watch(
        self, state: rx.State, actor: Actor, interest: Interest, refresh: Any, live: Any = None
    ) -> None:
        """This tab shows these nouns from now on, instead of what it showed before."""
        session = state.router.session
        self.forget(session.client_token)
        if self._sid_of(session.client_token) != session.session_id:
            return  # it was closed while the page was loading
        self._watches[session.client_token] = _Watch(
            sid=session.session_id,
            user_id=str(actor.user_id),
            interest=dict(interest),
            refresh=refresh,
            live=live,
        )

    def forget(self, token: str) -> None:
        """The tab is gone or shows something else."""
        old = self._watches.pop(token, None)
        if old and old.timer:
            old.timer.cancel()

    @property
    def tokens(self) -> list[str]:
        """The tabs that show something."""
        return list(self._watches)

    def forget_socket(self, sid: str) -> None:
        """The socket is closed."""
        for token in [token for token, watch in self._watches.items() if watch.sid == sid]:
            self.forget(token)

    async def close(self) -> None:
        """Nothing is under way any more when this returns."""
        for token in list(self._watches):
            self.forget(token)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- changes ------------------------------------------------------------------------

    async def run(self, changes: AsyncIterator[Change]) -> None:
        """Hand every change on to the tabs that show it."""
        async for change in changes:
            try:
                self.spread(change)
            except Exception:
                log.exception("push_failed", noun=change.noun)

    def spread(self, change: Change) -> None:
        """Mark every tab that shows what changed. Returns at once."""
        if change.noun == "account":
            self._start(self.close_stale(str(change.id)))
        kind = "live" if change.noun == LIVE else "full"
        for token, watch in list(self._watches.items()):
            if watch.wants(change):
                watch.due.add(kind if watch.live is not None else "full")
                self._arm(token, watch)

    def _arm(self, token: str, watch: _Watch) -> None:
        if watch.timer is not None or watch.working:
            return
        loop = asyncio.get_running_loop()
        wait = max(GATHER_S, watch.not_before - loop.time())
        watch.timer = loop.call_later(wait, self._fire, token, watch)

    def _fire(self, token: str, watch: _Watch) -> None:
        watch.timer = None
        if self._watches.get(token) is not watch:
            return
        if self._sid_of(token) != watch.sid:  # the socket is closed, or the tab moved to a new one
            self.forget(token)
            return
        self._start(self._refresh(token, watch))

    async def _refresh(self, token: str, watch: _Watch) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        handler = watch.refresh if "full" in watch.due or watch.live is None else watch.live
        watch.due.clear()
        watch.working = True
        try:
            event = Event.from_event_type(handler)[0]
            done = await self._app.event_processor.enqueue(token, event)
            # What the handler raises was told to the tab and logged where it was raised.
            over = asyncio.gather(done.wait_all(), return_exceptions=True)
            try:
                await asyncio.wait({over}, timeout=LONGEST_S)
            except asyncio.CancelledError:
                over.cancel()
                raise
        finally:
            took = loop.time() - started
            watch.working = False
            watch.not_before = loop.time() + max(EVERY_S - took, took * REST_FACTOR)
            if watch.due and self._watches.get(token) is watch:
                self._arm(token, watch)

    # --- sign-out -----------------------------------------------------------------------

    async def close_stale(self, user_id: str) -> None:
        """Send the tabs of ended sessions to the sign-in page and close their sockets."""
        for sid in self._sockets_of(user_id):
            if await self._identify(self._cookie_of(sid)) is None:
                await self._close(sid)

    async def patrol(self, every_s: float = PATROL_S) -> None:
        """Close what another process ended: `cronium user reset-password` tells nobody here."""
        while True:
            await asyncio.sleep(every_s)
            for user_id in {watch.user_id for watch in self._watches.values()}:
                try:
                    await self.close_stale(user_id)
                except Exception:
                    log.exception("patrol_failed")

    async def _close(self, sid: str) -> None:
        namespace = self._namespace()
        token = namespace.sid_to_token.get(sid)
        if token:
            self.forget(token)
            leave = Event.from_event_type(rx.redirect(routes.LOGIN, replace=True))
            await namespace.emit_update(StateUpdate(events=leave), token)
        with contextlib.suppress(KeyError, ValueError):
            await namespace.disconnect(sid)

    # --- Reflex -------------------------------------------------------------------------

    def _namespace(self) -> Any:
        return cast(Any, self._app.event_namespace)

    def _sid_of(self, token: str) -> str | None:
        return self._namespace().token_to_sid.get(token)

    def _cookie_of(self, sid: str) -> str:
        known: dict[str, Any] = self._namespace()._static_router_data.get(sid, {})
        return str(known.get("headers", {}).get("cookie", ""))

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("push_failed", exc_info=error)


@contextlib.asynccontextmanager
async def serving(
    app: rx.App,
    changes: AsyncIterator[Change],
    identify: Callable[[str], Awaitable[Actor | None]],
    sockets_of: Callable[[str], list[str]],
) -> AsyncGenerator[Pushes]:
    """Part of the lifespan: hands changes on to tabs until it is left."""
    pushes = Pushes(app, identify, sockets_of)
    install(pushes)
    tasks = [
        asyncio.create_task(pushes.run(changes), name="pushes"),
        asyncio.create_task(pushes.patrol(), name="patrol"),
    ]
    try:
        yield pushes
    finally:
        install(None)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await pushes.close()


_pushes: Pushes | None = None


def install(pushes: Pushes | None) -> None:
    """Make `watch` work. The composition root calls it once."""
    global _pushes  # Reflex builds the states, so nothing can be handed to them
    _pushes = pushes


def socket_closed(sid: str) -> None:
    """What its tab registered ends with it."""
    if _pushes is not None:
        _pushes.forget_socket(sid)


def watch(
    state: rx.State, actor: Actor, interest: Interest, refresh: Any, live: Any = None
) -> None:
    """Called in `on_load`: this tab shows these nouns (`{"run": {ids} | ANY}`) of `actor`'s.

    `refresh` runs when one of them changes; `live`, if given, when only live run state did.
    """
    if _pushes is not None:
        _pushes.watch(state, actor, interest, refresh, live)
