# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""One event: its editor, its runs, its history, and what may be done with it as a whole."""

from dataclasses import dataclass
from typing import Any, Final

import reflex as rx

from cronium_app.actions import events, runs
from cronium_app.actions.commands import EventPatch, RunFilter, RunIn
from cronium_app.actions.errors import NotFound
from cronium_app.actions.views import ContentView, EventView, RevisionRow
from cronium_app.domain.permissions import Permission
from cronium_app.services import services
from cronium_app.ui import guard, push, routes, words
from cronium_app.ui.components import (
    Column,
    button,
    card,
    cell,
    cell_title,
    code_line,
    confirm_dialog,
    diff_view,
    empty_state,
    link,
    link_button,
    mono,
    mute,
    row,
    skeleton,
    switch,
    table,
    tabs,
    tone_pill,
    when,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.page import Page
from cronium_app.ui.pages.editor import (
    EditorState,
    dirty,
    editor_actions,
    editor_body,
    find_template,
)
from cronium_app.ui.pages.frame import FRAME_NOUNS, enter, frame, not_found
from cronium_app.ui.pages.runs import Line, line, live_lines, runs_table
from cronium_app.ui.pages.schedules import ScheduleState, browser_zone
from cronium_app.ui.pages.templates import template_cards, template_url
from cronium_app.ui.state import AppState, address

TABS: Final = (
    ("", "Editor"),
    ("runs", "Runs"),
    ("history", "History"),
    ("settings", "Settings"),
)
SHOWN_RUNS: Final = 30


@dataclass(frozen=True)
class RevisionLine:
    """One save."""

    number: int
    href: str
    at: str
    by: str
    newest: bool


class EventState(AppState):
    """The event that the address names, apart from its editor."""

    ready: bool = False
    missing: bool = False
    tab: str = ""
    id: str = ""
    name: str = ""
    revision: int = 0
    enabled: bool = True
    archived: bool = False
    has_schedules: bool = False
    language: str = "python"
    runs: list[Line] = []
    live_lines: dict[str, list[str]] = {}
    all_runs_href: str = ""
    history: list[RevisionLine] = []
    compared: int = 0  # the revision whose changes are shown
    before: str = ""
    after: str = ""
    changes: list[list[str]] = []  # what else changed: name, before, after
    asking_delete: bool = False
    goes: list[str] = []

    @rx.event
    @needs(Permission.VIEW)
    async def load(self) -> Any:
        event_id = self._part("events")
        if self.id != event_id:
            self._put(ready=False, missing=False, id=event_id, name="", runs=[], history=[])
        tab = self._query("tab")
        self._put(tab=tab if tab in dict(TABS) else "", asking_delete=False)
        nouns = {"event": frozenset({event_id}), "run": push.ANY, "schedule": push.ANY}
        if self.tab == "runs":
            nouns |= {push.LIVE: push.ANY}
        push.watch(
            self, guard.actor(), nouns | FRAME_NOUNS, EventState.refresh, EventState.show_live
        )
        await self._show(event_id)
        if self.missing or self.tab:
            return None
        editor = await self.get_state(EditorState)
        editor._put(test_run=self._query("test"))
        await editor._watch_test()
        return [editor._ask_fields(), browser_zone()]

    @rx.event
    @needs(Permission.VIEW)
    async def refresh(self) -> None:
        if event_id := self._part("events"):
            await self._show(event_id)
            editor = await self.get_state(EditorState)
            await editor._watch_test()

    @rx.event
    @needs(Permission.VIEW)
    async def show_live(self) -> None:
        """A push: a running run has printed something."""
        self._put(live_lines=await live_lines(self.runs))

    @rx.event
    @needs(Permission.EDIT)
    async def enable(self, on: bool) -> None:
        patch = EventPatch(enabled=on is True)
        await events.update(services(), guard.actor(), self._part("events"), patch)
        await self._show(self._part("events"))

    @rx.event
    @needs(Permission.RUN)
    async def run_now(self) -> Any:
        event_id = self._part("events")
        view = await runs.start(services(), guard.actor(), event_id, RunIn())
        return rx.redirect(routes.run_url(view.id))

    @rx.event
    @needs(Permission.EDIT)
    async def restore_revision(self, number: int) -> Any:
        number = number if type(number) is int else 0
        view = await events.restore_revision(
            services(), guard.actor(), self._part("events"), number
        )
        await self._show(view.id)
        return [
            rx.redirect(address(routes.event_url(view.id), {"tab": "history"}), replace=True),
            rx.toast.success(f"Revision {number} is the newest again, as {view.revision}."),
        ]

    @rx.event
    @needs(Permission.EDIT)
    async def duplicate(self) -> Any:
        view = await events.duplicate(services(), guard.actor(), self._part("events"))
        return [
            rx.redirect(routes.event_url(view.id)),
            rx.toast.success(f"This is the copy: {view.name}."),
        ]

    @rx.event
    @needs(Permission.EDIT)
    async def archive(self) -> Any:
        await events.archive(services(), guard.actor(), self._part("events"))
        await self._show(self._part("events"))
        return rx.toast.success("Archived. It keeps its history and does not fire.")

    @rx.event
    @needs(Permission.EDIT)
    async def unarchive(self) -> Any:
        await events.restore(services(), guard.actor(), self._part("events"))
        await self._show(self._part("events"))
        return rx.toast.success("Restored. Its schedules fire again if they are on.")

    @rx.event
    @needs(Permission.EDIT)
    async def ask_delete(self) -> Any:
        preview = await events.delete_preview(services(), guard.actor(), self._part("events"))
        goes = [
            words.plural(preview.runs, "run") + " with what they printed"
            f" ({words.size(preview.log_bytes)} of logs)",
            words.plural(preview.schedules, "schedule"),
            "every revision of its script",
        ]
        self._put(asking_delete=not preview.running, goes=goes)
        if preview.running:
            return rx.toast.warning("A run of it has not ended yet. Stop it first, then delete.")
        return None

    @rx.event
    @needs(Permission.EDIT)
    def keep(self) -> None:
        self._put(asking_delete=False)

    @rx.event
    @needs(Permission.EDIT)
    async def delete(self) -> Any:
        await events.delete(services(), guard.actor(), self._part("events"))
        self._put(asking_delete=False)
        return [rx.redirect(routes.EVENTS, replace=True), rx.toast.success("Deleted.")]

    # --- inside -------------------------------------------------------------------------

    async def _show(self, event_id: str) -> None:
        svc, actor = await enter(self)
        try:
            view = await events.get(svc, actor, event_id)
        except NotFound:
            self._put(ready=True, missing=True)
            return
        self._put(
            ready=True,
            missing=False,
            name=view.name,
            revision=view.revision,
            enabled=view.enabled,
            archived=view.archived,
            has_schedules=bool(view.schedules),
            language=view.runtime,
        )
        shown = await self.get_state(ScheduleState)
        shown._take(view.id, view.schedules)
        await self._show_tab(view)

    async def _show_tab(self, view: EventView) -> None:
        match self.tab:
            case "runs":
                await self._show_runs(view.id)
            case "history":
                await self._show_history(view)
            case "settings":
                pass
            case _:
                await self._show_editor(view)

    async def _show_editor(self, view: EventView) -> None:
        editor = await self.get_state(EditorState)
        number = _whole(self._query("revision"))
        if number and number != view.revision:
            try:
                old = await events.revision(services(), guard.actor(), view.id, number)
            except NotFound:
                number = 0
            else:
                editor._take(view, old.content, number)
                return
        editor._take(view, None, 0)

    async def _show_runs(self, event_id: str) -> None:
        page = await runs.list_runs(
            services(),
            guard.actor(),
            RunFilter(event_id=event_id, include_tests=True),
            limit=SHOWN_RUNS,
        )
        rows = [line(item) for item in page.items]
        self._put(
            runs=rows,
            live_lines=await live_lines(rows),
            all_runs_href=address(routes.RUNS, {"event": event_id}) if page.next else "",
        )

    async def _show_history(self, view: EventView) -> None:
        svc, actor = services(), guard.actor()
        saved = await events.list_revisions(svc, actor, view.id)
        self._put(history=[_revision(view, item) for item in saved[:200]])
        numbers = [item.number for item in saved]
        chosen = _whole(self._query("rev")) or (numbers[0] if numbers else 0)
        if chosen not in numbers:
            self._put(compared=0, before="", after="", changes=[])
            return
        after = (await events.revision(svc, actor, view.id, chosen)).content
        older = [number for number in numbers if number < chosen]
        before = (await events.revision(svc, actor, view.id, max(older))).content if older else None
        self._put(
            compared=chosen,
            before=before.script if before else "",
            after=after.script,
            changes=_changes(before, after),
        )


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def _revision(view: EventView, item: RevisionRow) -> RevisionLine:
    return RevisionLine(
        number=item.number,
        href=address(routes.event_url(view.id), {"tab": "history", "rev": str(item.number)}),
        at=words.iso(item.created_at),
        by=item.created_by,
        newest=item.number == view.revision,
    )


def _changes(before: ContentView | None, after: ContentView) -> list[list[str]]:
    """What differs beside the script: name of the setting, before, after."""
    if before is None:
        return []
    old, new = before.model_dump(mode="json"), after.model_dump(mode="json")
    changed: list[list[str]] = []
    for key in new:
        if key in ("script", "env", "target") or old[key] == new[key]:
            continue
        changed.append([key, _value(old[key]), _value(new[key])])
    for name in sorted({*before.env, *after.env}):
        was, now = before.env.get(name, words.NONE), after.env.get(name, words.NONE)
        if was != now:
            changed.append([name, was[:100], now[:100]])
    return changed


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) or words.NONE


