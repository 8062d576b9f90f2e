"""The runs page and its API with 100,000 runs in the database and 10 more written a second."""

import asyncio
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from sqlalchemy import insert
from sqlmodel import select

from bench.product import EMAIL, PASSWORD, Product
from bench.stats import Figure, percentile
from cronium_app.domain.ids import new_id
from cronium_app.store.database import Database, sqlite_url
from cronium_app.store.tables import Attempt, Event, Run

NEEDLE = "needle-in-the-oldest"
STATUSES = ["succeeded"] * 90 + ["failed"] * 8 + ["cancelled"] * 2


def row(event: Event, moment: datetime, number: int, oldest: bool = False) -> dict[str, Any]:
    rng = random.Random(number)
    status = rng.choice(STATUSES)
    text = f"{event.name} {'exit 1' if status == 'failed' else ''} {NEEDLE if oldest else ''}"
    values: dict[str, Any] = {
        "id": _uuid7_at(moment, number),
        "event_id": event.id,
        "owner_id": event.owner_id,
        "revision": 1,
        "status": status,
        "reason": "exited" if status != "cancelled" else "cancelled_by_user",
        "reason_text": "Ended with exit code 1." if status == "failed" else "",
        "exit_code": {"succeeded": 0, "failed": 1}.get(status),
        "trigger": rng.choice(["schedule", "schedule", "schedule", "manual", "api"]),
        "triggered_by_name": "",
        "hidden": False,
        "priority": 0,
        "created_at": moment,
        "available_at": moment,
        "waiting_text": "",
        "started_at": moment,
        "finished_at": moment + timedelta(seconds=2),
        "duration_ms": 2000,
        "stop_requested_by": "",
        "attempt": 1,
        "fence": 1,
        "event_name": event.name,
        "search_text": text.lower(),
        "inputs": "{}",
        "outputs": "{}",
        "conditions": "{}",
    }
    return Run(**values).model_dump()  # with the defaults of every other column


def _uuid7_at(moment: datetime, number: int) -> UUID:
    """A UUIDv7 of that moment (RFC 9562): 48 bits of ms, version, and a number that keeps order."""
    stamp = int(moment.timestamp() * 1000)
    return UUID(int=(stamp << 80) | (7 << 76) | (2 << 62) | (number & 0xFFFFFFFFFF))


async def seed(cronium: Product, count: int) -> tuple[Database, list[Event]]:
    for i in range(20):
        await cronium.event(name=f"event-{i:02d}", runtime="bash", script="true")
    database = Database(sqlite_url(cronium.data / "cronium.db"))
    async with database.read() as session:
        events = list((await session.exec(select(Event).where(Event.name.like("event-%")))).all())  # type: ignore[attr-defined]
    start = datetime.now(UTC) - timedelta(days=30)
    step = timedelta(days=29) / count
    for base in range(0, count, 2000):
        rows = [
            row(events[i % len(events)], start + step * i, i, oldest=i == 0)
            for i in range(base, min(base + 2000, count))
        ]
        attempts = [
            Attempt(
                id=new_id(),
                run_id=r["id"],
                number=1,
                status=r["status"],
                phase="cleanup",
                created_at=r["created_at"],
                log_complete=True,
            ).model_dump()
            for r in rows
        ]
        async with database.write() as session:
            await session.execute(insert(Run), rows)
            await session.execute(insert(Attempt), attempts)
    return database, events


async def writer(database: Database, events: list[Event], stop: asyncio.Event) -> None:
    number = 10_000_000
    while not stop.is_set():
        number += 1
        async with database.write() as session:
            now = datetime.now(UTC)
            await session.execute(insert(Run), [row(events[number % 20], now, number)])
        await asyncio.sleep(0.1)


def cases(events: list[Event]) -> dict[str, dict[str, str]]:
    since = (datetime.now(UTC) - timedelta(days=15)).isoformat().replace("+00:00", "Z")
    until = (datetime.now(UTC) - timedelta(days=14)).isoformat().replace("+00:00", "Z")
    return {
        "no filter": {},
        "status": {"status": "failed"},
        "event": {"event_id": str(events[3].id)},
        "time": {"since": since, "until": until},
        "text only in the oldest": {"text": NEEDLE},
        "last page": {"last": "true"},
    }


async def api(cronium: Product, events: list[Event], rounds: int) -> list[Figure]:
    figures = []
    for name, query in cases(events).items():
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            path = "/api/v1/runs?" + urlencode({**query, "limit": 50})
            answer = await cronium.call("GET", path, expect=200)
            times.append((time.perf_counter() - begun) * 1e3)
            if not answer["items"]:
                raise RuntimeError(f"{name}: no rows")
        p95 = percentile(times, 0.95)
        figures.append(
            Figure(
                f"100,000 runs, API: {name}",
                f"p95 {p95:.0f} ms, p50 {percentile(times, 0.5):.0f} ms",
                "<= 150 ms",
                p95 <= 150,
                detail={"ms": times},
            )
        )
    return figures


async def browser(cronium: Product, events: list[Event], rounds: int) -> list[Figure]:
    from playwright.async_api import async_playwright

    figures = []
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        context = await chromium.new_context(viewport={"width": 1440, "height": 900})
        await context.request.post(
            cronium.url + "/auth/login",
            data={"email": EMAIL, "password": PASSWORD},
            headers={"Origin": cronium.url},
        )
        page = await context.new_page()
        await page.goto(cronium.url + "/")
        await page.wait_for_load_state("networkidle")
        for name, query in cases(events).items():
            times = []
            for _ in range(rounds):
                await page.goto(cronium.url + "/events")
                await page.wait_for_selector(".row-link")
                begun = time.perf_counter()
                await page.goto(cronium.url + "/runs?" + urlencode(query))
                await page.wait_for_selector(".row-link")
                times.append((time.perf_counter() - begun) * 1e3)
            p50 = percentile(times, 0.5)
            figures.append(
                Figure(
                    f"100,000 runs, navigation to rows visible: {name}",
                    f"p50 {p50:.0f} ms, max {max(times):.0f} ms (full page load)",
                    "<= 300 ms",
                    p50 <= 300,
                    detail={"ms": times},
                )
            )
        await chromium.close()
    return figures


async def listing(cronium: Product, count: int = 100_000, rounds: int = 40) -> list[Figure]:
    database, events = await seed(cronium, count)
    stop = asyncio.Event()
    writing = asyncio.create_task(writer(database, events, stop))
    try:
        return [*await api(cronium, events, rounds), *await browser(cronium, events, 5)]
    finally:
        stop.set()
        await writing
        await database.close()
