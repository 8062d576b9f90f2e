# pyright: reportPrivateUsage=false
# What a State keeps to itself begins with _ (a public method would be an event handler).
"""Deny by default for every event that a browser sends.

Every public method of a State class can be called by anyone who can open the socket, with any
arguments. So each one says who may call it with `@needs(...)`, or stands in `ANONYMOUS`, and the
application refuses to start while one does neither. Identity is the HttpOnly cookie of the
socket's handshake, looked up again for every event; nothing in state is ever authority.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast
from urllib.parse import quote

import reflex as rx
import structlog
from pydantic import ValidationError
from reflex.event import EventSpec
from reflex.middleware.middleware import Middleware
from reflex.state import BaseState, StateUpdate
from reflex_base.event import Event
from reflex_base.registry import RegisteredEventHandler, RegistrationContext

from cronium_app.actions.commands import invalid_from
from cronium_app.actions.errors import CroniumError
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.ui import push, routes
from cronium_app.ui.state import AppState

log = structlog.get_logger(__name__)

Handler = TypeVar("Handler", bound=Callable[..., Any])
Identify = Callable[[str], Awaitable[Actor | None]]  # the cookie header -> who, or nobody
Audit = Callable[[str, str], None]  # action, detail

# Our own handlers that answer without a session, by full name. None is needed: the two pages that
# a stranger sees (sign in, set up) talk to plain POST routes.
ANONYMOUS: Final[frozenset[str]] = frozenset()

# The framework's own plumbing. Everything else that Reflex registers by itself (`setvar` on every
# class above all) is refused.
_STATE: Final = "reflex___state____state"
BROWSER_BUG: Final = (
    f"{_STATE}.reflex___state____frontend_event_exception_state.handle_frontend_exception"
)
FRAMEWORK: Final[frozenset[str]] = frozenset(
    {
        f"{_STATE}.hydrate",
        f"{_STATE}.hydrate_and_load",
        f"{_STATE}.set_is_hydrated",
        f"{_STATE}.reflex___state____on_load_internal_state.on_load_internal",
        f"{_STATE}.reflex___state____on_load_internal_state.set_is_hydrated",
        BROWSER_BUG,
    }
)

MAX_REPORT: Final = 2_000  # characters of each text about a bug in the browser that our log takes

EVENTS_PER_SECOND: Final = 20.0
EVENT_BURST: Final = 40.0
MAX_EVENT_BYTES: Final = 64 * 1024
MAX_LARGE_EVENT_BYTES: Final = 5 * 1024 * 1024  # a script of 1 MiB, escaped
# Who has no session sees two pages, talks little, and leaves nothing behind.
ANONYMOUS_SOCKETS_PER_IP: Final = 50
ANONYMOUS_CONNECTS_PER_SECOND: Final = 2.0
ANONYMOUS_CONNECT_BURST: Final = 60.0
MAX_ANONYMOUS_EVENT_BYTES: Final = 16 * 1024

_actor: ContextVar[Actor | None] = ContextVar("cronium_actor", default=None)


class Undeclared(RuntimeError):
    """A handler that says nothing about who may call it. The application does not start."""


def needs(permission: Permission, *, large: bool = False) -> Callable[[Handler], Handler]:
    """Declare who may call an event handler. Stands below `@rx.event`.

    `large` lets the event carry a script; all others are cut off at 64 kB.
    """

    def mark(function: Handler) -> Handler:
        function.__dict__.update(_needs=permission, _large=large)
        return function

    return mark


def actor() -> Actor:
    """Who sent the event that is being handled. Only inside a handler that the guard let in."""
    who = _actor.get()
    if who is None:
        raise PermissionError("No event is being handled for anybody.")
    return who


def declared_permission(registered: RegisteredEventHandler) -> Permission | None:
    """The permission a handler declares, or None."""
    function = registered.handler.fn
    if isinstance(function, rx.event.EventHandler) or not hasattr(function, "__dict__"):
        return None
    return function.__dict__.get("_needs")


def own_handlers() -> dict[str, RegisteredEventHandler]:
    """Every handler of a State class of ours, by full name, without the framework's `setvar`."""
    return {
        name: registered
        for name, registered in RegistrationContext.get().event_handlers.items()
        if registered.states
        and registered.states[0].__module__.startswith("cronium_app.")
        and not name.endswith(".setvar")
    }


