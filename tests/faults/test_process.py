"""Starting, stopping and refusing to start: the server as a process."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from tests.conftest import CRONIUM, ROOT
from tests.faults.conftest import ADMIN

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]


def test_a_second_server_on_the_same_folder_refuses_and_names_the_first(start_server):
    first = start_server()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    second = subprocess.run(
        [CRONIUM, "serve", "--data", str(first.data), "--port", "0"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Within a second: it did not import first what a server needs. Processor time, since the
    # machine may be busy.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert second.returncode != 0
    assert f"process {first.pid}" in second.stderr
    assert first.url in second.stderr
    assert "Traceback" not in second.stderr
    assert first.runs


def test_nothing_is_written_to_the_folder_of_the_client(start_server, tmp_path):
    web = tmp_path / "web"
    shutil.copytree(ROOT / ".web" / "build" / "client", web / "build" / "client")
    before = sorted(web.rglob("*"))
    server = start_server(
        CRONIUM_CLIENT_DIR=str(web / "build" / "client"), CRONIUM_BUILTIN_AGENT="false"
    )
    assert server.stop() == 0
    assert sorted(web.rglob("*")) == before


@pytest.mark.docker
async def test_sigterm_lets_jobs_go_on_and_the_next_start_picks_them_up(start_server, make_api):
    server = start_server(**ADMIN)
    api = make_api(server)
    event = await api.event("bash", "for n in $(seq 60); do echo $n; sleep 0.1; done; exit 7")
    run_id = await api.start(event)
    await api.until(run_id, lambda run: run["phase"] == "execution")
    before = time.monotonic()
    assert server.stop(signal.SIGTERM) == 0
    assert time.monotonic() - before < 10
    # the demo of the first start may still be among them
    told = re.compile(r"1 run goes on in its container|2 runs go on in their containers")
    assert any(told.search(line) for line in server.lines), server.lines
    server.start()
    run = await api.ended(run_id)
    assert (run["status"], run["exit_code"], run["attempt"]) == ("failed", 7, 1)
    log = "".join(f"{n}\n" for n in range(1, 61))
    run = await api.until(run_id, lambda run: run["log_complete"])
    assert run["log_length"] == len(log)


@pytest.mark.docker
async def test_a_job_that_ends_while_no_server_runs_gets_its_true_end(
    start_server, make_api, engine
):
    server = start_server(**ADMIN)
    api = make_api(server)
    event = await api.event("bash", "echo begun; sleep 2; echo done; exit 5")
    run_id = await api.start(event)
    await api.until(run_id, lambda run: run["log_length"] > 0 or run["phase"] == "execution")
    server.kill()
    owner = (server.data / "agent" / "agent-id").read_text().strip()
    while await running(engine, owner):
        time.sleep(0.1)
    server.start()
    run = await api.ended(run_id)
    assert (run["status"], run["exit_code"]) == ("failed", 5)
    assert (await api.until(run_id, lambda run: run["log_complete"]))["log_length"] == 11


@pytest.mark.docker
@pytest.mark.postgres
async def test_the_same_server_runs_on_postgresql(start_server, make_api, postgres):
    server = start_server(CRONIUM_DATABASE_URL=postgres.empty_url(), **ADMIN)
    api = make_api(server)
    run_id = await api.start(await api.event("bash", "echo hello; sleep 2; exit 4"))
    await api.until(run_id, lambda run: run["phase"] == "execution")
    server.kill()
    server.start()
    run = await api.ended(run_id)
    assert (run["status"], run["exit_code"], run["attempt"]) == ("failed", 4, 1)
    assert not (server.data / "cronium.db").exists()


async def running(engine, owner: str) -> bool:
    return any([c["State"] == "running" for c in await engine.containers(owner)])  # noqa: C419


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"CRONIUM_PROT": "1"}, "There is no setting CRONIUM_PROT"),
        ({"CRONIUM_SLOTS": "many"}, "CRONIUM_SLOTS ('many') is not usable"),
        ({"CRONIUM_DATABASE_URL": "mysql://x/y"}, "SQLite or PostgreSQL"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_a_sentence(tmp_path, environment, sentence):
    done = subprocess.run(
        [CRONIUM, "serve", "--data", str(tmp_path / "data"), "--port", "0"],
        env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
