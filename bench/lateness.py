"""How late a run is after its due instant: its row, and the start of its container. And how long a
thousand schedules that are due in the same second take until all their rows are there."""

import asyncio
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.product import Product
from bench.stats import Figure, percentile

SECONDS = 25
PER_SECOND = 1  # schedules
MANY, EVENTS = 1_000, 20  # at most 50 schedules an event
ROW_P50_MS, ROW_P99_MS, MANY_S = 20.0, 100.0, 1.0


async def lateness(cronium: Product) -> list[Figure]:
    """A schedule of every second, PER_SECOND of them, for SECONDS; then MANY at once."""
    event = await cronium.event(name="late", runtime="bash", script="true")
    plan = {"kind": "interval", "every_s": 1}
    path = f"/api/v1/events/{event}/schedules"
    made = [await cronium.call("POST", path, plan, 201) for _ in range(PER_SECOND)]
    await asyncio.sleep(SECONDS)
    for schedule in made:
        await cronium.call("PATCH", f"/api/v1/schedules/{schedule['id']}", {"enabled": False}, 200)
    await _quiet(cronium)
    rows, starts = _lateness(cronium.data, event)
    p50, p99 = percentile(rows, 0.5), percentile(rows, 0.99)
    return [
        Figure(
            "run row created - due",
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(rows)} fires)",
            f"p50 ≤ {ROW_P50_MS:.0f} ms, p99 ≤ {ROW_P99_MS:.0f} ms",
            p50 <= ROW_P50_MS and p99 <= ROW_P99_MS,
            detail={"rows_ms": rows},
        ),
        Figure(
            "script delivered into its container - due",
            f"p50 {percentile(starts, 0.5):.0f} ms, p99 {percentile(starts, 0.99):.0f} ms",
            detail={"starts_ms": starts},
        ),
        await _thousand(cronium),
    ]


async def _thousand(cronium: Product) -> Figure:
    """Switched off first, then all switched on for the same instant through the database."""
    soon = datetime.now(UTC) + timedelta(days=1)
    once = {"kind": "once", "at": soon.isoformat(timespec="seconds"), "jitter_s": 86_400}
    names = [
        await cronium.event(name=f"many {n}", runtime="bash", script="") for n in range(EVENTS)
    ]
    for event in names:
        for _ in range(MANY // EVENTS):
            await cronium.call("POST", f"/api/v1/events/{event}/schedules", once, 201)
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    stamp = due.strftime("%Y-%m-%d %H:%M:%S.%f")
    with sqlite3.connect(cronium.data / "cronium.db", timeout=30) as database:
        database.execute(
            "UPDATE schedules SET at=?, next_fire_at=?, anchor_at=? WHERE kind='once'",
            (stamp, stamp, stamp),
        )
    # any saved schedule makes it look again and set its alarm
    await cronium.call("POST", f"/api/v1/events/{names[0]}/runs", {}, 201)
    lags: list[float] = []
    while (datetime.now(UTC) - due).total_seconds() < 4:
        begun = time.perf_counter()
        await cronium.call("GET", "/healthz")
        lags.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(0.02)
    with sqlite3.connect(cronium.data / "cronium.db", timeout=30) as database:
        number, last = database.execute(
            "SELECT count(*), max(created_at) FROM runs WHERE fire_time=?", (stamp,)
        ).fetchone()
    took = (datetime.fromisoformat(last).replace(tzinfo=UTC) - due).total_seconds()
    return Figure(
        f"{MANY:,} due in one second: last row - due",
        f"{took:.2f} s, {number:,} rows; meanwhile /healthz p99 {percentile(lags, 0.99):.0f} ms",
        f"≤ {MANY_S:.0f} s, none lost or doubled",
        took <= MANY_S and number == MANY,
        detail={"healthz_ms": lags},
    )


async def _quiet(cronium: Product, limit_s: float = 120) -> None:
    """Until nothing is queued or runs."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        busy = [
            (await cronium.call("GET", f"/api/v1/runs?status={status}&limit=1"))["items"]
            for status in ("queued", "running")
        ]
        if not any(busy):
            return
        await asyncio.sleep(0.25)


def _lateness(data: Path, event: str) -> tuple[list[float], list[float]]:
    """Milliseconds after the due instant: of the row, and of the script's start in its container,
    which comes after the container's own."""
    with sqlite3.connect(data / "cronium.db", timeout=30) as database:
        found = database.execute(
            "SELECT r.fire_time, r.created_at, a.execution_at FROM runs r "
            "JOIN attempts a ON a.run_id = r.id WHERE r.event_id = ? AND r.fire_time IS NOT NULL",
            (event.replace("-", ""),),
        ).fetchall()
    rows = [_ms(created) - _ms(due) for due, created, _ in found]
    return rows, [_ms(start) - _ms(due) for due, _, start in found if start]


def _ms(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000
