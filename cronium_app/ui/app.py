"""The Reflex application around the pages: head, styles, toasts, overlays, error pages."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import reflex as rx

from cronium_app.ui import theme
from cronium_app.ui.pages import PAGES

if TYPE_CHECKING:
    from fastapi import FastAPI

log = logging.getLogger(__name__)
Gate = Callable[[Any], Any]


def build_app(api: "FastAPI | None" = None, *gates: Gate) -> rx.App:
    """The one `rx.App` of a process, with every page of `PAGES` registered.

    `api` holds the product's own routes; Reflex mounts itself at "" below it. `gates` are ASGI
    wrappers put around both, the last one outermost. Without `api` it is good for building the
    client only.
    """
    transformers: list[Any] = [api, *gates] if api is not None else [*gates]
    app = rx.App(
        stylesheets=[theme.STYLESHEET],
        html_lang="en",
        api_transformer=transformers or None,
    )
    for page in PAGES:
        app.add_page(page.component, route=page.route, title=page.title, on_load=page.on_load)
    return app
