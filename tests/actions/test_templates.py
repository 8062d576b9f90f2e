"""The eight templates and the demo, as they are, in the real images."""

import httpx2
import pytest

from cronium_app.actions.templates import DEMO_NAME, templates

ADMIN = {"CRONIUM_ADMIN_EMAIL": "a@example.org", "CRONIUM_ADMIN_PASSWORD": "correct horse battery"}


@pytest.mark.docker
@pytest.mark.timeout(240)
def test_templates_and_demo_run_as_they_are(start_server):
    server = start_server(**ADMIN)
    credentials = {"email": "a@example.org", "password": ADMIN["CRONIUM_ADMIN_PASSWORD"]}
    headers = {"Origin": server.url}
    with httpx2.Client(base_url=server.url, headers=headers, timeout=200) as http:
        assert http.post("/auth/login", json=credentials).status_code == 200
        (demo,) = http.get("/api/v1/events").json()["items"]
        assert demo["name"] == DEMO_NAME
        started = {"demo": http.post(f"/api/v1/events/{demo['id']}/runs").json()["id"]}
        for template in templates():
            body = template.model_dump(exclude={"key", "description"})
            event = http.post("/api/v1/events", json=body).json()["id"]
            started[template.key] = http.post(f"/api/v1/events/{event}/runs").json()["id"]
        for key, run_id in started.items():
            run = http.get(f"/api/v1/runs/{run_id}?wait=180").json()
            log = http.get(f"/api/v1/runs/{run_id}/log").text
            assert run["status"] == "succeeded", (key, run["reason_text"], log)
            assert run["outputs"], key
        assert 8 < run_of(http, started["demo"])["execution_s"] < 30
        assert "\x1b[" in http.get(f"/api/v1/runs/{started['demo']}/log").text


def run_of(http: httpx2.Client, run_id: str) -> dict:
    return http.get(f"/api/v1/runs/{run_id}").json()
