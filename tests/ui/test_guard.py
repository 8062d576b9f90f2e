"""No event handler runs for somebody who may not call it; what says nothing is refused."""

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import reflex as rx
from reflex.istate.manager.memory import StateManagerMemory
from reflex.state import StateUpdate
from reflex_base.event import Event
from reflex_base.event.processor.base_state_processor import BaseStateEventProcessor
from reflex_base.registry import RegisteredEventHandler, RegistrationContext

from cronium_app.domain.permissions import Actor, Permission, Role
from cronium_app.ui import guard
from cronium_app.ui.pages import PAGES
from cronium_app.ui.state import AppState

# Every handler that answers without a session. Literal on purpose: adding one is a decision.
ANONYMOUS: set[str] = set()

ADA = Actor(user_id=UUID(int=1), email="ada@example.org", role=Role.ADMIN)
BOB = Actor(user_id=UUID(int=2), email="bob@example.org", role=Role.USER)
COOKIES = {"cronium_session=ada": ADA, "cronium_session=bob": BOB}


class FakeNamespace:
    """Takes what the server would send to the browser."""

    def __init__(self) -> None:
        self.sent: list[StateUpdate] = []

    async def emit_update(self, update: StateUpdate, token: str) -> None:
        del token
        self.sent.append(update)

    def redirects(self) -> list[str]:
        return [
            event.payload["path"]
            for update in self.sent
            for event in update.events
            if event.name == "_redirect"
        ]


class Door:
    """An application with the guard in front, and every body replaced by one that notes a call."""

    def __init__(self, registry: RegistrationContext) -> None:
        self.app = rx.App()
        self.entered: list[str] = []
        self.audited: list[tuple[str, str]] = []
        self.sessions = dict(COOKIES)
        self.guard = guard.install(
            self.app, self._identify, lambda action, detail: self.audited.append((action, detail))
        )
        for name in guard.own_handlers():
            registry.event_handlers[name] = self._spied(name, registry.event_handlers[name])

    async def _identify(self, cookie: str) -> Actor | None:
        return self.sessions.get(cookie)

    def _spied(self, name: str, registered: RegisteredEventHandler) -> RegisteredEventHandler:
        async def body(state: Any, **payload: Any) -> None:
            del state, payload
            self.entered.append(name)

        body.__dict__.update(registered.handler.fn.__dict__)
        handler = dataclasses.replace(registered.handler, fn=body)
        return dataclasses.replace(registered, handler=handler)

    async def send(self, name: str, cookie: str, **payload: Any) -> FakeNamespace:
        """One event as the browser would send it, from a fresh tab."""
        namespace = FakeNamespace()
        processor = BaseStateEventProcessor(middleware=self.app, graceful_shutdown_timeout=1)
        processor.configure(
            state_manager=StateManagerMemory(),
            event_namespace=namespace,  # pyright: ignore[reportArgumentType]
        )
        async with processor:
            event = Event(name=name, payload=payload, router_data=_router(cookie))
            await (await processor.enqueue("tab", event)).wait_all()
        return namespace


def _router(cookie: str, path: str = "/runs/1") -> dict[str, Any]:
    return {
        "pathname": path,
        "asPath": path,
        "query": {},
        "token": "tab",
        "sid": "socket",
        "ip": "127.0.0.1",
        "headers": {"cookie": cookie, "host": "cronium.test", "origin": "http://cronium.test"},
    }


@pytest.fixture
def registry() -> Iterator[RegistrationContext]:
    """A copy of what the pages registered, for this test alone."""
    assert PAGES
    forked = RegistrationContext.get().fork()
    with forked:
        yield forked


@pytest.fixture
async def door(registry: RegistrationContext) -> Door:
    return Door(registry)


def _names() -> list[str]:
    return sorted(guard.own_handlers())


def test_only_the_listed_handlers_are_anonymous() -> None:
    assert guard.ANONYMOUS == ANONYMOUS


def test_there_are_handlers_to_guard() -> None:
    assert len(_names()) > 30


@pytest.mark.parametrize("name", _names())
async def test_no_body_is_entered_without_a_session(door: Door, name: str) -> None:
    sent = await door.send(name, "")
    assert door.entered == []
    assert sent.redirects() == ["/login?next=/runs/1"]


