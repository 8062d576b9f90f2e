"""The gate in front of everything: nobody passes unless they say who they are, or the way is open.

It stands before routing, so that no handler's body, no parser and no framework sees a request that
it refuses. What is open to strangers is the literal list `OPEN`; the pages' files (scripts, fonts)
hold nothing of anybody; the pages themselves need a session, or lead to the sign-in page.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cronium_app.actions import accounts
from cronium_app.actions.context import Services
from cronium_app.actions.errors import CroniumError, Denied, Invalid, NotFound, NotSignedIn, TooMany
from cronium_app.api.errors import TOO_LARGE, answer
from cronium_app.api.pages import DATA_POLICY, EVERYWHERE, page_policy
from cronium_app.api.request import IDENTITY, SAFE, Caller, caller_of
from cronium_app.security.cookies import local_path
from cronium_app.security.identity import Identity
from cronium_app.security.secrets import looks_like_api_token

MAX_BODY: Final = 1_500_000
# A script of 1 MiB that is all line feeds: two bytes each as JSON.
MAX_EVENT_BODY: Final = 3_000_000

# What answers strangers. Everything else of ours needs a session or a token.
OPEN: Final = frozenset(
    {
        ("POST", "/auth/login"),
        ("POST", "/auth/setup"),
        ("GET", "/healthz"),
        ("HEAD", "/healthz"),
        ("GET", "/readyz"),
        ("HEAD", "/readyz"),
        ("GET", "/api/docs"),
        ("GET", "/api/openapi.json"),
    }
)
OWN: Final = ("/api", "/auth", "/metrics", "/healthz", "/readyz")
CLOSED: Final = ("/_upload", "/_health", "/docs", "/openapi.json", "/redoc")
EVENTS: Final = "/api/v1/events"
LOGIN: Final = "/login"
SETUP: Final = "/setup"
PAGES_SOCKET: Final = "/_event"  # has a guard of its own for every event
REFUSED_SOCKET: Final = 4403


class Gate:
    def __init__(self, app: ASGIApp, services: Callable[[], Services], client_dir: Path) -> None:
        self._app = app
        self._services = services
        self._page_policy = page_policy(client_dir)
        self._set_up = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        caller = caller_of(dict(scope))
        ours = is_own(caller.path)
        dressed = _Dressed(send, DATA_POLICY if ours else self._page_policy, store=not ours)
        try:
            detour = await self._pass(caller, scope, ours=ours)
        except CroniumError as error:
            detour = answer(error)
        if detour is not None:
            await _turn_away(detour, scope, receive, dressed)
            return
        whole = scope["type"] == "websocket" or not ours
        limited = receive if whole else _Limited(receive, most(caller))
        await self._app(scope, limited, dressed)

    async def _pass(self, caller: Caller, scope: Scope, *, ours: bool) -> Response | None:
        """None: come in. Raises CroniumError; answers where a page's visitor goes instead."""
        if caller.path.startswith(CLOSED):
            raise NotFound
        if not ours:
            return await self._page(caller)
        if _declared_length(caller) > most(caller):
            raise too_large()
        if (caller.method, caller.path) in OPEN:
            if caller.method == "POST" and caller.has_origin and not caller.same_origin:
                raise foreign()
            return None
        scope[IDENTITY] = await identify(self._services(), caller)
        return None

    async def _page(self, caller: Caller) -> Response | None:
        if caller.method == "WEBSOCKET" or caller.path.startswith(PAGES_SOCKET):
            if caller.has_origin and not caller.same_origin:
                raise foreign()
            return None
        if caller.method not in SAFE:
            raise NotFound
        if not caller.wants_page:
            return None
        return await self._visit(caller)

    async def _visit(self, caller: Caller) -> Response | None:
        services = self._services()
        path = caller.path.rstrip("/") or "/"
        if not await self._is_set_up(services):
            return None if path == SETUP else RedirectResponse(SETUP, 303)
        identity = await services.security.sessions.identify(caller.cookie or "")
        if path == SETUP:
            return RedirectResponse(LOGIN if identity is None else "/", 303)
        if identity is not None or path == LOGIN:
            return None
        wanted = local_path(path + (f"?{caller.query}" if caller.query else ""))
        return RedirectResponse(f"{LOGIN}?next={quote(wanted, safe='/')}", 303)

    async def _is_set_up(self, services: Services) -> bool:
        if not self._set_up:  # users never become fewer, so a yes stays true
            self._set_up = not await accounts.needs_setup(services)
        return self._set_up


