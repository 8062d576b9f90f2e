# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""The history over all events. Filters and the place in the list live in the address."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import reflex as rx

from cronium_app.actions import pages, runs
from cronium_app.actions.commands import RunFilter, checked
from cronium_app.actions.errors import CroniumError
from cronium_app.actions.views import RunRow
from cronium_app.domain.permissions import Permission
from cronium_app.services import services
from cronium_app.ui import guard, push, routes, words
from cronium_app.ui.components import (
    Column,
    card,
    cell,
    cell_title,
    chips,
    duration,
    empty_state,
    lang_badge,
    link_button,
    notice,
    pagination,
    query_chip,
    row,
    search_input,
    select,
    since,
    status_pill,
    table,
    tag,
    when,
    when_loaded,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.page import Page
from cronium_app.ui.pages.frame import FRAME_NOUNS, enter, frame, typed
from cronium_app.ui.state import AppState, address

PAGE_SIZE: Final = 50
TIMES: Final = (
    ("", "Any time"),
    ("1h", "Last hour"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
)
_SPANS: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
TRIGGERS: Final = (
    ("", "Any trigger"),
    ("schedule", "Schedule"),
    ("manual", "Run now"),
    ("api", "API"),
    ("test", "Test"),
)
_KEYS: Final = ("status", "event", "trigger", "time", "text", "from", "to")


@dataclass(frozen=True)
class Line:
    """One run, ready to be shown."""

    id: str
    href: str
    name: str
    runtime: str
    status: str
    reason: str
    why: str
    by: str
    test: bool
    created: str
    started: str
    seconds: float  # -1 while it is not finished
    live: bool


class RunsState(AppState):
    """At most fifty rows, and what the address says."""

    loaded: bool = False
    rows: list[Line] = []
    live_lines: dict[str, list[str]] = {}  # of running runs: how many, and the last one
    status: str = ""
    event: str = ""
    trigger: str = ""
    time: str = ""
    text: str = ""
    filtered: bool = False
    problem: str = ""
    event_options: list[list[str]] = []
    prev_href: str = ""
    next_href: str = ""
    last_href: str = ""
    first_href: str = ""
    summary: str = ""

    @rx.event
    @needs(Permission.VIEW)
    async def load(self) -> Any:
        push.watch(
            self,
            guard.actor(),
            {"run": push.ANY, push.LIVE: push.ANY} | FRAME_NOUNS,
            RunsState.refresh,
            RunsState.show_live,
        )
        here = self._address()
        self._put(**{key: here[key] for key in ("status", "event", "trigger", "time", "text")})
        self._put(filtered=any(here[key] for key in _KEYS[:5]))
        await self._show()
        yield  # the rows are sent before the filter's choices are looked up
        names = await pages.event_names(services(), guard.actor())
        self._put(event_options=[["", "Any event"], *([key, name] for key, name in names)])

    @rx.event
    @needs(Permission.VIEW)
    async def refresh(self) -> None:
        if self.router.url.path.rstrip("/") == routes.RUNS:
            await self._show()

    @rx.event
    @needs(Permission.VIEW)
    async def show_live(self) -> None:
        """A push: a running run has printed something."""
        self._put(live_lines=await live_lines(self.rows))

    @rx.event
    @needs(Permission.VIEW)
    def filter_text(self, text: str) -> Any:
        return self._go(text=typed(text, 200).strip())

    @rx.event
    @needs(Permission.VIEW)
    def filter_event(self, event_id: str) -> Any:
        return self._go(event=typed(event_id, 36))

    @rx.event
    @needs(Permission.VIEW)
    def filter_trigger(self, trigger: str) -> Any:
        return self._go(trigger=typed(trigger, 20))

    @rx.event
    @needs(Permission.VIEW)
    def filter_time(self, time: str) -> Any:
        return self._go(time=typed(time, 10))

    def _address(self) -> dict[str, str]:
        return {key: self._query(key) for key in _KEYS}

    def _go(self, **changed: str) -> Any:
        """The same list with another filter, from its first page."""
        query = self._address() | {"from": "", "to": ""} | changed
        return rx.redirect(address(routes.RUNS, query), replace=True)

    async def _show(self) -> None:
        svc, actor = await enter(self)
        here = self._address()
        try:
            page = await runs.list_runs(
                svc,
                actor,
                _filter(here, svc.clock.now()),
                cursor=here["from"] or None,
                last=here["to"] == "last",
                limit=PAGE_SIZE,
            )
        except CroniumError as error:
            self._put(loaded=True, rows=[], problem=error.message, prev_href="", next_href="")
            return
        base = here | {"from": "", "to": ""}
        rows = [line(item) for item in page.items]
        self._put(
            loaded=True,
            problem="",
            rows=rows,
            live_lines=await live_lines(rows),
            prev_href=address(routes.RUNS, base | {"from": page.prev}) if page.prev else "",
            next_href=address(routes.RUNS, base | {"from": page.next}) if page.next else "",
            first_href=address(routes.RUNS, base) if page.prev else "",
            last_href=address(routes.RUNS, base | {"to": "last"}) if page.next else "",
            summary=_summary(len(page.items), bool(page.prev), bool(page.next)),
        )


def _filter(here: dict[str, str], now: Any) -> RunFilter:
    back = _SPANS.get(here["time"])
    return checked(
        RunFilter,
        {
            "status": here["status"] or None,
            "event_id": here["event"] or None,
            "trigger": here["trigger"] or None,
            "since": now - back if back else None,
            "text": here["text"] or None,
            "include_tests": here["trigger"] == "test",
        },
    )


def _summary(count: int, newer: bool, older: bool) -> str:
    if not newer and not older:
        return words.plural(count, "run")
    return f"{words.plural(count, 'run')} on this page, newest first"


def line(view: RunRow) -> Line:
    return Line(
        id=view.id,
        href=routes.run_url(view.id),
        name=view.event_name,
        runtime=view.runtime,
        status=view.status,
        reason=view.reason or "",
        why=view.waiting_text if view.status == "queued" else view.reason_text,
        by=words.trigger(view.trigger, view.triggered_by),
        test=view.trigger == "test",
        created=words.iso(view.created_at),
        started=words.iso(view.started_at),
        seconds=-1 if view.duration_ms is None else view.duration_ms / 1000,
        live=view.status == "running",
    )


async def live_lines(rows: list[Line]) -> dict[str, list[str]]:
    """What `runs_table` shows of the rows that are running."""
    running = [row.id for row in rows if row.live]
    found = await pages.live_lines(services(), guard.actor(), running)
    return {
        run_id: [words.plural(live.lines, "line"), words.plain_line(live.last_line)]
        for run_id, live in found.items()
        if live.lines
    }


# --- the page ---------------------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Runs: Any = RunsState


def runs_page() -> rx.Component:
    return frame(
        _filters(),
        rx.cond(
            _Runs.problem,
            notice(
                _Runs.problem,
                tone="warn",
                action=link_button("Show all runs", href=routes.RUNS, small=True),
            ),
            rx.fragment(),
        ),
        card(
            when_loaded(
                _Runs.loaded,
                rx.cond(
                    _Runs.rows.length() > 0, runs_table(_Runs.rows, _Runs.live_lines), _nothing()
                ),
                rows=12,
            ),
            flush=True,
        ),
        rx.el.div(
            pagination(
                text=_Runs.summary,
                prev_href=_Runs.prev_href,
                next_href=_Runs.next_href,
            ),
            rx.cond(
                _Runs.first_href,
                link_button("Newest", href=_Runs.first_href, small=True),
                rx.fragment(),
            ),
            rx.cond(
                _Runs.last_href,
                link_button("Oldest", href=_Runs.last_href, small=True),
                rx.fragment(),
            ),
            class_name="line pager",
        ),
        title="Runs",
    )


def _filters() -> rx.Component:
    return rx.el.div(
        chips(
            query_chip("All", name="status", value=""),
            *[
                query_chip(status.capitalize(), name="status", value=status, tone=status)
                for status in words.STATUSES
            ],
        ),
        rx.el.div(
            search_input(
                _Runs.text,
                on_change=_Runs.filter_text,
                placeholder="Search event, person, how it ended",
            ),
            select(
                _Runs.event,
                _Runs.event_options,
                on_change=_Runs.filter_event,
                aria_label="Event",
            ),
            select(
                _Runs.trigger,
                TRIGGERS,
                on_change=_Runs.filter_trigger,
                aria_label="Trigger",
            ),
            select(_Runs.time, TIMES, on_change=_Runs.filter_time, aria_label="Time"),
            class_name="line filters",
        ),
        class_name="stack-sm filters-box",
    )


def runs_table(rows: Any, live: Any, *, with_event: bool = True) -> rx.Component:
    """A list of runs; `live` as from `live_lines`; `with_event` says whose they are."""
    return table(
        (
            Column("Status", "118px"),
            Column("Event" if with_event else "Run", "minmax(140px, 1fr)"),
            Column("How it ended", "minmax(140px, 1.4fr)"),
            Column("Started by", "minmax(110px, .8fr)"),
            Column("When", "110px"),
            Column("Took", "84px", right=True),
        ),
        rx.foreach(rows, lambda item: _row(item, live, with_event=with_event)),
        label="Runs",
    )


def _row(item: Any, live: Any, *, with_event: bool) -> rx.Component:
    name = cell_title(item.name, href=item.href)
    if not with_event:
        name = cell_title(when(item.created, show="absolute"), href=item.href)
    return row(
        cell(status_pill(item.status, reason=item.reason)),
        cell(
            lang_badge(item.runtime) if with_event else None,
            name,
            rx.cond(item.test, tag("test"), rx.fragment()),
            class_name="line",
        ),
        cell(
            rx.cond(
                item.live & live.contains(item.id),
                rx.fragment(
                    rx.el.span(live[item.id][0], class_name="sm"),
                    rx.el.span(live[item.id][1], class_name="mono faint live-line"),
                ),
                item.why,
            ),
            phone="line",
            class_name="mute",
        ),
        cell(item.by, phone="hide", class_name="mute"),
        cell(when(item.created), class_name="mute"),
        cell(
            rx.cond(
                item.seconds >= 0,
                duration(item.seconds),
                rx.cond(item.live, since(item.started), words.NONE),
            ),
            right=True,
            phone="hide",
            class_name="mute",
        ),
        href=item.href,
        key=item.id,
        class_name="runs-list",
    )


def _nothing() -> rx.Component:
    return rx.cond(
        _Runs.filtered,
        empty_state(
            "No run matches these filters.",
            "Take one away, or look at all of them.",
            action=link_button("Show all runs", href=routes.RUNS),
            icon_name="search",
        ),
        empty_state(
            "Nothing has run yet.",
            "Runs appear here by themselves: press Run now on an event, or give it a schedule.",
            action=link_button("Events", href=routes.EVENTS),
            icon_name="runs",
        ),
    )


RUNS = Page(route=routes.RUNS, component=runs_page, title="Runs", on_load=RunsState.load)
