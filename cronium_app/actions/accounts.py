"""Use cases of people: sign in and out, the first start, passwords, sessions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.actions.access import announce, audit, audit_now, require
from cronium_app.actions.commands import LoginIn, PasswordIn, SetupIn, UserIn, checked
from cronium_app.actions.context import AccountServices, Services
from cronium_app.actions.errors import Conflict, Denied, Invalid, NotFound, NotSignedIn, TooMany
from cronium_app.actions.templates import DEMO_NAME, DEMO_TAGS, demo_script
from cronium_app.actions.views import SessionView, UserView
from cronium_app.domain.ids import new_id, parse_id
from cronium_app.domain.permissions import Actor, Permission, Role
from cronium_app.security.identity import Identity
from cronium_app.security.passwords import Busy, WeakPassword, check_strength
from cronium_app.security.secrets import digest, new_secret
from cronium_app.store import accounts
from cronium_app.store.tables import SetupCode, User

SETUP_LIFE = timedelta(hours=24)
WRONG = "The address or the password is wrong."


@dataclass(frozen=True)
class SignedIn:
    """`token` is the cookie's value. `demo_run_id`: the run that a first start shows."""

    actor: Actor
    token: str
    demo_run_id: str | None = None


# --- signing in and out -------------------------------------------------------------------------


async def authenticate(
    services: AccountServices,
    command: LoginIn | Mapping[str, Any],
    *,
    address: str,
    user_agent: str = "",
) -> SignedIn:
    """A new session. The answer to a wrong password, an unknown and a disabled user is the same,
    and takes the same time.
    """
    wanted = checked(LoginIn, command)
    email = wanted.email.strip().lower()
    security = services.security
    if not email.isprintable():  # what no database takes is nobody's address
        raise NotSignedIn(WRONG, code="wrong_password")
    if not security.throttle.may_sign_in(email, address):
        raise _too_many()
    async with services.db.read() as session:
        user = await accounts.user_by_email(session, email)
    try:
        right = await security.passwords.verify(
            user.password_hash if user else None, wanted.password
        )
    except Busy:
        raise _too_many() from None
    if user is None or not right or user.disabled_at is not None:
        security.throttle.sign_in_failed(address)
        await audit_now(services, None, "login.failed", str(user.id) if user else "", address)
        raise NotSignedIn(WRONG, code="wrong_password")
    security.throttle.signed_in(email, address)
    renewed = (
        await security.passwords.hash(wanted.password)
        if security.passwords.is_outdated(user.password_hash)
        else None
    )
    actor = _actor(user)
    async with services.db.write() as session:
        if renewed:
            await accounts.replace_hash(session, user.id, user.password_hash, renewed)
        token = await security.sessions.open(session, user.id, user_agent)
        audit(session, services.clock, actor, "login", detail=address)
    return SignedIn(actor, token)


async def sign_out(services: AccountServices, identity: Identity) -> None:
    """The session ends now; its open sockets close."""
    async with services.db.write() as session:
        await accounts.delete_session(session, identity.token_hash)
        audit(session, services.clock, identity.actor, "logout")
    _forget(services, identity.actor.user_id)


# --- the first start ------------------------------------------------------------------------------


async def needs_setup(services: AccountServices) -> bool:
    """Whether nobody can sign in yet."""
    async with services.db.read() as session:
        return not await accounts.has_users(session)


async def new_setup_code(services: AccountServices) -> str:
    """A code for the set-up page, good for 24 hours; older ones die. Conflict once somebody
    can sign in.
    """
    code = new_secret()
    now = services.clock.now()
    async with services.db.write() as session:
        if await accounts.has_users(session):
            raise Conflict("The administrator exists already.", code="already_set_up")
        row = SetupCode(
            id=new_id(), code_hash=digest(code), created_at=now, expires_at=now + SETUP_LIFE
        )
        await accounts.replace_setup_code(session, row)
        audit(session, services.clock, None, "setup.code")
    return code


async def first_start(
    services: Services, email: str | None, password: SecretStr | None
) -> str | None:
    """At each start of the server: make the administrator named in the settings if nobody exists,
    with the demo running; without one answer a set-up code. None: somebody can sign in. Raises
    Invalid.
    """
    if not await needs_setup(services):
        return None
    if email and password:
        command = {"email": email, "password": password.get_secret_value(), "role": "admin"}
        user = await _make_user(services, None, command, only_first=True)
        await _run_demo(services, user)
        return None
    return await new_setup_code(services)


