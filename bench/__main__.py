"""`make bench`: every figure against its floor in the same run. Prints a table, writes JSON.

python -m bench [PART ...] [--rounds N]

`setup-fresh` removes the job images of this version and lets them be built; it only runs when named.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.biglog import biglog
from bench.idle import idle, start_to_ready
from bench.jobs import latency, throughput
from bench.lateness import lateness
from bench.listing import listing
from bench.logs import line_latency, million_lines, replay
from bench.loop import loop_lag
from bench.product import engine_ready, product
from bench.queue import claims
from bench.setup import clean_clone
from bench.stats import Figure, table

Part = Callable[[int], Awaitable[list[Figure]]]
BUSY = 0.75  # load average per core before a part begins


async def _latency(rounds: int) -> list[Figure]:
    async with product() as cronium:
        await engine_ready(cronium)
        return await latency(cronium, rounds)


async def _throughput(_: int) -> list[Figure]:
    async with product(CRONIUM_SLOTS="4") as cronium:
        await engine_ready(cronium)
        return await throughput(cronium, jobs=100, rounds=3, concurrency=4)


async def _logs(_: int) -> list[Figure]:
    async with product() as cronium:
        await engine_ready(cronium, "cronium/python")
        await engine_ready(cronium, "cronium/bash")
        return [
            *await line_latency(cronium),
            *await million_lines(cronium),
            *await replay(cronium),
        ]


async def _loop(_: int) -> list[Figure]:
    async with product(CRONIUM_SLOTS="4") as cronium:
        await engine_ready(cronium)
        return await loop_lag(cronium)


async def _idle(_: int) -> list[Figure]:
    async with product() as cronium:
        await engine_ready(cronium)
        return await idle(cronium)


async def _start(_: int) -> list[Figure]:
    return await start_to_ready()


async def _listing(_: int) -> list[Figure]:
    async with product() as cronium:
        return await listing(cronium)


async def _lateness(_: int) -> list[Figure]:
    async with product() as cronium:
        await engine_ready(cronium)
        return await lateness(cronium)


async def _setup(_: int) -> list[Figure]:
    return await clean_clone()


async def _setup_fresh(_: int) -> list[Figure]:
    return await clean_clone(fresh_images=True)


async def _queue(_: int) -> list[Figure]:
    return await claims()


async def _biglog(_: int) -> list[Figure]:
    return await biglog()


PARTS: dict[str, Part] = {
    "latency": _latency,
    "throughput": _throughput,
    "logs": _logs,
    "loop": _loop,
    "idle": _idle,
    "start": _start,
    "listing": _listing,
    "lateness": _lateness,
    "queue": _queue,
    "biglog": _biglog,
    "setup": _setup,
    "setup-fresh": _setup_fresh,
}
ONLY_WHEN_NAMED = {"setup-fresh"}


async def measure(names: list[str], rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    for name in names:
        found = await PARTS[name](rounds)
        for figure in found:
            print(f"{figure.name}: {figure.value}", flush=True)
        figures += found
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    names = arguments.parts or [name for name in PARTS if name not in ONLY_WHEN_NAMED]
    before = os.getloadavg()[0]
    if noisy := before / (os.cpu_count() or 1) > BUSY:
        print(f"This machine is busy (load average {before:.1f}): every figure is noisy.\n")
    figures = asyncio.run(measure(names, arguments.rounds))
    for figure in figures:
        figure.noisy = figure.noisy or noisy
    print("\n" + table(figures))
    print(
        f"\nload average before {before:.2f}, after {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores"
    )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    target = results / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    target.write_text(json.dumps([figure.as_dict() for figure in figures], indent=1))
    print(f"written to {target}")


if __name__ == "__main__":
    main()
