import asyncio
import statistics
import time

import pytest
from argon2 import PasswordHasher

from cronium_app.security.passwords import WAITING, Busy, Passwords


@pytest.fixture
def passwords():
    made = Passwords()
    yield made
    made.close()


async def test_right_and_wrong(passwords):
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    for wrong in ("correct hors", "", "x" * 2000, "\ud800"):
        assert not await passwords.verify(stored, wrong)
    assert not await passwords.verify(None, "correct horse")
    assert not await passwords.verify(None, "nobody has this password")
    assert not await passwords.verify("no hash", "x")


async def test_hashes_with_older_parameters_are_noticed(passwords):
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("x")
    assert passwords.is_outdated(weak)
    assert await passwords.verify(weak, "x")
    assert not passwords.is_outdated(await passwords.hash("x"))


async def test_an_unknown_user_costs_as_much_as_a_known_one(passwords):
    stored = await passwords.hash("x")

    async def took(hashed) -> float:
        began = time.process_time()
        await passwords.verify(hashed, "wrong")
        return time.process_time() - began

    known = statistics.median([await took(stored) for _ in range(15)])
    unknown = statistics.median([await took(None) for _ in range(15)])
    assert unknown == pytest.approx(known, rel=0.4)


async def test_a_flood_is_turned_away_and_the_loop_goes_on(passwords):
    tries = [asyncio.create_task(passwords.verify(None, "x")) for _ in range(500)]
    await asyncio.sleep(0)
    began = time.monotonic()
    await asyncio.sleep(0)
    assert time.monotonic() - began < 0.1
    found = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(result, Busy) for result in found) == 500 - WAITING
