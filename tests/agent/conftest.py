import asyncio
import sys
from pathlib import Path

import pytest

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