@pytest.mark.parametrize("name", _names())
async def test_no_body_is_entered_with_a_revoked_session(door: Door, name: str) -> None:
    await door.send(name, "cronium_session=ada")
    assert door.entered == [name]
    door.sessions.clear()
    sent = await door.send(name, "cronium_session=ada")
    assert door.entered == [name]
    assert sent.redirects() == ["/login?next=/runs/1"]


async def test_a_handler_that_says_nothing_stops_the_start(registry: RegistrationContext) -> None:
    name = _names()[0]
    registered = registry.event_handlers[name]

    async def silent(state: Any) -> None:
        del state

    registry.event_handlers[name] = dataclasses.replace(
        registered, handler=dataclasses.replace(registered.handler, fn=silent)
    )
    with pytest.raises(guard.Undeclared, match="do not say who may call them"):
        guard.check_declarations()


async def test_a_permission_that_the_role_lacks_is_refused(door: Door) -> None:
    name = _names()[0]
    registered = RegistrationContext.get().event_handlers[name]
    registered.handler.fn.__dict__["_needs"] = Permission.ADMIN
    await door.send(name, "cronium_session=bob")
    assert door.entered == []
    assert door.audited[-1][0] == "event.refused"
    await door.send(name, "cronium_session=ada")
    assert door.entered == [name]


async def test_setting_vars_from_the_browser_is_refused(door: Door) -> None:
    setters = [n for n in RegistrationContext.get().event_handlers if n.endswith(".setvar")]
    assert setters
    for name in setters:
        await door.send(name, "cronium_session=ada", var_name="email", value="eve")
        assert door.audited[-1] == ("event.refused", f"undeclared handler {name[:200]}")


async def test_the_framework_may_not_write_our_vars(door: Door) -> None:
    name = (
        "reflex___state____state.reflex___state____update_vars_internal_state.update_vars_internal"
    )
    await door.send(name, "cronium_session=ada", vars={"email": "eve"})
    assert door.audited[-1][0] == "event.refused"


async def test_the_next_user_of_a_tab_inherits_nothing(registry: RegistrationContext) -> None:
    door = Door(registry)
    manager = StateManagerMemory()
    token = rx.BaseStateToken(ident="tab", cls=AppState)
    for cookie, expected in (
        ("cronium_session=ada", "ada@example.org"),
        ("cronium_session=bob", ""),
    ):
        async with manager.modify_state(token) as root:
            state = await root.get_state(AppState)
            root.router_data = {}
            root._update_router_vars(_router(cookie), {})
            event = Event(name=_names()[0], payload={})
            await door.guard.preprocess(door.app, root, event)
            if expected:
                state.email = expected
            assert state.email == expected


