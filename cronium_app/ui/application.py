"""The Reflex application around the pages: head, styles, toasts, overlays, error pages."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import reflex as rx
from reflex.event import EventSpec
from reflex_components_core.base.error_boundary import ErrorBoundary

from cronium_app.ui import layout, routes, theme
from cronium_app.ui.components import button, link_button, notice
from cronium_app.ui.components.code import EVENT_LIMIT
from cronium_app.ui.page import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

log = logging.getLogger(__name__)

Gate = Callable[[Any], Any]
TITLE = "Cronium"


def make_app(pages: "Sequence[Page]", api: "FastAPI | None" = None, *gates: Gate) -> rx.App:
    """An `rx.App` with these pages and our frame around them.

    `api` holds the product's own routes; Reflex mounts itself at "" below it. `gates` are ASGI
    wrappers put around both, the last one outermost. Without `api` it is good for building the
    client only.
    """
    transformers: list[Any] = [*gates] if api is None else [api, *gates]
    app = rx.App(
        stylesheets=[theme.STYLESHEET, theme.PAGES_STYLESHEET],
        reset_style=False,
        html_lang="en",
        head_components=_head(),
        toaster=_toaster(),
        app_wraps={
            (55, "ErrorBoundary"): lambda _stateful: _error_boundary(),
            (5, "Overlay"): lambda _stateful: rx.fragment(layout.connection_bar()),
        },
        api_transformer=transformers or None,
        backend_exception_handler=tell_and_log,
    )
    if app.sio is not None:
        # Room for a script of 1 MiB in one event; who may send that much is the guard's business.
        app.sio.eio.max_http_buffer_size = EVENT_LIMIT + 64 * 1024  # pyright: ignore[reportAttributeAccessIssue]
    for page in pages:
        _add(app, page)
    app.add_page(_not_found, route="404", title=f"Not found · {TITLE}")
    return app


def tell_and_log(exception: Exception) -> EventSpec:
    """A bug in an event handler: our log gets the traceback, the reader one sentence."""
    log.error("a page's event handler failed", exc_info=exception)
    return rx.toast.error(
        "That did not work.",
        description="The server's log says why. Nothing was half saved.",
        id="backend_error",
    )


def _add(app: rx.App, page: Page) -> None:
    # A page's own title wins later by document.title where a name is known.
    app.add_page(
        page.component,
        route=page.route,
        title=TITLE if page.title == TITLE else f"{page.title} · {TITLE}",
        description="Write a script, give it a schedule, know what happened.",
        image=theme.FAVICON,
        on_load=page.on_load,
    )


def _head() -> list[rx.Component]:
    colors = [
        rx.el.meta(name="theme-color", content=color, media=f"(prefers-color-scheme: {mode})")
        for mode, color in theme.THEME_COLORS.items()
    ]
    return [
        rx.el.link(rel="icon", href=theme.FAVICON, type="image/svg+xml"),
        rx.el.meta(name="robots", content="noindex"),
        rx.el.meta(name="referrer", content="same-origin"),
        *colors,
    ]


def _toaster() -> rx.Component:
    return rx.toast.provider(
        position="bottom-right",
        rich_colors=False,
        close_button=False,
        visible_toasts=4,
        duration=5000,
    )


def _error_boundary() -> rx.Component:
    """A bug in the browser's part: the reader gets a way out, our log gets the report."""
    sentence = layout.plain_page(
        notice("Reloading usually helps. What you typed into an editor is kept.", tone="bad"),
        rx.el.div(
            button("Reload", kind="primary", on_click=rx.call_script("location.reload()")),
            # What broke is put together anew only by loading a page.
            rx.el.a("Home", href=routes.HOME, reload_document=True, class_name="btn btn-default"),
            class_name="line",
        ),
        title="This page broke",
        loads=True,
    )
    return ErrorBoundary.create(fallback_render=rx.Var.create(sentence))


def _not_found() -> rx.Component:
    return layout.plain_page(
        rx.el.div(
            link_button("Home", href=routes.HOME, kind="primary"),
            link_button("Events", href=routes.EVENTS),
            link_button("Runs", href=routes.RUNS),
            class_name="line",
        ),
        title="There is nothing here",
        lead="The address may have a typing error, or what it named was deleted.",
    )
