"""Nobody passes the gate without saying who they are: every route, every way."""

from typing import Any

import pytest
from starlette.routing import Mount

from cronium_app.actions import events, runs, schedules, tokens
from cronium_app.api import dependencies
from cronium_app.api.gate import OPEN, is_own
from cronium_app.domain.ids import new_id
from cronium_app.store import accounts as account_rows
from cronium_app.store.tables import User

# What strangers may call. Whoever adds a line here must have thought about it.
ANONYMOUS = {
    ("POST", "/auth/login"),
    ("POST", "/auth/setup"),
    ("GET", "/healthz"),
    ("HEAD", "/healthz"),
    ("GET", "/readyz"),
    ("HEAD", "/readyz"),
    ("GET", "/api/docs"),
    ("GET", "/api/openapi.json"),
}
BODY = {
    "name": "n", "runtime": "bash", "script": "true", "kind": "interval", "every_s": 60,
}  # fmt: skip


def routes(api: Any) -> list[tuple[str, str]]:
    """(method, path) of every route there is, WEBSOCKET for sockets."""
    found: list[tuple[str, str]] = []
    for item in api.routes:
        included = getattr(item, "original_router", None)
        for route in included.routes if included else [item]:
            if isinstance(route, Mount):
                continue
            methods = getattr(route, "methods", None) or {"WEBSOCKET"}
            found.extend((method, route.path) for method in methods)
    return found


def http_routes(api: Any) -> list[tuple[str, str]]:
    spec = api.openapi()
    listed = [(m.upper(), p) for p, ops in spec["paths"].items() for m in ops]
    walked = [pair for pair in routes(api) if pair[0] != "WEBSOCKET"]
    return sorted(set(listed) | set(walked))


