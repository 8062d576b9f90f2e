"""The frame around every page: navigation, header, banners, palette, the way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import reflex as rx

from cronium_app.ui import routes
from cronium_app.ui.components import icon, link, menu, menu_item, menu_line, tone_pill
from cronium_app.ui.components.browser import (
    ConnectionBar,
    InsecureMark,
    NavLink,
    Palette,
    PaletteButton,
    SignOut,
    ThemeSwitch,
)
from cronium_app.ui.components.kinds import Child, Handler, Text

NAVIGATION: Final = (
    ("Home", routes.HOME, "home"),
    ("Events", routes.EVENTS, "events"),
    ("Runs", routes.RUNS, "runs"),
    ("Settings", routes.SETTINGS, "settings"),
)
COMMANDS: Final = [
    {"label": "Home", "href": routes.HOME, "keys": "g h", "group": "Go to"},
    {"label": "Events", "href": routes.EVENTS, "keys": "g e", "group": "Go to"},
    {"label": "Runs", "href": routes.RUNS, "keys": "g r", "group": "Go to"},
    {"label": "Settings", "href": routes.SETTINGS, "keys": "g s", "group": "Go to"},
    {"label": "New event", "href": routes.EVENT_NEW, "keys": "n", "group": "Do"},
]
API_DOCS: Final = "/api/docs"


@dataclass(frozen=True, kw_only=True)
class ShellData:
    """What the frame shows that comes from the server. Each may be a Var of the page's State.

    engine         "ready", "preparing", "down" or "" (unknown): the pill at the foot
    engine_text    words beside it: "2 of 4 slots", "cronium/python 60 %"
    user           the e-mail address of who is signed in
    running        how many runs are running now, as text ("" hides it)
    banners        rows of {tone: info|warn|bad, text, href, action}; href/action may be ""
    found          answers of the palette's search: rows of {label, href, hint, group}
    on_find        called with the text typed into the palette
    """

    engine: Text = ""
    engine_text: Text = ""
    user: Text = ""
    running: Text = ""
    banners: rx.Var[Any] | list[dict[str, str]] | None = None
    found: rx.Var[Any] | None = None
    on_find: Handler = None


def shell(
    *children: Child,
    data: ShellData,
    title: Child,
    crumbs: Sequence[tuple[Child, Text]] = (),
    beside: Child = None,
    actions: Sequence[Child] = (),
    search: bool = True,
) -> rx.Component:
    """A page of a signed-in person.

    `title` ends the crumb line in the header; `crumbs` are (words, address) before it; `beside`
    stands right of the title (a count, a pill); `actions` at the right end, the most important
    last. `search` shows the palette's field there.
    """
    return rx.el.div(
        rx.el.a("Skip to the content", href="#content", class_name="skip"),
        _navigation(data),
        rx.el.div(
            _header(title, crumbs, beside, actions, search=search),
            _banners(data),
            rx.el.main(*children, id="content", tab_index=-1),
            class_name="app-body",
        ),
        _palette(data),
        class_name="app",
    )


def plain_page(
    *children: Child, title: Child, lead: Child = None, loads: bool = False
) -> rx.Component:
    """A page without the frame, for set-up and sign-in: one narrow card under the brand.

    `loads` makes the brand a link that loads its page anew (where this one is broken).
    """
    return rx.el.div(
        rx.el.main(
            _brand(loads=loads),
            rx.el.section(
                rx.el.h1(title),
                rx.el.p(lead, class_name="mute") if lead is not None else None,
                *children,
                class_name="card plain-card",
            ),
            rx.el.div(InsecureMark.create(), class_name="plain-foot"),
            id="content",
        ),
        class_name="plain",
    )


def _brand(*, loads: bool = False) -> rx.Component:
    return rx.el.a(
        rx.el.span(_mark(), class_name="brand-mark"),
        rx.el.span("Cronium", class_name="brand-name"),
        href=routes.HOME,
        reload_document=loads,
        class_name="brand",
        custom_attrs={"aria-label": "Cronium, home"},
    )


def _mark() -> rx.Component:
    """The sign: a clock's quarter turning into a prompt."""
    return rx.el.svg(
        rx.el.path(d="M15.2 6.1A6.6 6.6 0 1 0 15.2 15.9"),
        rx.el.path(d="M11 7.2V11l2.6 1.7"),
        rx.el.path(d="M16.2 11h2.6", class_name="brand-hand"),
        view_box="0 0 22 22",
        width="22",
        height="22",
        aria_hidden="true",
    )


