from datetime import timedelta

import pytest

from cronium_app.domain.ids import new_id
from cronium_app.security.cookies import PLAIN_NAME
from cronium_app.security.identity import CACHE_S, ApiTokens, Sessions
from cronium_app.security.secrets import looks_like_api_token, new_api_token
from cronium_app.store import accounts
from cronium_app.store.tables import User


class SteppedClock:
    def __init__(self, clock) -> None:
        self.clock, self.seconds = clock, 0.0

    def now(self):
        return self.clock.now() + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def stepped(clock):
    return SteppedClock(clock)


@pytest.fixture
async def user(db, stepped) -> User:
    now = stepped.now()
    row = User(
        id=new_id(), email="a", password_hash="", role="user", created_at=now,
        password_changed_at=now,
    )  # fmt: skip
    async with db.write() as session:
        session.add(row)
    return row


async def test_only_the_hash_of_a_session_is_stored(db, stepped, user):
    sessions = Sessions(db, stepped)
    async with db.write() as session:
        token = await sessions.open(session, user.id, "Firefox " * 100)
    assert len(token) == 43
    async with db.read() as session:
        (row,) = await accounts.sessions_of(session, user.id, stepped.now())
    assert token not in row.model_dump_json()
    assert len(row.user_agent) == 200
    actor = await sessions.user_for_cookie(f"x=y; {PLAIN_NAME}={token}")
    assert actor.user_id == user.id
    for wrong in (token[:-1], token.swapcase(), "", row.token_hash, "x" * 500):
        assert await sessions.identify(wrong) is None


async def test_one_ended_elsewhere_is_dead_within_five_seconds(db, stepped, user):
    sessions, tokens = Sessions(db, stepped), ApiTokens(db, stepped)
    async with db.write() as session:
        cookie = await sessions.open(session, user.id, "")
        _, token = tokens.issue(session, user.id, "t")
    assert await sessions.identify(cookie)
    assert await tokens.identify(token)
    async with db.write() as session:  # as another process would
        await accounts.set_disabled(session, user.id, stepped.now())
    assert CACHE_S <= 5
    stepped.seconds += CACHE_S + 0.1
    assert await sessions.identify(cookie) is None
    assert await tokens.identify(token) is None


async def test_a_look_up_that_crosses_a_sign_out_is_not_remembered(db, stepped, user, monkeypatch):
    sessions, tokens = Sessions(db, stepped), ApiTokens(db, stepped)
    async with db.write() as session:
        cookie = await sessions.open(session, user.id, "")
        _, token = tokens.issue(session, user.id, "t")

    def crossing(real, kept):
        async def found(*arguments):
            answer = await real(*arguments)
            kept.forget_user(user.id)  # the sign-out is committed while the answer is on its way
            return answer

        return found

    monkeypatch.setattr(accounts, "live_session", crossing(accounts.live_session, sessions))
    monkeypatch.setattr(accounts, "live_token", crossing(accounts.live_token, tokens))
    await sessions.identify(cookie)
    await tokens.identify(token)
    monkeypatch.undo()
    async with db.write() as session:
        await accounts.set_disabled(session, user.id, stepped.now())
    assert await sessions.identify(cookie) is None
    assert await tokens.identify(token) is None


async def test_a_session_ends_by_itself(db, stepped, user):
    sessions = Sessions(db, stepped)
    async with db.write() as session:
        token = await sessions.open(session, user.id, "")
    stepped.seconds = timedelta(days=29).total_seconds()
    assert await sessions.identify(token)
    stepped.seconds = timedelta(days=30, seconds=1).total_seconds()
    assert await sessions.identify(token) is None


async def test_use_is_noted_now_and_then(db, stepped, user):
    tokens = ApiTokens(db, stepped)
    async with db.write() as session:
        _, token = tokens.issue(session, user.id, "t")
    await tokens.identify(token)
    stepped.seconds = 30
    await tokens.identify(token)
    async with db.read() as session:
        (found,) = await accounts.tokens_of(session, user.id)
    assert found.last_used_at == stepped.clock.now()
    stepped.seconds = 100
    await tokens.identify(token)
    async with db.read() as session:
        (found,) = await accounts.tokens_of(session, user.id)
    assert found.last_used_at == stepped.now()


def test_noise_is_no_token():
    made = new_api_token()
    assert looks_like_api_token(made)
    assert not looks_like_api_token(made[:10] + ("a" if made[10] != "a" else "b") + made[11:])
