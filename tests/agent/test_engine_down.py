"""The container engine goes away and comes back: a proxy in front of it cuts every connection."""

import asyncio
import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

import pytest
from harness import config, connected, engine_and_server, make_job, nothing_held, running

from agent.containers import NameTaken
from agent.engine import Engine
from agent.jobs import Reason

pytestmark = [
    pytest.mark.docker,
    pytest.mark.faults,
    pytest.mark.usefixtures("images"),
    pytest.mark.timeout(120),
]


class Proxy:
    """A socket like the engine's that can be switched off, or cut once."""

    def __init__(self) -> None:
        self.path = str(Path(tempfile.mkdtemp()) / "docker.sock")
        self.pipes: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server | None = None

    async def up(self) -> None:
        self.server = await asyncio.start_unix_server(self.accept, self.path)

    async def down(self) -> None:
        assert self.server is not None
        self.server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        await self.cut()

    async def cut(self) -> None:
        for pipe in list(self.pipes):
            pipe.cancel()
        await asyncio.gather(*self.pipes, return_exceptions=True)

    async def accept(self, reader, writer) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection("/var/run/docker.sock")
        both = asyncio.gather(pipe(reader, far_writer), pipe(far_reader, writer))
        task = asyncio.ensure_future(both)
        self.pipes.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
        finally:
            self.pipes.discard(task)
            for one in (writer, far_writer):
                one.transport.abort()


async def pipe(reader, writer) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@pytest.fixture
async def proxy():
    one = Proxy()
    await one.up()
    yield one
    with contextlib.suppress(Exception):
        await one.down()


LIVELY = """
head -c 400000 /dev/urandom >/job/a; for i in $(seq 30000); do printf é; done >>/job/a
head -c 300000 /dev/urandom >/job/b
for i in $(seq 0 19); do
  tail -c +$((i * 23000 + 1)) /job/a | head -c 23000
  tail -c +$((i * 15000 + 1)) /job/b | head -c 15000 >&2
  sleep 0.1
done
cronium_output a $(sha256sum </job/a | cut -c1-64); cronium_output b $(sha256sum </job/b | cut -c1-64)
exit 7
"""


def check(record) -> None:
    end = record.outcome
    assert (end.reason, end.exit_code) == (Reason.EXITED, 7), end
    told = json.loads(end.outputs)
    assert hashlib.sha256(record.stdout).hexdigest() == told["a"]
    assert hashlib.sha256(record.stderr).hexdigest() == told["b"]


async def test_a_running_job_survives_cut_connections(tmp_path, proxy):
    async with engine_and_server(tmp_path, docker_socket=proxy.path) as (_, server):
        record = await server.start(make_job(LIVELY))
        for _ in range(3):
            length = len(record.log)
            await server.until(lambda at=length: len(record.log) > at)
            await proxy.cut()
        await server.until(lambda: record.complete)
        check(record)


async def test_a_running_job_survives_an_engine_that_is_away(tmp_path, proxy):
    async with engine_and_server(tmp_path, docker_socket=proxy.path) as (_, server):
        record = await server.start(make_job(LIVELY))
        await server.until(lambda: record.log)
        await proxy.down()
        await server.until(lambda: server.heartbeats[-1].engine == "down")
        assert "answers at" in server.heartbeats[-1].engine_detail
        refused = await server.run_job(make_job("true"))
        assert refused.refused[0].why == "engine_down"
        assert refused.refused[0].detail == server.heartbeats[-1].engine_detail
        await asyncio.sleep(2.5)  # the job ends meanwhile
        assert not record.finished
        await proxy.up()
        await server.until(lambda: record.complete)
        check(record)
        assert server.heartbeats[-1].engine == "up"


async def test_an_engine_that_is_absent_at_the_start(tmp_path, proxy):
    await proxy.down()
    engine = Engine(config(tmp_path, docker_socket=proxy.path))
    async with running(engine), connected(engine) as server:
        assert server.heartbeats[-1].engine == "down"
        job = make_job("echo hi")
        record = await server.run_job(job)
        assert record.refused[0].why == "engine_down"
        await proxy.up()
        await server.until(lambda: server.heartbeats[-1].engine == "up")
        await server.start(job)
        await server.until(lambda: record.complete)
        assert record.stdout == b"hi\n"


