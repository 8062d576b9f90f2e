"""Images that lack things, slow disks, gaps in the log, servers that ask again."""

import asyncio
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time

import aiodocker
import pytest
from harness import Server, engine_and_server, make_job, nothing_held

from agent import attempt as attempt_module
from agent import containers as containers_module
from agent.containers import EngineRefused
from agent.jobs import Reason
from agent.protocol import FinishAck, LogAck, LogChunk, Resume
from agent.pump import Pump
from agent.spool import Spool

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("images"), pytest.mark.timeout(120)]


def import_image(name: str, files: dict[str, bytes]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), 0o755
            tar.addfile(member, io.BytesIO(data))
    subprocess.run(["docker", "import", "-", name], input=buffer.getvalue(), check=True, stdout=-3)


@pytest.fixture(scope="module")
def bare_image():
    """Nothing but a file that is no program."""
    name = "cronium-test/bare:1"
    import_image(name, {"etc/nothing": b"x"})
    yield name
    subprocess.run(["docker", "rmi", name], check=True, stdout=-3)


async def test_an_image_without_a_shell_is_explained(tmp_path, bare_image):
    async with engine_and_server(tmp_path) as (engine, server):
        record = await server.run_job(make_job("echo hi", image=bare_image))
        end = record.outcome
        assert end.reason is Reason.BAD_IMAGE, end
        assert end.detail == f"The image {bare_image} has no usable /bin/sh, which every job needs."
        await nothing_held(engine)
        assert await engine.containers.list_own() == []


async def test_an_image_without_the_interpreter_is_explained(tmp_path):
    async with engine_and_server(tmp_path) as (_, server):
        record = await server.run_job(make_job("1", "node", image="cronium/bash"))
        end = record.outcome
        assert (end.reason, end.exit_code) == (Reason.BAD_IMAGE, None)
        assert end.detail == "The image cronium/bash has no `node`, which a Node.js job needs."
        assert record.log == b""


VOLUMES = ("/data", "/opt/kept", "/tmp", "/job/sub", "/with:colon")


def build_with_volumes(base: str, name: str, volumes: tuple[str, ...]) -> None:
    text = f"FROM {base.removeprefix('sha256:')[:12]}\nVOLUME {json.dumps(volumes)}\n"
    build = ["docker", "build", "-q", "-t", name, "-"]
    subprocess.run(build, input=text.encode(), check=True, capture_output=True)


@pytest.fixture
def volume_image():
    name = f"cronium-test/volumes:{os.getpid()}"
    yield name
    subprocess.run(["docker", "rmi", "-f", name], check=True, stdout=-3)


async def test_a_volume_of_an_image_is_no_way_around_the_limits(tmp_path, volume_image):
    """Small, in memory, and gone with the container; nothing of it on the host's disk."""
    script = f"""
for d in {" ".join(VOLUMES)}; do
  echo "$d $(stat -f -c %T $d)"; echo x >$d/file || echo "$d cannot be written"
done
head -c 100000000 /dev/zero >/data/big || echo full
"""
    async with engine_and_server(tmp_path) as (engine, server):
        build_with_volumes(await engine.images.ensure("cronium/bash"), volume_image, VOLUMES)
        record = await server.run_job(make_job(script, image=volume_image))
        expected = "".join(f"{place} tmpfs\n" for place in VOLUMES) + "full\n"
        assert record.stdout.decode() == expected, record.outcome
        assert record.outcome.reason is Reason.EXITED


async def test_an_image_with_too_many_volumes_is_refused_in_a_sentence(tmp_path, volume_image):
    async with engine_and_server(tmp_path) as (engine, server):
        many = tuple(f"/v{number}" for number in range(17))
        build_with_volumes(await engine.images.ensure("cronium/bash"), volume_image, many)
        record = await server.run_job(make_job("true", image=volume_image))
        end = record.outcome
        assert (end.reason, end.permanent) == (Reason.BAD_IMAGE, True)
        assert end.detail == f"The image {volume_image} declares 17 volumes; 16 are allowed."