def is_own(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in OWN)


async def identify(services: Services, caller: Caller) -> Identity:
    """Who calls an address of ours. Raises NotSignedIn, Denied or TooMany.

    A token speaks for programs. A cookie counts only when the request comes from a page of this
    very site, unless it merely reads: then another site gains nothing, because it cannot see the
    answer.
    """
    if caller.bearer is not None:
        if caller.has_origin and not caller.same_origin:
            raise foreign()
        return await _by_token(services, caller.bearer, caller.address)
    identity = await services.security.sessions.identify(caller.cookie or "")
    if identity is None:
        raise NotSignedIn
    if (caller.method not in SAFE and not caller.same_origin) or (
        caller.has_origin and not caller.same_origin
    ):
        raise foreign()
    return identity


async def _by_token(services: Services, token: str, address: str) -> Identity:
    security = services.security
    if not looks_like_api_token(token):  # noise costs no look-up, so it is not counted
        raise bad_token()
    if not security.tokens.is_proven(token) and not security.throttle.may_try_token(address):
        raise TooMany("Too many wrong tokens from this address.", extra={"retry_after_s": 60})
    identity = await security.tokens.identify(token)
    if identity is None:
        security.throttle.token_failed(address)
        raise bad_token()
    return identity


def bad_token() -> CroniumError:
    return NotSignedIn("The token is unknown, revoked or expired.", code="bad_token")


def foreign() -> CroniumError:
    return Denied(
        "This came from another site. Behind a TLS proxy: it must keep Host and send "
        "X-Forwarded-Proto.",
        code="foreign_origin",
    )


def too_large() -> CroniumError:
    return Invalid(TOO_LARGE, code="too_large")


def most(caller: Caller) -> int:
    """How many bytes a body may have here: more where a script comes."""
    carries_script = caller.method in ("POST", "PATCH") and (
        caller.path == "/api/v1/runs/test" or caller.path.startswith(EVENTS)
    )
    return MAX_EVENT_BODY if carries_script else MAX_BODY


def _declared_length(caller: Caller) -> int:
    text = caller.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else MAX_EVENT_BODY + 1


class _Limited:
    """Counts what really comes; a missing or false Content-Length helps nobody."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(422)  # parsers let this one pass, see errors.py
        return message


class _Dressed:
    """Adds the headers that every answer has."""

    def __init__(self, send: Send, policy: bytes, *, store: bool) -> None:
        self._send = send
        self._policy = policy
        self._store = store

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = self._headers(list(message.get("headers", [])))
        await self._send(message)

    def _headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = {name.lower() for name, _ in headers}
        html = any(n.lower() == b"content-type" and v.startswith(b"text/html") for n, v in headers)
        added = [*EVERYWHERE, (b"content-security-policy", self._policy)]
        if html or not self._store:
            added.append((b"cache-control", b"no-store"))
        return headers + [pair for pair in added if pair[0] not in given]


async def _turn_away(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await response(scope, receive, send)
        return
    if "websocket.http.response" in scope.get("extensions", {}):
        await response(scope, receive, send)  # an HTTP answer instead of the upgrade
        return
    await send({"type": "websocket.close", "code": REFUSED_SOCKET})


async def still_valid(services: Services, caller: Caller, every_s: float = 2.0) -> None:
    """Returns when the caller's session or token does not count any more. For live sockets."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await identify(services, caller)
        except CroniumError:
            return
