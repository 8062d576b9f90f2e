"""Components that live in the browser: clocks, inputs that keep their text, dialogs, the palette.

The JavaScript lies in `assets/js/ui.jsx`. Props arrive there in camelCase.
"""

from typing import Any

import reflex as rx
from reflex.event import no_args_event_spec, passthrough_event_spec
from reflex_components_core.el.elements.base import BaseHTML

LIBRARY = "$/public/js/ui.jsx"


class RouterLink(BaseHTML):
    """React Router's link: it changes the address and the page without a load."""

    library = "react-router"
    tag = "Link"
    alias = "RouterLink"

    to: rx.Var[str]


class NavLink(rx.Component):
    """A link of the main navigation; knows by the address whether it is the current one."""

    library = LIBRARY
    tag = "NavLink"

    to: rx.Var[str]


class QueryChip(rx.Component):
    """A filter: puts `value` into the address under `name` and keeps the other filters there."""

    library = LIBRARY
    tag = "QueryChip"

    name: rx.Var[str]
    value: rx.Var[str]
    tone: rx.Var[str]


class CopyButton(rx.Component):
    """Copies a text to the clipboard, also where the clipboard interface is missing (http)."""

    library = LIBRARY
    tag = "CopyButton"

    text: rx.Var[str]
    label: rx.Var[str]


class Since(rx.Component):
    """A running duration, counted in the browser."""

    library = LIBRARY
    tag = "Since"

    start: rx.Var[str | None]
    end: rx.Var[str | None]
    seconds: rx.Var[float | None]


class When(rx.Component):
    """A point in time: relative, absolute, or both; the title always has date, time and zone."""

    library = LIBRARY
    tag = "When"

    time: rx.Var[str | None]
    show: rx.Var[str]
    zone: rx.Var[str]
    empty: rx.Var[str]


class Ticks(rx.Component):
    """The last runs as small bars."""

    library = LIBRARY
    tag = "Ticks"

    runs: rx.Var[list[dict[str, Any]]]
    slots: rx.Var[int]


class TextInput(BaseHTML):
    """A text field whose text belongs to the browser and is told to Python in pauses."""

    library = LIBRARY
    tag = "TextInput"

    value: rx.Var[str]
    kind: rx.Var[str]
    wait: rx.Var[int]
    rows: rx.Var[int]
    hotkey: rx.Var[str]
    placeholder: rx.Var[str]
    name: rx.Var[str]
    disabled: rx.Var[bool]
    read_only: rx.Var[bool]
    required: rx.Var[bool]
    auto_complete: rx.Var[str]
    auto_focus: rx.Var[bool]
    input_mode: rx.Var[str]
    max_length: rx.Var[int]
    min: rx.Var[str]
    max: rx.Var[str]
    step: rx.Var[str]
    on_change: rx.EventHandler[passthrough_event_spec(str)]
    on_enter: rx.EventHandler[passthrough_event_spec(str)]


class Switch(BaseHTML):
    """On or off: flips at once and flips back if Python does not agree."""

    library = LIBRARY
    tag = "Switch"

    checked: rx.Var[bool]
    disabled: rx.Var[bool]
    name: rx.Var[str]
    on_change: rx.EventHandler[passthrough_event_spec(bool)]


class TagInput(rx.Component):
    """Tags: Enter or comma adds, backspace takes the last one away."""

    library = LIBRARY
    tag = "TagInput"

    value: rx.Var[list[str]]
    suggestions: rx.Var[list[str]]
    label: rx.Var[str]
    on_change: rx.EventHandler[passthrough_event_spec(list[str])]


class PairsInput(rx.Component):
    """Rows of name and value, such as environment variables."""

    library = LIBRARY
    tag = "PairsInput"

    value: rx.Var[list[list[str]]]
    label: rx.Var[str]
    on_change: rx.EventHandler[passthrough_event_spec(list[list[str]])]


class Dialog(rx.Component):
    """A modal dialog: the browser's own <dialog>, which keeps the focus and closes on Escape."""

    library = LIBRARY
    tag = "Dialog"

    open: rx.Var[bool]
    title: rx.Var[str]
    wide: rx.Var[bool]
    on_close: rx.EventHandler[no_args_event_spec]


class Menu(rx.Component):
    """A button with a list of actions below it; arrow keys walk through it."""

    library = LIBRARY
    tag = "Menu"

    label: rx.Var[str]
    text: rx.Var[str]
    icon: rx.Var[str]
    align: rx.Var[str]
    small: rx.Var[bool]


class Palette(rx.Component):
    """Ctrl-K, the letter shortcuts and their help, in one place.

    `commands` are fixed rows of {label, href, keys, group}; `found` are rows of the same shape
    that the server answers to `on_find`.
    """

    library = LIBRARY
    tag = "Palette"

    commands: rx.Var[list[dict[str, str]]]
    found: rx.Var[list[dict[str, str]]]
    on_find: rx.EventHandler[passthrough_event_spec(str)]


class PaletteButton(rx.Component):
    """The search field in the header that opens the palette."""

    library = LIBRARY
    tag = "PaletteButton"


class ConnectionBar(rx.Component):
    """The slim bar that says that live updates are interrupted."""

    library = LIBRARY
    tag = "ConnectionBar"


class ThemeSwitch(rx.Component):
    """Light, dark, or as the system says."""

    library = LIBRARY
    tag = "ThemeSwitch"


class InsecureMark(rx.Component):
    """Says "Not encrypted" when the page came over plain http."""

    library = LIBRARY
    tag = "InsecureMark"


class SignOut(rx.Component):
    """Ends the session by a plain POST and forgets what this tab knew."""

    library = LIBRARY
    tag = "SignOut"

    action: rx.Var[str]
