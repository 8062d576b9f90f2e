"""Every due instant has exactly one run or one visible skip, whatever happens to server and clock.

In the manner of Jepsen's test of Chronos: a world with faults is lived through, then a checker
that shares no code with the product matches what was due to what is in the database. A failure
prints its seed; `CRONIUM_SEED` replays it. `CRONIUM_WORLD=200x730` lives through 200 schedules in 30
zones over two years (the default is smaller and begins shortly before clock changes).
"""

import os
import random
import shutil
from datetime import UTC, datetime, timedelta

import pytest

from tests.scheduler.world import World

COUNT, DAYS = (int(n) for n in os.environ.get("CRONIUM_WORLD", "30x2").split("x"))
CHANGES = ((2026, 3, 28), (2027, 10, 30), (2025, 4, 5), (2024, 3, 9))  # the day before changes


WORLDS = 2 if DAYS < 30 and "CRONIUM_SEED" not in os.environ else 1


@pytest.mark.timeout(120 if DAYS < 30 else 12 * 3600)
@pytest.mark.parametrize("number", range(WORLDS))
async def test_each_due_instant_has_one_row(number, tmp_path, migrated_sqlite):
    seed = int(os.environ.get("CRONIUM_SEED") or random.SystemRandom().randrange(10**6))
    shutil.copy(migrated_sqlite, tmp_path / "cronium.db")
    year, month, day = CHANGES[seed % len(CHANGES)]
    start = datetime(year, month, day, 11, seed % 60, 7, tzinfo=UTC)
    world = World(
        f"sqlite:///{tmp_path / 'cronium.db'}", tmp_path, seed, days=DAYS, count=COUNT, start=start
    )
    await world.prepare()
    await world.live()
    faults = await world.faults()
    print(f"seed {seed}, {COUNT} schedules, {DAYS} days: {dict(world.happened)}")
    assert not faults, f"CRONIUM_SEED={seed}: {len(faults)} faults, first {faults[:5]}"
    assert world.happened["runs"] > 50
    assert world.happened["skips"] > 50
    assert world.latest >= start + timedelta(days=DAYS)
