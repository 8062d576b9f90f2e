# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""Home: what runs, what needs a look, what comes; and for a newcomer, what to do first."""

from dataclasses import dataclass
from typing import Any, Final

import reflex as rx

from cronium_app.actions import home, pages, runs
from cronium_app.actions.views import HomeView, ImageView, NextFire, RunningRow, RunRow
from cronium_app.domain.permissions import Permission
from cronium_app.services import services
from cronium_app.ui import guard, push, routes, words
from cronium_app.ui.components import (
    Column,
    button,
    card,
    cell,
    cell_title,
    empty_state,
    icon,
    lang_badge,
    link,
    link_button,
    log_pane,
    mono,
    progress,
    row,
    since,
    small,
    status_pill,
    table,
    tone_pill,
    when,
    when_loaded,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.page import Page
from cronium_app.ui.pages.frame import FRAME_NOUNS, enter, frame, typed
from cronium_app.ui.state import AppState


@dataclass(frozen=True)
class Running:
    """One line of "Running now"."""

    id: str
    name: str
    runtime: str
    href: str
    status: str
    phase: str  # or why it waits
    started: str
    usual: str
    line: str
    lines: str


@dataclass(frozen=True)
class Failed:
    id: str
    name: str
    href: str
    status: str
    reason: str
    why: str
    at: str


@dataclass(frozen=True)
class Coming:
    key: str
    name: str
    href: str
    at: str
    zone: str
    words: str


@dataclass(frozen=True)
class Image:
    name: str
    tone: str
    text: str
    why: str
    percent: int  # -1: nothing to show


_TONES: Final = {
    "ready": "ok",
    "building": "info",
    "pulling": "info",
    "unavailable": "bad",
    "missing": "none",
}


class HomeState(AppState):
    """The page's four lists, each short."""

    loaded: bool = False
    running_rows: list[Running] = []
    failed_rows: list[Failed] = []
    coming_rows: list[Coming] = []
    images: list[Image] = []
    engine_detail: str = ""
    tally: str = ""
    newcomer: bool = False
    demo_run: str = ""
    demo_event: str = ""
    demo_status: str = ""
    demo_live: bool = False
    key_place: str = ""

    @rx.event
    @needs(Permission.VIEW)
    async def load(self) -> None:
        actor = guard.actor()
        push.watch(
            self,
            actor,
            {"run": push.ANY, "run_live": push.ANY, "schedule": push.ANY, "event": push.ANY}
            | FRAME_NOUNS,
            HomeState.refresh,
        )
        await self._show()

    @rx.event
    @needs(Permission.VIEW)
    async def refresh(self) -> None:
        if self.router.url.path == routes.HOME:
            await self._show()

    @rx.event
    @needs(Permission.RUN)
    async def run_demo(self) -> None:
        await runs.start(services(), guard.actor(), self.demo_event)
        await self._show()

    @rx.event
    @needs(Permission.RUN)
    async def stop(self, run_id: str) -> None:
        await runs.cancel(services(), guard.actor(), typed(run_id, 36))
        await self._show()

    async def _show(self) -> None:
        svc, actor = await enter(self)
        view = await home.home(svc, actor)
        self._put(
            loaded=True,
            running_rows=[_running(item) for item in view.running],
            failed_rows=[_failed(item) for item in view.failed[:20]],
            coming_rows=[_coming(item) for item in view.next_fires],
            images=[_image(item) for item in view.engine.images],
            engine_detail=view.engine.detail,
            tally=_tally(view),
        )
        welcome = await pages.welcome(svc, actor)
        self._put(
            newcomer=welcome.newcomer,
            demo_run=welcome.run_id or "",
            demo_event=welcome.event_id or "",
            demo_status=welcome.run_status or "",
            demo_live=welcome.run_status in ("queued", "running"),
            key_place=welcome.key_place,
        )


def _running(view: RunningRow) -> Running:
    waits = view.status == "queued"
    return Running(
        id=view.id,
        name=view.event_name,
        runtime=view.runtime,
        href=routes.run_url(view.id),
        status=view.status,
        phase=(view.waiting_text or "waits for a free slot") if waits else (view.phase or "setup"),
        started="" if waits else words.iso(view.started_at),
        usual="" if waits else words.duration(view.usual_s),
        line=words.plain_line(view.last_line),
        lines=words.plural(view.lines, "line") if view.lines else "",
    )


def _failed(view: RunRow) -> Failed:
    return Failed(
        id=view.id,
        name=view.event_name,
        href=routes.run_url(view.id),
        status=view.status,
        reason=view.reason or "",
        why=view.reason_text,
        at=words.iso(view.finished_at or view.created_at),
    )


def _coming(view: NextFire) -> Coming:
    return Coming(
        key=f"{view.schedule_id} {words.iso(view.at)}",
        name=view.event_name,
        href=routes.event_url(view.event_id),
        at=words.iso(view.at),
        zone=view.timezone,
        words=view.words,
    )


def _image(view: ImageView) -> Image:
    busy = view.state in ("building", "pulling")
    return Image(
        name=view.image,
        tone=_TONES.get(view.state, "none"),
        text=view.state if view.percent is None else f"{view.state}, {view.percent} %",
        why=view.text if view.state == "unavailable" else "",
        percent=view.percent if busy and view.percent is not None else -1,
    )


def _tally(view: HomeView) -> str:
    counts = view.counts
    parts = [f"{words.number(counts.succeeded)} succeeded", f"{words.number(counts.failed)} failed"]
    if counts.cancelled:
        parts.append(f"{words.number(counts.cancelled)} cancelled")
    return f"Last 24 hours: {', '.join(parts)}"


# --- the page ---------------------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Home: Any = HomeState


def home_page() -> rx.Component:
    return frame(
        rx.cond(_Home.newcomer, _welcome(), rx.fragment()),
        rx.el.div(
            rx.el.div(_running_card(), _failed_card(), class_name="stack"),
            rx.el.div(_coming_card(), _engine_card(), class_name="stack"),
            class_name="cols-half",
        ),
        title="Home",
        actions=[link_button("New event", href=routes.EVENT_NEW, kind="primary", icon_name="plus")],
    )


def _welcome() -> rx.Component:
    """For somebody with no event of their own yet: the demo's run, live, and three next steps."""
    return card(
        rx.el.div(
            rx.el.div(
                rx.el.ol(
                    rx.el.li(
                        rx.el.b("Watch it. "),
                        "The demo event runs in a container of its own; you see each line the "
                        "moment it is printed.",
                    ),
                    rx.el.li(
                        rx.el.b("Write your own. "),
                        "Pick a template or start empty, press Test, then Save.",
                    ),
                    rx.el.li(
                        rx.el.b("Give it a time. "),
                        "Every 15 minutes, Mondays at six, or once: it runs by itself from then on.",
                    ),
                    class_name="steps",
                ),
                rx.el.div(
                    link_button("New event", href=routes.EVENT_NEW, kind="primary"),
                    link_button("Open the demo event", href=routes.event_url(_Home.demo_event)),
                    class_name="line",
                ),
                rx.cond(
                    _Home.key_place,
                    rx.el.p(
                        icon("key"),
                        rx.el.span(
                            "The master key is ",
                            mono(_Home.key_place),
                            ". Keep a copy apart from the backups of the data folder: without "
                            "it, what is sealed in them stays sealed.",
                        ),
                        class_name="mute sm key-note",
                    ),
                    rx.fragment(),
                ),
                class_name="stack",
            ),
            rx.cond(
                _Home.demo_run,
                rx.el.div(
                    rx.el.div(
                        status_pill(_Home.demo_status),
                        link(
                            "Open this run",
                            href=routes.run_url(_Home.demo_run),
                            class_name="text-link sm",
                        ),
                        class_name="line",
                    ),
                    rx.el.div(
                        log_pane(
                            _Home.demo_run,
                            running=_Home.demo_live,
                            compact=True,
                            waiting="The first run starts as soon as its image is ready",
                        ),
                        class_name="log-frame",
                    ),
                    class_name="stack",
                ),
                empty_state(
                    "The demo has not run yet.",
                    action=button(
                        "Run the demo", kind="primary", icon_name="play", on_click=_Home.run_demo
                    ),
                    icon_name="play",
                ),
            ),
            class_name="cols-half",
        ),
        title="Welcome to Cronium",
        note="what to do next",
        class_name="welcome",
    )


def _running_card() -> rx.Component:
    rows = table(
        (Column(width="auto"), Column(), Column(width="auto")),
        rx.foreach(_Home.running_rows, _running_row),
        label="Running now",
        heads=False,
    )
    nothing = empty_state(
        "Nothing runs.",
        "Open an event and press Run now, or give it a schedule.",
        action=link_button("Events", href=routes.EVENTS, small=True),
    )
    return card(
        when_loaded(
            _Home.loaded,
            rx.cond(_Home.running_rows.length() > 0, rows, nothing),
            rows=2,
            height=60,
        ),
        title="Running now",
        note=rx.cond(_Home.running_rows, _Home.running_rows.length().to_string(), ""),
        flush=True,
    )


def _running_row(item: Any) -> rx.Component:
    return row(
        cell(lang_badge(item.runtime)),
        cell(
            cell_title(item.name, href=item.href),
            rx.el.span(
                " ",
                item.phase,
                rx.cond(item.started, rx.fragment(" · ", since(item.started)), rx.fragment()),
                rx.cond(item.usual, rx.fragment(" of usually ", item.usual), rx.fragment()),
                rx.cond(item.lines, rx.fragment(" · ", item.lines), rx.fragment()),
                class_name="mute sm",
            ),
            rx.cond(item.line, rx.el.div(item.line, class_name="mono faint cut"), rx.fragment()),
        ),
        cell(
            button("Stop", kind="danger", small=True, on_click=_Home.stop(item.id).stop_propagation)
        ),
        href=item.href,
        key=item.id,
    )


def _failed_card() -> rx.Component:
    rows = table(
        (Column(width="auto"), Column(), Column(width="auto")),
        rx.foreach(_Home.failed_rows, _failed_row),
        label="Failed since yesterday",
        heads=False,
    )
    nothing = empty_state("Nothing failed since yesterday.", _Home.tally, icon_name="check")
    return card(
        when_loaded(
            _Home.loaded,
            rx.cond(_Home.failed_rows.length() > 0, rows, nothing),
            rows=2,
            height=52,
        ),
        title="Needs a look",
        note="failed since yesterday",
        actions=[
            rx.cond(
                _Home.failed_rows,
                link("All failed runs", href=f"{routes.RUNS}?status=failed", class_name="mute sm"),
                rx.fragment(),
            )
        ],
        flush=True,
    )


def _failed_row(item: Any) -> rx.Component:
    return row(
        cell(status_pill(item.status, reason=item.reason)),
        cell(
            cell_title(item.name, href=item.href),
            rx.el.div(item.why, class_name="mute sm cut"),
        ),
        cell(small(when(item.at)), right=True),
        href=item.href,
        key=item.id,
    )


def _coming_card() -> rx.Component:
    rows = table(
        (Column(), Column(width="auto")),
        rx.foreach(_Home.coming_rows, _coming_row),
        label="The next ten fires",
        heads=False,
    )
    nothing = empty_state(
        "Nothing is scheduled.",
        "Open an event and say when it should run.",
        icon_name="clock",
    )
    return card(
        when_loaded(_Home.loaded, rx.cond(_Home.coming_rows.length() > 0, rows, nothing), rows=3),
        title="Coming up",
        note="in your time",
        flush=True,
    )


def _coming_row(item: Any) -> rx.Component:
    return row(
        cell(
            cell_title(item.name, href=item.href),
            rx.el.div(item.words, ", ", item.zone, class_name="mute sm cut"),
        ),
        cell(
            when(item.at, show="relative"),
            rx.el.div(when(item.at, show="absolute"), class_name="faint sm"),
            right=True,
        ),
        href=item.href,
        key=item.key,
    )


def _engine_card() -> rx.Component:
    rows = table(
        (Column(), Column(width="auto")),
        rx.foreach(_Home.images, _image_row),
        label="Images",
        heads=False,
    )
    return card(
        rx.cond(
            _Home.engine_detail,
            rx.el.p(_Home.engine_detail, class_name="mute sm pad"),
            rx.fragment(),
        ),
        when_loaded(
            _Home.loaded,
            rx.cond(
                _Home.images.length() > 0,
                rows,
                empty_state("The engine has not reported its images yet."),
            ),
            rows=3,
        ),
        title="Engine",
        note=AppState.engine_text,
        flush=True,
    )


def _image_row(item: Any) -> rx.Component:
    return row(
        cell(
            mono(item.name),
            rx.cond(item.why, rx.el.div(item.why, class_name="mute sm wrap"), rx.fragment()),
            rx.cond(
                item.percent >= 0,
                progress(item.percent, label="Progress of the image"),
                rx.fragment(),
            ),
        ),
        cell(tone_pill(item.text, tone=item.tone), right=True),
        key=item.name,
    )


HOME = Page(route=routes.HOME, component=home_page, title="Home", on_load=HomeState.load)
