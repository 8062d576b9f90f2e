"""What lies over a page: dialogs, menus. (Toasts: `rx.toast.success/error/info(...)`.)"""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from cronium_app.ui.components.basics import button, link
from cronium_app.ui.components.browser import Dialog, Menu
from cronium_app.ui.components.icons import icon
from cronium_app.ui.components.kinds import Child, Flag, Handler, Text


def dialog(
    *children: Child,
    title: Text,
    opened: Flag,
    on_close: Handler,
    actions: Sequence[Child] = (),
    wide: bool = False,
) -> rx.Component:
    """A modal dialog. Escape, the cross and a click beside it call `on_close`."""
    foot = rx.el.footer(*actions, class_name="dialog-foot") if actions else None
    return Dialog.create(
        rx.el.div(*children, class_name="dialog-body"),
        foot,
        title=title,
        open=opened,
        on_close=on_close,
        wide=wide,
    )


def confirm_dialog(
    *children: Child,
    title: Text,
    opened: Flag,
    confirm: Text,
    on_confirm: Handler,
    on_close: Handler,
    danger: bool = True,
    pending: Flag = False,
) -> rx.Component:
    """A question before something that cannot be undone. `confirm` is a verb: "Delete event"."""
    return dialog(
        *children,
        title=title,
        opened=opened,
        on_close=on_close,
        actions=[
            button("Keep it" if danger else "Cancel", on_click=on_close),
            button(
                confirm,
                kind="danger" if danger else "primary",
                on_click=on_confirm,
                pending=pending,
            ),
        ],
    )


def menu(
    *items: Child,
    label: str = "More",
    text: Text = "",
    icon_name: str = "more",
    align: str = "end",
    small: bool = False,
) -> rx.Component:
    """A button with a list of `menu_item`s. `label` is spoken, `text` is visible (may be empty)."""
    return Menu.create(*items, label=label, text=text, icon=icon_name, align=align, small=small)


def menu_item(
    text: Child,
    *,
    on_click: Handler = None,
    href: Text | None = None,
    icon_name: str | None = None,
    danger: bool = False,
    external: bool = False,
) -> rx.Component:
    """One entry: an action (`on_click`) or a place (`href`)."""
    inside: list[Any] = [icon(icon_name)] if icon_name else []
    inside.append(rx.el.span(text))
    props: dict[str, Any] = {"role": "menuitem", "tab_index": -1, "class_name": "menu-item"}
    if danger:
        props["data_tone"] = "bad"
    if href is not None:
        if external:
            return rx.el.a(*inside, href=href, target="_blank", rel="noopener noreferrer", **props)
        return link(*inside, href=href, **props)
    return rx.el.button(*inside, type="button", on_click=on_click, **props)


def menu_line() -> rx.Component:
    """A line between groups of entries."""
    return rx.el.hr(class_name="menu-line")
