"""The shapes that others rely on: statuses, errors, times, logs as bytes and as a socket."""

import asyncio
import json
import struct
from uuid import UUID

import pytest
from starlette.responses import PlainTextResponse
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent.protocol import Segment
from cronium_app.actions import events, runs, tokens
from cronium_app.domain.ids import new_id
from cronium_app.store.tables import Attempt, Run

EVENT = {"name": "n", "runtime": "bash", "script": "true"}
RUN_FIELDS = {
    "id", "event_id", "revision", "status", "reason", "reason_text", "exit_code", "created_at",
    "started_at", "finished_at", "duration_s", "attempt", "trigger", "inputs", "outputs",
    "conditions",
}  # fmt: skip
JSON = {"Content-Type": "application/json"}


async def test_the_main_path(alices):
    made = await alices.post("/api/v1/events", json=EVENT)
    assert made.status_code == 201
    event_id = made.json()["id"]
    planned = await alices.post(
        f"/api/v1/events/{event_id}/schedules",
        json={"kind": "cron", "expression": "0 6 * * *", "timezone": "Europe/Paris"},
    )
    assert planned.status_code == 201
    assert planned.json()["next_fire_at"].endswith("Z")
    path = f"/api/v1/schedules/{planned.json()['id']}"
    assert (await alices.patch(path, json={"enabled": False})).json()["next_fire_at"] is None
    assert (await alices.delete(path)).status_code == 204
    assert (await alices.get(path)).status_code == 404
    started = await alices.post(f"/api/v1/events/{event_id}/runs")
    assert started.status_code == 201
    assert set(started.json()) >= RUN_FIELDS
    assert started.json()["trigger"] == "api"
    assert started.json()["created_at"].endswith("Z")
    waited = await alices.post(f"/api/v1/events/{event_id}/runs?wait=0", json={"inputs": {"a": 1}})
    assert (waited.status_code, waited.json()["inputs"]) == (202, {"a": 1})
    run_path = f"/api/v1/runs/{waited.json()['id']}"
    waiting = asyncio.create_task(alices.get(f"{run_path}?wait=20"))
    await asyncio.sleep(0)
    cancelled = await alices.post(f"{run_path}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    over = await waiting
    assert (over.status_code, over.json()["reason"]) == (200, "cancelled_by_user")
    assert (await alices.post(f"{run_path}/cancel")).status_code == 409
    listed = (await alices.get("/api/v1/runs?status=cancelled")).json()
    assert ([r["id"] for r in listed["items"]], listed["next"]) == ([waited.json()["id"]], None)


async def test_a_revision_conflict_shows_both(alices):
    made = (await alices.post("/api/v1/events", json=EVENT)).json()
    path = f"/api/v1/events/{made['id']}"
    await alices.patch(path, json={"script": "theirs"})
    answer = await alices.patch(path, json={"script": "mine", "base_revision": 1})
    assert answer.status_code == 409
    body = answer.json()
    assert (body["code"], body["field"]) == ("revision_conflict", "base_revision")
    assert (body["extra"]["current"]["script"], body["extra"]["base"]) == ("theirs", 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422), (b"{", 400), (b"nonsense", 400), (b'{"name": NaN', 400), (b"\xff\xfe", 400),
        (b'"text"', 422), (b"[]", 422), (b"null", 422), (b"5", 422),
        (b'{"name":"n","runtime":"bash","script":"\\ud800"}', 422),
        (b'{"name":"\\ud800","runtime":"bash","script":"x"}', 422),
        (b'{"name":"n\\u0000","runtime":"bash","script":"x"}', 422),
        (b'{"name":"n","runtime":"bash","script":"x","\\ud800":1}', 422),
        (b'{"name":"n","runtime":"bash","script":"x","cpus":NaN}', 422),
        (b'{"name":"n","runtime":"bash","script":"x","cpus":1e999}', 422),
        (b'{"name":"n","runtime":"bash","script":"x","pids":1' + b"0" * 400 + b"}", 422),
        (b'{"name":"n","runtime":"bash","script":"x","pids":1' + b"0" * 5000 + b"}", 400),
        (b'{"name":"n","runtime":"bash","script":"x","pids":{"a":1}}', 422),
        (b'{"name":"n","runtime":"bash","script":"x","target":' + b'{"a":' * 50 + b"1" + b"}" * 51,
         422),
        (b"[" * 100_000, 400),
        (b'{"name":"' + b"x" * 3_100_000 + b'"}', 422),
        (b'{"name":"n","runtime":"bash","script":"' + b"x" * 1_100_000 + b'"}', 422),
    ],
    ids=range(22),
)  # fmt: skip
async def test_hostile_bodies_get_one_shape(alices, body, status):
    answer = await alices.post("/api/v1/events", content=body, headers=JSON)
    assert answer.status_code == status
    assert set(answer.json()) == {"code", "message", "field"}
    assert "Traceback" not in answer.text
    assert len(answer.text) < 500


