"""Who is asking: from a session cookie or a bearer token to an Actor.

Answers are kept for a few seconds, so that a busy page costs no query per event; whatever ends a
session or token in this process forgets the answer at once, and one ended in another process (the
CLI) is dead within `CACHE_S`.
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from cronium_app.domain.clock import Clock
from cronium_app.domain.ids import new_id
from cronium_app.domain.permissions import Actor, Role
from cronium_app.security.cookies import session_token
from cronium_app.security.secrets import (
    HINT_LENGTH,
    digest,
    looks_like_api_token,
    new_api_token,
    new_secret,
)
from cronium_app.store import accounts
from cronium_app.store.database import Database
from cronium_app.store.tables import ApiToken, LoginSession, User

CACHE_S = 3.0
CACHE_SIZE = 10_000
SESSION_LIFE = timedelta(days=30)
_SEEN_EVERY = timedelta(minutes=10)
_USED_EVERY = timedelta(minutes=1)
_MAX_SECRET = 200


@dataclass(frozen=True)
class Identity:
    """An Actor and the session or token that speaks for them."""

    actor: Actor
    credential_id: UUID
    token_hash: str


class _Cache:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[str, tuple[float, Identity]] = {}
        self.forgettings = 0  # a look-up during which this grew may have an answer of before

    def get(self, key: str) -> Identity | None:
        until, identity = self._known.get(key, (0.0, None))
        return identity if until > self._clock.monotonic() else None

    def put(self, key: str, identity: Identity, *, since: int) -> None:
        """`since`: `forgettings` before it was looked up."""
        if since != self.forgettings:
            return
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()
        self._known[key] = (self._clock.monotonic() + CACHE_S, identity)

    def forget_user(self, user_id: UUID) -> None:
        self.forgettings += 1
        stale = [k for k, (_, who) in self._known.items() if who.actor.user_id == user_id]
        for key in stale:
            del self._known[key]


def _actor(user: User, via: str) -> Actor:
    return Actor(user_id=user.id, email=user.email, role=Role(user.role), via=via)


class Sessions:
    """Browser sessions. The cookie holds 256 random bits; the table holds their sha256."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._cache = _Cache(clock)

    async def open(self, session: AsyncSession, user_id: UUID, user_agent: str) -> str:
        """A new session inside the caller's transaction; answers the cookie's value."""
        now = self._clock.now()
        token = new_secret()
        await accounts.delete_expired_sessions(session, now)
        session.add(
            LoginSession(
                id=new_id(),
                token_hash=digest(token),
                user_id=user_id,
                created_at=now,
                last_seen_at=now,
                expires_at=now + SESSION_LIFE,
                user_agent=user_agent[:200],
            )
        )
        return token

    async def identify(self, token: str) -> Identity | None:
        if not token or len(token) > _MAX_SECRET:
            return None
        key = digest(token)
        if (known := self._cache.get(key)) is not None:
            return known
        now, since = self._clock.now(), self._cache.forgettings
        async with self._db.read() as session:
            found = await accounts.live_session(session, key, now)
        if found is None:
            return None
        login, user = found
        identity = Identity(_actor(user, "session"), login.id, key)
        self._cache.put(key, identity, since=since)
        if now - login.last_seen_at > _SEEN_EVERY:
            async with self._db.write() as session:
                await accounts.touch_session(session, login.id, now)
        return identity

    async def user_for_cookie(self, cookie_header: str) -> Actor | None:
        """Who a Cookie header speaks for. For the guard of the pages' events."""
        token = session_token(cookie_header)
        identity = await self.identify(token) if token else None
        return identity.actor if identity else None

    def forget_user(self, user_id: UUID) -> None:
        """Call after commit when sessions of this user ended or the user changed."""
        self._cache.forget_user(user_id)


class ApiTokens:
    """Bearer tokens for programs."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._cache = _Cache(clock)
        self._proven: set[str] = set()

    def issue(self, session: AsyncSession, user_id: UUID, name: str) -> tuple[ApiToken, str]:
        """A new row inside the caller's transaction, and the token itself, for once."""
        token = new_api_token()
        row = ApiToken(
            id=new_id(),
            user_id=user_id,
            name=name,
            hint=token[:HINT_LENGTH],
            token_hash=digest(token),
            created_at=self._clock.now(),
        )
        session.add(row)
        return row, token

    def is_proven(self, token: str) -> bool:
        """It worked before in this process: guessers from the same address do not lock it out."""
        return digest(token) in self._proven

    async def identify(self, token: str) -> Identity | None:
        if not looks_like_api_token(token):
            return None
        key = digest(token)
        if (known := self._cache.get(key)) is not None:
            return known
        now, since = self._clock.now(), self._cache.forgettings
        async with self._db.read() as session:
            found = await accounts.live_token(session, key, now)
        if found is None:
            self._proven.discard(key)
            return None
        row, user = found
        identity = Identity(_actor(user, "token"), row.id, key)
        self._cache.put(key, identity, since=since)
        self._note_proven(key)
        if row.last_used_at is None or now - row.last_used_at > _USED_EVERY:
            async with self._db.write() as session:
                await accounts.touch_token(session, row.id, now)
        return identity

    def forget_user(self, user_id: UUID) -> None:
        """Call after commit when a token of this user was revoked or the user changed."""
        self._cache.forget_user(user_id)

    def _note_proven(self, key: str) -> None:
        if len(self._proven) >= CACHE_SIZE:
            self._proven.clear()
        self._proven.add(key)