async def test_a_stop_waits_for_the_engine(tmp_path, proxy):
    async with engine_and_server(tmp_path, docker_socket=proxy.path) as (_, server):
        job = make_job("trap '' TERM; echo on; while :; do sleep 1; done")
        record = await server.start(job)
        await server.until(lambda: record.log)
        await proxy.down()
        await server.stop(job, 0.2)
        await server.until(lambda: server.heartbeats[-1].engine == "down")
        await proxy.up()
        await server.until(lambda: record.complete)
        assert record.outcome.reason is Reason.CANCELLED_BY_USER
        assert record.outcome.exit_code == 137


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.2, 0.3])
async def test_connections_cut_during_setup_run_the_job_once(tmp_path, proxy, after):
    async with engine_and_server(tmp_path, docker_socket=proxy.path) as (engine, server):
        record = await server.start(make_job("echo $CRONIUM_RUN_ID; exit 7"))
        await server.until(lambda: record.accepted)
        await asyncio.sleep(after)
        await proxy.cut()
        await server.until(lambda: record.complete)
        assert record.stdout.count(b"\n") == 1
        assert record.outcome.exit_code == 7
        await nothing_held(engine)
        assert await engine.containers.list_own() == []


async def test_an_engine_that_goes_away_before_the_image_is_found_delays_the_job(tmp_path, proxy):
    async with engine_and_server(tmp_path, docker_socket=proxy.path) as (engine, server):
        ensure, looks = engine.images.ensure, []

        async def away(image, on_progress=None):
            if on_progress is not None:  # a job asks, not the warming up
                looks.append(image)
                if len(looks) == 1:
                    await proxy.down()
            return await ensure(image, on_progress)

        engine.images.ensure = away
        record = await server.start(make_job("echo hi"))
        await server.until(lambda: server.heartbeats[-1].engine == "down")
        assert not record.finished
        await proxy.up()
        await server.until(lambda: record.complete)
        assert (record.outcome.reason, record.stdout) == (Reason.EXITED, b"hi\n")
        assert len(looks) == 2


async def accepted_and_without_engine(engine, server, proxy, job):
    """The job is promised; before anything of it was placed, the engine went away."""
    ensure = engine.images.ensure

    async def away(image, on_progress=None):
        if on_progress is not None:  # a job asks, not the warming up
            engine.images.ensure = ensure
            await proxy.down()
        return await ensure(image, on_progress)

    engine.images.ensure = away
    record = await server.start(job)
    await server.until(lambda: server.heartbeats[-1].engine == "down")
    assert not record.finished
    return record


async def test_a_job_that_waits_for_the_engine_can_be_stopped(tmp_path, proxy):
    async with engine_and_server(tmp_path, docker_socket=proxy.path) as (engine, server):
        job = make_job("echo never")
        record = await accepted_and_without_engine(engine, server, proxy, job)
        await server.stop(job)
        await server.until(lambda: record.complete, 5)
        assert server.heartbeats[-1].engine == "down"
        assert record.outcome.reason is Reason.CANCELLED_BY_USER
        await proxy.up()
        await nothing_held(engine)
        assert await engine.containers.list_own() == []


async def test_waiting_for_the_engine_is_not_setup(tmp_path, proxy):
    async with engine_and_server(tmp_path, docker_socket=proxy.path) as (engine, server):
        job = make_job("echo hi", limits={"setup_s": 2.0})
        record = await accepted_and_without_engine(engine, server, proxy, job)
        with pytest.raises(TimeoutError):  # an outage longer than the limit
            await server.until(lambda: record.finished, 2.5)
        await proxy.up()
        await server.until(lambda: record.complete)
        assert (record.outcome.reason, record.stdout) == (Reason.EXITED, b"hi\n")
        assert record.outcome.setup_s < 2.0


async def test_a_name_the_engine_still_gives_away_for_a_lost_request_is_waited_for(
    tmp_path, monkeypatch
):
    """The connection was cut while it made the container: for a moment the name is taken and
    nothing of that name is listed."""
    async with engine_and_server(tmp_path) as (engine, server):
        create, taken = engine.containers.create, []

        async def still_taken(*args):
            if len(taken) < 4:
                taken.append(args)
                raise NameTaken(409, "The name is already in use")
            return await create(*args)

        monkeypatch.setattr(engine.containers, "create", still_taken)
        record = await server.run_job(make_job("echo hi"))
        assert record.stdout == b"hi\n", record.outcome


async def test_slow_server_slows_nothing(tmp_path):
    """The server reads nothing: the job ends all the same, its bytes wait on the disk."""
    async with running(Engine(config(tmp_path))) as engine:
        async with connected(engine, acknowledge=False) as server:
            await server.until(lambda: server.heartbeats[-1].engine == "up")
            job = make_job(
                "head -c 60000000 /dev/urandom | tee /job/a | cat; sha256sum </job/a >&2",
                limits={"work_mb": 100},
            )
            await server.start(job)
            gate = asyncio.Event()
            server.handle = lambda _: gate.wait()
            async with asyncio.timeout(40):
                while (
                    job.attempt_id not in engine._attempts
                    or not engine._attempts[job.attempt_id].final
                ):
                    await asyncio.sleep(0.05)
            gate.set()
        async with connected(engine) as server:
            record = server.of(job.attempt_id)
            await server.until(lambda: record.complete)
            assert hashlib.sha256(record.stdout).hexdigest() == record.stderr.decode().split()[0]