async def setup(
    services: Services,
    command: SetupIn | Mapping[str, Any],
    *,
    address: str,
    user_agent: str = "",
) -> SignedIn:
    """Create the administrator by the one-time code, with the demo running, and sign in.

    Only a created account uses the code up. Raises Denied for a code that does not count.
    """
    wanted = checked(SetupIn, command)
    if not services.security.throttle.may_set_up(address):
        raise _too_many()
    code_hash = digest(wanted.code)
    async with services.db.read() as session:
        if not await accounts.setup_code_is_live(session, code_hash, services.clock.now()):
            raise _bad_code()
    hashed = await _hash_new(services, wanted.password, wanted.email)
    now = services.clock.now()
    async with services.db.write() as session:
        if await accounts.has_users(session):
            raise Conflict("The administrator exists already.", code="already_set_up")
        if not await accounts.use_setup_code(session, code_hash, now):
            raise _bad_code()
        user = await _insert_user(services, session, wanted.email, hashed, Role.ADMIN)
        token = await services.security.sessions.open(session, user.id, user_agent)
        audit(session, services.clock, _actor(user), "setup", detail=address)
    return SignedIn(_actor(user), token, await _run_demo(services, user))


async def _run_demo(services: Services, user: User) -> str:
    """The demo and its first run, whose id is answered."""
    from cronium_app.actions import runs  # noqa: PLC0415 - see make_demo

    event_id = await make_demo(services, user)
    return (await runs.start(services, _actor(user), event_id)).id


async def make_demo(services: AccountServices, user: User) -> str:
    """The event that a newcomer sees first; answers its id."""
    # Imported late: the command line has no need of the orchestrator behind it.
    from cronium_app.actions import events  # noqa: PLC0415

    view = await events.create(
        services,
        _actor(user),
        {
            "name": DEMO_NAME,
            "tags": DEMO_TAGS,
            "runtime": "bash",
            "script": demo_script(),
            "timeout_s": 120,
        },
    )
    return view.id


# --- one's own account ----------------------------------------------------------------------------


async def list_sessions(services: AccountServices, identity: Identity) -> list[SessionView]:
    """Where this person is signed in, the last used first."""
    now = services.clock.now()
    async with services.db.read() as session:
        rows = await accounts.sessions_of(session, identity.actor.user_id, now)
    return [
        SessionView(
            id=str(row.id),
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
            user_agent=row.user_agent,
            current=row.id == identity.credential_id,
        )
        for row in rows
    ]


async def revoke_session(services: AccountServices, actor: Actor, session_id: str) -> None:
    wanted = parse_id(session_id)
    async with services.db.write() as session:
        if wanted is None or not await accounts.delete_session_of(session, actor.user_id, wanted):
            raise NotFound
        audit(session, services.clock, actor, "session.revoke", session_id)
    _forget(services, actor.user_id)


async def change_password(
    services: AccountServices,
    identity: Identity,
    command: PasswordIn | Mapping[str, Any],
    *,
    address: str,
) -> None:
    """Needs the present password. Every other session of this person ends."""
    wanted = checked(PasswordIn, command)
    actor = identity.actor
    if actor.via != "session":
        raise Denied("A password is changed by the person who signed in, not by a token.")
    if not services.security.throttle.may_sign_in(actor.email, address):
        raise _too_many()
    async with services.db.read() as session:
        user = await accounts.user_by_id(session, actor.user_id)
    if user is None:
        raise NotSignedIn
    try:
        right = await services.security.passwords.verify(user.password_hash, wanted.current)
    except Busy:
        raise _too_many() from None
    if not right:
        services.security.throttle.sign_in_failed(address)
        raise Invalid("This is not your present password.", field="current")
    services.security.throttle.signed_in(actor.email, address)
    hashed = await _hash_new(services, wanted.new, actor.email, field="new")
    async with services.db.write() as session:
        await accounts.set_password(session, actor.user_id, hashed, services.clock.now())
        await accounts.delete_sessions(session, actor.user_id, but=identity.credential_id)
        audit(session, services.clock, actor, "password.change")
    _forget(services, actor.user_id)


# --- administration -------------------------------------------------------------------------------


