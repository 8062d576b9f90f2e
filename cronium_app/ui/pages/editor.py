# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""The editor of an event, saved or new: the script, the settings beside it as sentences, Test.

The script's text belongs to the browser until it is saved or tested (see `code_editor`). The
fields beside it are kept in the browser too while they are unsaved, so that a reload or a sign-out
loses neither.
"""

import json
from typing import Any, Final

import reflex as rx

from cronium_app.actions import events, runs, schedules
from cronium_app.actions.commands import EventIn, EventPatch, RunIn, TestIn, checked
from cronium_app.actions.errors import Conflict, CroniumError, Invalid, NotFound
from cronium_app.actions.views import ContentView, EventView, Template
from cronium_app.domain.permissions import Permission
from cronium_app.services import services
from cronium_app.ui import guard, push, routes, words
from cronium_app.ui.components import (
    button,
    card,
    code_editor,
    dialog,
    diff_view,
    editor_call,
    field,
    field_group,
    form_grid,
    lang_badge,
    link,
    log_pane,
    mute,
    notice,
    number_input,
    pairs_input,
    segmented,
    status_pill,
    switch,
    tag_input,
    text_area,
    text_input,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.pages.frame import typed
from cronium_app.ui.pages.schedules import ScheduleState, schedule_panel
from cronium_app.ui.state import AppState

RUNTIMES: Final = tuple(words.LANGUAGES.items())
# Numbers beside the editor: field -> (default, what it is, unit).
NUMBERS: Final = {
    "timeout_s": ("3600", "Stop it after", "seconds"),
    "memory_mb": ("512", "Memory", "MB"),
    "cpus": ("1", "Processors", "CPU"),
    "work_mb": ("256", "Work folder", "MB"),
    "pids": ("256", "Processes", ""),
    "stop_grace_s": ("10", "Time to end after Stop", "seconds"),
    "setup_timeout_s": ("600", "Longest setup", "seconds"),
    "cleanup_timeout_s": ("60", "Longest cleanup", "seconds"),
}
EMPTY_SCRIPTS: Final = {
    "python": 'print("Hello from Cronium")\n',
    "node": 'console.log("Hello from Cronium");\n',
    "bash": 'echo "Hello from Cronium"\n',
}
MAX_SCRIPT: Final = 1_100_000

# Where the unsaved fields wait in the browser.
_STORE: Final = "cronium:fields:"


def empty_template(runtime: str) -> Template:
    """A start without a template."""
    return Template(
        key=f"empty-{runtime}",
        name="",
        description="",
        runtime=runtime,  # pyright: ignore[reportArgumentType]
        script=EMPTY_SCRIPTS[runtime],
    )


def find_template(key: str) -> Template | None:
    """The template of this key; `empty-python` and its kind start from nearly nothing."""
    for template in events.templates():
        if template.key == key:
            return template
    runtime = key.removeprefix("empty-")
    return (
        empty_template(runtime) if key.startswith("empty-") and runtime in EMPTY_SCRIPTS else None
    )


class EditorState(AppState):
    """The form. `version` tells the editor that the saved text is another one now."""

    event_id: str = ""  # "" while the event is new
    draft_key: str = ""
    version: str = ""
    base: int = 0  # the revision that the form started from
    script: str = ""
    runtime: str = "python"
    name: str = ""
    tags: list[str] = []
    env: list[list[str]] = []
    image: str = ""
    network: bool = True
    numbers: dict[str, str] = {key: row[0] for key, row in NUMBERS.items()}
    inputs: str = ""
    touches: str = ""
    errors: dict[str, str] = {}
    text_dirty: bool = False
    fields_dirty: bool = False
    old_revision: str = ""  # the form shows this one, which is not the newest
    newer_revision: str = ""  # somebody saved this one meanwhile
    saving: bool = False
    then_run: bool = False

    test_run: str = ""
    test_status: str = ""
    test_live: bool = False
    test_sentence: str = ""

    conflict: bool = False
    theirs: str = ""
    mine: str = ""
    theirs_revision: int = 0

    _draft_event: str = ""  # holds the tests of an event that is not saved yet

    # --- loading ------------------------------------------------------------------------

    def _begin(self, event_id: str, key: str) -> bool:
        """Another event than before: forget the last one. False if it is the same."""
        key = f"{guard.actor().user_id}:{key}"  # another person at this browser sees none of it
        if self.draft_key == key:
            return False
        self._put(
            event_id=event_id,
            draft_key=key,
            version="",
            errors={},
            text_dirty=False,
            fields_dirty=False,
            test_run="",
            test_status="",
            test_live=False,
            test_sentence="",
            conflict=False,
            old_revision="",
            newer_revision="",
            then_run=False,
            inputs="",
        )
        self._draft_event = ""
        return True

    def _take(self, view: EventView, content: ContentView | None, number: int) -> None:
        """Show a saved event, or an older revision of it (`content`, `number`)."""
        key = f"event:{view.id}" + (f":r{number}" if content else "")
        fresh = self._begin(view.id, key)
        if not fresh and (self.text_dirty or self.fields_dirty):
            if view.revision > self.base:
                self._put(newer_revision=str(view.revision))
            return
        self._fill(content or view, view.name, view.tags)
        self._put(
            base=view.revision,
            version=f"{view.id}:{number if content else view.revision}",
            old_revision=str(number) if content and number != view.revision else "",
            newer_revision="",
            fields_dirty=bool(content) and number != view.revision,
        )

    def _take_template(self, template: Template) -> None:
        """Show a new event that starts from a template."""
        if not self._begin("", f"new:{template.key}"):
            return
        self._put(
            script=template.script,
            runtime=template.runtime,
            name=template.name,
            tags=[],
            env=[[n, v] for n, v in template.env.items()],
            image="",
            network=template.network,
            numbers={key: row[0] for key, row in NUMBERS.items()}
            | {"timeout_s": str(template.timeout_s)},
            base=0,
            version=f"new:{template.key}",
        )
        self._draft_event = self._query("draft")
        self._describe()

    def _fill(self, content: ContentView, name: str, tags: list[str]) -> None:
        self._put(
            script=content.script,
            runtime=content.runtime,
            name=name,
            tags=list(tags),
            env=[[n, v] for n, v in sorted(content.env.items())],
            image=content.image,
            network=content.network,
            numbers={key: f"{getattr(content, key):g}" for key in NUMBERS},
            errors={},
        )
        self._describe()

    def _describe(self) -> None:
        self._put(touches=words.touches(self.runtime, self.image, network=self.network))

    # --- the fields ---------------------------------------------------------------------

    @rx.event
    @needs(Permission.EDIT)
    def set_text(self, name: str, text: str) -> Any:
        if name not in ("name", "image", "inputs", "runtime"):
            return None
        if name == "runtime" and text not in words.LANGUAGES:
            return None
        if name == "runtime" and self.script == EMPTY_SCRIPTS.get(self.runtime):
            self._put(script=EMPTY_SCRIPTS[text], version=f"{self.version}:{text}")
        return self._changed(**{name: typed(text, 1_000_000 if name == "inputs" else 500)})

    @rx.event
    @needs(Permission.EDIT)
    def set_number(self, name: str, text: str) -> Any:
        if name not in NUMBERS:
            return None
        return self._changed(numbers=self.numbers | {name: typed(text, 20).strip()})

    @rx.event
    @needs(Permission.EDIT)
    def set_tags(self, tags: list[str]) -> Any:
        return self._changed(tags=[typed(tag, 50) for tag in list(tags)[:20]])

    @rx.event
    @needs(Permission.EDIT, large=True)
    def set_env(self, pairs: list[list[str]]) -> Any:
        rows = [[typed(part, 100_000) for part in pair][:2] for pair in list(pairs)[:500]]
        return self._changed(env=[row for row in rows if len(row) == 2])

    @rx.event
    @needs(Permission.EDIT)
    def set_network(self, on: bool) -> Any:
        return self._changed(network=on is True)

    @rx.event
    @needs(Permission.EDIT)
    def set_dirty(self, dirty: bool) -> None:
        self._put(text_dirty=dirty is True)

    @rx.event
    @needs(Permission.EDIT, large=True)
    def restore_fields(self, kept: Any) -> None:
        """Fields that the browser kept from before a reload."""
        if not isinstance(kept, str) or not kept:
            return
        fields = _kept_fields(kept)
        if fields and fields.get("base") == self.base:
            fields.pop("base")
            self._put(**fields, fields_dirty=True)
            self._describe()

    def _changed(self, **values: Any) -> Any:
        self._put(**values, errors={}, fields_dirty=True)
        self._describe()
        kept = {
            key: getattr(self, key)
            for key in ("name", "runtime", "tags", "env", "image", "network", "numbers", "base")
        }
        place, text = json.dumps(_STORE + self.draft_key), json.dumps(json.dumps(kept))
        return rx.call_function(f"() => localStorage.setItem({place}, {text})")

    # --- test, save, run ----------------------------------------------------------------

    @rx.event
    @needs(Permission.RUN, large=True)
    async def test(self, script: str) -> Any:
        try:
            command = checked(
                TestIn,
                self._content(typed(script, MAX_SCRIPT))
                | {
                    "name": self.name.strip(),
                    "event_id": self.event_id or self._draft_event or None,
                    "inputs": _inputs(self.inputs),
                },
            )
            view = await events.test(services(), guard.actor(), command)
        except CroniumError as error:
            return self._explain(error)
        self._put(errors={}, test_run=view.id)
        if not self.event_id:
            self._draft_event = view.event_id
        await self._watch_test()
        return _remember_in_address({"test": view.id, "draft": self._draft_event})

    @rx.event
    @needs(Permission.RUN)
    async def stop_test(self) -> None:
        await runs.cancel(services(), guard.actor(), self.test_run)
        await self._watch_test()

    @rx.event
    @needs(Permission.EDIT, large=True)
    async def save(self, script: str) -> Any:
        return await self._save(typed(script, MAX_SCRIPT), self.base)

    @rx.event
    @needs(Permission.EDIT)
    async def save_over(self) -> Any:
        """Mine wins: it becomes the newest revision, theirs stays in the history."""
        self._put(conflict=False)
        return await self._save(self.mine, self.theirs_revision)

    @rx.event
    @needs(Permission.EDIT)
    async def take_theirs(self) -> Any:
        """Theirs wins: what was typed here is gone."""
        view = await events.get(services(), guard.actor(), self.event_id)
        self._put(conflict=False, text_dirty=False, fields_dirty=False, mine="", theirs="")
        self._take(view, None, 0)
        return self._forget_drafts()

    @rx.event
    @needs(Permission.EDIT)
    def close_conflict(self) -> None:
        self._put(conflict=False, then_run=False)

    @rx.event
    @needs(Permission.RUN)
    def run_after_save(self) -> None:
        self._put(then_run=True)

    @rx.event
    @needs(Permission.RUN)
    async def run_now(self) -> Any:
        view = await runs.start(services(), guard.actor(), self.event_id, RunIn())
        return rx.redirect(routes.run_url(view.id))

    @rx.event
    @needs(Permission.VIEW)
    async def show_test(self) -> None:
        """A push: the test's state has changed."""
        await self._watch_test()

    # --- inside -------------------------------------------------------------------------

    async def _save(self, script: str, base: int) -> Any:
        svc, actor = services(), guard.actor()
        body = self._content_or_none(script)
        if body is None:
            return None
        body |= {"name": self.name, "tags": list(self.tags)}
        try:
            if self.event_id or self._draft_event:
                patch = checked(EventPatch, body | {"base_revision": base})
                view = await events.update(svc, actor, self.event_id or self._draft_event, patch)
            else:
                view = await events.create(svc, actor, checked(EventIn, body))
            if not self.event_id:
                return await self._created(view)
        except Conflict as error:
            return self._show_conflict(error, script)
        except CroniumError as error:
            return self._explain(error)
        self._put(text_dirty=False, fields_dirty=False)
        self._take(view, None, 0)
        done: list[Any] = [self._forget_drafts()]
        if self.then_run:
            self._put(then_run=False)
            run = await runs.start(svc, actor, view.id, RunIn())
            return done + [rx.redirect(routes.run_url(run.id))]
        if self._query("revision"):
            done.append(rx.redirect(routes.event_url(view.id), replace=True))
        return done + [rx.toast.success(f"Saved as revision {view.revision}.")]

    async def _created(self, view: EventView) -> Any:
        """A new event is saved; its schedule, if one was typed, comes with it."""
        svc, actor = services(), guard.actor()
        form = await self.get_state(ScheduleState)
        said: list[Any] = [self._forget_drafts()]
        try:
            if (pending := form._pending()) is not None:
                await schedules.create(svc, actor, view.id, pending)
        except CroniumError as error:
            said.append(rx.toast.warning(f"Saved, but not scheduled: {error.message}"))
        self._put(draft_key="")
        if self.then_run:
            self._put(then_run=False)
            run = await runs.start(svc, actor, view.id, RunIn())
            return said + [rx.redirect(routes.run_url(run.id))]
        return said + [rx.redirect(routes.event_url(view.id)), rx.toast.success("Saved.")]

    def _show_conflict(self, error: Conflict, script: str) -> None:
        current = error.extra.get("current")
        theirs = current if isinstance(current, EventView) else EventView.model_validate(current)
        self._put(conflict=True, mine=script, theirs=theirs.script, theirs_revision=theirs.revision)

    def _explain(self, error: CroniumError) -> Any:
        """Beside its field where there is one, else as a toast."""
        self._put(then_run=False)
        name = (error.field or "").split(".")[0]
        if name in _FIELDS_SHOWN:
            self._put(errors={name: error.message})
            return rx.toast.error(f"{_FIELDS_SHOWN[name]}: {error.message}")
        return rx.toast.error(error.message)

    def _content_or_none(self, script: str) -> dict[str, Any] | None:
        try:
            return self._content(script)
        except Invalid as error:
            self._put(errors={error.field or "": error.message}, then_run=False)
            return None

    def _content(self, script: str) -> dict[str, Any]:
        numbers = {key: _number(key, text) for key, text in self.numbers.items()}
        env = {name.strip(): value for name, value in self.env if name.strip()}
        return numbers | {
            "runtime": self.runtime,
            "script": script,
            "image": self.image.strip(),
            "env": env,
            "network": self.network,
        }

    async def _watch_test(self) -> None:
        """The test named by the address or started just now: its state, and news of it."""
        if not self.test_run:
            return
        try:
            view = await runs.get(services(), guard.actor(), self.test_run)
        except NotFound:
            self._put(test_run="", test_status="", test_live=False, test_sentence="")
            return
        live = view.status in ("queued", "running")
        stopping = live and view.stop_requested_at is not None
        said = view.waiting_text if view.status == "queued" else view.reason_text
        self._put(
            test_status="stopping" if stopping else view.status,
            test_live=live,
            test_sentence=" ".join(part for part in (said, view.next_step) if part),
        )
        if not self.event_id:
            mine = {"run": frozenset({self.test_run})}
            push.watch(self, guard.actor(), mine, EditorState.show_test)

    def _forget_drafts(self) -> Any:
        place, key = json.dumps(_STORE + self.draft_key), json.dumps(self.draft_key)
        return rx.call_function(
            f"() => {{ localStorage.removeItem({place}); window.cronium?.editor?.clear({key}); }}"
        )

    def _ask_fields(self) -> Any:
        """Ask the browser for fields that were unsaved at the last reload."""
        place = json.dumps(_STORE + self.draft_key)
        return rx.call_function(
            f"() => localStorage.getItem({place}) || ''", callback=EditorState.restore_fields
        )


