# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""The list of events: health without reading, when next in words, and Run now in one click."""

from dataclasses import dataclass
from typing import Any, Final

import reflex as rx

from cronium_app.actions import events, runs
from cronium_app.actions.commands import EventPatch, RunIn
from cronium_app.actions.views import EventRow
from cronium_app.domain.permissions import Permission
from cronium_app.services import services
from cronium_app.ui import guard, push, routes, words
from cronium_app.ui.components import (
    Column,
    button,
    card,
    cell,
    cell_title,
    chips,
    duration,
    empty_state,
    filter_chip,
    lang_badge,
    link_button,
    pagination,
    row,
    search_input,
    switch,
    table,
    tag,
    ticks,
    tone_pill,
    when,
    when_loaded,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.page import Page
from cronium_app.ui.pages.frame import FRAME_NOUNS, enter, frame, typed
from cronium_app.ui.pages.templates import template_cards
from cronium_app.ui.state import AppState, address

PAGE_SIZE: Final = 50
_KEYS: Final = ("search", "tag", "archived", "from")


@dataclass(frozen=True)
class Line:
    """One event, ready to be shown."""

    id: str
    href: str
    name: str
    tags: list[str]
    runtime: str
    enabled: bool
    archived: bool
    when_words: str
    more: str  # "and 2 more schedules"
    zone: str
    next_at: str
    seconds: float  # of the last run; -1 if there is none
    ticks: list[dict[str, str]]


class EventsState(AppState):
    """At most fifty rows, and what the address says."""

    loaded: bool = False
    rows: list[Line] = []
    total: str = ""
    search: str = ""
    chosen_tag: str = ""
    archived: bool = False
    tags: list[list[str]] = []  # name, address
    all_href: str = routes.EVENTS
    archived_href: str = ""
    prev_href: str = ""
    next_href: str = ""
    filtered: bool = False

    @rx.event
    @needs(Permission.VIEW)
    async def load(self) -> None:
        nouns = {"run": push.ANY, "event": push.ANY, "schedule": push.ANY}
        push.watch(self, guard.actor(), nouns | FRAME_NOUNS, EventsState.refresh)
        here = self._address()
        self._put(
            search=here["search"],
            chosen_tag=here["tag"],
            archived=here["archived"] == "yes",
            filtered=bool(here["search"] or here["tag"]),
        )
        await self._show()

    @rx.event
    @needs(Permission.VIEW)
    async def refresh(self) -> None:
        if self.router.url.path.rstrip("/") == routes.EVENTS:
            await self._show()

    @rx.event
    @needs(Permission.VIEW)
    def find(self, text: str) -> Any:
        query = self._address() | {"search": typed(text, 200).strip(), "from": ""}
        return rx.redirect(address(routes.EVENTS, query), replace=True)

    @rx.event
    @needs(Permission.EDIT)
    async def enable(self, event_id: str, on: bool) -> None:
        patch = EventPatch(enabled=on is True)
        await events.update(services(), guard.actor(), typed(event_id, 36), patch)
        await self._show()

    @rx.event
    @needs(Permission.RUN)
    async def run_now(self, event_id: str) -> Any:
        view = await runs.start(services(), guard.actor(), typed(event_id, 36), RunIn())
        return rx.redirect(routes.run_url(view.id))

    @rx.event
    @needs(Permission.EDIT)
    async def restore(self, event_id: str) -> Any:
        await events.restore(services(), guard.actor(), typed(event_id, 36))
        await self._show()
        return rx.toast.success("The event is back in the list.")

    def _address(self) -> dict[str, str]:
        return {key: self._query(key) for key in _KEYS}

    async def _show(self) -> None:
        svc, actor = await enter(self)
        here = self._address()
        page = await events.list_events(
            svc,
            actor,
            search=here["search"],
            tag=here["tag"] or None,
            archived=here["archived"] == "yes",
            cursor=here["from"] or None,
            limit=PAGE_SIZE,
        )
        base = here | {"from": ""}
        known = await events.tags(svc, actor)
        self._put(
            loaded=True,
            rows=[_line(item) for item in page.items],
            tags=[[t, address(routes.EVENTS, base | {"tag": t})] for t in known[:30]],
            all_href=address(routes.EVENTS, base | {"tag": "", "archived": ""}),
            archived_href=address(routes.EVENTS, base | {"archived": "yes", "tag": ""}),
            prev_href=address(routes.EVENTS, base | {"from": page.prev}) if page.prev else "",
            next_href=address(routes.EVENTS, base | {"from": page.next}) if page.next else "",
            total="" if page.next or page.prev else words.number(len(page.items)),
        )


def _line(view: EventRow) -> Line:
    more = len(view.schedule_words) - 1
    return Line(
        id=view.id,
        href=routes.event_url(view.id),
        name=view.name,
        tags=view.tags[:6],
        runtime=view.runtime,
        enabled=view.enabled,
        archived=view.archived,
        when_words=view.schedule_words[0] if view.schedule_words else "by hand or by the API",
        more=f"and {words.plural(more, 'more schedule')}" if more > 0 else "",
        zone=view.schedule_timezone if view.schedule_words else "",
        next_at=words.iso(view.next_fire_at),
        seconds=-1 if view.last_duration_ms is None else view.last_duration_ms / 1000,
        ticks=[
            {
                "status": tick.status,
                "reason": tick.reason or "",
                "title": words.tick_title(
                    tick.status,
                    tick.reason,
                    None if tick.duration_ms is None else tick.duration_ms / 1000,
                ),
                "href": routes.run_url(tick.run_id),
            }
            for tick in view.ticks
        ],
    )


# --- the page ---------------------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Events: Any = EventsState


def events_page() -> rx.Component:
    return frame(
        _filters(),
        when_loaded(
            _Events.loaded,
            rx.cond(_Events.rows.length() > 0, _list(), _nothing()),
            rows=8,
            height=56,
        ),
        title="Events",
        beside=rx.el.span(_Events.total, class_name="count"),
        actions=[link_button("New event", href=routes.EVENT_NEW, kind="primary", icon_name="plus")],
    )


def _filters() -> rx.Component:
    return rx.el.div(
        search_input(_Events.search, on_change=_Events.find, placeholder="Search name or tag"),
        chips(
            filter_chip(
                "All",
                href=_Events.all_href,
                active=(_Events.chosen_tag == "") & ~_Events.archived,
            ),
            rx.foreach(
                _Events.tags,
                lambda item: filter_chip(
                    item[0],
                    href=item[1],
                    active=_Events.chosen_tag == item[0],
                ),
            ),
            filter_chip("Archived", href=_Events.archived_href, active=_Events.archived),
        ),
        class_name="line filters-box",
    )


def _list() -> rx.Component:
    return rx.fragment(
        card(
            table(
                (
                    Column("", "24px"),
                    Column("Event", "minmax(160px, 1.3fr)"),
                    Column("When", "minmax(150px, 1fr)"),
                    Column("Next", "130px"),
                    Column("Last 30 runs", "190px"),
                    Column("Took", "76px", right=True),
                    Column("", "132px", right=True),
                ),
                rx.foreach(_Events.rows, _row),
                label="Events",
            ),
            flush=True,
        ),
        rx.cond(
            (_Events.prev_href != "") | (_Events.next_href != ""),
            pagination(
                text="In the order of their names",
                prev_href=_Events.prev_href,
                next_href=_Events.next_href,
            ),
            rx.fragment(),
        ),
    )


def _row(item: Any) -> rx.Component:
    acts = rx.cond(
        item.archived,
        button("Restore", small=True, on_click=_Events.restore(item.id)),
        rx.fragment(
            button(
                "Run now",
                small=True,
                icon_name="play",
                on_click=_Events.run_now(item.id),
            ),
            switch(
                item.enabled,
                on_change=lambda on: _Events.enable(item.id, on),
                spoken="Schedules of " + item.name,
            ),
        ),
    )
    return row(
        cell(lang_badge(item.runtime)),
        cell(
            cell_title(item.name, href=item.href),
            rx.foreach(item.tags, lambda name: tag(name)),
            rx.cond(item.archived, tone_pill("archived", tone="none"), rx.fragment()),
            class_name="line",
        ),
        cell(
            rx.el.div(item.when_words, class_name="cut"),
            rx.el.div(item.zone, " ", item.more, class_name="faint sm cut"),
            phone="line",
        ),
        cell(
            rx.cond(
                item.next_at,
                rx.fragment(
                    rx.el.div(when(item.next_at, show="relative")),
                    rx.el.div(when(item.next_at, show="absolute"), class_name="faint sm"),
                ),
                rx.el.span(rx.cond(item.enabled, words.NONE, "off"), class_name="faint"),
            ),
            phone="hide",
            class_name="mute",
        ),
        cell(ticks(item.ticks), phone="line"),
        cell(
            rx.cond(item.seconds >= 0, duration(item.seconds), rx.fragment()),
            right=True,
            phone="hide",
            class_name="mute",
        ),
        cell(acts, right=True, class_name="line row-acts"),
        href=item.href,
        key=item.id,
    )


def _nothing() -> rx.Component:
    return rx.cond(
        _Events.filtered,
        empty_state(
            "No event matches.",
            "Search for another name or tag.",
            action=link_button("Show all events", href=routes.EVENTS),
            icon_name="search",
        ),
        rx.cond(
            _Events.archived,
            empty_state(
                "Nothing is archived.",
                "An archived event keeps its history and never fires.",
                action=link_button("Show all events", href=routes.EVENTS),
                icon_name="archive",
            ),
            rx.el.div(
                empty_state(
                    "No events yet.",
                    "An event is a script with the place it runs in and the times it runs at. "
                    "Start from one of these; each runs as it is.",
                    icon_name="events",
                ),
                template_cards(),
                class_name="stack",
            ),
        ),
    )


EVENTS = Page(
    route=routes.EVENTS,
    component=events_page,
    title="Events",
    on_load=EventsState.load,
)
