"""The real product in a real browser: one server, one Chromium, a context for each test."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
)
from playwright.sync_api import (
    Error as PlaywrightError,
)

from tests.conftest import ROOT, ServerProcess

ADMIN = "ada@example.org"
BOB = "bob@example.org"
PASSWORD = "correct horse battery staple"

# Chromium drops what it is loading when a network interface of its host comes or goes, and each
# container brings one. Only a browser beside the engine sees that. The pages recover (a part of
# the client that was dropped is loaded again with the page), but Chromium says so in the console.
DROPPED = "net::ERR_NETWORK_CHANGED"
AFTER_DROPPED = ("Error loading route module", "dynamically imported module")


@pytest.fixture(scope="session")
def client_dir() -> Path:
    """The browser client, built unless it is current."""
    web = Path(os.environ.get("REFLEX_WEB_WORKDIR") or ROOT / ".web")
    made = subprocess.run(
        [sys.executable, "-m", "scripts.build_client", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return web / "build" / "client"


@pytest.fixture(scope="session")
def product(client_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server on an empty data folder: nobody can sign in yet."""
    server = ServerProcess(
        tmp_path_factory.mktemp("e2e") / "data", CRONIUM_CLIENT_DIR=str(client_dir)
    )
    server.start()
    yield server
    server.stop()


class Visitor:
    """A person with a browser. Any error in its console fails the test."""

    def __init__(self, chromium: Browser, url: str) -> None:
        self._chromium = chromium
        self._contexts: list[BrowserContext] = []
        self.url = url
        self.errors: list[str] = []
        self._dropped = False
        self.cookies: list[dict[str, object]] = []

    def context(self, *, width: int = 1280, height: int = 860, **options: object) -> BrowserContext:
        """A browser profile of its own, signed in if `sign_in` was called."""
        made = self._chromium.new_context(
            viewport={"width": width, "height": height},
            base_url=self.url,
            timezone_id="Europe/Berlin",
            **options,  # pyright: ignore[reportArgumentType]
        )
        if self.cookies:
            made.add_cookies(self.cookies)  # pyright: ignore[reportArgumentType]
        self._contexts.append(made)
        return made

    def page(self, path: str, **options: object) -> Page:
        """A tab of a profile of its own."""
        return self.tab(self.context(**options), path)

    def tab(self, context: BrowserContext, path: str) -> Page:
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))
        try:
            page.goto(path)
        except PlaywrightError as error:
            if DROPPED not in str(error):
                raise
            page.goto(path)
        return page

    def expect(self, text: str) -> None:
        """This error is what the test provokes."""
        kept = [error for error in self.errors if text not in error]
        assert kept != self.errors, f"expected an error with {text!r}"
        self.errors = kept

    def sign_in(self, email: str, password: str = PASSWORD) -> "Visitor":
        """By the sign-in page, as a person does."""
        context = self.context()
        page = self.tab(context, "/login")
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Home").wait_for()
        self.cookies = context.cookies()  # pyright: ignore[reportAttributeAccessIssue]
        context.close()
        return self

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        assert self.errors == []

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        if DROPPED in message.text:
            self._dropped = True
        elif not (self._dropped and any(text in message.text for text in AFTER_DROPPED)):
            self.errors.append(f"{message.location.get('url')}: {message.text}")


@pytest.fixture
def new_visitor(chromium: Browser, product: ServerProcess) -> Iterator[Callable[[], Visitor]]:
    made: list[Visitor] = []

    def make() -> Visitor:
        visitor = Visitor(chromium, product.url)
        made.append(visitor)
        return visitor

    yield make
    for visitor in made:
        visitor.close()


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    """Somebody who is not signed in."""
    return new_visitor()


def is_ready(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
        return answer.status == 200


# --- a server that is set up ------------------------------------------------------------------


class Api:
    """The REST API as one person, to prepare what a page is to show."""

    def __init__(self, server: ServerProcess, email: str) -> None:
        self._url = server.url
        self._token = _cli(server, "token", "create", "--email", email, "--name", "tests")

    def post(self, path: str, body: dict[str, object] | None = None) -> dict[str, Any]:
        return self._call("POST", path, body or {})

    def get(self, path: str) -> dict[str, Any]:
        return self._call("GET", path, None)

    def _call(self, method: str, path: str, body: dict[str, object] | None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read())


def _cli(server: ServerProcess, *arguments: str, entered: str = "") -> str:
    """The `cronium` command beside the running server."""
    made = subprocess.run(
        [sys.executable, "-m", "cronium_app.cli", *arguments, "--data", str(server.data)],
        cwd=ROOT,
        input=entered,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="session")
def furnished(
    client_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with two people, Ada (administrator) and Bob."""
    server = ServerProcess(
        tmp_path_factory.mktemp("furnished") / "data",
        CRONIUM_CLIENT_DIR=str(client_dir),
        CRONIUM_ADMIN_EMAIL=ADMIN,
        CRONIUM_ADMIN_PASSWORD=PASSWORD,
    )
    server.start()
    _cli(server, "user", "create", "--email", BOB, entered=PASSWORD + "\n")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def ada_api(furnished: ServerProcess) -> Api:
    return Api(furnished, ADMIN)


@pytest.fixture
def person(chromium: Browser, furnished: ServerProcess) -> Iterator[Callable[[str], Visitor]]:
    """`person(ADMIN)`: somebody who has signed in."""
    made: list[Visitor] = []

    def make(email: str) -> Visitor:
        visitor = Visitor(chromium, furnished.url)
        made.append(visitor)
        return visitor.sign_in(email) if email else visitor

    yield make
    for visitor in made:
        visitor.close()


@pytest.fixture
def ada(person: Callable[[str], Visitor]) -> Visitor:
    return person(ADMIN)


@pytest.fixture
def bob(person: Callable[[str], Visitor]) -> Visitor:
    return person(BOB)
