"""The OpenAPI as a promise: whatever is made from it gets an answer that it describes."""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from cronium_app.actions import accounts, tokens
from cronium_app.api.app import build_api
from cronium_app.services import running
from cronium_app.settings import load_settings

load_all_checks()
MODES = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
# Left out: `positive_data_acceptance` and `negative_data_rejection` (a cron expression or an image
# name is right or wrong by more than a schema can say), and `unsupported_method` below /auth.
WANTED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)


class Server(threading.Thread):
    """The API in a thread with a loop of its own: schemathesis is synchronous."""

    def __init__(self, data: Path) -> None:
        super().__init__(daemon=True)
        self.data, self.ready, self.url, self.token = data, threading.Event(), "", ""

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        values = {"data_dir": str(self.data), "builtin_agent": False}
        async with running(load_settings(values, environ={"HOME": str(self.data)})) as built:
            command = {"email": "a@example.org", "password": "correct horse"}
            await accounts.create_user(built, None, command)
            actor = accounts.actor_for(await accounts.find_user(built, "a@example.org"))
            self.token = (await tokens.create(built, actor, {"name": "t"})).token
            api = build_api(client_dir=self.data, services=lambda: built)
            config = uvicorn.Config(api, port=0, log_level="error", lifespan="off")
            self.server = uvicorn.Server(config)
            task = asyncio.create_task(self.server.serve())
            while not self.server.started:
                await asyncio.sleep(0.01)
            port = self.server.servers[0].sockets[0].getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            self.ready.set()
            await task


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("openapi")
    shutil.copy(migrated_sqlite, data / "cronium.db")
    thread = Server(data)
    thread.start()
    assert thread.ready.wait(20)
    yield thread
    thread.server.should_exit = True
    thread.join(10)


@pytest.fixture
def ids(server: Server) -> dict[str, str]:
    """Things that exist, so that not every answer is 404."""
    headers = {"Authorization": f"Bearer {server.token}"}
    with httpx2.Client(base_url=f"{server.url}/api/v1", headers=headers) as client:
        body = {"name": "n", "runtime": "bash", "script": "true"}
        event = client.post("/events", json=body).json()["id"]
        plan = {"kind": "interval", "every_s": 3600}
        schedule = client.post(f"/events/{event}/schedules", json=plan).json()["id"]
        run = client.post(f"/events/{event}/runs").json()["id"]
        stop = {"scope": "event", "target": event, "until": "2199-01-01T00:00:00Z"}
        assert client.post("/pauses", json=stop).status_code == 422  # more than ten years
        stop["until"] = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        pause = client.post("/pauses", json=stop).json()["id"]
    return {
        "pause_id": pause,
        "event_id": event,
        "schedule_id": schedule,
        "run_id": run,
        "number": "1",
    }


SPEC = build_api(client_dir=Path("/nonexistent")).openapi()
# A changed password would do no harm, but argon2 for each example costs minutes.
OPERATIONS = [
    found.ok()
    for found in schemathesis.openapi.from_dict(SPEC)
    .exclude(path_regex="^/auth/|/password$")
    .get_all_operations()
]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_every_answer_is_as_described(operation, server: Server, ids: dict[str, str]) -> None:
    checks = [check for check in CHECKS.get_all() if check.__name__ in WANTED]
    assert len(checks) == len(WANTED)

    @given(data=st.data())
    @settings(
        max_examples=15,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    def fuzz(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=data.draw(MODES)))
        case.query = {name: value for name, value in (case.query or {}).items() if name != "wait"}
        if case.path_parameters and data.draw(st.booleans()):
            case.path_parameters = {
                name: ids.get(name, value) for name, value in case.path_parameters.items()
            }
        case.call_and_validate(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.token}"},
            checks=checks,
        )

    fuzz()


def test_all_operations_are_there():
    assert len(OPERATIONS) >= 30
