"""Administration: opens the database itself, in short writes beside a running server."""

import asyncio
import contextlib
import getpass
import secrets
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cronium_app.cli.errors import CliError

if TYPE_CHECKING:
    from cronium_app.domain.clock import Clock
    from cronium_app.orchestrator.bus import Bus
    from cronium_app.security.build import Security
    from cronium_app.settings import Settings
    from cronium_app.store.database import Database

Data = Annotated[Path | None, typer.Option(help="Data folder.")]
Email = Annotated[str, typer.Option(help="The person's e-mail address.")]
PANEL = "Administration"


@dataclass(frozen=True, kw_only=True)
class Office:
    """What the use cases of people and tokens need."""

    settings: "Settings"
    db: "Database"
    clock: "Clock"
    bus: "Bus"
    security: "Security"


def add_to(app: typer.Typer) -> None:
    tokens = typer.Typer(help="API tokens.", no_args_is_help=True)
    tokens.command("create")(token_create)
    tokens.command("list")(token_list)
    tokens.command("revoke")(token_revoke)
    users = typer.Typer(help="People.", no_args_is_help=True)
    users.command("create")(user_create)
    users.command("list")(user_list)
    users.command("reset-password")(user_reset_password)
    users.command("disable")(user_disable)
    users.command("enable")(user_enable)
    app.add_typer(tokens, name="token", rich_help_panel=PANEL)
    app.add_typer(users, name="user", rich_help_panel=PANEL)
    app.command("setup-link", rich_help_panel=PANEL)(setup_link)
    app.command("migrate", rich_help_panel=PANEL)(migrate)
    app.command("doctor", rich_help_panel=PANEL)(doctor)


# --- tokens ---------------------------------------------------------------------------------------


def token_create(
    email: Email,
    name: Annotated[str, typer.Option(help="What it is for.")],
    days: Annotated[int | None, typer.Option(help="Expires after so many days.", min=1)] = None,
    data: Data = None,
) -> None:
    """Make a token and print it alone. It is shown this once."""

    async def work(office: Office) -> None:
        from cronium_app.actions import accounts, tokens

        actor = accounts.actor_for(await accounts.find_user(office, email))
        expires = office.clock.now() + timedelta(days=days) if days else None
        made = await tokens.create(office, actor, {"name": name, "expires_at": expires})
        print(made.token)

    _run(work, data)


def token_list(email: Email, data: Data = None) -> None:
    """A person's tokens."""

    async def work(office: Office) -> None:
        from cronium_app.actions import accounts, tokens

        actor = accounts.actor_for(await accounts.find_user(office, email))
        for row in await tokens.list_tokens(office, actor):
            state = "revoked" if row.revoked_at else "live"
            used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never"
            print(f"{row.id}  {row.hint}…  {state:8}  last used {used:16}  {row.name}")

    _run(work, data)


def token_revoke(
    token_id: Annotated[str, typer.Argument(help="Its id, from `token list`.")],
    email: Email,
    data: Data = None,
) -> None:
    """Make a token useless, within 5 seconds."""

    async def work(office: Office) -> None:
        from cronium_app.actions import accounts, tokens

        actor = accounts.actor_for(await accounts.find_user(office, email))
        await tokens.revoke(office, actor, token_id)

    _run(work, data)


# --- people ---------------------------------------------------------------------------------------


def user_create(
    email: Email,
    admin: Annotated[bool, typer.Option(help="An administrator.")] = False,
    data: Data = None,
) -> None:
    """Make an account. The password is asked for, or read from standard input."""
    password = _new_password()

    async def work(office: Office) -> None:
        from cronium_app.actions import accounts

        role = "admin" if admin else "user"
        command = {"email": email, "password": password, "role": role}
        view = await accounts.create_user(office, None, command)
        print(f"{view.email} can sign in now.")

    _run(work, data)


def user_list(data: Data = None) -> None:
    """Everybody who has an account."""

    async def work(office: Office) -> None:
        from cronium_app.actions import accounts

        for user in await accounts.list_users(office, None):
            print(f"{user.email}  {user.role}{'  disabled' if user.disabled else ''}")

    _run(work, data)


