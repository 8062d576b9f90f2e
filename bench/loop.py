"""How late the server's event loop is while it works: its own gauge, read after the load."""

import asyncio

from bench.product import Product
from bench.stats import Figure

CHATTY = "for i in $(seq 1 400); do echo line $i of many; sleep 0.02; done"


async def loop_lag(cronium: Product, jobs: int = 40) -> list[Figure]:
    """Chatty jobs at full slots, beside readers of the API."""
    event = await cronium.event(name="chatty", runtime="bash", script=CHATTY)
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            await cronium.call("GET", "/api/v1/runs?limit=50", expect=200)
            await asyncio.sleep(0.05)

    readers = [asyncio.create_task(read()) for _ in range(4)]
    await asyncio.gather(*(cronium.run(event, wait=300) for _ in range(jobs)))
    p99 = await _gauge(cronium, "cronium_loop_lag_p99_seconds") * 1e3
    worst = await _gauge(cronium, "cronium_loop_lag_worst_seconds") * 1e3
    done.set()
    await asyncio.gather(*readers)
    return [
        Figure(
            "event loop lag under load",
            f"p99 {p99:.0f} ms, worst {worst:.0f} ms",
            "p99 <= 20 ms",
            p99 <= 20,
        )
    ]


async def _gauge(cronium: Product, name: str) -> float:
    async with cronium.http.get(cronium.url + "/metrics") as answer:
        text = await answer.text()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))