async def create_user(
    services: AccountServices, actor: Actor | None, command: UserIn | Mapping[str, Any]
) -> UserView:
    """`actor` None: the operator at the command line."""
    if actor is not None:
        require(actor, Permission.ADMIN)
    return _user_view(await _make_user(services, actor, command, only_first=False))


async def list_users(services: AccountServices, actor: Actor | None) -> list[UserView]:
    if actor is not None:
        require(actor, Permission.ADMIN)
    async with services.db.read() as session:
        return [_user_view(user) for user in await accounts.list_users(session)]


async def reset_password(
    services: AccountServices, actor: Actor | None, email: str, password: str
) -> None:
    """All sessions of that person end; their tokens go on."""
    if actor is not None:
        require(actor, Permission.ADMIN)
    user = await find_user(services, email)
    hashed = await _hash_new(services, password, user.email)
    async with services.db.write() as session:
        await accounts.set_password(session, user.id, hashed, services.clock.now())
        await accounts.delete_sessions(session, user.id)
        audit(session, services.clock, actor, "password.reset", str(user.id))
    _forget(services, user.id)


async def set_disabled(
    services: AccountServices, actor: Actor | None, email: str, *, disabled: bool
) -> None:
    """A disabled person cannot sign in; sessions end and tokens stop working."""
    if actor is not None:
        require(actor, Permission.ADMIN)
    user = await find_user(services, email)
    async with services.db.write() as session:
        await accounts.set_disabled(session, user.id, services.clock.now() if disabled else None)
        if disabled:
            await accounts.delete_sessions(session, user.id)
        action = "user.disable" if disabled else "user.enable"
        audit(session, services.clock, actor, action, str(user.id))
    _forget(services, user.id)


async def find_user(services: AccountServices, email: str) -> User:
    async with services.db.read() as session:
        user = await accounts.user_by_email(session, email.strip())
    if user is None:
        raise NotFound("There is no user with this address.")
    return user


def actor_for(user: User) -> Actor:
    """The operator at the command line acts as this person."""
    return Actor(user_id=user.id, email=user.email, role=Role(user.role), via="cli")


# --- helpers --------------------------------------------------------------------------------------


def _actor(user: User) -> Actor:
    return Actor(user_id=user.id, email=user.email, role=Role(user.role))


async def _make_user(
    services: AccountServices,
    actor: Actor | None,
    command: UserIn | Mapping[str, Any],
    *,
    only_first: bool,
) -> User:
    wanted = checked(UserIn, command)
    hashed = await _hash_new(services, wanted.password, wanted.email)
    async with services.db.write() as session:
        if only_first and await accounts.has_users(session):
            raise Conflict("The administrator exists already.", code="already_set_up")
        user = await _insert_user(services, session, wanted.email, hashed, Role(wanted.role))
        audit(session, services.clock, actor, "user.create", str(user.id))
    return user


async def _insert_user(
    services: AccountServices, session: AsyncSession, email: str, hashed: str, role: Role
) -> User:
    if await accounts.user_by_email(session, email) is not None:
        raise Conflict("This address has an account already.", code="exists", field="email")
    now = services.clock.now()
    user = User(
        id=new_id(),
        email=email,
        password_hash=hashed,
        role=role.value,
        created_at=now,
        password_changed_at=now,
    )
    session.add(user)
    await session.flush()
    return user


async def _hash_new(
    services: AccountServices, password: str, email: str, *, field: str = "password"
) -> str:
    try:
        check_strength(password, email)
        return await services.security.passwords.hash(password)
    except WeakPassword as error:
        raise Invalid(str(error), field=field) from None
    except Busy:
        raise _too_many() from None


def _forget(services: AccountServices, user_id: UUID) -> None:
    services.security.sessions.forget_user(user_id)
    services.security.tokens.forget_user(user_id)
    announce(services, "account", user_id, user_id)


def _user_view(user: User) -> UserView:
    return UserView(
        id=str(user.id),
        email=user.email,
        role=user.role,
        disabled=user.disabled_at is not None,
        created_at=user.created_at,
    )


def _too_many() -> TooMany:
    return TooMany("Too many tries. Wait a few minutes and try again.", extra={"retry_after_s": 60})


def _bad_code() -> Denied:
    return Denied(
        "This set-up link is not valid any more. `cronium setup-link` prints a new one.",
        code="bad_setup_code",
    )