def user_reset_password(
    email: Annotated[str | None, typer.Argument(help="Whose password.")] = None,
    email_option: Annotated[str | None, typer.Option("--email", help="The same.")] = None,
    generate: Annotated[bool, typer.Option(help="Make one and print it.")] = False,
    data: Data = None,
) -> None:
    """Set a new password. Every session of that person ends."""
    whose = email or email_option
    if whose is None or (email and email_option and email != email_option):
        raise typer.BadParameter("Say whose password: cronium user reset-password EMAIL")
    password = secrets.token_urlsafe(16) if generate else _new_password()

    async def work(office: Office) -> None:
        from cronium_app.actions import accounts

        await accounts.reset_password(office, None, whose, password)
        print(password if generate else f"The password of {whose} is changed.")

    _run(work, data)


def user_disable(
    email: Annotated[str, typer.Argument(help="Who may not sign in any more.")], data: Data = None
) -> None:
    """Sessions end and tokens stop working, within 5 seconds."""
    _set_disabled(email, True, data)


def user_enable(
    email: Annotated[str, typer.Argument(help="Who may sign in again.")], data: Data = None
) -> None:
    """Undo `disable`."""
    _set_disabled(email, False, data)


def _set_disabled(email: str, disabled: bool, data: Path | None) -> None:
    async def work(office: Office) -> None:
        from cronium_app.actions import accounts

        await accounts.set_disabled(office, None, email, disabled=disabled)
        print(f"{email} is {'disabled' if disabled else 'enabled'}.")

    _run(work, data)


def _new_password() -> str:
    """Asked twice at a terminal; else the first line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("New password: ")
    if getpass.getpass("Once more: ") != first:
        raise CliError("The two are not the same.")
    return first


# --- the installation -----------------------------------------------------------------------------


def setup_link(data: Data = None) -> None:
    """Print a new link for creating the administrator, good for 24 hours."""

    async def work(office: Office) -> None:
        from cronium_app.actions import accounts

        code = await accounts.new_setup_code(office)
        print(f"{_address(office.settings)}/setup#{code}")

    _run(work, data)


def _address(settings: "Settings") -> str:
    """Where the server is: as configured for people, as the running one noted, or as set."""
    import json

    if settings.public_url:
        return settings.public_url.rstrip("/")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((settings.data_dir / "lock").read_text())["address"]).rstrip("/")
    return f"http://{settings.host}:{settings.port}"


def migrate(data: Data = None) -> None:
    """Bring the database to the newest form. An SQLite file is copied first."""
    from cronium_app.domain.clock import SystemClock
    from cronium_app.store import migrate as migrations
    from cronium_app.store.folder import FolderLock

    settings = _settings(data)
    lock = FolderLock(settings.data_dir)
    try:
        copy = migrations.migrate(
            settings.resolved_database_url(), settings.data_dir, now=SystemClock().now()
        )
    finally:
        lock.release()
    print("The database is up to date." + (f" The copy before: {copy}" if copy else ""))


def doctor(data: Data = None) -> None:
    """Look at engine, images, clock, disk, key and database. Exit code 1 if something is wrong."""
    from cronium_app.cli.doctor import examine

    wrong = False
    for finding in examine(_settings(data)):
        mark = {"ok": "ok   ", "note": "note ", "wrong": "WRONG"}[finding.state]
        print(f"{mark}  {finding.subject:9}  {finding.text}")
        wrong = wrong or finding.state == "wrong"
    raise typer.Exit(1 if wrong else 0)


# --- opening the database -------------------------------------------------------------------------


def _settings(data: Path | None) -> "Settings":
    from cronium_app.settings import load_settings

    return load_settings({"data_dir": data})


def _run(work: Callable[[Office], Coroutine[Any, Any, None]], data: Path | None) -> None:
    async def main() -> None:
        async with _office(_settings(data)) as office:
            await work(office)

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _office(settings: "Settings") -> AsyncGenerator[Office]:
    from cronium_app.domain.clock import SystemClock
    from cronium_app.orchestrator.bus import Bus
    from cronium_app.security.build import build_security
    from cronium_app.store import migrate as migrations
    from cronium_app.store.database import Database

    url = settings.resolved_database_url()
    if await asyncio.to_thread(migrations.current, url) is None:
        raise CliError(
            f"There is no database in {settings.data_dir} yet: start the server once, or say "
            "where it is with --data."
        )
    if await asyncio.to_thread(migrations.pending, url):
        raise CliError(
            "The database is not up to date: run `cronium migrate`, or start the server."
        )
    db, clock = Database(url), SystemClock()
    security = build_security(db, clock)
    try:
        yield Office(settings=settings, db=db, clock=clock, bus=Bus(), security=security)
    finally:
        security.close()
        await db.close()