async def test_a_disk_slower_than_the_job_does_not_hold_the_job_up(tmp_path, monkeypatch):
    """Above 8 MB of backlog the attachment is given up; the rest comes from the engine's log."""
    slow = True
    append = Spool.append

    def slowly(self, pieces):
        if slow:
            time.sleep(0.2)
        append(self, pieces)

    monkeypatch.setattr(Spool, "append", slowly)
    script = (
        "head -c 15000000 /dev/urandom >/job/a; cat /job/a; echo >>/job/a; echo\n"
        "head -c 50000 /dev/zero | tr '\\0' x >/job/l; cat /job/l; echo; cat /job/l >>/job/a; echo >>/job/a\n"
        "cronium_output a $(sha256sum </job/a | cut -c1-64); cronium_output done $(date +%s.%N)"
    )
    async with engine_and_server(tmp_path) as (engine, server):
        record = await server.start(make_job(script, limits={"work_mb": 64}))
        await server.until(lambda: record.log)
        async with asyncio.timeout(20):
            while [one.status for one in await engine.containers.list_own()] != ["exited"]:
                await asyncio.sleep(0.05)
        # Nothing is said of its end before the end of its output was seen.
        assert not record.finished
        slow = False
        await server.until(lambda: record.complete)
        end = record.outcome
        told = json.loads(end.outputs)
        assert hashlib.sha256(record.stdout).hexdigest() == told["a"]
        assert (end.exit_code, end.outputs_complete) == (0, True)
        assert len(record.finished) == 1


async def test_a_provisional_end_survives_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr(attempt_module, "_PROVISIONAL_AFTER_S", 0.0)
    job = make_job("echo hi; cronium_output a 1; exit 4")

    async def never(self, reader, reading):
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(attempt_module.Attempt, "_read_to_end", never)
        async with engine_and_server(tmp_path) as (_, server):
            record = await server.start(job)
            await server.until(lambda: record.finished)
            assert record.outcome.log_sha256 == ""
    async with engine_and_server(tmp_path) as (_, server):
        second = server.of(job.attempt_id)
        await server.until(lambda: second.complete)
        assert second.stdout == b"hi\n"
        assert (second.outcome.exit_code, second.outcome.outputs) == (4, b'{"a":"1"}')


