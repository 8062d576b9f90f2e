"""Words, buttons, pills, cards: what every page is made of."""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from cronium_app.ui.components.browser import CopyButton, RouterLink
from cronium_app.ui.components.icons import icon
from cronium_app.ui.components.kinds import (
    ButtonKind,
    Child,
    Flag,
    Handler,
    Number,
    Text,
    Tone,
    classes,
    flag,
)


def link(*children: Child, href: Text, **props: Any) -> rx.Component:
    """A link inside the product; it changes the page without loading it anew."""
    return RouterLink.create(*children, to=href, **props)


def external_link(*children: Child, href: Text, **props: Any) -> rx.Component:
    """A link out of the pages: another site, the API's docs, a file. Opens beside this page."""
    return rx.el.a(*children, href=href, target="_blank", rel="noopener noreferrer", **props)


def button(
    *children: Child,
    on_click: Handler = None,
    kind: ButtonKind = "default",
    small: bool = False,
    pending: Flag = False,
    disabled: Flag = False,
    icon_name: str | None = None,
    hotkey: str | None = None,
    label: str | None = None,
    **props: Any,
) -> rx.Component:
    """A button. `pending` shows that the click is being worked on and refuses a second one.

    `label` names an icon-only button for screen readers. `type="submit"` sends a form.
    """
    off = pending | disabled if isinstance(pending, rx.Var) else disabled | pending
    if on_click is not None:
        props["on_click"] = on_click
    props.setdefault("type", "button")
    if label:
        props |= {"aria_label": label, "title": label}
    return rx.el.button(
        *_inside(children, icon_name, hotkey),
        class_name=_button_class(
            kind, small, icon_only=not children, extra=props.pop("class_name", "")
        ),
        disabled=off,
        data_pending=flag(pending, "yes"),
        **props,
    )


def link_button(
    *children: Child,
    href: Text,
    kind: ButtonKind = "default",
    small: bool = False,
    icon_name: str | None = None,
    hotkey: str | None = None,
    external: bool = False,
    **props: Any,
) -> rx.Component:
    """A link that looks like a button. `external`: a plain link that opens beside this page."""
    look = _button_class(kind, small, icon_only=not children, extra=props.pop("class_name", ""))
    inside = _inside(children, icon_name, hotkey)
    make = external_link if external else link
    return make(*inside, href=href, class_name=look, **props)


def _inside(
    children: Sequence[Child], icon_name: str | None, hotkey: str | None
) -> list[rx.Component]:
    parts: list[Any] = [icon(icon_name)] if icon_name else []
    parts += [child for child in children if child is not None]
    if hotkey:
        parts.append(kbd(hotkey))
    return parts


def _button_class(kind: ButtonKind, small: bool, *, icon_only: bool, extra: str) -> str:
    return classes(
        "btn", f"btn-{kind}", "btn-sm" if small else None, "btn-icon" if icon_only else None, extra
    )


def kbd(keys: str) -> rx.Component:
    """A key or a combination, as printed on the keyboard. Hidden where there is none (phones)."""
    return rx.el.kbd(keys, class_name="kbd")


def status_pill(status: Text, *, reason: Text = "", label: Text | None = None) -> rx.Component:
    """Where a run is: queued, running, succeeded, failed, cancelled, or `skipped`, `stopping`.

    `reason` (exited, timed_out, skipped ...) refines the colour: a skipped run is no failure.
    `label` replaces the word.
    """
    return rx.el.span(
        rx.el.i(),
        rx.el.span(status if label is None else label),
        class_name="pill",
        data_status=status,
        data_reason=reason,
    )


def tone_pill(text: Text, *, tone: Text = "info", live: bool = False) -> rx.Component:
    """A pill that is not about a run: `unsaved`, `archived`, `engine down`."""
    return rx.el.span(
        rx.el.i(),
        rx.el.span(text),
        class_name=classes("pill", "live" if live else None),
        data_tone=tone,
    )


def lang_badge(runtime: Text) -> rx.Component:
    """Two letters for python, node, bash or http. The letters come from CSS by `data-lang`."""
    return rx.el.span(
        class_name="lang", data_lang=runtime, title=runtime, role="img", aria_label=runtime
    )


def tag(text: Text, *, href: Text | None = None) -> rx.Component:
    """A tag of an event; with `href` it filters by it."""
    if href is None:
        return rx.el.span(text, class_name="tag")
    return link(text, href=href, class_name="tag")


def count(value: Text | Number) -> rx.Component:
    """A small number beside a heading."""
    return rx.el.span(value, class_name="count")


def mute(*children: Child, **props: Any) -> rx.Component:
    """Text of second rank."""
    return rx.el.span(*children, class_name=classes("mute", props.pop("class_name", None)), **props)


