"""The application with all its pages, for the composition root and for the client build."""

from typing import TYPE_CHECKING

import reflex as rx

from cronium_app.ui.application import Gate, make_app
from cronium_app.ui.pages import PAGES

if TYPE_CHECKING:
    from fastapi import FastAPI


def build_app(api: "FastAPI | None" = None, *gates: Gate) -> rx.App:
    """The one `rx.App` of a process, with every page of `PAGES`; see `application.make_app`."""
    return make_app(PAGES, api, *gates)
