# pyright: reportPrivateUsage=false, reportUnknownLambdaType=false
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false
# Helpers of a State begin with _ because a public method is an event handler, and the lambdas that
# Reflex calls get Vars of no declared type.
"""Settings: one's own account and sessions, API tokens, and what this server is."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import reflex as rx

from cronium_app.actions import accounts, pages, tokens
from cronium_app.actions.commands import PasswordIn, TokenIn, checked
from cronium_app.actions.errors import CroniumError, NotSignedIn
from cronium_app.actions.views import SessionView, TokenView
from cronium_app.domain.permissions import Permission
from cronium_app.security.cookies import session_token
from cronium_app.security.identity import Identity
from cronium_app.services import services
from cronium_app.ui import guard, push, routes, words
from cronium_app.ui.components import (
    Column,
    button,
    card,
    cell,
    cell_title,
    code_line,
    confirm_dialog,
    dialog,
    empty_state,
    external_link,
    field,
    key_values,
    mono,
    row,
    select,
    small,
    table,
    tabs,
    text_input,
    tone_pill,
    when,
    when_loaded,
)
from cronium_app.ui.guard import needs
from cronium_app.ui.page import Page
from cronium_app.ui.pages.frame import FRAME_NOUNS, enter, frame, typed
from cronium_app.ui.state import AppState

TABS: Final = (("", "Account"), ("tokens", "API tokens"), ("server", "Server"))
_DIFFER: Final = "The two new passwords differ."
LIVES: Final = (
    ("", "until it is revoked"),
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "one year"),
)


@dataclass(frozen=True)
class Session:
    id: str
    browser: str
    since: str
    seen: str
    current: bool


@dataclass(frozen=True)
class Token:
    id: str
    name: str
    hint: str
    created: str
    used: str
    expires: str
    over: bool


class SettingsState(AppState):
    """One tab at a time; the address says which."""

    loaded: bool = False
    tab: str = ""
    sessions: list[Session] = []
    tokens: list[Token] = []
    facts: list[list[str]] = []
    images: list[list[str]] = []
    key_place: str = ""
    password_error: str = ""
    token_name: str = ""
    token_life: str = ""
    token_error: str = ""
    new_token: str = ""
    revoking: str = ""
    revoking_name: str = ""

    @rx.event
    @needs(Permission.VIEW)
    async def load(self) -> None:
        tab = self._query("tab")
        self._put(tab=tab if tab in dict(TABS) else "", password_error="", new_token="")
        push.watch(self, guard.actor(), {"account": push.ANY} | FRAME_NOUNS, SettingsState.refresh)
        await self._show()

    @rx.event
    @needs(Permission.VIEW)
    async def refresh(self) -> None:
        await self._show()

    @rx.event
    @needs(Permission.VIEW)
    async def end_session(self, session_id: str) -> Any:
        await accounts.revoke_session(services(), guard.actor(), typed(session_id, 36))
        await self._show()
        return rx.toast.success("That session is over.")

    @rx.event
    @needs(Permission.VIEW)
    async def end_others(self) -> Any:
        svc, actor = services(), guard.actor()
        for item in await accounts.list_sessions(svc, await self._identity()):
            if not item.current:
                await accounts.revoke_session(svc, actor, item.id)
        await self._show()
        return rx.toast.success("Signed out everywhere else.")

    @rx.event
    @needs(Permission.VIEW)
    async def change_password(self, form: dict[str, Any]) -> Any:
        try:
            if form.pop("again", None) != form.get("new"):
                self._put(password_error=_DIFFER)
                return None
            command = checked(PasswordIn, form)
            await accounts.change_password(
                services(),
                await self._identity(),
                command,
                address=self.router.session.client_ip,
            )
        except CroniumError as error:
            self._put(password_error=error.message)
            return None
        self._put(password_error="")
        await self._show()
        return rx.toast.success("The password is changed. Other sessions are over.")

    @rx.event
    @needs(Permission.EDIT)
    def name_token(self, text: str) -> None:
        self._put(token_name=typed(text, 100), token_error="")

    @rx.event
    @needs(Permission.EDIT)
    def set_life(self, days: str) -> None:
        self._put(token_life=days if days in dict(LIVES) else "")

    @rx.event
    @needs(Permission.EDIT)
    async def create_token(self) -> None:
        svc = services()
        days = int(self.token_life or 0)
        ends = svc.clock.now() + timedelta(days=days) if days else None
        try:
            command = checked(TokenIn, {"name": self.token_name, "expires_at": ends})
            made = await tokens.create(svc, guard.actor(), command)
        except CroniumError as error:
            self._put(token_error=error.message)
            return
        self._put(new_token=made.token, token_name="", token_error="")
        await self._show()

    @rx.event
    @needs(Permission.EDIT)
    def forget_token(self) -> None:
        self._put(new_token="")

    @rx.event
    @needs(Permission.EDIT)
    def ask_revoke(self, token_id: str) -> None:
        known = {item.id: item.name for item in self.tokens}
        token_id = typed(token_id, 36)
        self._put(revoking=token_id, revoking_name=known.get(token_id, ""))

    @rx.event
    @needs(Permission.EDIT)
    def keep_token(self) -> None:
        self._put(revoking="")

    @rx.event
    @needs(Permission.EDIT)
    async def revoke(self) -> Any:
        await tokens.revoke(services(), guard.actor(), self.revoking)
        self._put(revoking="")
        await self._show()
        return rx.toast.success("The token is dead from now on.")

    async def _identity(self) -> Identity:
        """The session that this tab's socket was opened with."""
        token = session_token(self.router.headers.cookie) or ""
        found = await services().security.sessions.identify(token)
        if found is None:
            raise NotSignedIn
        return found

    async def _show(self) -> None:
        svc, actor = await enter(self)
        match self.tab:
            case "tokens":
                self._put(
                    tokens=[
                        _token(t, svc.clock.now()) for t in await tokens.list_tokens(svc, actor)
                    ]
                )
            case "server":
                await self._show_server()
            case _:
                found = await accounts.list_sessions(svc, await self._identity())
                self._put(sessions=[_session(item) for item in found])
        self._put(loaded=True)

    async def _show_server(self) -> None:
        about = await pages.about(services(), guard.actor())
        self._put(facts=[list(pair) for pair in about.facts], key_place=about.key_place)