_FIELDS_SHOWN: Final = {
    "name": "Name",
    "tags": "Tags",
    "env": "Environment",
    "image": "Image",
    "script": "Script",
    "inputs": "Inputs",
    "runtime": "Language",
} | {key: row[1] for key, row in NUMBERS.items()}


def _number(key: str, text: str) -> int | float:
    try:
        return float(text) if key == "cpus" else int(text)
    except ValueError:
        kind = "number" if key == "cpus" else "whole number"
        raise Invalid(f"Enter a {kind}.", field=key) from None


def _inputs(text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Invalid('This is not JSON. Write it as {"name": "value"}.', field="inputs") from None
    if not isinstance(value, dict):
        raise Invalid('Inputs are one JSON object: {"name": "value"}.', field="inputs")
    return value  # pyright: ignore[reportUnknownVariableType]


def _kept_fields(text: str) -> dict[str, Any]:
    """What the browser kept, if it still has the right shape; anything else is dropped."""
    try:
        kept = json.loads(typed(text, 2_000_000))
        return {
            "name": typed(kept["name"], 500),
            "runtime": kept["runtime"] if kept["runtime"] in words.LANGUAGES else "python",
            "tags": [typed(tag, 50) for tag in kept["tags"]][:20],
            "env": [[typed(a, 500), typed(b, 100_000)] for a, b in kept["env"]][:500],
            "image": typed(kept["image"], 500),
            "network": kept["network"] is True,
            "numbers": {key: typed(kept["numbers"][key], 20) for key in NUMBERS},
            "base": kept["base"],
        }
    except (ValueError, KeyError, TypeError, RecursionError, CroniumError):
        return {}


def _remember_in_address(query: dict[str, str]) -> Any:
    """Put values into the address without leaving the page, so that a reload shows the same."""
    wanted = json.dumps({name: value for name, value in query.items() if value})
    return rx.call_function(
        "() => { const u = new URL(location.href);"
        f" for (const [k, v] of Object.entries({wanted})) u.searchParams.set(k, v);"
        " history.replaceState(history.state, '', u); }"
    )


# --- the parts of the page ---------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Editor: Any = EditorState


def dirty() -> rx.Var[bool]:
    """Something here is not saved."""
    return _Editor.text_dirty | _Editor.fields_dirty


def editor_actions(*, new: bool) -> rx.Component:
    """Test, Save and Run, in the header."""
    return rx.el.div(
        button("Test", icon_name="flask", hotkey="Ctrl ↵", on_click=editor_call("test")),
        _run_button(new=new, phone=False),
        button("Save", kind="primary", hotkey="Ctrl S", on_click=editor_call("save")),
        class_name="line",
    )


def _run_button(*, new: bool, phone: bool) -> rx.Component:
    """Runs what is written: saves it first if it is not saved."""
    look: dict[str, Any] = {} if phone else {"class_name": "hide-phone"}
    save_and_run = button(
        "Save and run",
        icon_name="play",
        on_click=[_Editor.run_after_save, editor_call("save")],
        **look,
    )
    run = button("Run now", icon_name="play", on_click=_Editor.run_now, **look)
    return save_and_run if new else rx.cond(dirty(), save_and_run, run)


def editor_body(*, new: bool) -> rx.Component:
    """The script with its test output, and the settings beside it."""
    return rx.el.div(
        rx.el.p(_Editor.touches, class_name="touches"),
        rx.el.div(_run_button(new=new, phone=True), class_name="only-phone run-on-phone"),
        rx.el.div(
            rx.el.div(_notes(), _script_card(), _test_card(), class_name="stack"),
            rx.el.div(_settings(new=new), class_name="stack settings-panel"),
            class_name="cols-wide",
        ),
        _conflict_dialog(),
        class_name="editor-page",
    )


def _notes() -> rx.Component:
    return rx.fragment(
        rx.cond(
            _Editor.old_revision,
            notice(
                "This is revision ",
                _Editor.old_revision,
                ", not the newest one. Saving makes it the newest.",
                tone="info",
                action=link(
                    "Show the newest",
                    href=routes.event_url(_Editor.event_id),
                    class_name="banner-link",
                ),
            ),
            rx.fragment(),
        ),
        rx.cond(
            _Editor.newer_revision,
            notice(
                "Revision ",
                _Editor.newer_revision,
                " was saved elsewhere while you were writing. Your text is still here; "
                "saving shows you both.",
                tone="warn",
            ),
            rx.fragment(),
        ),
    )


def _script_card() -> rx.Component:
    return card(
        rx.cond(
            _Editor.errors.get("script", ""),
            notice(_Editor.errors.get("script", ""), tone="bad"),
            rx.fragment(),
        ),
        code_editor(
            value=_Editor.script,
            version=_Editor.version,
            language=_Editor.runtime,
            draft_key=_Editor.draft_key,
            on_save=_Editor.save,
            on_test=_Editor.test,
            on_dirty=_Editor.set_dirty,
        ),
        title=rx.el.span(lang_badge(_Editor.runtime), " ", "Script", class_name="line"),
        flush=True,
        class_name="script-card",
    )


def _test_card() -> rx.Component:
    return rx.cond(
        _Editor.test_run,
        card(
            rx.cond(
                _Editor.test_sentence,
                rx.el.p(_Editor.test_sentence, class_name="mute sm pad"),
                rx.fragment(),
            ),
            log_pane(
                _Editor.test_run,
                running=_Editor.test_live,
                compact=True,
                waiting="Starts as soon as its container does",
            ),
            title="Test output",
            note=rx.el.span(status_pill(_Editor.test_status), class_name="line"),
            actions=[
                rx.cond(
                    _Editor.test_live,
                    button("Stop", kind="danger", small=True, on_click=_Editor.stop_test),
                    rx.fragment(),
                ),
                link(
                    "Open the run",
                    href=routes.run_url(_Editor.test_run),
                    class_name="mute sm",
                ),
            ],
            flush=True,
            custom_attrs={"data-testid": "test-output"},
        ),
        rx.fragment(),
    )


def _error(name: str) -> rx.Var[str]:
    return _Editor.errors.get(name, "").to(str)


def _settings(*, new: bool) -> rx.Component:
    return card(
        field(
            "Name",
            text_input(
                _Editor.name,
                on_change=lambda text: _Editor.set_text("name", text),
                max_length=200,
                placeholder="nightly-backup",
            ),
            error=_error("name"),
        ),
        schedule_panel(new=new),
        field_group(
            "Language",
            segmented(
                _Editor.runtime,
                RUNTIMES,
                on_change=lambda value: _Editor.set_text("runtime", value),
                label="Language",
            ),
        ),
        _where(),
        field_group(
            "Environment variables",
            pairs_input(_Editor.env, on_change=_Editor.set_env),
            rx.cond(
                _error("env"),
                rx.el.span(_error("env"), class_name="field-error", role="alert"),
                rx.fragment(),
            ),
            hint="Seen by the script and by everybody who may read this event.",
        ),
        _limits(),
        field_group(
            "Tags",
            tag_input(_Editor.tags, on_change=_Editor.set_tags),
        ),
        _test_inputs(),
        class_name="stack",
    )


def _where() -> rx.Component:
    return field_group(
        "Where",
        rx.el.p(
            "In a container of its own that is gone afterwards, with no files of this host.",
            class_name="mute sm",
        ),
        field(
            "Image",
            text_input(
                _Editor.image,
                on_change=lambda text: _Editor.set_text("image", text),
                mono=True,
                placeholder="the one that comes with the language",
            ),
            hint="Any image with the language in it, such as python:3.13-slim.",
            error=_error("image"),
        ),
        switch(
            _Editor.network,
            on_change=_Editor.set_network,
            label=rx.cond(
                _Editor.network,
                "It may use the network.",
                "It has no network.",
            ),
        ),
    )


def _limits() -> rx.Component:
    def number(key: str) -> rx.Component:
        default, label, unit = NUMBERS[key]
        return field(
            label,
            number_input(
                _Editor.numbers[key],
                on_change=lambda text: _Editor.set_number(key, text),
                unit=unit or None,
                placeholder=default,
                min="0",
                step="any" if key == "cpus" else "1",
            ),
            error=_error(key),
        )

    return field_group(
        "Limits",
        form_grid(*[number(key) for key in ("timeout_s", "memory_mb", "cpus", "work_mb")]),
        rx.el.details(
            rx.el.summary("More limits"),
            form_grid(
                *[
                    number(key)
                    for key in ("pids", "stop_grace_s", "setup_timeout_s", "cleanup_timeout_s")
                ]
            ),
            class_name="more",
        ),
        hint="Unless you change them: 3,600 s, 512 MB, 1 CPU, 256 processes, 256 MB work folder.",
    )


def _test_inputs() -> rx.Component:
    return rx.el.details(
        rx.el.summary("Inputs for Test"),
        field(
            "JSON",
            text_area(
                _Editor.inputs,
                on_change=lambda text: _Editor.set_text("inputs", text),
                rows=3,
                mono=True,
                placeholder='{"name": "value"}',
            ),
            hint='The script reads them with the helper: cronium.input("name").',
            error=_error("inputs"),
        ),
        class_name="more",
    )


def _conflict_dialog() -> rx.Component:
    return dialog(
        rx.el.p(
            "Revision ",
            rx.el.b(_Editor.theirs_revision),
            " was saved while you were writing. On the left is theirs, on the right is yours. "
            "Nothing is lost either way: what is saved stays in the history.",
        ),
        rx.cond(
            _Editor.conflict & (_Editor.theirs != _Editor.mine),
            diff_view(before=_Editor.theirs, after=_Editor.mine, language=_Editor.runtime),
            mute("The scripts are the same; the settings differ."),
        ),
        title="Somebody saved a newer revision",
        opened=_Editor.conflict,
        on_close=_Editor.close_conflict,
        actions=[
            button("Go on writing", on_click=_Editor.close_conflict),
            button("Take theirs", kind="danger", on_click=_Editor.take_theirs),
            button("Save mine as the newest", kind="primary", on_click=_Editor.save_over),
        ],
        wide=True,
    )
