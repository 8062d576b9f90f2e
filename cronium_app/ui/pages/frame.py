# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""What all pages have in common: the frame with its live parts, the palette, small helpers."""

from collections.abc import Sequence
from typing import Any

import reflex as rx

from cronium_app.actions import events, pages
from cronium_app.actions.errors import Invalid
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.services import Services, services
from cronium_app.ui import guard, routes
from cronium_app.ui.components import empty_state, link_button
from cronium_app.ui.components.kinds import Child, Text
from cronium_app.ui.guard import needs
from cronium_app.ui.layout import ShellData, shell
from cronium_app.ui.state import AppState

# What every page listens to, beside its own subject.
FRAME_NOUNS = {"engine": frozenset[str]()}


class PaletteState(AppState):
    """Answers of Ctrl-K."""

    found: list[dict[str, str]] = []

    @rx.event
    @needs(Permission.VIEW)
    async def find(self, text: str) -> None:
        page = await events.list_events(services(), guard.actor(), search=typed(text, 100), limit=8)
        self._put(
            found=[
                {
                    "label": row.name,
                    "href": routes.event_url(row.id),
                    "hint": ", ".join(row.tags),
                    "group": "Events",
                }
                for row in page.items
            ]
        )


def typed(text: Any, limit: int = 1000) -> str:
    """What came from a text field, or Invalid: the browser may send anything."""
    if not isinstance(text, str):
        raise Invalid("Text is expected here.")
    if len(text) > limit:
        raise Invalid(f"At most {limit:,} characters fit here.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Invalid("The text is not valid Unicode.") from None
    return text


async def enter(state: AppState) -> tuple[Services, Actor]:
    """The first step of every page's load: who is looking, and the frame brought up to date."""
    actor, svc = guard.actor(), services()
    shown = await pages.frame(svc, actor)
    app_state = await state.get_state(AppState)
    app_state._frame(actor, shown.engine, shown.running)
    return svc, actor


def frame(
    *children: Child,
    title: Child,
    crumbs: Sequence[tuple[Child, Text]] = (),
    beside: Child = None,
    actions: Sequence[Child] = (),
) -> rx.Component:
    """A page of a signed-in person; see `layout.shell`."""
    return shell(
        *children,
        data=ShellData(
            engine=AppState.engine,
            engine_text=AppState.engine_text,
            user=AppState.email,
            running=AppState.running,
            banners=AppState.banners,
            found=rx.Var.create(PaletteState.found),
            on_find=PaletteState.find,
        ),
        title=title,
        crumbs=crumbs,
        beside=beside,
        actions=actions,
    )


def not_found(what: str, back: str, back_words: str) -> rx.Component:
    """What is not there, or is somebody else's: the two look exactly alike."""
    return empty_state(
        f"There is no such {what} here.",
        "It may have been deleted, or it belongs to another account.",
        action=link_button(back_words, href=back),
        icon_name="search",
    )
