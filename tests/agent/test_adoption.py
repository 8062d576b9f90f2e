"""The engine dies and comes back: every byte, the true exit code, and nothing runs twice."""

import asyncio
import contextlib
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from driver import StreamLink
from harness import Server, config, connected, engine_and_server, make_job, running

from agent.engine import Engine
from agent.jobs import Reason

pytestmark = [
    pytest.mark.docker,
    pytest.mark.faults,
    pytest.mark.usefixtures("images"),
    pytest.mark.timeout(300),
]

DRIVER = Path(__file__).with_name("driver.py")


class Killable:
    """An engine process, and the server it talks to, which remembers across its deaths."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.socket = str(Path(tempfile.mkdtemp()) / "link")
        self.known: dict = {}
        self.server: Server | None = None
        self.connections = asyncio.Condition()
        self.process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> "Killable":
        self.listener = await asyncio.start_unix_server(self.accept, self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        self.listener.close()

    async def accept(self, reader, writer) -> None:
        server = Server(StreamLink(reader, writer))
        server.known = self.known
        async with self.connections:
            self.server = server
            self.connections.notify_all()
        await server.run()
        writer.close()

    async def launch(self) -> Server:
        """Returns when the container engine is seen by the new process."""
        self.server = None
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, str(DRIVER), str(self.data_dir), self.socket
        )
        async with asyncio.timeout(30), self.connections:
            await self.connections.wait_for(lambda: self.server is not None)
        assert self.server is not None
        server = self.server
        await server.until(lambda: server.heartbeats and server.heartbeats[-1].engine == "up")
        return server

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()


@pytest.fixture
async def killable(tmp_path):
    async with Killable(tmp_path) as one:
        yield one


@contextlib.asynccontextmanager
async def starts_counted():
    """Counts, outside of Cronium, how often each attempt's script really began."""
    seen: Counter[str] = Counter()

    async def count(reader, writer):
        seen[(await reader.readline()).decode().strip()] += 1
        writer.close()

    listener = await asyncio.start_server(count, "0.0.0.0", 0)
    try:
        yield seen, listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


def busy_script(port: int, seconds: float) -> str:
    """Binary on both streams and a long line of two-byte characters, in many small writes."""
    return f"""
gateway=$(ip route 2>/dev/null | cut -d' ' -f3 | head -n1)
[ -n "$gateway" ] || gateway=172.17.0.1
exec 9<>/dev/tcp/$gateway/{port}; echo "$CRONIUM_RUN_ID" >&9; exec 9>&-
head -c 300000 /dev/urandom >/job/a
for i in $(seq 30000); do printf é; done >>/job/a
head -c 300000 /dev/urandom >/job/b
for i in $(seq 0 19); do
  tail -c +$((i * 18000 + 1)) /job/a | head -c 18000
  tail -c +$((i * 15000 + 1)) /job/b | head -c 15000 >&2
  sleep {seconds / 20}
done
cronium_output a $(sha256sum </job/a | cut -c1-64)
cronium_output b $(sha256sum </job/b | cut -c1-64)
exit 7
"""


def check(record) -> None:
    end = record.outcome
    assert (end.reason, end.exit_code) == (Reason.EXITED, 7), (end, record.stdout[-300:])
    told = json.loads(end.outputs)
    assert hashlib.sha256(record.stdout).hexdigest() == told["a"]
    assert hashlib.sha256(record.stderr).hexdigest() == told["b"]
    assert hashlib.sha256(record.log).hexdigest() == end.log_sha256


