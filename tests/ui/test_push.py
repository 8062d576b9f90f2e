"""Changes reach the tabs that show them, coalesced, and no others."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from cronium_app.domain.permissions import Actor, Role
from cronium_app.orchestrator.bus import Bus
from cronium_app.ui import push
from cronium_app.ui.pages.home import HomeState
from cronium_app.ui.pages.run import RunState

ADA = Actor(user_id=UUID(int=1), email="ada@example.org", role=Role.ADMIN)
BOB = Actor(user_id=UUID(int=2), email="bob@example.org", role=Role.USER)
RUN, OTHER = UUID(int=10), UUID(int=11)


class FakeDone:
    """What the event processor answers: something that is over when `gate` opens."""

    def __init__(self, gate: asyncio.Event) -> None:
        self._gate = gate

    async def wait_all(self) -> None:
        await self._gate.wait()


@dataclass
class FakeApp:
    """As much of Reflex as the pushes touch."""

    token_to_sid: dict[str, str] = field(default_factory=dict[str, str])
    sent: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    left: list[str] = field(default_factory=list[str])
    closed: list[str] = field(default_factory=list[str])
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    cookies: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.gate.set()
        self.event_processor = self
        self.event_namespace = self
        self.arrived = asyncio.Event()

    async def enqueue(self, token: str, event: Any) -> FakeDone:
        self.sent.append((token, event.name.rpartition(".")[2]))
        self.arrived.set()
        return FakeDone(self.gate)

    async def emit_update(self, update: Any, token: str) -> None:
        self.left.append(token)

    async def disconnect(self, sid: str) -> None:
        self.closed.append(sid)

    @property
    def sid_to_token(self) -> dict[str, str]:
        return {sid: token for token, sid in self.token_to_sid.items()}

    @property
    def _static_router_data(self) -> dict[str, Any]:
        return {sid: {"headers": {"cookie": c}} for sid, c in self.cookies.items()}

    async def next(self) -> tuple[str, str]:
        """The next refresh."""
        await asyncio.wait_for(self.arrived.wait(), 5)
        self.arrived.clear()
        return self.sent[-1]


class Desk:
    def __init__(self) -> None:
        self.app = FakeApp()
        self.sessions: dict[str, Actor] = {}
        self.seen: dict[str, list[str]] = {}
        self.pushes = push.Pushes(self.app, self._who, lambda u: self.seen.get(u, []))  # pyright: ignore[reportArgumentType]

    async def _who(self, cookie: str) -> Actor | None:
        return self.sessions.get(cookie)

    def tab(self, token: str, actor: Actor, interest: push.Interest, **handlers: Any) -> None:
        sid = f"sid-{token}"
        self.app.token_to_sid[token] = sid
        session = SimpleNamespace(client_token=token, session_id=sid)
        state: Any = SimpleNamespace(router=SimpleNamespace(session=session))
        self.pushes.watch(
            state, actor, interest, handlers.get("refresh", HomeState.refresh), handlers.get("live")
        )

    def change(self, noun: str, item: UUID | None = RUN, owner: Actor | None = ADA) -> None:
        made: Any = SimpleNamespace(noun=noun, id=item, owner_id=owner.user_id if owner else None)
        self.pushes.spread(made)


@pytest.fixture
async def desk() -> Desk:
    return Desk()


async def test_a_change_reaches_the_tab_that_shows_it(desk: Desk) -> None:
    desk.tab("a", ADA, {"run": frozenset({str(RUN)})}, refresh=RunState.refresh)
    desk.change("run")
    assert await desk.app.next() == ("a", "refresh")


async def test_it_reaches_nobody_else(desk: Desk) -> None:
    desk.tab("other-run", ADA, {"run": frozenset({str(OTHER)})})
    desk.tab("other-noun", ADA, {"event": push.ANY})
    desk.tab("other-person", BOB, {"run": push.ANY})
    desk.tab("mine", ADA, {"run": push.ANY})
    desk.change("run")
    await desk.app.next()
    assert [token for token, _ in desk.app.sent] == ["mine"]


async def test_what_concerns_everybody_reaches_everybody(desk: Desk) -> None:
    desk.tab("a", ADA, {"engine": push.ANY})
    desk.tab("b", BOB, {"engine": push.ANY})
    desk.change("engine", None, None)
    await desk.app.next()
    await asyncio.sleep(0)
    assert {token for token, _ in desk.app.sent} == {"a", "b"}


async def test_many_changes_are_one_refresh_and_the_last_one_counts(desk: Desk) -> None:
    desk.tab("a", ADA, {"run": push.ANY})
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(1_000):
        desk.change("run")
    await desk.app.next()
    assert len(desk.app.sent) == 1
    desk.change("run")  # comes after the refresh began: needs another one
    await desk.app.next()
    assert loop.time() - started >= push.EVERY_S
    assert len(desk.app.sent) == 2


async def test_refreshes_of_a_tab_never_overlap(desk: Desk) -> None:
    desk.tab("a", ADA, {"run": push.ANY})
    desk.app.gate.clear()
    desk.change("run")
    await desk.app.next()
    desk.change("run")
    done, _ = await asyncio.wait({asyncio.ensure_future(desk.app.arrived.wait())}, timeout=0.4)
    assert not done
    desk.app.gate.set()
    await desk.app.next()
    assert len(desk.app.sent) == 2


async def test_live_state_has_a_cheaper_handler_unless_more_is_due(desk: Desk) -> None:
    desk.tab(
        "a",
        ADA,
        {"run": push.ANY, "run_live": push.ANY},
        refresh=RunState.refresh,
        live=HomeState.load,
    )
    desk.change("run_live")
    assert await desk.app.next() == ("a", "load")
    desk.change("run_live")
    desk.change("run")
    assert await desk.app.next() == ("a", "refresh")


async def test_a_closed_socket_ends_the_registration(desk: Desk) -> None:
    desk.tab("a", ADA, {"run": push.ANY})
    desk.tab("b", ADA, {"run": push.ANY})
    del desk.app.token_to_sid["a"]
    desk.change("run")
    assert await desk.app.next() == ("b", "refresh")
    desk.app.token_to_sid["a"] = "sid-new"
    desk.change("run")
    await desk.app.next()
    assert {token for token, _ in desk.app.sent} == {"b"}


async def test_what_a_tab_registered_dies_with_its_socket(desk: Desk) -> None:
    desk.tab("a", ADA, {"run": push.ANY})
    desk.tab("b", ADA, {"run": push.ANY})
    push.install(desk.pushes)
    try:
        push.socket_closed("sid-a")
    finally:
        push.install(None)
    assert desk.pushes.tokens == ["b"]


async def test_a_tab_that_closed_while_it_loaded_registers_nothing(desk: Desk) -> None:
    session = SimpleNamespace(client_token="gone", session_id="sid-gone")
    state: Any = SimpleNamespace(router=SimpleNamespace(session=session))
    desk.pushes.watch(state, ADA, {"run": push.ANY}, HomeState.refresh)
    assert desk.pushes.tokens == []


async def test_what_is_under_way_ends_with_the_server(desk: Desk) -> None:
    desk.tab("a", ADA, {"run": push.ANY})
    desk.app.gate.clear()
    desk.change("run")
    await desk.app.next()
    before = asyncio.all_tasks()
    await desk.pushes.close()
    await asyncio.sleep(0)
    assert desk.pushes.tokens == []
    assert all(task.done() for task in before - {asyncio.current_task()})


async def test_a_refresh_that_cannot_be_sent_is_heard(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []

    async def broken(token: str, event: Any) -> FakeDone:
        raise RuntimeError("no queue")

    monkeypatch.setattr(desk.app, "enqueue", broken)

    def error(_text: str, **more: Any) -> None:
        said.append(more)

    monkeypatch.setattr(push, "log", SimpleNamespace(error=error))
    desk.tab("a", ADA, {"run": push.ANY})
    desk.change("run")
    loop = asyncio.get_running_loop()
    until = loop.time() + 5
    while not said and loop.time() < until:
        await asyncio.sleep(0.005)
    assert str(said[0]["exc_info"]) == "no queue"


async def test_sign_out_closes_the_sockets_of_that_session_only(desk: Desk) -> None:
    desk.tab("old", ADA, {})
    desk.tab("new", ADA, {})
    desk.app.cookies = {"sid-old": "ended", "sid-new": "valid"}
    desk.sessions = {"valid": ADA}
    desk.seen = {str(ADA.user_id): ["sid-old", "sid-new"]}
    await desk.pushes.close_stale(str(ADA.user_id))
    assert desk.app.left == ["old"]
    assert desk.app.closed == ["sid-old"]


async def test_a_session_that_another_process_ended_loses_its_socket(desk: Desk) -> None:
    desk.tab("old", ADA, {"run": push.ANY})
    desk.app.cookies = {"sid-old": "ended"}
    desk.seen = {str(ADA.user_id): ["sid-old"]}
    patrol = asyncio.create_task(desk.pushes.patrol(0.001))
    async with asyncio.timeout(5):
        while not desk.app.closed:
            await asyncio.sleep(0.001)
    patrol.cancel()
    await asyncio.gather(patrol, return_exceptions=True)
    assert desk.app.closed[0] == "sid-old"


async def test_the_bus_feeds_the_tabs(desk: Desk) -> None:
    bus = Bus()
    desk.tab("a", ADA, {"run": push.ANY})
    with bus.subscribe() as changes:
        task = asyncio.create_task(desk.pushes.run(changes))  # pyright: ignore[reportArgumentType]
        bus.publish("run", RUN, ADA.user_id)
        assert await desk.app.next() == ("a", "refresh")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