async def test_a_script_of_line_feeds_fits(alices):
    body = b'{"name":"n","runtime":"bash","script":"' + b"\\n" * 1024 * 1024 + b'"}'
    answer = await alices.post("/api/v1/events", content=body, headers=JSON)
    assert answer.status_code == 201


async def test_a_body_without_an_announced_length_is_counted(alices):
    async def endless():
        for _ in range(100):
            yield b"x" * 100_000

    answer = await alices.post("/api/v1/events", content=endless(), headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "too_large")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404), ("GET", "/api", 404), ("PUT", "/api/v1/events", 405),
        ("DELETE", "/api/v1/runs", 405), ("GET", "/api/v1/events/x", 404),
        ("GET", "/api/v1/events/%00", 404), ("GET", "/api/v1/events/%ff", 404),
        ("GET", "/api/v1/runs?limit=0", 422), ("GET", "/api/v1/runs?limit=x", 422),
        ("GET", "/api/v1/runs?since=0001-01-01T00:00:00%2B14:00", 422),
        ("GET", "/api/v1/runs?until=9999-12-31T23:59:59-14:00", 422),
        ("GET", "/api/v1/runs?status=lost", 422), ("GET", "/api/v1/runs?since=yesterday", 422),
        ("GET", "/api/v1/runs?cursor=x", 422), ("GET", "/api/v1/runs?text=%00", 422),
        ("GET", "/api/v1/events?search=%00", 422), ("GET", "/api/v1/events?tag=%00", 422),
        ("GET", "/api/v1/events?archived=maybe", 422), ("GET", "/api/v1/events?cursor=%ff", 422),
        ("GET", f"/api/v1/runs/{new_id()}/log?offset=-1", 422),
        ("GET", f"/api/v1/events/{new_id()}/revisions/99999999999999999999", 404),
        ("GET", f"/api/v1/events/{str(new_id()).upper()}", 404),
        ("POST", f"/api/v1/runs/{new_id()}/cancel", 404),
    ],
)  # fmt: skip
async def test_every_error_has_the_one_shape(alices, method, path, status):
    answer = await alices.request(method, path)
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"code", "message", "field"}


async def test_the_pages_below_are_not_asked_for_what_the_api_lacks(api, alices):
    async def page(scope, receive, send):
        await PlainTextResponse("a page")(scope, receive, send)

    api.mount("", page)
    for method, path, status in [
        ("GET", "/api/v1/nothing", 404), ("GET", "/api/", 404), ("PUT", "/api/v1/events", 405),
        ("DELETE", "/api/v1/runs", 405), ("POST", f"/api/v1/runs/{new_id()}/log", 405),
    ]:  # fmt: skip
        answer = await alices.request(method, path)
        assert answer.status_code == status, path
        assert set(answer.json()) == {"code", "message", "field"}
    head = await alices.head(f"/api/v1/runs/{new_id()}/log")
    assert (head.status_code, head.headers["content-type"]) == (404, "application/json")


