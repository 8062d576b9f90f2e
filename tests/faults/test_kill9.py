"""kill -9 of the server while jobs run: nothing is lost, nothing runs twice."""

import asyncio
import hashlib
import json
import random
import subprocess
import time
from pathlib import Path
from uuid import UUID

import pytest

from cronium_app.logs.files import LogStore
from cronium_app.store import runs as run_rows
from cronium_app.store.database import Database
from tests.faults.conftest import ADMIN

pytestmark = [pytest.mark.docker, pytest.mark.faults, pytest.mark.timeout(400)]

RUNS = 40
KILLS = 3

# Binary bytes on both streams and a 60 kB line of two-byte characters, at its own pace.
JOB = r"""
import hashlib, os, random, sys, time
import cronium

pick = random.Random(cronium.input("seed"))
sums = {1: hashlib.sha256(), 2: hashlib.sha256()}


def put(fd, data):
    sums[fd].update(data)
    while data:
        data = data[os.write(fd, data):]


for step in range(12):
    put(pick.choice((1, 2)), pick.randbytes(pick.randrange(1, 30_000)))
    if step == 6:
        put(pick.choice((1, 2)), ("é" * 30_000 + "\n").encode())
    time.sleep(pick.random() / 5)
cronium.output("stdout", sums[1].hexdigest())
cronium.output("stderr", sums[2].hexdigest())
sys.exit(cronium.input("code"))
"""


async def test_forty_runs_survive_a_killed_server_to_the_byte(start_server, make_api, engine):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    pick = random.Random(seed)
    server = start_server(**ADMIN, CRONIUM_SLOTS="8")
    api = make_api(server)
    event = await api.event("python", JOB)
    since = int(time.time())
    codes = {await api.start(event, seed=pick.randrange(1 << 30), code=n % 3): n % 3
             for n in range(RUNS)}  # fmt: skip
    for _ in range(KILLS):
        await asyncio.sleep(pick.uniform(0.5, 6))
        server.kill()
        server.start()
    ended = {run_id: await api.ended(run_id, 300) for run_id in codes}
    assert {run_id: run["exit_code"] for run_id, run in ended.items()} == codes
    for run_id, run in ended.items():
        assert run["status"] == ("succeeded" if codes[run_id] == 0 else "failed")
        assert run["reason"] == "exited"
        assert run["attempt"] == 1
        await api.until(run_id, lambda run: run["log_complete"])
    owner = (server.data / "agent" / "agent-id").read_text().strip()
    await nothing_left(engine, owner)
    assert server.stop() == 0
    for run_id, run in ended.items():
        assert await sums_of(server.data, run_id) == (
            run["outputs"]["stdout"],
            run["outputs"]["stderr"],
        )
    assert started_twice(owner, since) == set()


async def nothing_left(engine, owner: str) -> None:
    async with asyncio.timeout(30):
        while [
            c for c in await engine.containers(owner) if c["Labels"].get("cronium.kind") != "warm"
        ]:
            await asyncio.sleep(0.1)


async def sums_of(data: Path, run_id: str) -> tuple[str, str]:
    """sha256 of each stream as it stands in the log files."""
    db = Database(f"sqlite:///{data / 'cronium.db'}")
    logs = LogStore(data / "logs")
    try:
        async with db.read() as session:
            attempt = await run_rows.attempt_of(session, UUID(run_id))
            assert attempt is not None
        sums = {1: hashlib.sha256(), 2: hashlib.sha256()}
        async for frame in logs.follow(attempt.id):
            sums[frame.stream].update(frame.data)
        return sums[1].hexdigest(), sums[2].hexdigest()
    finally:
        logs.close()
        await db.close()


def started_twice(owner: str, since: int) -> set[str]:
    """Runs of which the engine itself has seen more than one container start."""
    events = subprocess.run(
        [
            "docker", "events", "--since", str(since), "--until", str(int(time.time()) + 1),
            "--filter", f"label=cronium.owner={owner}", "--filter", "event=start",
            "--format", "{{json .Actor.Attributes}}",
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen: set[str] = set()
    twice: set[str] = set()
    for line in events.stdout.splitlines():
        run = json.loads(line)["cronium.run"]
        (twice if run in seen else seen).add(run)
    assert seen
    return twice


LOUD = r"""
import hashlib, sys
import cronium

print("begun", flush=True)
sum = hashlib.sha256(b"begun\n")
line = b"y" * 999 + b"\n"
for _ in range(50_000):
    sys.stdout.buffer.write(line)
    sum.update(line)
cronium.output("sha256", sum.hexdigest())
"""


async def test_a_large_log_written_while_the_server_is_away_arrives_whole(
    start_server, make_api, engine
):
    server = start_server(**ADMIN)
    api = make_api(server)
    run_id = await api.start(await api.event("python", LOUD))
    await api.until(run_id, lambda run: run["log_length"] > 0 or run["phase"] == "execution")
    server.kill()
    owner = (server.data / "agent" / "agent-id").read_text().strip()
    async with asyncio.timeout(60):  # the job needs no server to come to its end
        while [c for c in await engine.containers(owner) if c["State"] == "running"]:
            await asyncio.sleep(0.1)
    server.start()
    ended = await api.ended(run_id)
    assert (ended["status"], ended["exit_code"], ended["attempt"]) == ("succeeded", 0, 1)
    whole = await api.until(run_id, lambda run: run["log_complete"])
    assert (whole["status"], whole["log_length"]) == ("succeeded", 50_000_006)
    await nothing_left(engine, owner)
    assert server.stop() == 0
    sums = await sums_of(server.data, run_id)
    assert sums == (whole["outputs"]["sha256"], hashlib.sha256().hexdigest())