def check_declarations() -> None:
    """Raise `Undeclared` unless every handler of ours says who may call it."""
    silent = sorted(
        name
        for name, registered in own_handlers().items()
        if declared_permission(registered) is None and name not in ANONYMOUS
    )
    if silent:
        raise Undeclared(
            "These event handlers do not say who may call them (@needs): " + ", ".join(silent)
        )


class Guard(Middleware):
    """Runs before every event. Whatever it does not know is refused."""

    def __init__(self, identify: Identify, audit: Audit) -> None:
        self._identify = identify
        self._audit = audit
        self._seen: dict[str, Actor] = {}  # socket id -> who, for closing sockets at sign-out

    async def preprocess(self, app: Any, state: BaseState, event: Event) -> StateUpdate | None:
        """Let the event in (None), or answer in its place."""
        del app
        _actor.set(None)
        who = await self._identify(state.router.headers.cookie)
        await _drop_foreign_state(state, who)
        self._remember(state.router.session.session_id, who)
        if event.name == BROWSER_BUG and not _may_report(who, event):
            return StateUpdate()
        if event.name in FRAMEWORK or event.name in ANONYMOUS:
            return None
        registered = RegistrationContext.get().event_handlers.get(event.name)
        needed = declared_permission(registered) if registered else None
        if registered is None or needed is None:
            self._audit("event.refused", f"undeclared handler {event.name[:200]}")
            return StateUpdate()
        if who is None:
            return StateUpdate(events=Event.from_event_type(_sign_in(state)))
        if not who.can(needed):
            self._audit("event.refused", f"{event.name[:200]} by {who.user_id}")
            return StateUpdate(events=Event.from_event_type(rx.toast.error(_NOT_ALLOWED)))
        if not _fits(registered, event):
            self._audit("event.refused", f"arguments that do not fit {event.name[-200:]}")
            return StateUpdate(events=Event.from_event_type(rx.toast.error(_DOES_NOT_FIT)))
        _actor.set(who)
        return None

    def sockets_of(self, user_id: str) -> list[str]:
        """Socket ids on which this user was last seen."""
        return [sid for sid, who in self._seen.items() if str(who.user_id) == user_id]

    def forget(self, sid: str) -> None:
        """The socket is closed."""
        self._seen.pop(sid, None)

    def _remember(self, sid: str, who: Actor | None) -> None:
        if who is None:
            self._seen.pop(sid, None)
        elif sid:
            self._seen[sid] = who


_NOT_ALLOWED = "Your account may not do that. Ask an administrator of this Cronium."


_DOES_NOT_FIT = "This page is of another version of Cronium. Reload it."


def _may_report(who: Actor | None, event: Event) -> bool:
    """Whether a bug in somebody's browser is worth our log; cuts what it says short."""
    if who is None or not all(isinstance(text, str) for text in event.payload.values()):
        return False
    event.payload.update({name: text[:MAX_REPORT] for name, text in event.payload.items()})
    return True


def _fits(registered: RegisteredEventHandler, event: Event) -> bool:
    """Whether the handler takes arguments of these names: else it is no bug, but a wrong sender."""
    try:
        inspect.signature(registered.handler.fn).bind(None, **event.payload)
    except TypeError:
        return False
    return True


def _sign_in(state: BaseState) -> Any:
    """To the sign-in page, and back to where the visitor wanted to go."""
    url = state.router.url
    wanted = url.path + (f"?{url.query}" if url.query else "")
    if ("/" + url.path.strip("/")) in routes.ANONYMOUS:
        return []
    return rx.redirect(f"{routes.LOGIN}?next={quote(wanted, safe='/')}", replace=True)