async def test_a_bug_of_ours_shows_nothing(api, alices, monkeypatch):
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(events, "tags", broken)
    answer = await alices.get("/api/v1/tags")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text


async def test_health_readiness_metrics_and_docs(http, alices):
    assert (await http.get("/healthz")).status_code == 200
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["engine"]) == (200, "starting")
    assert (await http.get("/metrics")).status_code == 401
    metrics = (await alices.get("/metrics")).text
    assert 'cronium_runs{status="queued"} 0.0' in metrics
    assert "alice" not in metrics
    page = await http.get("/api/docs")
    assert "/api/v1/events/{event_id}/runs" in page.text
    assert "<script" not in page.text
    assert "http" not in page.text.replace("Http", "").replace("HTTP", "").partition("<style>")[0]
    assert (await http.get("/api/openapi.json")).json()["info"]["title"] == "Cronium"


# --- signing in over HTTP -------------------------------------------------------------------------


async def test_sign_in_by_form_and_by_json(http, base, services):
    from cronium_app.actions import accounts

    await accounts.create_user(
        services, None, {"email": "c@example.org", "password": "correct horse"}
    )
    form = {"email": "c@example.org", "password": "correct horse", "next": "/runs/1"}
    answer = await http.post("/auth/login", data=form, headers={"Origin": base})
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs/1")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("cronium_session=")
    assert "HttpOnly; SameSite=Lax" in cookie
    assert (await http.get("/api/v1/me")).json()["email"] == "c@example.org"
    planted = http.cookies["cronium_session"]
    for target in ("//evil", "https://evil", "/\\evil"):
        answer = await http.post("/auth/login", json=form | {"next": target})
        assert answer.json() == {"next": "/"}
    assert http.cookies["cronium_session"] != planted
    wrong = await http.post("/auth/login", data=form | {"password": "no"})
    assert wrong.headers["location"] == "/login?error=wrong_password&next=%2Fruns%2F1"
    wrong = await http.post("/auth/login", json=form | {"password": "no"})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong_password")
    secure = {"X-Forwarded-Proto": "https", "Origin": base.replace("http", "https")}
    answer = await http.post("/auth/login", json=form, headers=secure)
    assert answer.headers["set-cookie"].startswith("__Host-cronium=")
    assert answer.headers["set-cookie"].endswith("; Secure")
    for body in (b"", b"{", b"[]", b"x" * 2_000_000, b"[" * 100_000):
        answer = await http.post("/auth/login", content=body, headers=JSON)
        assert answer.status_code in (400, 422)
        assert set(answer.json()) == {"code", "message", "field"}


# --- logs -----------------------------------------------------------------------------------------


@pytest.fixture
async def logged(services, alice) -> str:
    """A run that runs, with a log that is being written."""
    view = await events.create(services, alice, EVENT)
    now = services.clock.now()
    run = Run(
        id=new_id(), event_id=UUID(view.id), owner_id=alice.user_id, revision=1, status="running",
        trigger="manual", created_at=now, available_at=now, started_at=now, attempt=1,
    )  # fmt: skip
    async with services.db.write() as session:
        session.add(run)
        await session.flush()
        session.add(Attempt(id=run.id, run_id=run.id, number=1, status="running", created_at=now))
    await services.logs.open(run.id)
    return str(run.id)


async def write(services, run_id: str, data: bytes, stream: int = 1) -> None:
    length = await services.logs.length(UUID(run_id))
    segment = Segment(stream=stream, length=len(data), time_ms=1_700_000_000_000)
    await services.logs.append(UUID(run_id), length, data, [segment])


async def end(services, run_id: str) -> None:
    from sqlmodel import col, update

    async with services.db.write() as session:
        now = services.clock.now()
        await session.exec(
            update(Run).where(col(Run.id) == UUID(run_id)).values(
                status="succeeded", reason="exited", exit_code=0, finished_at=now
            )
        )  # fmt: skip
        await session.exec(
            update(Attempt).where(col(Attempt.run_id) == UUID(run_id)).values(
                status="succeeded", finished_at=now, log_complete=True
            )
        )  # fmt: skip
    await services.logs.finish(UUID(run_id))
    services.bus.publish("run", UUID(run_id))


