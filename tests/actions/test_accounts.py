import asyncio
from datetime import timedelta

import pytest

from cronium_app.actions import accounts, events, runs, tokens
from cronium_app.actions.errors import (  # fmt: skip
    Conflict,
    CroniumError,
    Denied,
    Invalid,
    NotFound,
    NotSignedIn,
    TooMany,
)
from cronium_app.domain.permissions import Actor
from cronium_app.security.cookies import PLAIN_NAME
from cronium_app.store import accounts as rows

PASSWORD = "correct horse battery"
HERE = "192.0.2.1"


@pytest.fixture
async def carol(services) -> Actor:
    command = {"email": "Carol@Example.org", "password": PASSWORD, "role": "admin"}
    await accounts.create_user(services, None, command)
    return accounts.actor_for(await accounts.find_user(services, "carol@example.org"))


async def sign_in(services, password: str = PASSWORD, email: str = "carol@example.org"):
    return await accounts.authenticate(
        services, {"email": email, "password": password}, address=HERE
    )


async def who(services, token: str) -> Actor | None:
    return await services.security.sessions.user_for_cookie(f"{PLAIN_NAME}={token}")


async def trail(services) -> list[str]:
    async with services.db.read() as session:
        return [entry.action for entry in await rows.audit_trail(session)]


async def test_a_session_lives_from_sign_in_to_sign_out(services, carol):
    signed_in = await sign_in(services, email=" CAROL@example.org ")
    found = await who(services, signed_in.token)
    assert found is not None
    assert found.user_id == carol.user_id
    identity = await services.security.sessions.identify(signed_in.token)
    await accounts.sign_out(services, identity)
    assert await who(services, signed_in.token) is None
    assert (await trail(services))[:2] == ["logout", "login"]


async def test_each_sign_in_has_an_id_of_its_own(services, carol):
    assert (await sign_in(services)).token != (await sign_in(services)).token


async def test_wrong_unknown_and_disabled_answer_alike(services, carol):
    await accounts.create_user(services, None, {"email": "d@example.org", "password": PASSWORD})
    await accounts.set_disabled(services, None, "d@example.org", disabled=True)
    answers = set()
    for email, password in (
        ("carol@example.org", "wrong"),
        ("nobody@example.org", PASSWORD),
        ("d@example.org", PASSWORD),
        ("carol@example.org", ""),
        ("carol@example.org", "x" * 1024),
    ):
        with pytest.raises(NotSignedIn) as caught:
            await sign_in(services, password, email)
        answers.add((caught.value.code, caught.value.message, caught.value.field))
    assert len(answers) == 1
    assert (await trail(services)).count("login.failed") == 5


async def test_guessing_at_one_account_is_stopped_and_a_session_goes_on(services, carol):
    mine = await sign_in(services)
    refusals = []
    for _ in range(15):
        with pytest.raises(CroniumError) as caught:
            await sign_in(services, "wrong")
        refusals.append(type(caught.value))
    assert refusals[:10] == [NotSignedIn] * 10
    assert set(refusals[10:]) == {TooMany}
    with pytest.raises(TooMany):
        await sign_in(services)
    elsewhere = await accounts.authenticate(
        services, {"email": "carol@example.org", "password": PASSWORD}, address="192.0.2.2"
    )
    assert elsewhere.token
    assert await who(services, mine.token)


async def test_one_password_at_many_accounts_is_stopped(services, monkeypatch):
    async def wrong(*_: object) -> bool:
        return False

    monkeypatch.setattr(services.security.passwords, "verify", wrong)
    found = []
    for n in range(70):
        with pytest.raises(CroniumError) as caught:
            await sign_in(services, email=f"u{n}@example.org")
        found.append(type(caught.value))
    assert found == [NotSignedIn] * 60 + [TooMany] * 10


async def test_disabling_and_resetting_end_sessions_at_once(services, carol):
    first = await sign_in(services)
    assert await who(services, first.token)
    await accounts.reset_password(services, None, "carol@example.org", "another good one")
    assert await who(services, first.token) is None
    second = await sign_in(services, "another good one")
    made = await tokens.create(services, carol, {"name": "t"})
    assert await services.security.tokens.identify(made.token)
    await accounts.set_disabled(services, None, "carol@example.org", disabled=True)
    assert await who(services, second.token) is None
    assert await services.security.tokens.identify(made.token) is None


async def test_changing_the_password_ends_the_other_sessions(services, carol):
    mine, other = await sign_in(services), await sign_in(services)
    identity = await services.security.sessions.identify(mine.token)
    with pytest.raises(Invalid) as caught:
        await accounts.change_password(
            services, identity, {"current": "wrong", "new": "a better password"}, address=HERE
        )
    assert caught.value.field == "current"
    await accounts.change_password(
        services, identity, {"current": PASSWORD, "new": "a better password"}, address=HERE
    )
    assert await who(services, mine.token)
    assert await who(services, other.token) is None
    listed = await accounts.list_sessions(services, identity)
    assert [(row.current) for row in listed] == [True]