async def _drop_foreign_state(state: BaseState, who: Actor | None) -> None:
    """Forget what the tab's state holds when it belongs to somebody else than the cookie says."""
    shared = await state.get_state(AppState)
    owner = str(who.user_id) if who else ""
    if shared._owner == owner:
        return
    if shared._owner:
        shared.reset()
    shared._owner = owner


@dataclass
class _Bucket:
    """So many at once, then so many a second."""

    size: float
    refill: float
    tokens: float
    at: float

    @classmethod
    def full(cls, size: float, refill: float, now: float) -> "_Bucket":
        return cls(size, refill, size, now)

    def level(self, now: float) -> float:
        return min(self.size, self.tokens + (now - self.at) * self.refill)

    def take(self, now: float) -> bool:
        self.tokens, self.at = self.level(now), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class SocketLimits:
    """What one socket may send: known names, small payloads, so many a second.

    Sits in front of the event queue, so that what is refused costs nothing.
    """

    def __init__(self, audit: Audit, clock: Callable[[], float] = time.monotonic) -> None:
        self._audit = audit
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}
        self._strangers: dict[str, set[str]] = {}  # address -> sockets without a session
        self._arrivals: dict[str, _Bucket] = {}  # address -> how often strangers came

    def is_stranger(self, sid: str) -> bool:
        """Whether this socket was opened without a session."""
        return any(sid in sockets for sockets in self._strangers.values())

    def admit_stranger(self, sid: str, address: str) -> bool:
        """Whether one more socket without a session may open from this address: each of them
        costs memory, and making its state costs time."""
        sockets = self._strangers.get(address, set())
        if len(sockets) >= ANONYMOUS_SOCKETS_PER_IP or not self._may_arrive(address):
            return self._refuse(sid, f"too many sockets without a session from {address}")
        self._strangers[address] = sockets | {sid}
        return True

    def admit(self, sid: str, data: Any) -> bool:
        """Whether this packet may enter the queue."""
        if not isinstance(data, dict) or not isinstance(name := data.get("name"), str):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            return self._refuse(sid, "not an event")
        registered = RegistrationContext.get().event_handlers.get(name)
        if registered is None:
            return self._refuse(sid, f"unknown event {name[:200]!r}")
        if not self._within_rate(sid):
            return self._refuse(sid, f"more than {EVENTS_PER_SECOND:.0f} events a second")
        if _size(data.get("payload")) > self._most(sid, registered):  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
            return self._refuse(sid, f"too large for {name[-200:]}")
        return True

    def forget(self, sid: str) -> None:
        """The socket is closed."""
        self._buckets.pop(sid, None)
        for address, sockets in list(self._strangers.items()):
            sockets.discard(sid)
            if not sockets:
                del self._strangers[address]

    def _most(self, sid: str, registered: RegisteredEventHandler) -> int:
        """How many bytes this event may carry on this socket."""
        if self.is_stranger(sid):
            return MAX_ANONYMOUS_EVENT_BYTES
        large = getattr(registered.handler.fn, "_large", False)
        return MAX_LARGE_EVENT_BYTES if large else MAX_EVENT_BYTES

    def _within_rate(self, sid: str) -> bool:
        now = self._clock()
        fresh = _Bucket.full(EVENT_BURST, EVENTS_PER_SECOND, now)
        return self._buckets.setdefault(sid, fresh).take(now)

    def _may_arrive(self, address: str) -> bool:
        now = self._clock()
        if len(self._arrivals) > 1_000:
            self._arrivals = {a: b for a, b in self._arrivals.items() if b.level(now) < b.size}
        fresh = _Bucket.full(ANONYMOUS_CONNECT_BURST, ANONYMOUS_CONNECTS_PER_SECOND, now)
        return self._arrivals.setdefault(address, fresh).take(now)

    def _refuse(self, sid: str, why: str) -> bool:
        self._audit("event.dropped", f"{why} (socket {sid})")
        return False


