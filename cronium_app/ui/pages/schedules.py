# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""When an event runs: its schedules in words, and the form that explains itself while typing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

import reflex as rx

from cronium_app.actions import schedules
from cronium_app.actions.commands import ScheduleIn, SchedulePatch, checked
from cronium_app.actions.errors import CroniumError, Invalid
from cronium_app.actions.views import ScheduleView
from cronium_app.domain.clock import rfc3339
from cronium_app.domain.permissions import Permission
from cronium_app.services import services
from cronium_app.ui import guard, words
from cronium_app.ui.components import (
    button,
    confirm_dialog,
    field,
    field_group,
    form_grid,
    menu,
    menu_item,
    number_input,
    segmented,
    select,
    small,
    switch,
    text_input,
    when,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.pages.frame import typed
from cronium_app.ui.state import AppState

KINDS: Final = (("cron", "Cron"), ("interval", "Every"), ("once", "Once"))
KINDS_OR_NEVER: Final = (*KINDS, ("never", "Never"))
UNITS: Final = (("1", "seconds"), ("60", "minutes"), ("3600", "hours"), ("86400", "days"))
DST: Final = (("once", "Run once, at the next time that exists"), ("skip", "Skip it"))
ZONES: Final = sorted(z for z in available_timezones() if "/" in z and not z.startswith("Etc/"))
_FIELDS: Final = ("kind", "expression", "every", "unit", "at", "timezone", "start", "end", "dst")
# A new schedule begins with something that is right for most and easy to change.
_FRESH: Final = {
    "kind": "cron",
    "expression": "0 6 * * *",
    "every": "15",
    "unit": "60",
    "at": "",
    "start": "",
    "end": "",
    "dst": "once",
}
_BROWSER_ZONE: Final = "() => Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC'"


@dataclass(frozen=True)
class Line:
    """One schedule, ready to be shown."""

    id: str
    words: str
    zone: str
    expression: str
    next_at: str
    ended: bool
    enabled: bool
    note: str


class ScheduleState(AppState):
    """The schedules of the event that is open, and the form."""

    rows: list[Line] = []
    editing: str = ""  # "" no form, "new", or a schedule's id
    form: dict[str, str] = {"timezone": "UTC"} | _FRESH
    errors: dict[str, str] = {}
    preview_words: str = ""
    preview_fires: list[str] = []
    preview_notes: list[str] = []
    removing: str = ""
    removing_words: str = ""

    _event_id: str = "nothing yet"
    _views: dict[str, ScheduleView] = {}
    _zone: str = "UTC"

    def _take(self, event_id: str, views: list[ScheduleView]) -> None:
        """What the page has loaded."""
        if self._event_id != event_id:
            self._put(
                editing="" if event_id else "new",
                errors={},
                removing="",
                preview_words="",
                preview_fires=[],
                preview_notes=[],
            )
            self.form = {"timezone": self._zone} | _FRESH
            if not event_id:
                self.form = self.form | {"kind": "never"}
        self._event_id = event_id
        self._views = {view.id: view for view in views}
        self._put(rows=[_line(view) for view in views])

    def _pending(self) -> ScheduleIn | None:
        """The schedule typed for an event that does not exist yet, or None for never."""
        return None if self.form["kind"] == "never" else _command(self.form)

    # --- handlers -----------------------------------------------------------------------

    @rx.event
    @needs(Permission.EDIT)
    async def zone(self, name: str) -> None:
        """The browser's own time zone: the one that a person means who names none."""
        name = typed(name, 64)
        self._zone = name if name in available_timezones() else "UTC"
        if self.form["timezone"] == "UTC" and self.editing in ("", "new"):
            await self._change(timezone=self._zone)

    @rx.event
    @needs(Permission.EDIT)
    async def add(self) -> None:
        self.form = {"timezone": self._zone} | _FRESH
        self._put(editing="new")
        await self._change()

    @rx.event
    @needs(Permission.EDIT)
    async def edit(self, schedule_id: str) -> None:
        view = self._views.get(typed(schedule_id, 36))
        if view is not None:
            self.form = _form(view)
            self._put(editing=view.id)
            await self._change()

    @rx.event
    @needs(Permission.EDIT)
    def close(self) -> None:
        self._put(editing="", errors={})

    @rx.event
    @needs(Permission.EDIT)
    async def change(self, name: str, text: str) -> None:
        if name in _FIELDS:
            await self._change(**{name: typed(text, 1000)})

    @rx.event
    @needs(Permission.EDIT)
    async def save(self) -> Any:
        svc, actor = services(), guard.actor()
        try:
            command = self._typed()
            if self.editing == "new":
                await schedules.create(svc, actor, self._event_id, command)
            else:
                if patch := _changed(self._views.get(self.editing), command):
                    await schedules.update(svc, actor, self.editing, patch)
        except CroniumError as error:
            self._put(errors={_field(error): error.message})
            return None
        self._put(editing="", errors={})
        await self._reload()
        return rx.toast.success("Scheduled.")

    @rx.event
    @needs(Permission.EDIT)
    async def enable(self, schedule_id: str, on: bool) -> None:
        patch = SchedulePatch(enabled=on is True)
        await schedules.update(services(), guard.actor(), typed(schedule_id, 36), patch)
        await self._reload()

    @rx.event
    @needs(Permission.EDIT)
    def ask_remove(self, schedule_id: str) -> None:
        view = self._views.get(typed(schedule_id, 36))
        self._put(removing=view.id if view else "", removing_words=view.words if view else "")

    @rx.event
    @needs(Permission.EDIT)
    def keep(self) -> None:
        self._put(removing="")

    @rx.event
    @needs(Permission.EDIT)
    async def remove(self) -> Any:
        await schedules.delete(services(), guard.actor(), self.removing)
        self._put(removing="", editing="")
        await self._reload()
        return rx.toast.success("The schedule is gone. Its runs stay in the history.")

    # --- inside -------------------------------------------------------------------------

    async def _change(self, **changed: str) -> None:
        """Take what was typed and say what it means, or what is wrong beside its field."""
        self.form = self.form | changed
        if self.form["kind"] == "never":
            self._put(preview_words="", preview_fires=[], preview_notes=[], errors={})
            return
        try:
            shown = await schedules.preview(services(), guard.actor(), self._typed(), count=5)
        except CroniumError as error:
            self._put(
                errors={_field(error): error.message},
                preview_words="",
                preview_fires=[],
                preview_notes=[],
            )
            return
        self._put(
            errors={},
            preview_words=shown.words,
            preview_fires=[words.iso(fire) for fire in shown.fires],
            preview_notes=shown.notes,
        )

    def _typed(self) -> ScheduleIn:
        return _command(self.form, self._views.get(self.editing))

    async def _reload(self) -> None:
        if self._event_id:
            views = await schedules.list_of_event(services(), guard.actor(), self._event_id)
            self._take(self._event_id, views)


def _field(error: CroniumError) -> str:
    return {"every_s": "every"}.get(error.field or "", error.field or "kind")


def _command(form: dict[str, str], saved: ScheduleView | None = None) -> ScheduleIn:
    """What was typed, as the command of its kind; raises Invalid with the field.

    A field with a date cannot say which of two equal wall times is meant when clocks go back. So a
    moment of the `saved` schedule that nobody touched is taken as it was.
    """
    kind, zone = form["kind"], form["timezone"].strip()

    def moment(field: str) -> Any:
        was: datetime | None = getattr(saved, field, None)
        if saved and was and zone == saved.timezone and form[field] == _wall(was, zone):
            return was
        return form[field] or None

    data: dict[str, Any] = {
        "kind": kind,
        "timezone": zone,
        "start": moment("start"),
        "end": moment("end"),
        "dst": form["dst"],
    }
    if kind == "cron":
        data["expression"] = form["expression"]
    elif kind == "interval":
        data["every_s"] = _seconds(form["every"], form["unit"])
    else:
        data["at"] = moment("at")
    return checked(ScheduleIn, data)


def _changed(saved: ScheduleView | None, command: ScheduleIn) -> SchedulePatch | None:
    """What differs from the saved schedule, or None: a rule that is sent begins anew, and an
    interval would count from now."""
    data = command.model_dump(exclude={"enabled"}, exclude_unset=True)
    if saved is not None:
        was = {name: getattr(saved, name) for name in data}
        was |= {name: rfc3339(at) for name, at in was.items() if isinstance(at, datetime)}
        data = {name: value for name, value in data.items() if value != was[name]}
    return SchedulePatch(**data) if data else None


def _seconds(text: str, unit: str) -> int:
    try:
        value = int(text.strip())
    except ValueError:
        raise Invalid("Enter a whole number.", field="every_s") from None
    if abs(value) > 10**9:
        raise Invalid("That is longer than ten years.", field="every_s")
    return value * int(unit) if unit in dict(UNITS) else value


def _form(view: ScheduleView) -> dict[str, str]:
    every = view.every_s or 900
    unit = next(size for size in (86400, 3600, 60, 1) if every % size == 0)
    return {
        "kind": view.kind,
        "expression": view.expression or "0 6 * * *",
        "every": str(every // unit),
        "unit": str(unit),
        "at": _wall(view.at, view.timezone),
        "timezone": view.timezone,
        "start": _wall(view.start, view.timezone),
        "end": _wall(view.end, view.timezone),
        "dst": view.dst,
    }


def _wall(moment: datetime | None, zone: str) -> str:
    """The moment as its zone's clock shows it, for a date field."""
    if moment is None:
        return ""
    here = moment.astimezone(ZoneInfo(zone))
    return here.strftime("%Y-%m-%dT%H:%M:%S" if here.second else "%Y-%m-%dT%H:%M")


def _line(view: ScheduleView) -> Line:
    return Line(
        id=view.id,
        words=view.words,
        zone=view.timezone,
        expression=view.expression or "",
        next_at=words.iso(view.next_fire_at),
        ended=view.enabled and not view.next_fires,
        enabled=view.enabled,
        note=view.notes[0] if view.notes else "",
    )


# --- the panel --------------------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Schedules: Any = ScheduleState


def browser_zone() -> rx.event.EventSpec:
    """Asks the browser for its time zone; part of `on_load`."""
    return rx.call_function(_BROWSER_ZONE, callback=_Schedules.zone)


def schedule_panel(*, new: bool = False) -> rx.Component:
    """The "When" part beside the editor. `new`: for an event that is not saved yet."""
    if new:
        return field_group("When", _kind(KINDS_OR_NEVER), _form_body(new=True))
    return rx.el.div(
        field_group(
            "When",
            rx.cond(
                _Schedules.rows.length() > 0,
                rx.el.div(rx.foreach(_Schedules.rows, _row), class_name="schedules"),
                rx.cond(
                    _Schedules.editing,
                    rx.fragment(),
                    rx.el.p("Only by hand or by the API.", class_name="mute"),
                ),
            ),
        ),
        rx.cond(
            _Schedules.editing,
            rx.el.div(
                _kind(KINDS),
                _form_body(new=False),
                rx.el.div(
                    button(
                        rx.cond(_Schedules.editing == "new", "Add schedule", "Save schedule"),
                        kind="primary",
                        small=True,
                        on_click=_Schedules.save,
                    ),
                    button("Cancel", small=True, on_click=_Schedules.close),
                    class_name="line",
                ),
                class_name="stack-sm schedule-form",
            ),
            button("Add a schedule", small=True, icon_name="plus", on_click=_Schedules.add),
        ),
        confirm_dialog(
            rx.el.p(
                "It stops firing at once: ",
                rx.el.b(_Schedules.removing_words),
                ". The runs it has started stay in the history.",
            ),
            title="Delete this schedule?",
            opened=_Schedules.removing != "",
            confirm="Delete schedule",
            on_confirm=_Schedules.remove,
            on_close=_Schedules.keep,
        ),
        class_name="stack-sm",
    )


def _row(item: Any) -> rx.Component:
    return rx.el.div(
        switch(
            item.enabled,
            on_change=lambda on: _Schedules.enable(item.id, on),
            spoken="Schedule " + item.words,
        ),
        rx.el.div(
            rx.el.div(item.words),
            rx.el.div(
                rx.cond(
                    item.next_at,
                    rx.fragment("next ", when(item.next_at, show="both", zone=item.zone)),
                    rx.fragment(
                        item.zone,
                        rx.cond(
                            item.ended,
                            ", it has fired for the last time",
                            rx.cond(item.enabled, ", paused with the event", ", off"),
                        ),
                    ),
                ),
                class_name="faint sm",
            ),
            rx.cond(item.note, rx.el.div(item.note, class_name="mute sm"), rx.fragment()),
            class_name="grow",
        ),
        menu(
            menu_item("Edit", on_click=_Schedules.edit(item.id), icon_name="edit"),
            menu_item(
                "Delete", on_click=_Schedules.ask_remove(item.id), icon_name="trash", danger=True
            ),
            label="This schedule",
            small=True,
        ),
        class_name="schedule line",
        key=item.id,
    )


def _kind(kinds: tuple[tuple[str, str], ...]) -> rx.Component:
    return segmented(
        _Schedules.form["kind"],
        kinds,
        on_change=lambda kind: _Schedules.change("kind", kind),
        label="Kind of schedule",
    )


def _form_body(*, new: bool) -> rx.Component:
    kind = _Schedules.form["kind"]
    main = rx.match(
        kind,
        ("cron", _cron()),
        ("interval", _interval()),
        ("once", _once()),
        rx.el.p("It runs when you press Run now, or by the API.", class_name="mute sm"),
    )
    never = rx.fragment() if new else _nothing_more()
    return rx.el.div(
        main,
        rx.cond(kind == "never", never, rx.fragment(_zone_field(), _preview(), _more())),
        class_name="stack-sm",
    )


def _nothing_more() -> rx.Component:
    return rx.fragment()


def _set(name: str) -> Any:
    return lambda text: _Schedules.change(name, text)


def _error(name: str) -> rx.Var[str]:
    return _Schedules.errors.get(name, "").to(str)


def _cron() -> rx.Component:
    return field(
        "Expression",
        text_input(
            _Schedules.form["expression"],
            on_change=_set("expression"),
            mono=True,
            spell_check=False,
            auto_complete="off",
        ),
        hint="minute hour day month weekday; six fields begin with seconds; @daily and its kind",
        error=_error("expression"),
    )


def _interval() -> rx.Component:
    return field(
        "Every",
        rx.el.span(
            number_input(_Schedules.form["every"], on_change=_set("every"), min="1"),
            select(_Schedules.form["unit"], UNITS, on_change=_set("unit"), aria_label="Unit"),
            class_name="line",
        ),
        hint="Counted from the start, without drift; clock changes do not touch it.",
        error=_error("every"),
    )


def _once() -> rx.Component:
    return field(
        "Date and time",
        text_input(_Schedules.form["at"], on_change=_set("at"), kind="datetime-local"),
        error=_error("at"),
    )


def _zone_field() -> rx.Component:
    return rx.fragment(
        field(
            "Time zone",
            text_input(
                _Schedules.form["timezone"],
                on_change=_set("timezone"),
                list="zones",
                auto_complete="off",
            ),
            error=_error("timezone"),
        ),
        rx.el.datalist(*[rx.el.option(value=zone) for zone in ("UTC", *ZONES)], id="zones"),
    )


def _preview() -> rx.Component:
    return rx.el.div(
        rx.cond(
            _Schedules.errors.get("kind", ""),
            rx.el.p(_Schedules.errors.get("kind", ""), class_name="field-error"),
            rx.fragment(),
        ),
        rx.cond(
            _Schedules.preview_words,
            rx.el.p(_Schedules.preview_words, class_name="schedule-words"),
            rx.fragment(),
        ),
        rx.el.ol(
            rx.foreach(
                _Schedules.preview_fires,
                lambda fire: rx.el.li(
                    when(fire, show="both", zone=_Schedules.form["timezone"]), key=fire
                ),
            ),
            class_name="fires",
        ),
        rx.foreach(
            _Schedules.preview_notes, lambda note: small(note, class_name="block", key=note)
        ),
        class_name="schedule-preview",
        aria_live="polite",
    )


def _more() -> rx.Component:
    return rx.el.details(
        rx.el.summary("Start, end, clock changes"),
        form_grid(
            field(
                "Not before",
                text_input(
                    _Schedules.form["start"], on_change=_set("start"), kind="datetime-local"
                ),
                error=_error("start"),
            ),
            field(
                "Not after",
                text_input(_Schedules.form["end"], on_change=_set("end"), kind="datetime-local"),
                error=_error("end"),
            ),
        ),
        rx.cond(
            _Schedules.form["kind"] == "interval",
            rx.fragment(),
            field(
                "If the clock jumps over that time",
                select(_Schedules.form["dst"], DST, on_change=_set("dst")),
                error=_error("dst"),
            ),
        ),
        class_name="more",
    )