async def test_the_log_as_raw_bytes_from_an_offset(services, alices, logged):
    data = bytes(range(256)) * 4000
    await write(services, logged, data)
    path = f"/api/v1/runs/{logged}/log"
    whole = await alices.get(path)
    assert whole.content == data
    assert whole.headers["x-log-length"] == str(len(data))
    part = await alices.get(path, params={"offset": 1_000_000})
    assert part.content == data[1_000_000:]
    for offset in (len(data), len(data) + 5, 2**62):
        beyond = await alices.get(path, params={"offset": offset})
        assert (beyond.status_code, beyond.content) == (200, b"")
        assert beyond.headers["x-log-length"] == str(len(data))
    saved = await alices.get(path, params={"download": "true"})
    assert saved.headers["content-disposition"] == f'attachment; filename="run-{logged}.log"'


def socket_url(base: str, run_id: str, start: int = 0) -> str:
    return f"{base.replace('http', 'ws')}/api/v1/runs/{run_id}/log/ws?from={start}"


async def test_the_log_live_without_a_gap(services, base, alices, logged):
    await write(services, logged, b"first\n")
    headers = {"Authorization": alices.headers["authorization"]}
    async with connect(socket_url(base, logged, 2), additional_headers=headers) as socket:
        assert await socket.recv() == struct.pack(">QQB", 2, 1_700_000_000_000, 1) + b"rst\n"
        await write(services, logged, b"oops\n", stream=2)
        frame = await asyncio.wait_for(socket.recv(), 5)
        assert (frame[:8], frame[16:]) == (struct.pack(">Q", 6), b"\2oops\n")
        await end(services, logged)
        last = json.loads(await asyncio.wait_for(socket.recv(), 5))
        assert (last["end"]["status"], last["end"]["exit_code"]) == ("succeeded", 0)


async def test_a_socket_dies_with_its_token(services, base, alice, logged):
    made = await tokens.create(services, alice, {"name": "t"})
    headers = {"Authorization": f"Bearer {made.token}"}
    async with connect(socket_url(base, logged), additional_headers=headers) as socket:
        await tokens.revoke(services, alice, made.view.id)
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 4401


@pytest.mark.parametrize("who", ["nobody", "bob", "cookie without origin", "foreign page", "wrong"])
async def test_a_socket_is_refused_before_it_opens(
    services, base, bobs, alices_cookie, logged, who
):
    headers = {
        "nobody": {},
        "bob": {"Authorization": bobs.headers["authorization"]},
        "cookie without origin": {"Cookie": alices_cookie},
        "foreign page": {"Cookie": alices_cookie, "Origin": "https://evil.example"},
        "wrong": {"Authorization": "Bearer crn_x"},
    }[who]
    with pytest.raises(InvalidStatus) as caught:
        async with connect(socket_url(base, logged), additional_headers=headers):
            pass
    wanted = {"nobody": 401, "bob": 404, "wrong": 401}.get(who, 403)
    assert caught.value.response.status_code == wanted
    assert set(json.loads(caught.value.response.body)) == {"code", "message", "field"}


async def test_a_page_of_this_site_may_open_the_socket(services, base, alices_cookie, logged):
    await write(services, logged, b"x")
    headers = {"Cookie": alices_cookie, "Origin": base}
    async with connect(socket_url(base, logged), additional_headers=headers) as socket:
        assert (await socket.recv())[17:] == b"x"


async def test_a_run_without_log_yet_is_waited_for(services, base, alice, alices):
    view = await events.create(services, alice, EVENT)
    run = await runs.start(services, alice, view.id)
    headers = {"Authorization": alices.headers["authorization"]}
    async with connect(socket_url(base, run.id), additional_headers=headers) as socket:
        await runs.cancel(services, alice, run.id)
        assert json.loads(await asyncio.wait_for(socket.recv(), 5))["end"]["status"] == "cancelled"