def _size(value: Any, depth: int = 0) -> int:
    """About how many bytes a payload has as JSON. Deep nesting counts as too large."""
    if depth > 20:
        return MAX_LARGE_EVENT_BYTES + 1
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass")) + 2
    if isinstance(value, dict):
        return 2 + sum(
            _size(k, depth + 1) + _size(v, depth + 1) + 2
            for k, v in value.items()  # pyright: ignore[reportUnknownVariableType]
        )
    if isinstance(value, list | tuple):
        return 2 + sum(_size(item, depth + 1) + 1 for item in value)  # pyright: ignore[reportUnknownVariableType]
    return 8


def install(app: rx.App, identify: Identify, audit: Audit) -> Guard:
    """Put the guard in front of everything else in `app`. Raises `Undeclared`."""
    check_declarations()
    guard = Guard(identify, audit)
    app.add_middleware(guard, index=0)
    _limit_sockets(app, guard, SocketLimits(audit), identify)
    _explain_refusals(app)
    return guard


def _explain_refusals(app: rx.App) -> None:
    """What a use case refuses is one sentence for the reader; only the rest is a bug."""
    told = app.backend_exception_handler

    def explain(exception: Exception) -> EventSpec | None:
        if isinstance(exception, ValidationError):
            exception = invalid_from(exception)
        if isinstance(exception, CroniumError):
            return rx.toast.error(exception.message)
        return cast("EventSpec | None", told(exception))

    app.backend_exception_handler = explain


def _limit_sockets(app: rx.App, guard: Guard, limits: SocketLimits, identify: Identify) -> None:
    """Wrap the three doors of the event namespace: connect, event, disconnect."""
    namespace: Any = app.event_namespace
    on_connect, on_event = namespace.on_connect, namespace.on_event
    on_disconnect = namespace.on_disconnect
    leaving: set[asyncio.Task[None]] = set()

    async def opened(sid: str, environ: dict[str, Any], auth: Any = None) -> bool | None:
        who = await identify(str(environ.get("HTTP_COOKIE", "")))
        if who is None and not limits.admit_stranger(sid, _address(environ)):
            return False
        try:
            await on_connect(sid, environ, auth)
        except BaseException:
            limits.forget(sid)  # a refused connect never disconnects
            guard.forget(sid)
            raise
        return None

    async def limited_event(sid: str, data: Any) -> None:
        if limits.admit(sid, data):
            await on_event(sid, data)

    def closed(sid: str, *reason: Any) -> Any:
        del reason
        token = namespace.sid_to_token.get(sid)
        stranger = limits.is_stranger(sid)
        limits.forget(sid)
        guard.forget(sid)
        push.socket_closed(sid)
        done = on_disconnect(sid)
        if stranger and token:
            task = asyncio.ensure_future(_forget_tab(app, token, done))
            leaving.add(task)
            task.add_done_callback(leaving.discard)
        return done

    namespace.on_connect = opened
    namespace.on_event = limited_event
    namespace.on_disconnect = closed


async def _forget_tab(app: rx.App, token: str, unlinked: "asyncio.Task[Any] | None") -> None:
    """Drop the state of a tab that showed no session, instead of keeping it for an hour."""
    if unlinked is not None:
        await asyncio.wait({unlinked})
    namespace, manager = cast(Any, app.event_namespace), cast(Any, app.state_manager)
    ident = rx.BaseStateToken(ident=token, cls=AppState.get_root_state())
    lock = await manager._get_state_lock(ident)
    async with lock:  # an event of it may be under way
        if token not in namespace.token_to_sid:  # else it is connected again
            manager._purge_token(ident)


def _address(environ: dict[str, Any]) -> str:
    """Who is connected, as the socket knows it; a header can say anything."""
    client = environ.get("asgi.scope", {}).get("client")
    return str(client[0]) if client else str(environ.get("REMOTE_ADDR", ""))