def _navigation(data: ShellData) -> rx.Component:
    places = [
        NavLink.create(
            icon(sign, size=18),
            rx.el.span(words),
            _running(data) if href == routes.RUNS else None,
            to=href,
        )
        for words, href, sign in NAVIGATION
    ]
    return rx.el.nav(
        _brand(),
        rx.el.div(*places, class_name="nav-places"),
        rx.el.div(
            InsecureMark.create(),
            _engine(data),
            menu(
                rx.el.div(ThemeSwitch.create(), class_name="menu-box"),
                menu_line(),
                menu_item("Settings", href=routes.SETTINGS, icon_name="settings"),
                menu_item("API", href=API_DOCS, icon_name="external", external=True),
                menu_line(),
                SignOut.create(action="/auth/logout"),
                label="Account",
                text=data.user,
                icon_name="user",
                align="start-up",
            ),
            class_name="nav-foot",
        ),
        class_name="nav",
        aria_label="Main",
    )


def _running(data: ShellData) -> rx.Component:
    if isinstance(data.running, rx.Var):
        return rx.cond(data.running, rx.el.b(data.running, title="running now"), rx.fragment())
    return rx.el.b(data.running, title="running now") if data.running else rx.fragment()


def _engine(data: ShellData) -> rx.Component:
    tone = cast(
        "rx.Var[str]",
        rx.match(data.engine, ("ready", "ok"), ("preparing", "info"), ("down", "bad"), "none"),
    )
    shown = rx.el.div(
        tone_pill("Engine", tone=tone),
        rx.el.span(data.engine_text, class_name="faint sm cut"),
        class_name="engine",
    )
    if isinstance(data.engine, rx.Var):
        return rx.cond(data.engine, shown, rx.fragment())
    return shown if data.engine else rx.fragment()


def _header(
    title: Child,
    crumbs: Sequence[tuple[Child, Text]],
    beside: Child,
    actions: Sequence[Child],
    *,
    search: bool,
) -> rx.Component:
    steps: list[Any] = []
    for words, href in crumbs:
        steps += [
            link(words, href=href),
            rx.el.span("/", aria_hidden="true", class_name="crumb-bar"),
        ]
    return rx.el.header(
        rx.el.nav(*steps, class_name="crumbs", aria_label="Breadcrumbs") if steps else None,
        rx.el.h1(title, class_name="header-title"),
        beside,
        rx.el.span(class_name="grow"),
        PaletteButton.create() if search else None,
        *actions,
        class_name="header",
    )


def _banners(data: ShellData) -> rx.Component:
    if data.banners is None:
        return rx.fragment()
    return rx.el.div(rx.foreach(data.banners, _banner), class_name="banners")


def _banner(row: Any) -> rx.Component:
    return rx.el.div(
        rx.cond(row["tone"] == "info", icon("info"), icon("warn")),
        rx.el.span(row["text"]),
        rx.cond(
            row["href"],
            link(row["action"], href=row["href"], class_name="banner-link"),
            rx.fragment(),
        ),
        class_name="banner",
        data_tone=row["tone"],
        role="status",
        key=row["text"],
    )


def _palette(data: ShellData) -> rx.Component:
    extra: dict[str, Any] = {}
    if data.on_find is not None:
        extra["on_find"] = data.on_find
    if data.found is not None:
        extra["found"] = data.found
    return Palette.create(commands=COMMANDS, **extra)


def connection_bar() -> rx.Component:
    """The slim bar that takes the place of Reflex' own red toast."""
    return ConnectionBar.create()
