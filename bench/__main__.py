"""`make bench`: every figure against its floor in the same run. Prints a table, writes JSON.

python -m bench [PART ...] [--rounds N]      parts: latency throughput logs idle start listing
"""

import argparse
import asyncio
import json
import os
import time
from pathlib import Path

from bench.idle import idle, start_to_ready
from bench.jobs import latency, throughput
from bench.listing import listing
from bench.logs import line_latency, million_lines, replay
from bench.product import engine_ready, product
from bench.stats import Figure, table

PARTS = ["latency", "throughput", "logs", "idle", "start", "listing"]


async def measure(parts: list[str], rounds: int) -> list[Figure]:
    figures: list[Figure] = []
    if {"latency", "logs", "idle"} & set(parts):
        async with product() as cronium:
            await engine_ready(cronium, "cronium/bash")
            await engine_ready(cronium, "cronium/python")
            if "latency" in parts:
                figures += await latency(cronium, rounds)
            if "logs" in parts:
                figures += await line_latency(cronium)
                figures += await million_lines(cronium)
                figures += await replay(cronium)
            if "idle" in parts:
                figures += await idle(cronium)
    if "throughput" in parts:
        async with product(CRONIUM_SLOTS="4") as cronium:
            await engine_ready(cronium)
            figures += await throughput(cronium, jobs=100, rounds=3, concurrency=4)
    if "start" in parts:
        figures += await start_to_ready()
    if "listing" in parts:
        async with product() as cronium:
            figures += await listing(cronium)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS)
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    before = os.getloadavg()
    figures = asyncio.run(measure(arguments.parts or PARTS, arguments.rounds))
    print(table(figures))
    print(
        f"\nload average before {before[0]:.2f}, after {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores"
    )
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    target = results / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    target.write_text(json.dumps([figure.as_dict() for figure in figures], indent=1))
    print(f"written to {target}")


if __name__ == "__main__":
    main()
