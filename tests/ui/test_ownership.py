"""Every handler of every page, called by Bob with Ada's ids: he gets nothing and changes nothing."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import reflex as rx
from reflex.istate.manager.memory import StateManagerMemory
from reflex.state import StateUpdate
from reflex_base.event import Event
from reflex_base.event.processor.base_state_processor import BaseStateEventProcessor
from reflex_base.registry import RegistrationContext
from sqlmodel import select

from cronium_app import services as kernel
from cronium_app.actions import accounts, events, runs, schedules, tokens
from cronium_app.domain.permissions import Actor
from cronium_app.services import Services
from cronium_app.settings import Settings
from cronium_app.store.tables import ApiToken, LoginSession, Revision, Run, Schedule
from cronium_app.store.tables import Event as EventRow
from cronium_app.ui import guard
from cronium_app.ui.pages import PAGES

SECRET = "only-ada-may-read-this"
PASSWORD = "correct horse battery staple"


class Office:
    """A server without an engine; Ada has one of everything, Bob has an account."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.refused: list[Exception] = []

    async def furnish(self) -> None:
        made = self.services
        for email in ("ada@example.org", "bob@example.org"):
            command = {"email": email, "password": PASSWORD, "role": "user"}
            await accounts.create_user(made, None, command)
        self.ada, self.ada_cookie = await self._sign_in("ada@example.org")
        self.bob, self.bob_cookie = await self._sign_in("bob@example.org")
        event = await events.create(
            made, self.ada, {"name": SECRET, "runtime": "bash", "script": f"echo {SECRET}\n"}
        )
        run = await runs.start(made, self.ada, event.id)
        rule = {"kind": "interval", "every_s": 86_400}
        schedule = await schedules.create(made, self.ada, event.id, rule)
        token = await tokens.create(made, self.ada, {"name": SECRET})
        async with made.db.read() as session:
            login = (await session.exec(select(LoginSession))).first()
        assert login is not None
        self.ids = {
            "event_id": event.id,
            "run_id": run.id,
            "schedule_id": schedule.id,
            "token_id": token.view.id,
            "session_id": str(login.id),
        }

    async def _sign_in(self, email: str) -> tuple[Actor, str]:
        command = {"email": email, "password": PASSWORD}
        signed = await accounts.authenticate(self.services, command, address="test")
        return signed.actor, f"cronium_session={signed.token}"

    async def belongings(self) -> str:
        """Everything of Ada's, as text."""
        found: list[Any] = []
        async with self.services.db.read() as session:
            for table in (EventRow, Run, Schedule, ApiToken, LoginSession, Revision):
                rows = (await session.exec(select(table))).all()
                found += [row.model_dump(mode="json") for row in rows]
        for row in found:
            row.pop("last_seen_at", None)
            row.pop("last_used_at", None)
        return json.dumps([row for row in found if row.get("name") != "Bob's"], sort_keys=True)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    settings = Settings(data_dir=tmp_path, builtin_agent=False)
    async with kernel.running(settings) as services:
        made = Office(services)
        await made.furnish()
        yield made


def _handlers() -> list[str]:
    assert PAGES
    return sorted(guard.own_handlers())


def _arguments(name: str, ids: dict[str, str]) -> dict[str, Any]:
    """Ada's ids where the handler takes one, something harmless elsewhere."""
    handler = RegistrationContext.get().event_handlers[name].handler
    code = handler.fn.__code__
    names = list(code.co_varnames[: code.co_argcount])[1:]
    plain: dict[str, Any] = {"on": True, "dirty": True, "number": 1, "tags": [], "pairs": []}
    form = {"current": "x", "new": "another good password", "again": "another good password"}
    return {n: ids.get(n, form if n == "form" else plain.get(n, "x")) for n in names}


async def _send(office: Office, cookie: str, path: str, names: list[str]) -> str:
    """These events from one tab; answers all that the server sent to it."""
    app = rx.App()
    sent: list[StateUpdate] = []

    async def emit_update(update: StateUpdate, token: str) -> None:
        del token
        sent.append(update)

    def refuse(error: Exception) -> None:
        office.refused.append(error)

    guard.install(app, office.services.security.sessions.user_for_cookie, lambda *_: None)
    processor = BaseStateEventProcessor(
        middleware=app, backend_exception_handler=refuse, graceful_shutdown_timeout=1
    )
    namespace: Any = type("Namespace", (), {"emit_update": staticmethod(emit_update)})()
    processor.configure(state_manager=StateManagerMemory(), event_namespace=namespace)
    router = {
        "pathname": path,
        "asPath": path,
        "query": {},
        "token": "tab",
        "sid": "socket",
        "ip": "127.0.0.1",
        "headers": {"cookie": cookie, "host": "test", "origin": "http://test"},
    }
    async with processor:
        for name in names:
            event = Event(name=name, payload=_arguments(name, office.ids), router_data=router)
            done = await processor.enqueue("tab", event)
            with contextlib.suppress(Exception):  # `refuse` has it
                await done.wait_all()
    return json.dumps([[str(update.delta), str(update.events)] for update in sent])


@pytest.mark.parametrize("place", ["/events/{event_id}", "/runs/{run_id}", "/", "/settings"])
async def test_another_persons_ids_open_nothing(office: Office, place: str) -> None:
    before = await office.belongings()
    forked = RegistrationContext.get().fork()
    with forked:
        shown = await _send(office, office.bob_cookie, place.format(**office.ids), _handlers())
    assert SECRET not in shown
    theirs = json.loads(await office.belongings())
    mine = str(office.bob.user_id)
    assert [row for row in theirs if mine not in str(row)] == [
        row for row in json.loads(before) if mine not in str(row)
    ]
    unexpected = [e for e in office.refused if type(e).__name__ not in _REFUSALS]
    assert unexpected == []


_REFUSALS = {"NotFound", "Invalid", "Conflict", "Denied", "NotSignedIn", "TooMany"}


async def test_the_same_events_show_ada_her_own(office: Office) -> None:
    """The test above would pass with pages that show nothing to anybody."""
    names = [n for n in _handlers() if n.endswith(("event_state.load", "run_state.load"))]
    for place in ("/events/{event_id}", "/runs/{run_id}"):
        with RegistrationContext.get().fork():
            shown = await _send(office, office.ada_cookie, place.format(**office.ids), names)
        assert SECRET in shown