@pytest.mark.parametrize("round_", range(4))
async def test_killed_at_random_moments(killable, round_):
    rng = random.Random(round_)
    async with starts_counted() as (starts, port):
        server = await killable.launch()
        jobs = []
        for _ in range(10):
            script = busy_script(port, rng.uniform(0.1, 2.5))
            job = make_job(script, network=True, limits={"cpus": 0.5})
            jobs.append(job)
            await server.start(job)
            await asyncio.sleep(rng.uniform(0, 0.1))
        records = [server.of(job.attempt_id) for job in jobs]
        for _ in range(4):
            await asyncio.sleep(rng.uniform(0, 1.2))
            await killable.kill()
            server = await killable.launch()
            # What never got its Accepted is handed out again, as the real server does.
            for job, record in zip(jobs, records, strict=True):
                if not record.accepted and not record.finished:
                    await server.start(job)
        await server.until(lambda: all(record.complete for record in records), 120)
        for record in records:
            check(record)
        assert starts == {job.run_id: 1 for job in jobs}


async def test_detached_and_adopted_in_one_process(tmp_path):
    """Cancelling the engine is no end of a job: the next one goes on where it was."""
    script = "for i in $(seq 40); do echo $i; sleep 0.05; done; cronium_output done 1; exit 3"
    job = make_job(script)
    async with engine_and_server(tmp_path) as (_, server):
        record = await server.start(job)
        await server.until(lambda: b"\n5\n" in record.log)
        before = record.progress[-1].container_id
    async with (
        running(Engine(config(tmp_path))) as engine,
        connected(engine, resume=False) as again,
    ):
        assert [held.attempt_id for held in again.hello.holding] == [job.attempt_id]
        await again.start(job)  # not resumed but handed out once more: the same attempt
        second = again.of(job.attempt_id)
        await again.until(lambda: second.complete)
    assert second.stdout == b"".join(b"%d\n" % number for number in range(1, 41))
    assert second.outcome.exit_code == 3
    assert second.outcome.outputs == b'{"done":"1"}'
    assert second.outcome.execution_s > 1.5
    assert before in [one.container_id for one in second.progress]


async def test_what_ended_meanwhile_is_reported(tmp_path):
    job = make_job("echo on; sleep 0.3; echo end; cronium_output a 1; exit 4")
    async with engine_and_server(tmp_path) as (_, server):
        record = await server.start(job)
        await server.until(lambda: record.log)
    await wait_for_exit(record.progress[-1].container_id)
    async with engine_and_server(tmp_path) as (_, again):
        second = again.of(job.attempt_id)
        await again.until(lambda: second.complete)
    assert second.stdout == b"on\nend\n"
    assert (second.outcome.exit_code, second.outcome.outputs) == (4, b'{"a":"1"}')


async def test_a_stop_is_finished_by_the_next_engine(tmp_path):
    job = make_job("trap '' TERM; echo on; while :; do sleep 1; done")
    async with engine_and_server(tmp_path) as (engine, server):
        record = await server.start(job)
        await server.until(lambda: record.log)
        await server.stop(job, 1.0)
        await server.until(lambda: engine._attempts[job.attempt_id]._signalled)
    async with engine_and_server(tmp_path) as (_, again):
        second = again.of(job.attempt_id)
        await again.until(lambda: second.complete)
    assert second.outcome.reason is Reason.CANCELLED_BY_USER
    assert second.outcome.exit_code == 137


async def test_the_time_limit_goes_on_over_a_restart(tmp_path):
    job = make_job("echo on; exec sleep 60", limits={"execution_s": 2})
    async with engine_and_server(tmp_path) as (_, server):
        record = await server.start(job)
        await server.until(lambda: record.log)
    async with engine_and_server(tmp_path) as (_, again):
        second = again.of(job.attempt_id)
        await again.until(lambda: second.complete)
    assert second.outcome.reason is Reason.TIMED_OUT
    assert second.outcome.execution_s < 5


async def test_accepted_and_not_yet_placed_is_run_by_the_next_engine(tmp_path):
    job = make_job("echo later")
    async with engine_and_server(tmp_path) as (engine, server):

        async def never(image, on_progress=None):
            await asyncio.Event().wait()

        engine.images.ensure = never
        record = await server.start(job)
        await server.until(lambda: record.accepted)
    async with engine_and_server(tmp_path) as (_, again):
        second = again.of(job.attempt_id)
        await again.until(lambda: second.complete)
    assert second.stdout == b"later\n"


