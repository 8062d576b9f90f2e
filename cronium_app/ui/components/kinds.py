"""Types that the components share: what may be given as words, flags, children and handlers."""

from typing import Any, Literal, TypeAlias

import reflex as rx

Text: TypeAlias = str | rx.Var[Any]
Flag: TypeAlias = bool | rx.Var[Any]
Number: TypeAlias = int | float | rx.Var[Any]
Child: TypeAlias = rx.Component | str | rx.Var[Any] | None
# An event handler, an event spec, a lambda of Vars, or a list of these.
Handler: TypeAlias = Any

ButtonKind = Literal["default", "primary", "danger", "ghost"]
# What a notice is about. The colours mean the same on every page.
Tone = Literal["info", "ok", "warn", "bad"]
PhoneRule = Literal["show", "hide", "line"]


def classes(*names: str | None) -> str:
    """Join the class names that are there."""
    return " ".join(name for name in names if name)


def flag(value: Flag, name: str) -> Any:
    """An attribute that is there (empty) or not, for CSS such as `[data-pending]`."""
    if isinstance(value, bool):
        return name if value else None
    return rx.cond(value, name, None)
