"""How soon a printed line is at the browser's socket, and whether a million of them arrive."""

import asyncio
import hashlib
import json
import struct
import time

import aiohttp

from bench.product import Product
from bench.stats import Figure, percentile

TICKER = """
import time
for i in range({count}):
    print(f"{{i}} {{time.time_ns()}}")
    time.sleep({pause})
"""

MILLION = "seq 1 1000000"


async def line_latency(cronium: Product, count: int = 300, pause: float = 0.02) -> list[Figure]:
    event = await cronium.event(
        name="ticker", runtime="python", script=TICKER.format(count=count, pause=pause)
    )
    started = await cronium.call("POST", f"/api/v1/events/{event}/runs", {}, 201)
    lags: list[float] = []
    pending = b""
    url = f"{cronium.url}/api/v1/runs/{started['id']}/log/ws?from=0"
    async with cronium.http.ws_connect(url, max_msg_size=0) as socket:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                break
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            now = time.time_ns()
            pending += message.data[17:]
            *lines, pending = pending.split(b"\n")
            lags.extend((now - int(line.split()[1])) / 1e6 for line in lines)
    p50, p99 = percentile(lags, 0.5), percentile(lags, 0.99)
    return [
        Figure(
            name="log line, container to browser socket",
            value=f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, n={len(lags)}",
            goal="p50 <= 50 ms, p99 <= 150 ms",
            ok=p50 <= 50 and p99 <= 150 and len(lags) == count,
            detail={"lags_ms": lags},
        )
    ]


async def million_lines(cronium: Product) -> list[Figure]:
    event = await cronium.event(name="million", runtime="bash", script=MILLION)
    begun = time.perf_counter()
    run = await cronium.run(event, wait=120)
    ended = time.perf_counter() - begun
    while True:
        current = await cronium.call("GET", f"/api/v1/runs/{run['id']}")
        if current["log_complete"]:
            break
        await asyncio.sleep(0.05)
    complete = time.perf_counter() - begun
    async with cronium.http.get(f"{cronium.url}/api/v1/runs/{run['id']}/log") as answer:
        data = await answer.read()
    expected = "".join(f"{i}\n" for i in range(1, 1_000_001)).encode()
    whole = hashlib.sha256(data).digest() == hashlib.sha256(expected).digest()
    return [
        Figure(
            name="1,000,000 lines",
            value=f"{'whole' if whole else 'NOT whole'}; finished {ended:.2f} s, "
            f"log complete {complete:.2f} s",
            goal="whole",
            ok=whole,
        )
    ]


async def replay(cronium: Product) -> list[Figure]:
    """100,000 lines of a finished run over the socket, first byte to end."""
    event = await cronium.event(
        name="hundred-thousand", runtime="bash", script="seq -f 'line %07g of many' 1 100000"
    )
    run = await cronium.run(event)
    begun = time.perf_counter()
    size, expected = 0, 0
    url = f"{cronium.url}/api/v1/runs/{run['id']}/log/ws?from=0"
    async with cronium.http.ws_connect(url, max_msg_size=0) as socket:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                json.loads(message.data)
                break
            (offset,) = struct.unpack(">Q", message.data[:8])
            if offset != expected:
                raise RuntimeError(f"gap at {expected}, got {offset}")
            expected += len(message.data) - 17
            size = expected
    took = (time.perf_counter() - begun) * 1e3
    return [
        Figure(name="100,000 lines replayed over the socket", value=f"{took:.0f} ms, {size} bytes")
    ]