class NewEventState(AppState):
    """The chooser and the editor of an event that is not saved yet."""

    choosing: bool = True
    title: str = "New event"

    @rx.event
    @needs(Permission.EDIT)
    async def load(self) -> Any:
        await enter(self)
        push.watch(self, guard.actor(), dict(FRAME_NOUNS), NewEventState.refresh)
        template = find_template(self._query("template"))
        self._put(choosing=template is None)
        if template is None:
            return None
        editor = await self.get_state(EditorState)
        form = await self.get_state(ScheduleState)
        form._take("", [])
        editor._take_template(template)
        editor._put(test_run=self._query("test"))
        await editor._watch_test()
        return [editor._ask_fields(), browser_zone()]

    @rx.event
    @needs(Permission.VIEW)
    async def refresh(self) -> None:
        await enter(self)


# --- the pages --------------------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Event: Any = EventState
_New: Any = NewEventState
_Editor: Any = EditorState


def event_page() -> rx.Component:
    shown = _Event.ready & ~_Event.missing
    return frame(
        rx.cond(
            _Event.missing,
            not_found("event", routes.EVENTS, "All events"),
            rx.cond(_Event.ready, _body(), skeleton(rows=10)),
        ),
        title=_Event.name,
        crumbs=[("Events", routes.EVENTS)],
        beside=rx.el.span(
            rx.cond(_Event.archived, tone_pill("archived", tone="none"), rx.fragment()),
            rx.cond(dirty() & (_Event.tab == ""), tone_pill("unsaved", tone="warn"), rx.fragment()),
            class_name="line",
        ),
        actions=[
            rx.cond(
                shown & (_Event.tab == ""),
                editor_actions(new=False),
                rx.cond(
                    shown,
                    button("Run now", icon_name="play", on_click=_Event.run_now),
                    rx.fragment(),
                ),
            )
        ],
    )


