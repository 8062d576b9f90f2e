"""Schedules over REST: what scripts and other programs rely on."""

from datetime import timedelta


async def test_rules_preview_and_pauses(services, alices):
    event = await alices.post(
        "/api/v1/events", json={"name": "n", "runtime": "bash", "script": "true", "tags": ["x"]}
    )
    plan = {
        "kind": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin", "dst": "skip",
        "misfire": "all", "misfire_window_s": 7200, "jitter_s": 60,
    }  # fmt: skip
    preview = await alices.post("/api/v1/schedules/preview", json=plan)
    assert len(preview.json()["fires"]) == 20
    path = f"/api/v1/events/{event.json()['id']}/schedules"
    saved = (await alices.post(path, json=plan)).json()
    assert {key: saved[key] for key in plan} == plan
    found = await alices.get(f"/api/v1/schedules/{saved['id']}/preview?count=20")
    assert found.json() == preview.json()
    assert (
        await alices.get(f"/api/v1/schedules/{saved['id']}/preview?count=21")
    ).status_code == 422

    until = (services.clock.now() + timedelta(hours=1)).isoformat()
    stop = await alices.post("/api/v1/pauses", json={"scope": "tag", "target": "X", "until": until})
    assert (stop.status_code, stop.json()["by"]) == (201, "alice@example.org")
    assert (await alices.get("/api/v1/pauses")).json()["items"] == [stop.json()]
    shown = (await alices.get(f"/api/v1/schedules/{saved['id']}")).json()
    assert shown["paused_until"] == stop.json()["until"]
    assert (await alices.delete(f"/api/v1/pauses/{stop.json()['id']}")).status_code == 204
    assert (await alices.get("/api/v1/pauses")).json()["items"] == []


async def test_what_does_not_fit_is_refused_beside_its_field(alices):
    plan = {"kind": "interval", "every_s": 60}
    for field, value in (("misfire", "never"), ("misfire_window_s", -1), ("jitter_s", 86_401)):
        answer = await alices.post("/api/v1/schedules/preview", json=plan | {field: value})
        assert (answer.status_code, answer.json()["field"]) == (422, field)