async def test_an_outcome_already_known_is_kept_when_the_rest_of_the_log_is_lost(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(attempt_module, "_PROVISIONAL_AFTER_S", 0.0)
    job = make_job("echo hi; exit 4")

    async def never(self, reader, reading):
        await reader.attachment_ended.wait()
        await asyncio.Event().wait()

    with monkeypatch.context() as patch:
        patch.setattr(attempt_module.Attempt, "_read_to_end", never)
        patch.setattr(attempt_module, "_PROVISIONAL_AFTER_S", 0.5)
        async with engine_and_server(tmp_path) as (engine, server):
            record = await server.start(job)
            await server.until(lambda: record.finished)
            found = await engine.containers.list_own()
    subprocess.run(["docker", "rm", "-f", found[0].id], check=True, stdout=-3)
    async with engine_and_server(tmp_path) as (_, server):
        second = server.of(job.attempt_id)
        await server.until(lambda: second.complete)
        end = second.outcome
        assert (end.reason, end.exit_code) == (Reason.EXITED, 4)
        assert not end.outputs_complete
        assert "The rest of its log was lost." in end.detail


@pytest.mark.parametrize("part", ["_guard", "pump"])
async def test_a_fault_in_a_part_that_works_beside_ends_the_run_and_only_that(
    tmp_path, monkeypatch, part
):
    async def broken(*_):
        await asyncio.sleep(0.1)
        raise ValueError("a bug")

    with monkeypatch.context() as patch:
        if part == "pump":
            patch.setattr(Pump, "run", broken)
        else:
            patch.setattr(attempt_module.Attempt, "_guard", broken)
        async with engine_and_server(tmp_path) as (engine, server):
            record = await server.run_job(make_job("echo on; sleep 100"), 15)
            assert record.outcome.reason is Reason.CRASHED
            await nothing_held(engine)
            assert await engine.containers.list_own() == []
            patch.undo()
            fine = await server.run_job(make_job("echo hi"))
            assert fine.stdout == b"hi\n"


async def test_a_fault_after_a_provisional_end_keeps_that_end(tmp_path, monkeypatch):
    monkeypatch.setattr(attempt_module, "_PROVISIONAL_AFTER_S", 0.5)

    async def broken(self, reader, reading):
        await reader.attachment_ended.wait()
        await asyncio.sleep(1.0)
        raise ValueError("a bug")

    monkeypatch.setattr(attempt_module.Attempt, "_read_to_end", broken)
    async with engine_and_server(tmp_path) as (engine, server):
        record = await server.run_job(make_job("echo hi; exit 4"), 15)
        assert [end.exit_code for end in record.finished] == [4, 4]
        assert not record.outcome.outputs_complete
        await nothing_held(engine)


async def test_a_lost_chunk_is_sent_again(tmp_path):
    async with engine_and_server(tmp_path) as (_, server):
        log, lost = server.log, []

        async def forgetful(chunk: LogChunk) -> None:
            if len(lost) < 3 and chunk.offset > 0:
                lost.append(chunk.offset)
                return
            await log(chunk)

        server.log = forgetful
        script = "for i in $(seq 10); do seq $((i*100)) $((i*100+99)); sleep 0.1; done"
        record = await server.run_job(make_job(script))
        assert lost
        lines = range(100, 1100)
        assert record.stdout == b"".join(b"%d\n" % number for number in lines)


async def test_a_container_that_cannot_be_removed_is_asked_for_ever_more_seldom(
    tmp_path, monkeypatch
):
    async with engine_and_server(tmp_path) as (engine, _):
        asked: list[float] = []

        async def busy(*_, **__):
            asked.append(time.monotonic())
            raise aiodocker.DockerError(409, "removal is already in progress")

        async def there(*_):
            return "still there"

        monkeypatch.setattr(containers_module, "_REMOVAL_S", 1.0)
        monkeypatch.setattr(aiodocker.containers.DockerContainer, "delete", busy)
        monkeypatch.setattr(engine.containers, "inspect", there)
        with pytest.raises(EngineRefused, match="still there"):
            await engine.containers.remove("0" * 64)
        assert 3 <= len(asked) <= 6
        assert asked[-1] - asked[-2] > 2 * (asked[1] - asked[0])


async def test_resume_from_any_offset(tmp_path):
    async with engine_and_server(tmp_path) as (engine, server):
        server.acknowledge = False
        job = make_job("echo out; sleep 0.1; echo err >&2; exit 3")
        record = await server.run_job(job)
        whole = bytes(record.log)
        for offset in (0, 2, len(whole), len(whole) + 1000):
            server.known.clear()
            got = []
            server.log = collect(got)
            await server.send(Resume(attempt_id=job.attempt_id, epoch=1, offset=offset))
            again = server.of(job.attempt_id)
            await server.until(
                lambda r=again, o=offset, g=got: r.finished and joined(g) == whole[o:]
            )
            assert again.outcome == record.outcome
        await server.send(Resume(attempt_id=job.attempt_id, epoch=2, offset=0))
        await server.until(lambda: server.of(job.attempt_id).refused)
        # Acknowledged twice: forgotten once.
        for _ in range(2):
            await server.send(LogAck(attempt_id=job.attempt_id, epoch=1, offset=len(whole)))
            await server.send(FinishAck(attempt_id=job.attempt_id, epoch=1))
        await server.until(lambda: server.heartbeats)
        async with asyncio.timeout(10):
            while engine._attempts:
                await asyncio.sleep(0.02)


def collect(got: list[LogChunk]):
    async def take(chunk: LogChunk) -> None:
        got.append(chunk)

    return take


def joined(chunks: list[LogChunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks)


async def test_many_frames_of_nonsense_end_only_the_conversation(tmp_path):
    from agent.link import memory_link

    async with engine_and_server(tmp_path) as (engine, server):
        job = make_job("sleep 1; echo end")
        await server.start(job)
        await server.until(lambda: server.of(job.attempt_id).accepted)
        near, far = memory_link()
        serving = asyncio.create_task(engine.serve(near))
        await far.receive()
        await far.send(b"\xc1 nonsense")
        async with asyncio.timeout(5):
            await serving
        near, far = memory_link()
        again = Server(far)
        tasks = [asyncio.create_task(engine.serve(near)), asyncio.create_task(again.run())]
        record = again.of(job.attempt_id)
        await again.until(lambda: record.complete)
        assert record.stdout == b"end\n"
        far.close()
        await asyncio.gather(*tasks)


async def test_the_wrapper_runs_in_a_plain_posix_shell(tmp_path):
    """Nothing in it is Bash: dash reads it in every base image."""
    async with engine_and_server(tmp_path) as (_, server):
        record = await server.run_job(make_job("readlink -f /bin/sh"))
        assert record.stdout.strip().endswith(b"dash")
