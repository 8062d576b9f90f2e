import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Time is measured elsewhere: a busy machine is no failure of a property.
settings.register_profile("cronium", deadline=None)
settings.load_profile("cronium")

# `harness` is shared by the tests of this folder.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """The base images are there: building them is no part of what other tests measure."""
    from harness import engine_and_server

    async def make() -> None:
        async with engine_and_server(tmp_path_factory.mktemp("images")) as (engine, _):
            await engine.images.warm()

    asyncio.run(make())


@pytest.fixture(autouse=True)
def no_containers_left(tmp_path):
    """An engine that detaches leaves its containers to the next one: here there is none."""
    yield
    for owner in tmp_path.rglob("agent-id"):
        label = f"label=cronium.owner={owner.read_text().strip()}"
        listing = ["docker", "ps", "-aq", "--filter", label]
        left = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
        if left:
            subprocess.run(["docker", "rm", "-f", *left], check=False, capture_output=True)