@pytest.mark.parametrize("missing", [260_000, 40, 1])
async def test_a_torn_delivery_runs_nothing_and_is_made_anew(tmp_path, missing):
    """The connection breaks in the middle of the script, or just before the end of it all."""
    job = make_job("echo first\n" + "#" * 500_000 + "\necho second\n" + "echo end\n" * 8)
    async with engine_and_server(tmp_path) as (_, server):
        from agent.containers import Attachment

        whole, calls = Attachment.deliver, []

        async def half(self, data):
            calls.append(data)
            if len(calls) > 1:
                return await whole(self, data)
            return await whole(self, data[:-missing])

        Attachment.deliver = half
        try:
            record = await server.run_job(job)
        finally:
            Attachment.deliver = whole
    assert len(calls) == 2
    assert record.stdout == b"first\nsecond\n" + b"end\n" * 8
    assert record.outcome.exit_code == 0


async def test_a_container_without_a_line_in_the_journal_is_removed(tmp_path):
    job = make_job("echo on; sleep 60")
    async with engine_and_server(tmp_path) as (_, server):
        record = await server.start(job)
        await server.until(lambda: record.log)
    (tmp_path / "journal").unlink()
    async with engine_and_server(tmp_path) as (engine, _):
        async with asyncio.timeout(20):
            while await engine.containers.list_own():
                await asyncio.sleep(0.05)


async def test_a_container_removed_by_hand_is_told(tmp_path):
    job = make_job("echo on; sleep 60")
    async with engine_and_server(tmp_path) as (engine, server):
        record = await server.start(job)
        await server.until(lambda: record.log)
        await engine.containers.remove(record.progress[-1].container_id)
        await server.until(lambda: record.complete)
        assert record.outcome.reason in (Reason.LOST, Reason.ENGINE_KILLED)
        assert record.outcome.detail


async def test_a_container_killed_by_hand_is_told(tmp_path):
    job = make_job("echo on; sleep 60")
    async with engine_and_server(tmp_path) as (engine, server):
        record = await server.start(job)
        await server.until(lambda: record.log)
        await engine.containers.signal(record.progress[-1].container_id, "KILL")
        await server.until(lambda: record.complete)
    assert (record.outcome.reason, record.outcome.exit_code) == (Reason.ENGINE_KILLED, 137)


async def test_two_installations_leave_each_other_alone(tmp_path):
    job = make_job("echo on; sleep 1.5; echo end")
    async with engine_and_server(tmp_path / "one") as (first, server):
        record = await server.start(job)
        await server.until(lambda: record.log)
        async with engine_and_server(tmp_path / "two") as (second, other):
            assert second.agent_id != first.agent_id
            assert await second.containers.list_own() == []
            mine = await other.run_job(make_job("echo mine"))
            assert mine.stdout == b"mine\n"
        await server.until(lambda: record.complete)
    assert record.stdout == b"on\nend\n"


async def test_a_second_engine_on_the_same_folder_refuses(tmp_path):
    async with engine_and_server(tmp_path):
        with pytest.raises(RuntimeError, match="Another engine"):
            await Engine(config(tmp_path)).run()


async def test_a_paused_engine_process_goes_on(killable):
    """SIGSTOP and SIGCONT: nothing is lost, nothing counted twice."""
    async with starts_counted() as (starts, port):
        server = await killable.launch()
        job = make_job(busy_script(port, 1.0), network=True)
        record = await server.start(job)
        await server.until(lambda: record.log)
        os.kill(killable.process.pid, signal.SIGSTOP)
        await asyncio.sleep(1.5)
        os.kill(killable.process.pid, signal.SIGCONT)
        await server.until(lambda: record.complete)
        check(record)
        assert starts == {job.run_id: 1}


async def wait_for_exit(container_id: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "docker", "wait", container_id, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