def small(*children: Child, **props: Any) -> rx.Component:
    """Small text of second rank."""
    return rx.el.span(
        *children, class_name=classes("mute sm", props.pop("class_name", None)), **props
    )


def mono(*children: Child, **props: Any) -> rx.Component:
    """Output, identifiers, expressions."""
    return rx.el.code(*children, class_name=classes("mono", props.pop("class_name", None)), **props)


def card(
    *children: Child,
    title: Child = None,
    note: Child = None,
    actions: Sequence[Child] = (),
    flush: bool = False,
    **props: Any,
) -> rx.Component:
    """A panel. `note` stands small beside the title; `flush` leaves out the inner margin (lists)."""
    head = None
    if title is not None or actions:
        head = rx.el.header(
            rx.el.h2(title) if title is not None else None,
            rx.el.span(note, class_name="faint sm") if note is not None else None,
            rx.el.span(class_name="grow"),
            *actions,
            class_name="card-head",
        )
    body = rx.el.div(*children, class_name="card-body" if not flush else "card-flush")
    return rx.el.section(
        head, body, class_name=classes("card", props.pop("class_name", None)), **props
    )


def page_header(
    title: Child, *, lead: Child = None, note: Child = None, actions: Sequence[Child] = ()
) -> rx.Component:
    """The first line of a page's body. `lead` stands before the title (a pill), `note` after it."""
    return rx.el.div(
        lead,
        rx.el.h1(title),
        rx.el.span(note, class_name="mute") if note is not None else None,
        rx.el.span(class_name="grow"),
        *actions,
        class_name="page-head",
    )


def key_values(*pairs: tuple[Child, Child]) -> rx.Component:
    """A list of name and value, the value to the right."""
    parts: list[rx.Component] = []
    for name, value in pairs:
        parts += [rx.el.dt(name), rx.el.dd(value)]
    return rx.el.dl(*parts, class_name="kv")


def facts(*pairs: tuple[Child, Child]) -> rx.Component:
    """One flowing line of `name value`, for the head of a run: 'on this host', 'revision 17'."""
    return rx.el.p(
        *[rx.el.span(name, " ", rx.el.b(value)) for name, value in pairs], class_name="facts"
    )


def empty_state(
    title: Child, text: Child = None, *, action: Child = None, icon_name: str | None = None
) -> rx.Component:
    """What a list says when there is nothing, and what to do about it."""
    return rx.el.div(
        rx.el.div(icon(icon_name, size=20), class_name="empty-icon") if icon_name else None,
        rx.el.h3(title),
        rx.el.p(text) if text is not None else None,
        rx.el.div(action, class_name="empty-action") if action is not None else None,
        class_name="empty",
    )


def skeleton(*, rows: int = 5, height: int = 44) -> rx.Component:
    """Grey rows of the final height, visible only after 300 ms, so that fast data never flickers."""
    line = rx.el.div(rx.el.span(), style={"height": f"{height}px"})
    return rx.el.div(*[line] * rows, class_name="skeleton", aria_hidden="true")


def when_loaded(
    loaded: Flag, content: rx.Component, *, rows: int = 5, height: int = 44
) -> rx.Component:
    """`content` once the page has its data, a skeleton of the same height before."""
    return rx.cond(loaded, content, skeleton(rows=rows, height=height))


def progress(percent: Number, *, label: str) -> rx.Component:
    """A thin bar, 0 to 100."""
    return rx.el.div(
        rx.el.span(style={"width": f"{percent}%"}),
        class_name="progress",
        role="progressbar",
        aria_label=label,
        custom_attrs={"aria-valuenow": percent},
    )


def notice(
    *children: Child, tone: Tone = "info", title: Child = None, action: Child = None
) -> rx.Component:
    """A remark in the page's flow: why something is not possible, what to do next."""
    sign = {"info": "info", "ok": "check", "warn": "warn", "bad": "warn"}[tone]
    return rx.el.div(
        icon(sign),
        rx.el.div(
            rx.el.b(title) if title is not None else None, *children, class_name="notice-text"
        ),
        action,
        class_name="notice",
        data_tone=tone,
        role="status" if tone in ("info", "ok") else "alert",
    )


def copy_button(text: Text, *, label: str = "Copy") -> rx.Component:
    """Copies `text`; says so for a moment."""
    return CopyButton.create(text=text, label=label)


def code_line(text: Text, *, label: str = "Copy") -> rx.Component:
    """One line of code or an address, ready to be copied."""
    return rx.el.div(rx.el.code(text), copy_button(text, label=label), class_name="code-line")
