"""The script editor and the comparison of two texts. They load only where they are used."""

from typing import Literal, TypedDict

import reflex as rx
from reflex.event import no_args_event_spec, passthrough_event_spec
from typing_extensions import Unpack

from cronium_app.ui.components.kinds import Flag, Handler, Number, Text

LIBRARY = "$/public/js/code.jsx"
PACKAGES = [
    "@codemirror/state@6.7.6",
    "@codemirror/view@6.43.15",
    "@codemirror/commands@6.11.1",
    "@codemirror/language@6.13.1",
    "@codemirror/autocomplete@6.20.4",
    "@codemirror/search@6.7.2",
    "@codemirror/lang-python@6.2.1",
    "@codemirror/lang-javascript@6.2.5",
    "@codemirror/legacy-modes@6.5.5",
    "@codemirror/merge@6.12.3",
    "@lezer/highlight@1.2.5",
]
# The same limit as the API's. Longer text is refused beside the editor, before it is sent.
SCRIPT_LIMIT = 1024 * 1024
# What one event may carry, counted as JSON: a script of 1 MiB in which much has to be escaped.
# `application.make_app` lets the page's socket take as much; it would drop the connection else.
EVENT_LIMIT = 4 * 1024 * 1024


class CodeEditor(rx.NoSSRComponent):
    """See `code_editor`."""

    library = LIBRARY
    tag = "CodeEditor"
    lib_dependencies: list[str] = PACKAGES

    value: rx.Var[str]
    version: rx.Var[str]
    language: rx.Var[str]
    draft_key: rx.Var[str]
    line: rx.Var[int]
    read_only: rx.Var[bool]
    label: rx.Var[str]
    height: rx.Var[str]
    limit: rx.Var[int]
    event_limit: rx.Var[int]
    on_save: rx.EventHandler[passthrough_event_spec(str)]
    on_test: rx.EventHandler[passthrough_event_spec(str)]
    on_leave: rx.EventHandler[passthrough_event_spec(str)]
    on_dirty: rx.EventHandler[passthrough_event_spec(bool)]
    on_draft: rx.EventHandler[no_args_event_spec]


class DiffView(rx.NoSSRComponent):
    """See `diff_view`."""

    library = LIBRARY
    tag = "DiffView"
    lib_dependencies: list[str] = PACKAGES

    before: rx.Var[str]
    after: rx.Var[str]
    language: rx.Var[str]
    label: rx.Var[str]


class EditorEvents(TypedDict, total=False):
    """What an editor tells. Each is an event handler."""

    on_save: Handler
    on_test: Handler
    on_leave: Handler
    on_dirty: Handler
    on_draft: Handler


def code_editor(
    *,
    value: Text,
    version: Text,
    language: Text,
    draft_key: Text = "",
    line: Number = 0,
    read_only: Flag = False,
    height: str = "",
    **events: Unpack[EditorEvents],
) -> rx.Component:
    """An editor for python, node or bash whose text belongs to the browser.

    `value` is the saved text; it is adopted when `version` changes (the revision's number, or ""
    for a new event), never while somebody types. Text that differs from it is kept in
    localStorage under `draft_key`, survives reload and sign-out, and is shown again with an offer
    to go back to the saved text; `on_draft` tells that this happened. A draft ends when a new
    `version` arrives with the same text, or when `cronium.editor.clear(draft_key)` is called.

    Ctrl-S calls `on_save(text)`, Ctrl-Enter `on_test(text)`, leaving the editor `on_leave(text)`
    (only if changed), `on_dirty(bool)` whenever "differs from the saved text" flips. Buttons ask
    for the text by `editor_call("save")`. Text over 1 MiB is refused there and then, and so is what
    would not fit into one event: no handler is ever called with less than the whole text.

    `line` or `#L12` in the address scrolls to a line and marks it.
    """
    return CodeEditor.create(
        value=value,
        version=version,
        language=language,
        draft_key=draft_key,
        line=line,
        read_only=read_only,
        label="Script",
        height=height,
        limit=SCRIPT_LIMIT,
        event_limit=EVENT_LIMIT,
        **events,
    )


def editor_call(
    action: Literal["save", "test", "revert"], draft_key: Text = ""
) -> rx.event.EventSpec:
    """For a button outside the editor: `on_click=editor_call("save")` makes the editor call its
    own `on_save` with its text."""
    key = rx.Var.create(draft_key)
    return rx.call_function(f"() => window.cronium?.editor?.call({key!s}, {action!r})")


def diff_view(*, before: Text, after: Text, language: Text, label: str = "Changes") -> rx.Component:
    """Two texts side by side (below each other on a phone), unchanged parts folded, read-only."""
    return DiffView.create(before=before, after=after, language=language, label=label)