def _body() -> rx.Component:
    base = routes.event_url(_Event.id)
    return rx.el.div(
        tabs(
            [(f"{base}?tab={key}" if key else base, name) for key, name in TABS],
            active=rx.cond(_Event.tab, f"{base}?tab={_Event.tab}", base),
            label="About this event",
        ),
        rx.match(
            _Event.tab,
            ("runs", _runs()),
            ("history", _history()),
            ("settings", _settings()),
            editor_body(new=False),
        ),
        class_name="event-body",
    )


def _runs() -> rx.Component:
    return rx.el.div(
        card(
            rx.cond(
                _Event.runs.length() > 0,
                runs_table(_Event.runs, _Event.live_lines, with_event=False),
                empty_state(
                    "It has not run yet.",
                    "Press Run now, or give it a schedule in the editor.",
                    icon_name="runs",
                ),
            ),
            flush=True,
        ),
        rx.cond(
            _Event.all_runs_href,
            link_button("All its runs", href=_Event.all_runs_href),
            rx.fragment(),
        ),
        class_name="stack",
    )


def _history() -> rx.Component:
    return rx.el.div(
        card(
            table(
                (Column(), Column(width="auto")),
                rx.foreach(_Event.history, _history_row),
                label="Revisions",
                heads=False,
            ),
            title="Revisions",
            note="one for each save",
            flush=True,
        ),
        rx.cond(_Event.compared > 0, _comparison(), rx.fragment()),
        class_name="cols-history",
    )


def _history_row(item: Any) -> rx.Component:
    return row(
        cell(
            cell_title("Revision " + item.number.to_string(), href=item.href),
            rx.cond(item.newest, tone_pill("newest", tone="ok"), rx.fragment()),
            rx.el.div(item.by, class_name="mute sm cut"),
        ),
        cell(when(item.at), right=True, class_name="mute sm"),
        href=item.href,
        key=item.number,
        data_current=rx.cond(item.number == _Event.compared, "yes", "no"),
    )


