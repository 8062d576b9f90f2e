"""The state that every page shares: who is looking, and how the engine is.

Nothing here is authority. Who may do what is decided per event from the cookie (`guard`), and
what belongs to whom in the query (`actions`). Vars are for showing only, and every one of them is
rebuilt from the address, the cookie and the database when a page loads.
"""

from typing import Any
from urllib.parse import urlencode

import reflex as rx

from cronium_app.actions.views import EngineView
from cronium_app.domain.permissions import Actor


class AppState(rx.State):
    """The parent of every page's state. It has no event handlers of its own."""

    email: str = ""
    engine: str = ""  # ready | preparing | down; empty until the first page has loaded
    engine_text: str = ""  # "2 of 4 slots"
    running: str = ""  # how many runs are running; empty for none
    banners: list[dict[str, str]] = []

    # Whose data this tab's state holds. The guard drops the whole state when the cookie says
    # somebody else, so that the next user of a tab never sees what the last one saw.
    _owner: str = ""

    def _put(self, **values: Any) -> None:
        """Set vars, but only those that differ: a var that is set is sent, changed or not."""
        for name, value in values.items():
            if getattr(self, name) != value:
                setattr(self, name, value)

    def _frame(self, actor: Actor, engine: EngineView, running: int) -> None:
        """What the frame around the page shows."""
        self._put(
            email=actor.email,
            engine=engine_tone(engine),
            engine_text=engine_words(engine),
            running=str(running or ""),
            banners=engine_banners(engine),
        )

    def _query(self, name: str, default: str = "") -> str:
        """One value of the address' query, at most 500 characters."""
        value = self.router.url.query_parameters.get(name, default)
        return str(value)[:500]

    def _part(self, noun: str) -> str:
        """The id after `noun` in the address: `/runs/<id>` for "runs". "" on another page."""
        parts = self.router.url.path.strip("/").split("/")
        return parts[1][:100] if len(parts) > 1 and parts[0] == noun else ""


def address(path: str, query: dict[str, str]) -> str:
    """`path` with what is not empty of `query`."""
    filled = {name: value for name, value in query.items() if value}
    return f"{path}?{urlencode(filled)}" if filled else path


def engine_tone(engine: EngineView) -> str:
    """The engine in the frame's three words."""
    if engine.state == "down":
        return "down"
    working = any(image.state in ("building", "pulling") for image in engine.images)
    return "preparing" if working or engine.state != "up" else "ready"


def engine_words(engine: EngineView) -> str:
    """What stands beside the engine's pill."""
    if engine.state == "down":
        return "no answer"
    if engine.state != "up":
        return "starting"
    for image in engine.images:
        if image.state in ("building", "pulling"):
            return f"{image.image}{f' {image.percent} %' if image.percent is not None else ''}"
    return f"{engine.slots - engine.free_slots} of {engine.slots} slots"


def engine_banners(engine: EngineView) -> list[dict[str, str]]:
    """Why runs wait and what to do, when the engine is away."""
    if engine.state != "down":
        return []
    why = engine.detail or "The container engine does not answer."
    text = (
        f"{why} Runs wait and go on by themselves once it is back. "
        "Start it on the server, for example with: sudo systemctl start docker"
    )
    return [{"tone": "bad", "text": text, "href": "", "action": ""}]
