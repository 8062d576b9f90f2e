"""What the pages ask beside the nouns: the frame around them, live run state, the first visit,
what this server is.
"""

from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import version
from typing import Protocol
from urllib.parse import urlsplit

from cronium_app.actions.access import own_run, require
from cronium_app.actions.context import Services
from cronium_app.actions.home import engine
from cronium_app.actions.templates import DEMO_NAME
from cronium_app.actions.views import EngineView, Status, Time, View
from cronium_app.domain.ids import parse_id
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.security.keyring import Keyring
from cronium_app.settings import Settings
from cronium_app.store import events, listing

MOST_COUNTED = 100
MOST_NAMES = 500


class ServerServices(Services, Protocol):
    """What only a running server has."""

    @property
    def settings(self) -> Settings: ...
    @property
    def keyring(self) -> Keyring: ...


class FrameView(View):
    """`running`: runs that are under way now, at most `MOST_COUNTED`."""

    engine: EngineView
    running: int


class LiveView(View):
    """A run while it is under way. `last_lines`: at most 20 lines and 4 kB together."""

    phase: str
    phase_since: Time
    lines: int
    bytes: int
    last_lines: list[str]


class LinesView(View):
    lines: int
    last_line: str


class WelcomeView(View):
    """`newcomer`: there is no event yet but the demo. The run is the demo's newest."""

    newcomer: bool
    event_id: str | None = None
    run_id: str | None = None
    run_status: Status | None = None
    key_place: str = ""


class AboutView(View):
    """Name and value, in the order they are shown."""

    facts: list[tuple[str, str]]
    key_place: str


async def frame(services: Services, actor: Actor) -> FrameView:
    """What stands on every page."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        unfinished = await listing.unfinished(session, actor.user_id, MOST_COUNTED)
    running = sum(run.status == "running" for run, _ in unfinished)
    return FrameView(engine=engine(services, actor), running=running)


async def live(services: Services, actor: Actor, run_id: str) -> LiveView | None:
    """What memory knows of a run that is under way; None for any other."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        run = await own_run(services, session, actor, run_id)
    found = None if run.finished_at else services.orchestrator.live(run.id)
    if found is None:
        return None
    return LiveView(
        phase=found.phase,
        phase_since=found.phase_started_at,
        lines=found.lines,
        bytes=found.bytes,
        last_lines=list(found.last_lines),
    )


async def live_lines(
    services: Services, actor: Actor, run_ids: Iterable[str]
) -> dict[str, LinesView]:
    """How much those of these runs that are under way have printed. From memory, so cheap."""
    require(actor, Permission.VIEW)
    found: dict[str, LinesView] = {}
    for run_id in run_ids:
        wanted = parse_id(run_id)
        live = services.orchestrator.live(wanted) if wanted else None
        if live is not None and live.owner_id == actor.user_id:
            last = live.last_lines[-1] if live.last_lines else ""
            found[run_id] = LinesView(lines=live.lines, last_line=last)
    return found


async def event_names(services: Services, actor: Actor) -> list[tuple[str, str]]:
    """Id and name of every event that is not archived, by name, at most `MOST_NAMES`."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        found = await events.page(
            session,
            actor.user_id,
            search="",
            tag=None,
            archived=False,
            after=None,
            limit=MOST_NAMES,
        )
    return [(str(event.id), event.name) for event in found]


async def welcome(services: ServerServices, actor: Actor) -> WelcomeView:
    """The demo and its run, for somebody who has no event of their own yet."""
    require(actor, Permission.VIEW)
    async with services.db.read() as session:
        if await events.count(session, actor.user_id) != 1:
            return WelcomeView(newcomer=False)
        found = await events.page(
            session, actor.user_id, search="", tag=None, archived=False, after=None, limit=1
        )
        if not found or found[0].name != DEMO_NAME:
            return WelcomeView(newcomer=False)
        demo = found[0]
        query = listing.RunQuery(owner_id=actor.user_id, event_id=demo.id)
        page = await listing.run_page(session, query, None, 1)
    run = page.runs[0][0] if page.runs else None
    return WelcomeView.model_validate(
        {
            "newcomer": True,
            "event_id": str(demo.id),
            "run_id": str(run.id) if run else None,
            "run_status": run.status if run else None,
            "key_place": services.keyring.source if actor.can(Permission.ADMIN) else "",
        }
    )


async def about(services: ServerServices, actor: Actor) -> AboutView:
    """This installation. Places on its disk are for administrators."""
    require(actor, Permission.VIEW)
    state = engine(services, actor)
    words = {"up": state.detail or "answers", "starting": "being looked for"}
    facts = [
        ("Version", version("cronium")),
        ("Container engine", words.get(state.state, state.detail)),
        ("Runs at the same time", f"at most {state.slots}"),
        ("Images", _images(state)),
    ]
    if not actor.can(Permission.ADMIN):
        return AboutView(facts=facts, key_place="")
    facts += [
        ("Data folder", str(services.settings.data_dir)),
        ("Database", _database(services.settings)),
        ("Clock", f"{_plain(services.clock.now())} UTC"),
    ]
    return AboutView(facts=facts, key_place=services.keyring.source)


def _images(state: EngineView) -> str:
    return ", ".join(f"{item.image} ({item.state})" for item in state.images) or "none reported"


def _database(settings: Settings) -> str:
    """Without the password that the address may hold."""
    if settings.is_sqlite:
        return "SQLite, in the data folder"
    place = urlsplit(settings.database_url)
    return f"PostgreSQL, {place.path.lstrip('/')} on {place.hostname or 'this host'}"


def _plain(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