class TestSocketLimits:
    """What is refused before it reaches the queue."""

    def setup_method(self) -> None:
        self.now = 0.0
        self.audited: list[str] = []
        self.limits = guard.SocketLimits(
            lambda _action, detail: self.audited.append(detail), clock=lambda: self.now
        )
        self.name = _names()[0]

    def test_a_known_small_event_passes(self) -> None:
        assert self.limits.admit("s", {"name": self.name, "payload": {"text": "x"}})
        assert self.audited == []

    @pytest.mark.parametrize(
        "data",
        [
            None,
            "text",
            {"name": 7},
            {"name": "reflex___state____state.no_such"},
            {"name": "x" * 10_000},
            {"name": "__class__"},
            {"name": "app_state._put"},
        ],
    )
    def test_what_is_no_known_event_is_dropped(self, data: Any) -> None:
        assert not self.limits.admit("s", data)
        assert len(self.audited) == 1
        assert len(self.audited[0]) < 400

    def test_a_flood_is_cut_off_and_recovers(self) -> None:
        event = {"name": self.name, "payload": {}}
        passed = sum(self.limits.admit("s", event) for _ in range(5_000))
        assert passed == int(guard.EVENT_BURST)
        assert self.limits.admit("another", event)
        self.now += 1
        assert sum(self.limits.admit("s", event) for _ in range(100)) == 20

    def test_strangers_have_few_sockets(self) -> None:
        opened = [self.limits.admit_stranger(f"s{n}", "10.0.0.1") for n in range(200)]
        assert sum(opened) == guard.ANONYMOUS_SOCKETS_PER_IP
        assert self.limits.admit_stranger("elsewhere", "10.0.0.2")
        self.limits.forget("s0")
        assert self.limits.admit_stranger("next", "10.0.0.1")

    def test_strangers_come_so_often_and_no_more(self) -> None:
        def visits(count: int) -> int:
            admitted = 0
            for number in range(count):
                admitted += self.limits.admit_stranger(f"s{number}", "10.0.0.1")
                self.limits.forget(f"s{number}")
            return admitted

        assert visits(1_000) == int(guard.ANONYMOUS_CONNECT_BURST)
        assert self.limits.admit_stranger("elsewhere", "10.0.0.2")
        self.now += 10
        assert visits(1_000) == int(10 * guard.ANONYMOUS_CONNECTS_PER_SECOND)

    def test_a_stranger_sends_only_little(self) -> None:
        scripts = [
            n for n, r in guard.own_handlers().items() if r.handler.fn.__dict__.get("_large")
        ]
        event = {"name": scripts[0], "payload": {"script": "x" * 20_000}}
        assert self.limits.admit_stranger("stranger", "10.0.0.1")
        assert not self.limits.admit("stranger", event)
        assert self.limits.admit("signed-in", event)

    def test_only_a_script_may_be_large(self) -> None:
        large = {"script": "x" * 600_000}
        scripts = [
            n for n, r in guard.own_handlers().items() if r.handler.fn.__dict__.get("_large")
        ]
        assert scripts
        assert not self.limits.admit("s", {"name": self.name, "payload": large})
        assert self.limits.admit("s", {"name": scripts[0], "payload": large})

    def test_deep_nesting_is_too_large(self) -> None:
        deep: Any = "x"
        for _ in range(100):
            deep = [deep]
        assert not self.limits.admit("s", {"name": self.name, "payload": {"a": deep}})


async def test_a_stranger_beyond_the_limit_is_refused_at_the_door(door: Door) -> None:
    namespace: Any = door.app.event_namespace
    environ: dict[str, Any] = {
        "asgi.scope": {"client": ("10.0.0.1", 1), "headers": []},
        "QUERY_STRING": "",
    }
    answers = [await namespace.on_connect(f"s{n}", dict(environ)) for n in range(60)]
    assert answers.count(False) == 60 - guard.ANONYMOUS_SOCKETS_PER_IP
    signed_in = environ | {"HTTP_COOKIE": "cronium_session=ada"}
    assert await namespace.on_connect("ada", signed_in) is None


@pytest.mark.parametrize(("cookie", "kept"), [("", 0), ("cronium_session=ada", 1)])
async def test_a_stranger_leaves_no_state_behind(door: Door, cookie: str, kept: int) -> None:
    namespace: Any = door.app.event_namespace
    manager: Any = door.app.state_manager
    environ: dict[str, Any] = {
        "asgi.scope": {"client": ("10.0.0.1", 1), "headers": []},
        "QUERY_STRING": "token=tab",
        "HTTP_COOKIE": cookie,
    }
    await namespace.on_connect("s", environ)
    async with door.app.modify_state(rx.BaseStateToken(ident="tab", cls=AppState)):
        pass
    assert len(manager.states) == 1
    namespace.on_disconnect("s")
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait([t for t in others if "Expiration" not in t.get_name()], timeout=5)
    assert len(manager.states) == kept
    await manager.close()


async def test_a_stranger_cannot_fill_our_log(door: Door) -> None:
    text = "x" * 60_000
    event = Event(name=guard.BROWSER_BUG, payload={"info": text, "component_stack": text})
    assert not guard._may_report(None, event)
    assert guard._may_report(ADA, event)
    assert {len(text) for text in event.payload.values()} == {guard.MAX_REPORT}
    odd = Event(name=guard.BROWSER_BUG, payload={"info": [text], "component_stack": 1})
    assert not guard._may_report(ADA, odd)


def test_arguments_of_other_names_do_not_fit(registry: RegistrationContext) -> None:
    for name, registered in guard.own_handlers().items():
        odd = Event(name=name, payload={"never_an_argument": 1})
        assert not guard._fits(registered, odd), name
