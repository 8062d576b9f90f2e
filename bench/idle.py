"""What an idle server costs, and how soon it answers."""

import asyncio

import psutil

from bench.product import Product, product
from bench.stats import Figure, percentile


def pss_mb(pid: int) -> float:
    """Proportional set size of the process and all its children, MB."""
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(p.memory_full_info().pss for p in tree) / 1e6


async def idle(cronium: Product, seconds: float = 20) -> list[Figure]:
    await asyncio.sleep(5)
    process = psutil.Process(cronium.process.pid)
    before = sum(process.cpu_times()[:2])
    await asyncio.sleep(seconds)
    cpu = (sum(process.cpu_times()[:2]) - before) / seconds * 100
    memory = pss_mb(cronium.process.pid)
    return [
        Figure("idle memory (PSS)", f"{memory:.0f} MB", "<= 150 MB", memory <= 150),
        Figure("idle CPU", f"{cpu:.2f} % of a core", "<= 1 %", cpu <= 1),
    ]


async def start_to_ready(rounds: int = 5) -> list[Figure]:
    times = []
    for _ in range(rounds):
        async with product() as cronium:
            times.append(cronium.ready_s)
    p50 = percentile(times, 0.5)
    return [
        Figure(
            "start to ready (new data folder)",
            f"p50 {p50:.2f} s, max {max(times):.2f} s, n={rounds}",
            "<= 3 s",
            p50 <= 3,
            detail={"seconds": times},
        )
    ]
