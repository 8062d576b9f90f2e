"""What a page is to the application: an address, a component and what runs when it opens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import reflex as rx


@dataclass(frozen=True, kw_only=True)
class Page:
    """One row of the page table in `cronium_app.ui.pages.PAGES`.

    `on_load` is an event handler or a list of them; it must rebuild the page from the address,
    the cookie and the database alone, because a reload or a restart keeps nothing else.
    """

    route: str
    component: Callable[[], rx.Component]
    title: str
    on_load: Any = None
