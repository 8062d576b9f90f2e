"""Build the job images now instead of at the server's start: `make images [FRESH=1]`."""

import argparse
import asyncio
import os
from importlib.metadata import version

import aiodocker

from agent.images import ImageProgress, ImageStore
from scripts.console import ROOT, say


async def build(*, fresh: bool) -> bool:
    """True when all are there in the end."""
    docker = aiodocker.Docker()
    store = ImageStore(
        docker,
        contexts=ROOT / "images",
        version=version("cronium"),
        base_image=os.environ.get("CRONIUM_BASE_IMAGE"),
        fresh=fresh,
    )
    shown: dict[str, int] = {}

    def show(state: ImageProgress) -> None:
        step = (state.percent or 0) // 20
        if state.state == "building" and shown.get(state.image) != step:
            shown[state.image] = step
            say(state.text)

    try:
        names = [state.image for state in store.states()]
        ended = await asyncio.gather(
            *(store.ensure(name, show) for name in names), return_exceptions=True
        )
    finally:
        await store.aclose()
        await docker.close()
    for name, result in zip(names, ended, strict=True):
        say(f"{name}: {result}")
    return not any(isinstance(result, BaseException) for result in ended)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="build anew, with fresh packages")
    raise SystemExit(0 if asyncio.run(build(fresh=parser.parse_args().fresh)) else 1)