def _comparison() -> rx.Component:
    newest = _Event.compared == _Event.revision
    return card(
        rx.cond(
            _Event.changes.length() > 0,
            rx.el.ul(
                rx.foreach(
                    _Event.changes,
                    lambda item: rx.el.li(
                        mono(item[0]), " ", mute(item[1]), " → ", item[2], key=item[0]
                    ),
                ),
                class_name="changes pad",
            ),
            rx.fragment(),
        ),
        rx.cond(
            _Event.before == _Event.after,
            rx.el.p("The script is as before.", class_name="mute pad"),
            diff_view(before=_Event.before, after=_Event.after, language=_Event.language),
        ),
        title="What revision " + _Event.compared.to_string() + " changed",
        actions=[
            rx.cond(
                newest,
                rx.fragment(),
                rx.el.div(
                    link_button(
                        "Open in the editor",
                        small=True,
                        href=routes.event_url(_Event.id)
                        + "?revision="
                        + _Event.compared.to_string(),
                    ),
                    button(
                        "Restore",
                        small=True,
                        kind="primary",
                        on_click=_Event.restore_revision(_Event.compared),
                    ),
                    class_name="line",
                ),
            )
        ],
        flush=True,
    )


def _settings() -> rx.Component:
    return rx.el.div(
        card(
            switch(
                _Event.enabled,
                on_change=_Event.enable,
                label=rx.cond(
                    _Event.enabled,
                    "Its schedules fire. Switch off to pause all of them.",
                    "Its schedules are paused. Run now and the API still work.",
                ),
            ),
            title="Schedules",
        ),
        card(
            rx.el.p("A copy with the same script and settings, and no history.", class_name="mute"),
            button("Duplicate", icon_name="copy", on_click=_Event.duplicate),
            title="Duplicate",
            class_name="stack-card",
        ),
        card(
            rx.cond(
                _Event.archived,
                rx.fragment(
                    rx.el.p(
                        "It is archived: it does not fire and is out of the list.",
                        class_name="mute",
                    ),
                    button("Restore", on_click=_Event.unarchive),
                ),
                rx.fragment(
                    rx.el.p(
                        "Takes it out of the list and stops its schedules. Its history stays, "
                        "and it can be restored at any time.",
                        class_name="mute",
                    ),
                    button("Archive", icon_name="archive", on_click=_Event.archive),
                ),
            ),
            title="Archive",
            class_name="stack-card",
        ),
        card(
            rx.el.p(
                "Deletes the event and everything that belongs to it. This cannot be undone; "
                "archiving can.",
                class_name="mute",
            ),
            button("Delete…", kind="danger", icon_name="trash", on_click=_Event.ask_delete),
            title="Delete",
            class_name="stack-card",
        ),
        card(
            code_line(_Event.id, label="Copy the event's id"),
            title="Id",
            note="for the API",
        ),
        confirm_dialog(
            rx.el.p("With ", rx.el.b(_Event.name), " go, for good:"),
            rx.el.ul(
                rx.foreach(_Event.goes, lambda item: rx.el.li(item, key=item)),
                class_name="bullets",
            ),
            title="Delete this event?",
            opened=_Event.asking_delete,
            confirm="Delete event",
            on_confirm=_Event.delete,
            on_close=_Event.keep,
        ),
        class_name="stack narrow",
    )


def new_event_page() -> rx.Component:
    return frame(
        rx.cond(_New.choosing, _chooser(), editor_body(new=True)),
        title=rx.cond(_New.choosing | (_Editor.name == ""), "New event", _Editor.name),
        crumbs=[("Events", routes.EVENTS)],
        beside=rx.cond(_New.choosing, rx.fragment(), tone_pill("not saved yet", tone="warn")),
        actions=[
            rx.cond(_New.choosing, rx.fragment(), editor_actions(new=True)),
        ],
    )


def _chooser() -> rx.Component:
    return rx.el.div(
        rx.el.p(
            "Start from a template; each runs as it is. Or start ",
            link("empty in Python", href=template_url("empty-python")),
            ", ",
            link("in Node.js", href=template_url("empty-node")),
            " or ",
            link("in Bash", href=template_url("empty-bash")),
            ".",
            class_name="lead",
        ),
        template_cards(),
        class_name="stack",
    )


EVENT = Page(route=routes.EVENT, component=event_page, title="Event", on_load=EventState.load)
EVENT_NEW = Page(
    route=routes.EVENT_NEW,
    component=new_event_page,
    title="New event",
    on_load=NewEventState.load,
)
