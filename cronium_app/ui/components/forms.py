"""Fields and controls of forms."""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from cronium_app.ui.components.browser import PairsInput, Switch, TagInput, TextInput
from cronium_app.ui.components.kinds import Child, Flag, Handler, Number, Text, classes, flag


def field(
    label: Child,
    control: rx.Component,
    *,
    hint: Child = None,
    error: Text | None = None,
    control_id: str | None = None,
) -> rx.Component:
    """A labelled control. `error` (a sentence, empty if fine) replaces the hint.

    With `control_id` the label belongs to the control of that id; without, the label encloses it,
    which is right for a single input.
    """
    below: list[Any] = []
    if error is not None:
        below.append(
            rx.cond(
                error,
                rx.el.span(error, class_name="field-error", role="alert"),
                rx.el.span(hint, class_name="field-hint") if hint is not None else rx.fragment(),
            )
        )
    elif hint is not None:
        below.append(rx.el.span(hint, class_name="field-hint"))
    caption = rx.el.span(label, class_name="field-label")
    bad = flag(error, "yes") if isinstance(error, rx.Var) else ("yes" if error else None)
    if control_id is not None:
        named = rx.el.label(caption, html_for=control_id)
        return rx.el.div(named, control, *below, class_name="field", data_bad=bad)
    return rx.el.label(caption, control, *below, class_name="field", data_bad=bad)


def field_group(label: Child, *controls: Child, hint: Child = None) -> rx.Component:
    """Several controls under one caption (a fieldset, so that screen readers name it)."""
    return rx.el.fieldset(
        rx.el.legend(label, class_name="field-label"),
        *controls,
        rx.el.span(hint, class_name="field-hint") if hint is not None else None,
        class_name="field",
    )


def form_grid(*fields: Child) -> rx.Component:
    """Fields side by side where there is room."""
    return rx.el.div(*fields, class_name="form-grid")


def text_input(
    value: Text = "",
    *,
    on_change: Handler = None,
    on_enter: Handler = None,
    kind: str = "text",
    wait: int = 300,
    mono: bool = False,
    **props: Any,
) -> rx.Component:
    """A text field. The browser owns the text while somebody types; `on_change` gets it after
    `wait` ms of rest and when the field is left. A new `value` from Python replaces the text.

    `kind` is the input's type: text, email, password, url, date, time, datetime-local.
    """
    return _input("TextInput", value, on_change, on_enter, kind, wait, mono, props)


def text_area(
    value: Text = "",
    *,
    on_change: Handler = None,
    rows: int = 4,
    wait: int = 300,
    mono: bool = False,
    **props: Any,
) -> rx.Component:
    """A text field of several lines, like `text_input`."""
    return _input("TextInput", value, on_change, None, "area", wait, mono, props | {"rows": rows})


def number_input(
    value: Text | Number = "",
    *,
    on_change: Handler = None,
    unit: str | None = None,
    wait: int = 300,
    **props: Any,
) -> rx.Component:
    """A number with its unit behind it. `on_change` gets text, for the form to parse."""
    text = value if isinstance(value, rx.Var) else str(value)
    made = _input("TextInput", text, on_change, None, "number", wait, False, props)
    if unit is None:
        return made
    return rx.el.span(made, rx.el.span(unit, class_name="unit"), class_name="with-unit")


def search_input(
    value: Text = "",
    *,
    on_change: Handler = None,
    placeholder: str = "Search",
    wait: int = 200,
    **props: Any,
) -> rx.Component:
    """A search field. The key `/` puts the cursor into it, Escape empties it."""
    props |= {"hotkey": "/", "placeholder": placeholder, "aria_label": placeholder}
    made = _input("TextInput", value, on_change, None, "search", wait, False, props)
    return rx.el.span(made, class_name="search")


def _input(
    _tag: str,
    value: Any,
    on_change: Handler,
    on_enter: Handler,
    kind: str,
    wait: int,
    mono: bool,
    props: dict[str, Any],
) -> rx.Component:
    if on_change is not None:
        props["on_change"] = on_change
    if on_enter is not None:
        props["on_enter"] = on_enter
    look = classes("input", "mono" if mono else None, props.pop("class_name", None))
    return TextInput.create(value=value, kind=kind, wait=wait, class_name=look, **props)


def select(
    value: Text,
    options: Sequence[tuple[str, str]] | rx.Var[Any],
    *,
    on_change: Handler,
    **props: Any,
) -> rx.Component:
    """The browser's own drop-down. `options` are pairs of value and words (a Var: list of pairs)."""
    if isinstance(options, rx.Var):
        items = rx.foreach(options, _option)
    else:
        items = rx.fragment(*[rx.el.option(words, value=key) for key, words in options])
    return rx.el.span(
        rx.el.select(items, value=value, on_change=on_change, class_name="input", **props),
        class_name="select",
    )


def _option(pair: Any) -> rx.Component:
    return rx.el.option(pair[1], value=pair[0])


def switch(
    checked: Flag,
    *,
    on_change: Handler,
    label: Child = None,
    spoken: Text = "",
    disabled: Flag = False,
    **props: Any,
) -> rx.Component:
    """On or off, at once; it flips back where Python does not agree.

    `spoken` names it for screen readers where no `label` is visible.
    """
    attributes: dict[str, Any] = props if label is not None else {**props, "aria_label": spoken}
    box = Switch.create(
        checked=checked,
        on_change=on_change,
        disabled=disabled,
        class_name="switch",
        **attributes,
    )
    if label is None:
        return box
    return rx.el.label(box, rx.el.span(label), class_name="switch-line")


def segmented(
    value: Text, options: Sequence[tuple[str, str]], *, on_change: Handler, label: str
) -> rx.Component:
    """A choice of two to five, all visible. `on_change` is called with the value (a lambda or a
    handler that takes one string)."""
    parts = [
        rx.el.button(
            words,
            type="button",
            role="radio",
            custom_attrs={"aria-checked": rx.cond(rx.Var.create(value) == key, "true", "false")},
            on_click=on_change(key),
        )
        for key, words in options
    ]
    return rx.el.div(*parts, class_name="segmented", role="radiogroup", aria_label=label)


def tag_input(
    value: rx.Var[Any],
    *,
    on_change: Handler,
    suggestions: rx.Var[Any] | None = None,
    label: str = "Tags",
) -> rx.Component:
    """Tags as small blocks; `on_change` gets the whole list."""
    known = {"suggestions": suggestions} if suggestions is not None else {}
    return TagInput.create(value=value, on_change=on_change, label=label, **known)


def pairs_input(
    value: rx.Var[Any], *, on_change: Handler, label: str = "Variables"
) -> rx.Component:
    """Name and value in rows (environment variables). `on_change` gets the list of pairs. Pasting
    lines of `NAME=value` makes rows of them."""
    return PairsInput.create(value=value, on_change=on_change, label=label)
