"""Lists: rows that become cards on phones, ticks, tabs, paging."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import reflex as rx

from cronium_app.ui.components.basics import link
from cronium_app.ui.components.browser import QueryChip, Ticks
from cronium_app.ui.components.icons import icon
from cronium_app.ui.components.kinds import Child, Flag, Handler, PhoneRule, Text, classes


@dataclass(frozen=True)
class Column:
    """A column of a list: its heading (may be empty) and its width as a CSS grid track."""

    title: str = ""
    width: str = "1fr"
    right: bool = False


def table(columns: Sequence[Column], *rows: Child, label: str, heads: bool = True) -> rx.Component:
    """A list in columns. Its children are `row(...)`s or an `rx.foreach` of them.

    On a phone the headings vanish and each row is a card: the cells with `phone="hide"` go, those
    with `phone="line"` take a line of their own.
    """
    head = rx.el.div(
        *[
            rx.el.span(c.title, role="columnheader", class_name="right" if c.right else None)
            for c in columns
        ],
        class_name="row row-head",
        role="row",
    )
    return rx.el.div(
        head if heads else None,
        *rows,
        class_name="table",
        role="table",
        aria_label=label,
        style={"--cols": " ".join(c.width for c in columns)},
    )


def row(*cells: Child, href: Text | None = None, **props: Any) -> rx.Component:
    """A row. With `href` the whole row is a target: the first `row_link` in it stretches over it."""
    look = classes("row", "row-link" if href is not None else None, props.pop("class_name", None))
    parts = list(cells)
    if href is not None:
        parts.append(link(href=href, class_name="row-cover", tab_index=-1, aria_hidden="true"))
    return rx.el.div(*parts, class_name=look, role="row", **props)


def cell(
    *children: Child, phone: PhoneRule = "show", right: bool = False, **props: Any
) -> rx.Component:
    """A cell of a row. Long text is cut with dots."""
    look = classes(
        "cell", f"phone-{phone}", "right" if right else None, props.pop("class_name", None)
    )
    return rx.el.div(*children, class_name=look, role="cell", **props)


def cell_title(text: Child, *, href: Text | None = None) -> rx.Component:
    """The name in a row, in the strength of a name; with `href` the link that keyboards reach."""
    if href is None:
        return rx.el.b(text, class_name="cell-title")
    return link(text, href=href, class_name="cell-title")


def ticks(runs: rx.Var[Any] | list[dict[str, Any]], *, slots: int = 30) -> rx.Component:
    """The last `slots` runs, oldest first, as bars: {status, reason?, title?, href?}.

    Health is seen by height and colour; the title of each bar and a summary for screen readers
    say it in words.
    """
    return Ticks.create(runs=runs, slots=slots)


def tabs(
    items: Sequence[tuple[Text, Text]],
    *,
    active: Text,
    on_change: Handler = None,
    label: str = "Sections",
) -> rx.Component:
    """Tabs: pairs of key and words. Without `on_change` the keys are addresses (links)."""
    parts: list[rx.Component] = []
    for key, words in items:
        current = rx.cond(
            rx.Var.create(active) == key, "page" if on_change is None else "true", "false"
        )
        if on_change is None:
            parts.append(link(words, href=key, custom_attrs={"aria-current": current}))
        else:
            parts.append(
                rx.el.button(
                    words,
                    type="button",
                    on_click=on_change(key),
                    custom_attrs={"aria-current": current},
                )
            )
    return rx.el.nav(*parts, class_name="tabs", aria_label=label)


def filter_chip(text: Child, *, href: Text, active: Flag = False, tone: Text = "") -> rx.Component:
    """A filter that lives in the address: on or off."""
    pressed = (
        rx.cond(active, "true", "false") if isinstance(active, rx.Var) else str(active).lower()
    )
    return link(
        text,
        href=href,
        class_name="chip",
        data_tone=tone,
        custom_attrs={"aria-pressed": pressed, "role": "button"},
    )


def query_chip(text: Child, *, name: str, value: str, tone: Text = "") -> rx.Component:
    """A filter that is one value of the address; made in the browser, so it is never behind it."""
    return QueryChip.create(text, name=name, value=value, tone=tone)


def chips(*children: Child) -> rx.Component:
    """A line of filter chips and small controls; it scrolls sideways on a phone."""
    return rx.el.div(*children, class_name="chips")


def pagination(*, text: Child, prev_href: Text, next_href: Text) -> rx.Component:
    """`51 to 100 of 1,204` with links to the neighbours; an empty address greys its side out."""
    return rx.el.nav(
        rx.el.span(text, class_name="mute sm"),
        rx.el.span(class_name="grow"),
        _page_link("left", "Previous page", prev_href),
        _page_link("right", "Next page", next_href),
        class_name="pagination",
        aria_label="Pages",
    )


def _page_link(sign: str, label: str, href: Text) -> rx.Component:
    there = link(
        icon(sign),
        href=href,
        class_name="btn btn-default btn-sm btn-icon",
        aria_label=label,
        title=label,
    )
    none = rx.el.span(
        icon(sign), class_name="btn btn-default btn-sm btn-icon", aria_disabled="true"
    )
    if isinstance(href, rx.Var):
        return rx.cond(href, there, none)
    return there if href else none


def phases(*parts: tuple[Child, Child, Text]) -> rx.Component:
    """Setup, execution, cleanup: (name, duration, state: waiting, active, done, bad)."""
    return rx.el.ol(
        *[rx.el.li(rx.el.span(name), " ", time, data_state=state) for name, time, state in parts],
        class_name="phases",
    )