def _session(view: SessionView) -> Session:
    return Session(
        id=view.id,
        browser=_browser(view.user_agent),
        since=words.iso(view.created_at),
        seen=words.iso(view.last_seen_at),
        current=view.current,
    )


def _browser(agent: str) -> str:
    """`Firefox on Linux` from a User-Agent, as far as it says."""
    names = (
        ("Edg/", "Edge"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    )
    systems = (
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS", "macOS"),
        ("Linux", "Linux"),
    )
    name = next((word for mark, word in names if mark in agent), "")
    system = next((word for mark, word in systems if mark in agent), "")
    return " on ".join(part for part in (name, system) if part) or agent[:60] or "Unknown browser"


def _token(view: TokenView, now: Any) -> Token:
    expired = view.expires_at is not None and view.expires_at < now
    return Token(
        id=view.id,
        name=view.name,
        hint=view.hint,
        created=words.iso(view.created_at),
        used=words.iso(view.last_used_at),
        expires=words.iso(view.expires_at),
        over=view.revoked_at is not None or expired,
    )


# --- the page ---------------------------------------------------------------------------------

# In a component a var stands for its later value, with a Var's methods; on the class it is typed
# as the value.
_Settings: Any = SettingsState
_App: Any = AppState


def settings_page() -> rx.Component:
    base = routes.SETTINGS
    return frame(
        tabs(
            [(f"{base}?tab={key}" if key else base, name) for key, name in TABS],
            active=rx.cond(_Settings.tab, f"{base}?tab={_Settings.tab}", base),
            label="Settings",
        ),
        rx.match(
            _Settings.tab,
            ("tokens", _tokens()),
            ("server", _server()),
            _account(),
        ),
        title="Settings",
    )


def _account() -> rx.Component:
    return rx.el.div(
        card(
            when_loaded(
                _Settings.loaded,
                table(
                    (Column(), Column(width="auto"), Column(width="auto")),
                    rx.foreach(_Settings.sessions, _session_row),
                    label="Sessions",
                    heads=False,
                ),
                rows=2,
            ),
            title="Signed in",
            note=_App.email,
            actions=[
                rx.cond(
                    _Settings.sessions.length() > 1,
                    button("Sign out everywhere else", small=True, on_click=_Settings.end_others),
                    rx.fragment(),
                )
            ],
            flush=True,
        ),
        card(
            rx.el.form(
                _password("Current password", "current", "current-password"),
                _password("New password", "new", "new-password", "At least 10 characters."),
                _password("New password again", "again", "new-password"),
                rx.cond(
                    _Settings.password_error,
                    rx.el.p(_Settings.password_error, class_name="field-error", role="alert"),
                    rx.fragment(),
                ),
                button("Change the password", type="submit"),
                on_submit=_Settings.change_password,
                reset_on_submit=True,
                class_name="stack",
            ),
            title="Password",
            note="changing it ends all other sessions",
        ),
        class_name="stack narrow",
    )


def _password(label: str, name: str, complete: str, hint: str | None = None) -> rx.Component:
    return field(
        label,
        rx.el.input(
            name=name,
            type="password",
            auto_complete=complete,
            required=True,
            max_length=1024,
            class_name="input",
        ),
        hint=hint,
    )


def _session_row(item: Any) -> rx.Component:
    return row(
        cell(cell_title(item.browser), rx.el.div("since ", when(item.since), class_name="mute sm")),
        cell(small("seen ", when(item.seen)), right=True),
        cell(
            rx.cond(
                item.current,
                tone_pill("this one", tone="ok"),
                button("Sign out", small=True, on_click=_Settings.end_session(item.id)),
            ),
            right=True,
        ),
        key=item.id,
    )


def _tokens() -> rx.Component:
    return rx.el.div(
        card(
            rx.el.p(
                "For scripts, the command line and other programs: they may do what you may do. See the ",
                external_link("API's documentation", href="/api/docs", class_name="text-link"),
                ".",
                class_name="mute",
            ),
            rx.el.div(
                field(
                    "Name",
                    text_input(
                        _Settings.token_name,
                        on_change=_Settings.name_token,
                        placeholder="deploy script",
                        max_length=100,
                    ),
                    error=_Settings.token_error,
                ),
                field(
                    "Valid",
                    select(_Settings.token_life, LIVES, on_change=_Settings.set_life),
                ),
                button("Create token", kind="primary", on_click=_Settings.create_token),
                class_name="line token-form",
            ),
            title="New token",
        ),
        card(
            when_loaded(
                _Settings.loaded,
                rx.cond(
                    _Settings.tokens.length() > 0,
                    table(
                        (Column(), Column(width="auto"), Column(width="auto")),
                        rx.foreach(_Settings.tokens, _token_row),
                        label="API tokens",
                        heads=False,
                    ),
                    empty_state("No tokens yet.", "Create one above.", icon_name="key"),
                ),
                rows=2,
            ),
            title="Your tokens",
            flush=True,
        ),
        dialog(
            rx.el.p("This is the only time it is shown. Copy it now."),
            code_line(_Settings.new_token, label="Copy the token"),
            title="Your new token",
            opened=_Settings.new_token != "",
            on_close=_Settings.forget_token,
            actions=[button("Done", kind="primary", on_click=_Settings.forget_token)],
        ),
        confirm_dialog(
            rx.el.p(
                "Whatever uses ",
                rx.el.b(_Settings.revoking_name),
                " is refused from now on. This cannot be undone.",
            ),
            title="Revoke this token?",
            opened=_Settings.revoking != "",
            confirm="Revoke token",
            on_confirm=_Settings.revoke,
            on_close=_Settings.keep_token,
        ),
        class_name="stack narrow",
    )


def _token_row(item: Any) -> rx.Component:
    return row(
        cell(
            cell_title(item.name),
            " ",
            mono(item.hint, "…", class_name="faint"),
            rx.el.div(
                "made ",
                when(item.created),
                rx.cond(item.used, rx.fragment(", used ", when(item.used)), ", never used"),
                rx.cond(item.expires, rx.fragment(", ends ", when(item.expires)), rx.fragment()),
                class_name="mute sm",
            ),
        ),
        cell(rx.cond(item.over, tone_pill("over", tone="none"), rx.fragment())),
        cell(
            rx.cond(
                item.over,
                rx.fragment(),
                button("Revoke", kind="danger", small=True, on_click=_Settings.ask_revoke(item.id)),
            ),
            right=True,
        ),
        key=item.id,
    )


def _server() -> rx.Component:
    return rx.el.div(
        card(
            rx.el.dl(
                rx.foreach(
                    _Settings.facts,
                    lambda pair: rx.fragment(
                        rx.el.dt(pair[0]), rx.el.dd(mono(pair[1])), key=pair[0]
                    ),
                ),
                class_name="kv",
            ),
            title="This server",
        ),
        card(
            key_values(("Master key", mono(_Settings.key_place))),
            rx.el.p(
                "Keep a copy of it apart from the backups of the data folder. Without it, what is "
                "sealed in a backup stays sealed; with both in one hand, it is not.",
                class_name="mute sm",
            ),
            title="Key",
        ),
        class_name="stack narrow",
    )


SETTINGS = Page(
    route=routes.SETTINGS,
    component=settings_page,
    title="Settings",
    on_load=SettingsState.load,
)
