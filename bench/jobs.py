"""Trigger to finished against `docker run --rm`, and throughput against a bare aiodocker loop."""

import asyncio
import time
from typing import Any

import aiodocker
import aiohttp

from bench.product import Product
from bench.stats import Figure, is_noisy, percentile, ratio_of_medians

SCRIPT = "echo hi"
LABEL = "cronium.bench"


def host_config() -> dict[str, Any]:
    """What Cronium gives a job by default, so that floor and subject do the same work."""
    memory = (512 + 256 + 64) << 20
    return {
        "Memory": memory,
        "MemorySwap": memory,
        "NanoCpus": 1_000_000_000,
        "PidsLimit": 256,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Init": True,
        "NetworkMode": "bridge",
        "Tmpfs": {
            "/tmp": "rw,nosuid,nodev,size=64m",
            "/job": "rw,exec,nosuid,nodev,size=256m,uid=1000,mode=700",
        },
        "LogConfig": {
            "Type": "local",
            "Config": {"max-size": "1000g", "max-file": "1", "compress": "false"},
        },
    }


def docker_run_argv(image: str) -> list[str]:
    return [
        *("docker", "run", "--rm", "--label", LABEL, "--init", "--network", "bridge"),
        *("--user", "1000:1000", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--read-only", "--tmpfs", "/tmp:rw,nosuid,nodev,size=64m"),
        *("--tmpfs", "/job:rw,exec,nosuid,nodev,size=256m,uid=1000,mode=700"),
        *("--memory", "832m", "--memory-swap", "832m", "--cpus", "1", "--pids-limit", "256"),
        *("--log-driver", "local", "--log-opt", "max-size=1000g", "--log-opt", "max-file=1"),
        *("--log-opt", "compress=false", image, "bash", "-c", SCRIPT),
    ]


async def docker_run(image: str) -> float:
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *docker_run_argv(image), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    if process.returncode:
        raise RuntimeError(error.decode())
    return time.perf_counter() - begun


async def trigger(cronium: Product, event: str) -> float:
    begun = time.perf_counter()
    run = await cronium.run(event)
    if run["status"] != "succeeded":
        raise RuntimeError(run["reason_text"])
    return time.perf_counter() - begun


async def image_of(cronium: Product, event: str) -> str:
    """The id of the image that Cronium uses, so that the floor uses the same."""
    return str((await cronium.run(event))["image_digest"])


async def latency(cronium: Product, rounds: int) -> list[Figure]:
    event = await cronium.event(name="latency", runtime="bash", script=SCRIPT)
    image = await image_of(cronium, event)
    floor, subject = [], []
    for _ in range(rounds):
        floor.append(await docker_run(image))
        subject.append(await trigger(cronium, event))
    ratio, low, high = ratio_of_medians(subject, floor)
    detail = {"floor_s": floor, "subject_s": subject, "interval": [low, high]}
    return [
        Figure(
            name="trigger to finished, against docker run --rm",
            value=f"{ratio:.2f}x ({low:.2f}-{high:.2f}); "
            f"{percentile(subject, 0.5) * 1e3:.0f} / {percentile(floor, 0.5) * 1e3:.0f} ms, n={rounds}",
            goal="<= 1.10x",
            ok=ratio <= 1.10,
            noisy=is_noisy(floor),
            detail=detail,
        )
    ]


async def bare_job(docker: aiodocker.Docker, image: str) -> None:
    container = await docker.containers.create(
        {
            "Image": image,
            "Entrypoint": ["bash", "-c", SCRIPT],
            "User": "1000:1000",
            "Labels": {LABEL: "1"},
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": host_config(),
        }
    )
    async with container.attach(stdout=True, stderr=True) as stream:
        await container.start()
        while await stream.read_out() is not None:
            pass
    await container.wait()
    await container.delete(force=True)


async def bare_loop(docker: aiodocker.Docker, image: str, jobs: int, concurrency: int) -> float:
    gate = asyncio.Semaphore(concurrency)

    async def one() -> None:
        async with gate:
            await bare_job(docker, image)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(jobs)))
    return jobs / (time.perf_counter() - begun)


async def cronium_loop(cronium: Product, event: str, jobs: int) -> float:
    """All runs are started at once; the server's own slots are the concurrency."""
    begun = time.perf_counter()

    async def one() -> None:
        run = await cronium.run(event, wait=120)
        if run["status"] != "succeeded":
            raise RuntimeError(run["reason_text"])

    await asyncio.gather(*(one() for _ in range(jobs)))
    return jobs / (time.perf_counter() - begun)


async def throughput(cronium: Product, jobs: int, rounds: int, concurrency: int) -> list[Figure]:
    event = await cronium.event(name="throughput", runtime="bash", script=SCRIPT)
    image = await image_of(cronium, event)
    connector = aiohttp.UnixConnector("/var/run/docker.sock", limit=0)
    docker = aiodocker.Docker("unix://localhost", connector=connector, api_version="v1.41")
    floor, subject = [], []
    try:
        await bare_loop(docker, image, 8, concurrency)
        for _ in range(rounds):
            floor.append(await bare_loop(docker, image, jobs, concurrency))
            subject.append(await cronium_loop(cronium, event, jobs))
    finally:
        await docker.close()
        await connector.close()
    ratio, low, high = ratio_of_medians(subject, floor)
    return [
        Figure(
            name=f"{jobs} jobs at concurrency {concurrency}, against a bare aiodocker loop",
            value=f"{ratio:.2f}x; {percentile(subject, 0.5):.1f} / {percentile(floor, 0.5):.1f} jobs/s",
            goal=">= 0.92x",
            ok=ratio >= 0.92,
            noisy=is_noisy(floor),
            detail={"floor": floor, "subject": subject, "interval": [low, high]},
        )
    ]
