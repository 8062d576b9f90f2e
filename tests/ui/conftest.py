"""A gallery of all components in a real browser, with a faked log API behind it."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

ROOT = Path(__file__).resolve().parents[2]


class Gallery:
    """The served gallery: its address and the knobs of its faked logs."""

    def __init__(self, web: Path) -> None:
        self.environment = os.environ | {"REFLEX_WEB_WORKDIR": str(web), "PYTHONUNBUFFERED": "1"}
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self, port: str = "0") -> None:
        command = [sys.executable, "-m", "tests.ui.serve", port]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = next((line for line in self.process.stdout if line.startswith("http")), "")
        assert line, "the gallery did not start"
        self.url = line.strip()

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def post(self, path: str, data: bytes = b"") -> None:
        request = urllib.request.Request(f"{self.url}{path}", data=data, method="POST")
        urllib.request.urlopen(request, timeout=5).read()

    def append(self, run: str, text: str | bytes, *, stream: int = 1) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.post(f"/fake/{run}/append?stream={stream}", data)

    def connects(self, run: str) -> list[int]:
        import json

        return json.loads(urllib.request.urlopen(f"{self.url}/fake/{run}/connects").read())


@pytest.fixture(scope="session")
def gallery_client() -> Path:
    """The gallery's client, built once and again only when a component changed."""
    web = Path(os.environ.get("CRONIUM_TEST_GALLERY_WEB") or ROOT / ".web-gallery")
    environment = os.environ | {
        "REFLEX_WEB_WORKDIR": str(web),
        "CRONIUM_UI_MODULE": "tests.ui.gallery",
    }
    command = [sys.executable, "-m", "scripts.build_client"]
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return web


@pytest.fixture(scope="session")
def gallery(gallery_client: Path) -> Iterator[Gallery]:
    made = Gallery(gallery_client)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def open_page(chromium: Browser, gallery: Gallery) -> Iterator[Callable[..., Page]]:
    """`open_page("/runs/small", width=390)`. Any error in the browser's console fails the test."""
    errors: list[str] = []
    contexts = []

    def console(message: ConsoleMessage) -> None:
        if message.type == "error" and "WebSocket" not in message.text:
            errors.append(message.text)

    def make(path: str, *, width: int = 1280, height: int = 800, **options: object) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, base_url=gallery.url, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", console)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert errors == []
