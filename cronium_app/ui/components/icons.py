"""Our own few icons, drawn on a 16-pixel grid in one stroke width."""

from typing import Any, Final

import reflex as rx

from cronium_app.ui.components.kinds import classes

PATHS: Final[dict[str, str]] = {
    "home": "M2.5 7.3 8 2.8l5.5 4.5v6h-4v-3.6h-3v3.6h-4z",
    "events": "M8.8 1.8 3.2 9h4l-.8 5.2L12.8 7H8.6z",
    "runs": "M5.2 3.5h8.3M5.2 8h8.3M5.2 12.5h8.3M2.4 3.5h.1M2.4 8h.1M2.4 12.5h.1",
    "settings": "M2.5 4.5h5m4 0h2M2.5 11.5h2m4 0h5M9.5 2.7v3.6M6.5 9.7v3.6",
    "play": "M4.8 3v10l8-5z",
    "stop": "M4 4h8v8H4z",
    "plus": "M8 3v10M3 8h10",
    "check": "m3 8.5 3.2 3.2L13 4.8",
    "close": "m4 4 8 8m0-8-8 8",
    "copy": "M5.5 5.5h7.5V13H5.5zM10.5 5.5V3H3v7.5h2.5",
    "search": "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9m3.3-1.2L13.5 13.5",
    "more": "M3.5 8h.1M8 8h.1M12.5 8h.1",
    "down": "m4 6.5 4 4 4-4",
    "left": "m10 3.5-4.5 4.5L10 12.5",
    "right": "m6 3.5 4.5 4.5L6 12.5",
    "edit": "M3 13l.6-2.7 7.2-7.2 2.1 2.1-7.2 7.2zM9.3 4.6l2.1 2.1",
    "trash": "M3 4.5h10M6.5 4.5V3h3v1.5M4.3 4.5l.6 8.5h6.2l.6-8.5",
    "archive": "M2.5 3.5h11v3h-11zM3.5 6.5v6h9v-6M6.5 9h3",
    "download": "M8 2.5v7m-3-2.8 3 3 3-3M3 13h10",
    "clock": "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M8 4.8V8l2.2 1.6",
    "warn": "M8 2.3 14.2 13H1.8zM8 6.5v3M8 11.3h.1",
    "info": "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M8 7.3v3.5M8 5.2h.1",
    "unlocked": "M4 7.5h8v5.5H4zM5.8 7.5V5.2a2.3 2.3 0 0 1 4.4-.8",
    "user": "M8 8a2.6 2.6 0 1 0 0-5.2A2.6 2.6 0 0 0 8 8M3 13.4c.6-2.3 2.6-3.6 5-3.6s4.4 1.3 5 3.6",
    "sun": "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4"
    "M3.6 3.6l1 1M11.4 11.4l1 1M3.6 12.4l1-1M11.4 4.6l1-1",
    "moon": "M13 9.6A5.4 5.4 0 0 1 6.4 3a5.4 5.4 0 1 0 6.6 6.6z",
    "external": "M6.5 3.5H3v9.5h9.5V9.5M9 3h4v4M13 3 7.5 8.5",
    "repeat": "M3 7.5A4.5 4.5 0 0 1 7.5 3H12m-2-2 2 2-2 2M13 8.5A4.5 4.5 0 0 1 8.5 13H4m2 2-2-2 2-2",
    "webhook": "M5.5 5.8 8 3l2.5 2.8M8 3v6M3 9.5V13h10V9.5",
    "key": "M5.5 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M8.3 8h5.2M11.5 8v2.4",
    "flask": "M6.5 2.5v4L3.2 12.6c-.3.6 0 1.2.8 1.2h8c.8 0 1.1-.6.8-1.2L9.5 6.5v-4M5.5 2.5h5M5 10h6",
}


def icon(name: str, *, size: int = 16, label: str | None = None) -> rx.Component:
    """The icon `name` of PATHS. Silent for screen readers unless it has a `label`."""
    spoken: dict[str, Any] = {"aria_hidden": "true"}
    if label:
        spoken = {"role": "img", "aria_label": label}
    return rx.el.svg(
        rx.el.path(d=PATHS[name]),
        view_box="0 0 16 16",
        width=str(size),
        height=str(size),
        class_name=classes("icon", f"icon-{name}"),
        **spoken,
    )