def filled(path: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        path = path.replace("{" + name + "}", value)
    return path


def body_of(method: str) -> dict[str, Any]:
    return {"json": BODY} if method in ("POST", "PATCH", "PUT") else {}


UNKNOWN = {
    "event_id": str(new_id()), "run_id": str(new_id()), "schedule_id": str(new_id()),
    "token_id": str(new_id()), "session_id": str(new_id()), "number": "1",
}  # fmt: skip


@pytest.fixture
def entered(api, monkeypatch) -> list[str]:
    """Which requests reached a handler: every one of ours asks for the services or the actor."""
    seen: list[str] = []
    real = api.state.services

    def noticed():
        seen.append("entered")
        return real()

    api.state.services = noticed
    return seen


def test_the_open_ways_are_these(api):
    assert set(OPEN) == ANONYMOUS


def test_every_route_lies_where_the_gate_looks(api):
    found = routes(api)
    assert len(found) > 30
    assert {path for _, path in found if not is_own(path)} == set()
    assert ("WEBSOCKET", "/api/v1/runs/{run_id}/log/ws") in found
    assert not hasattr(dependencies, "anonymous")


async def test_without_a_session_no_handler_is_entered(api, http, entered, alice):
    for method, path in http_routes(api):
        if (method, path) in ANONYMOUS:
            continue
        answer = await http.request(method, filled(path, UNKNOWN), **body_of(method))
        assert answer.status_code == 401, (method, path, answer.text)
        if method != "HEAD":
            assert set(answer.json()) == {"code", "message", "field"}
    assert not entered


@pytest.mark.parametrize("how", ["cookie", "token"])
async def test_a_revoked_one_opens_nothing(
    api, http, base, entered, services, alice, alices_cookie, how
):
    made = await tokens.create(services, alice, {"name": "t"})
    headers = {"Cookie": alices_cookie} if how == "cookie" else {
        "Authorization": f"Bearer {made.token}"
    }  # fmt: skip
    headers["Origin"] = base
    assert (await http.get("/api/v1/me", headers=headers)).status_code == 200
    await tokens.revoke(services, alice, made.view.id)
    async with services.db.write() as session:
        await account_rows.delete_sessions(session, alice.user_id)
    services.security.sessions.forget_user(alice.user_id)
    entered.clear()
    for method, path in http_routes(api):
        if (method, path) in ANONYMOUS:
            continue
        answer = await http.request(
            method, filled(path, UNKNOWN), headers=headers, **body_of(method)
        )
        assert answer.status_code == 401, (method, path)
    assert not entered


async def test_another_persons_id_is_a_missing_one_everywhere(api, services, alice, bobs):
    event = await events.create(services, alice, {"name": "n", "runtime": "bash", "script": "1"})
    planned = await schedules.create(
        services, alice, event.id, {"kind": "interval", "every_s": 3600}
    )
    run = await runs.start(services, alice, event.id)
    made = await tokens.create(services, alice, {"name": "t"})
    async with services.db.write() as session:
        await services.security.sessions.open(session, alice.user_id, "test")
    async with services.db.read() as session:
        (session_row,) = await account_rows.sessions_of(
            session, alice.user_id, services.clock.now()
        )
    theirs = {
        "event_id": event.id, "run_id": run.id, "schedule_id": planned.id,
        "token_id": made.view.id, "session_id": str(session_row.id), "number": "1",
    }  # fmt: skip
    bodies = {
        "/api/v1/events/{event_id}/schedules": {"kind": "interval", "every_s": 60},
        "/api/v1/schedules/{schedule_id}": {"enabled": False},
        "/api/v1/events/{event_id}": {"name": "mine"},
        "/api/v1/events/{event_id}/runs": {},
    }
    count = 0
    for method, path in http_routes(api):
        if "{" not in path or method == "HEAD":
            continue
        body = {"json": bodies[path]} if method in ("POST", "PATCH") and path in bodies else {}
        other = await bobs.request(method, filled(path, theirs), **body)
        missing = await bobs.request(method, filled(path, UNKNOWN), **body)
        assert other.status_code == missing.status_code == 404, (method, path, other.text)
        assert other.content == missing.content
        count += 1
    assert count >= 20


FOREIGN = [
    "https://evil.example", "null", "http://127.0.0.1.evil.example", "http://127.0.0.1", "",
    "http://127.0.0.1:1", "file://", "javascript:alert(1)", "http://[", "http://user@127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_cookie_counts_only_on_this_very_site(http, alices_cookie, origin):
    headers = {"Cookie": alices_cookie, "Origin": origin}
    for method, path in (
        ("POST", "/api/v1/events"),
        ("POST", "/auth/logout"),
        ("GET", "/api/v1/me"),
    ):
        answer = await http.request(method, path, headers=headers, json=BODY)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    login = await http.post("/auth/login", headers={"Origin": origin}, json={})
    assert login.status_code == 403


async def test_a_page_of_another_site_gains_nothing_by_a_token(base, alices):
    for method, path in [("GET", "/api/v1/events"), ("POST", "/api/v1/events")]:
        answer = await alices.request(method, path, headers={"Origin": "https://evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    assert (await alices.get("/api/v1/events", headers={"Origin": base})).status_code == 200


async def test_an_unsafe_request_by_cookie_needs_an_origin(http, base, alices_cookie):
    cookie = {"Cookie": alices_cookie}
    assert (
        await http.post("/api/v1/schedules/preview", headers=cookie, json={})
    ).status_code == 403
    assert (await http.get("/api/v1/me", headers=cookie)).status_code == 200
    own = await http.post("/auth/logout", headers=cookie | {"Origin": base})
    assert own.status_code == 200
    assert (await http.get("/api/v1/me", headers=cookie)).status_code == 401


async def test_behind_a_tls_proxy_the_strict_cookie_counts(http, alices_cookie):
    token = alices_cookie.partition("=")[2]
    proxied = {
        "Host": "cronium.example:8443", "X-Forwarded-Proto": "https",
        "Origin": "https://cronium.example:8443",
    }  # fmt: skip
    strict = await http.get("/api/v1/me", headers=proxied | {"Cookie": f"__Host-cronium={token}"})
    assert strict.status_code == 200
    planted = await http.get("/api/v1/me", headers=proxied | {"Cookie": alices_cookie})
    assert planted.status_code == 401
    no_header = {**proxied, "X-Forwarded-Proto": "http", "Cookie": alices_cookie}
    assert (
        "X-Forwarded-Proto" in (await http.get("/api/v1/me", headers=no_header)).json()["message"]
    )


@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer x", "Bearer crn_" + "a" * 51, "Basic YTpi", "bearer", "Token x", "é"],
)
async def test_a_wrong_token_is_refused_even_with_a_good_cookie(
    http, base, alices_cookie, authorization
):
    answer = await http.get(
        "/api/v1/me",
        headers=[
            (b"Authorization", authorization.encode("utf-8")),
            (b"Cookie", alices_cookie.encode()),
        ],
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_token")


async def test_a_token_in_the_address_is_nothing(http, services, alice):
    made = await tokens.create(services, alice, {"name": "t"})
    for name in ("token", "access_token", "api_key"):
        assert (await http.get(f"/api/v1/me?{name}={made.token}")).status_code == 401


async def test_wrong_tokens_are_limited_and_good_ones_not(http, services, alice, alices):
    from cronium_app.security.secrets import new_api_token

    assert (await alices.get("/api/v1/me")).status_code == 200
    found = [
        (await http.get(
            "/api/v1/me", headers={"Authorization": f"Bearer {new_api_token()}"}
        )).status_code
        for _ in range(110)
    ]  # fmt: skip
    assert found == [401] * 100 + [429] * 10
    assert (await alices.get("/api/v1/me")).status_code == 200


async def test_pages_lead_to_set_up_then_to_sign_in_and_back(http, services):
    for path in ("/", "/runs/x", "/login"):
        answer = await http.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/setup")
    assert (await http.get("/setup")).status_code == 404  # let through; no pages in this test

    now = services.clock.now()
    async with services.db.write() as session:
        session.add(
            User(email="a", password_hash="", role="user", created_at=now, password_changed_at=now)
        )
    answer = await http.get("/runs/01?line=5&x=y")
    assert answer.headers["location"] == "/login?next=/runs/01%3Fline%3D5%26x%3Dy"
    assert (await http.get("/setup")).headers["location"] == "/login"
    assert (await http.get("/login")).status_code == 404
    assert (await http.get("/assets/app.js")).status_code == 404


async def test_a_signed_in_visitor_gets_pages(http, alices_cookie):
    headers = {"Cookie": alices_cookie}
    assert (await http.get("/runs/1", headers=headers)).status_code == 404
    assert (await http.get("/setup", headers=headers)).headers["location"] == "/"


@pytest.mark.parametrize("path", ["/_upload", "/_upload/x", "/docs", "/openapi.json", "/_health"])
async def test_the_frameworks_own_doors_are_closed(http, alices, path):
    for client in (http, alices):
        assert (await client.get(path)).status_code == 404
        assert (await client.post(path, content=b"x")).status_code == 404


async def test_every_answer_has_the_protecting_headers(http, alices):
    for answer in (
        await http.get("/healthz"), await alices.get("/api/v1/me"), await http.get("/login"),
        await http.get("/api/v1/me"), await http.get("/api/docs"),
    ):  # fmt: skip
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
    assert (await alices.get("/api/v1/me")).headers["cache-control"] == "no-store"
    page = (await http.get("/login")).headers["content-security-policy"]
    # printf 'let a = 1' | openssl dgst -sha256 -binary | base64
    assert "'sha256-" in page
    assert "'unsafe-inline'" not in page.partition("script-src")[2].partition(";")[0]