async def test_a_session_can_be_ended_from_the_list_by_its_owner_only(services, carol, bob):
    other = await sign_in(services)
    identity = await services.security.sessions.identify(other.token)
    session_id = str(identity.credential_id)
    with pytest.raises(NotFound):
        await accounts.revoke_session(services, bob, session_id)
    await accounts.revoke_session(services, carol, session_id)
    assert await who(services, other.token) is None


@pytest.mark.parametrize("password", ["short", "carol@example.org", "aaaaaaaaaaaaaaa", "é" * 600])
async def test_weak_passwords_are_refused(services, password):
    with pytest.raises(Invalid) as caught:
        await accounts.create_user(
            services, None, {"email": "carol@example.org", "password": password}
        )
    assert caught.value.field == "password"


async def test_set_up_once_with_the_demo_running(services):
    assert await accounts.needs_setup(services)
    old = await accounts.new_setup_code(services)
    code = await accounts.new_setup_code(services)
    command = {"email": "a@example.org", "password": PASSWORD}
    for wrong in (old, code[:-1], code.swapcase(), ""):
        with pytest.raises(Denied):
            await accounts.setup(services, command | {"code": wrong}, address=HERE)
    with pytest.raises(Invalid):  # a weak password does not use the code up
        await accounts.setup(services, command | {"code": code, "password": "x"}, address=HERE)
    signed_in = await accounts.setup(services, command | {"code": code}, address=HERE)
    assert signed_in.actor.role == "admin"
    assert await who(services, signed_in.token)
    run = await runs.get(services, signed_in.actor, signed_in.demo_run_id)
    assert run.status == "queued"
    assert len((await events.list_events(services, signed_in.actor)).items) == 1
    for attempt in (
        accounts.setup(services, command | {"code": code}, address=HERE),
        accounts.new_setup_code(services),
    ):
        with pytest.raises((Conflict, Denied)):
            await attempt
    assert await accounts.first_start(services, None, None) is None


async def test_two_set_ups_at_once_make_one_administrator(services):
    code = await accounts.new_setup_code(services)
    results = await asyncio.gather(
        *(
            accounts.setup(
                services,
                {"code": code, "email": f"a{n}@example.org", "password": PASSWORD},
                address=HERE,
            )
            for n in range(3)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(result, accounts.SignedIn) for result in results) == 1
    assert len(await accounts.list_users(services, None)) == 1


async def test_a_set_up_code_dies_after_a_day(services, monkeypatch):
    code = await accounts.new_setup_code(services)
    late = services.clock.now() + timedelta(hours=24, seconds=1)
    monkeypatch.setattr(type(services.clock), "now", lambda _self: late)
    with pytest.raises(Denied):
        await accounts.setup(
            services, {"code": code, "email": "a@example.org", "password": PASSWORD}, address=HERE
        )


async def test_unattended_start_makes_the_administrator_with_the_demo(services):
    from pydantic import SecretStr

    made = await accounts.first_start(services, "Root@example.org", SecretStr(PASSWORD))
    assert made is None
    signed_in = await sign_in(services, email="root@example.org")
    assert await accounts.first_start(services, "root@example.org", SecretStr(PASSWORD)) is None
    (demo,) = (await events.list_events(services, signed_in.actor)).items
    assert demo.tags == ["demo"]
    (run,) = (await runs.list_runs(services, signed_in.actor)).items  # and it runs, once
    assert (run.event_id, run.status) == (demo.id, "queued")


async def test_a_token_is_shown_once_and_dies_when_revoked(services, carol, bob):
    made = await tokens.create(services, carol, {"name": "CI"})
    identity = await services.security.tokens.identify(made.token)
    assert (identity.actor.user_id, identity.actor.via) == (carol.user_id, "token")
    assert made.view.hint == made.token[:8]
    async with services.db.read() as session:
        (row,) = await rows.tokens_of(session, carol.user_id)
    assert made.token not in row.model_dump_json()
    with pytest.raises(NotFound):
        await tokens.revoke(services, bob, made.view.id)
    await tokens.revoke(services, carol, made.view.id)
    assert await services.security.tokens.identify(made.token) is None
    await tokens.revoke(services, carol, made.view.id)
    with pytest.raises(Denied):
        await tokens.create(services, identity.actor, {"name": "child"})
    assert {"token.create", "token.revoke"} <= set(await trail(services))


async def test_what_a_token_must_look_like(services, carol):
    made = (await tokens.create(services, carol, {"name": "t"})).token
    for wrong in (
        made[:-1],
        made.swapcase(),
        made + "x",
        made[4:],
        "crn_",
        "",
        "é" * 55,
        "x" * 10**6,
    ):
        assert await services.security.tokens.identify(wrong) is None
    soon = services.clock.now() + timedelta(milliseconds=50)
    short = await tokens.create(services, carol, {"name": "t", "expires_at": soon})
    await asyncio.sleep(0.06)
    assert await services.security.tokens.identify(short.token) is None
