"""Containers that print and exit at once lose no byte."""

import asyncio
import hashlib
from collections import Counter

import pytest
from harness import engine_and_server, make_job, nothing_held

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("images"),
    pytest.mark.timeout(400),
]

COUNT = 300
CONCURRENCY = 4


async def test_300_containers_that_exit_at_once_lose_no_byte(tmp_path):
    async with engine_and_server(tmp_path, slots=CONCURRENCY) as (engine, server):
        slots = asyncio.Semaphore(CONCURRENCY)

        async def one(number: int) -> str:
            # No newline at the end, both streams, and gone: what a late reader would miss.
            script = f"seq {number} {number + 99}; printf 'end-{number}'; printf 'err-{number}' >&2"
            async with slots:
                record = await server.run_job(make_job(f"{script}; exit 7"), 120)
            out = b"".join(b"%d\n" % line for line in range(number, number + 100))
            out += b"end-%d" % number
            end = record.outcome
            if end is None:
                return f"refused {record.refused}"
            whole = record.stdout == out and record.stderr == b"err-%d" % number
            if not whole or end.exit_code != 7:
                return f"{number}: {record.stdout[-40:]!r} {record.stderr!r} {end}"
            assert end.log_sha256 == hashlib.sha256(record.log).hexdigest()
            return "whole"

        results = Counter(await asyncio.gather(*(one(number) for number in range(COUNT))))
        assert results == {"whole": COUNT}
        await nothing_held(engine)
        assert await engine.containers.list_own() == []
