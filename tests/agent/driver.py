"""An engine in a process of its own, to be killed: `driver.py DATA_DIR SOCKET`.

The link is a stream of frames over a Unix socket: length (4 bytes), then the frame.
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from agent.link import LinkClosed


class StreamLink:
    """`agent.link.Link` over a pair of asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, frame: bytes) -> None:
        try:
            self._writer.write(len(frame).to_bytes(4, "big") + frame)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise LinkClosed from error

    async def receive(self) -> bytes:
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            return await self._reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise LinkClosed from error

    def close(self) -> None:
        self._writer.close()


async def main(data_dir: Path, socket: str) -> None:
    from harness import config

    from agent.engine import Engine

    engine = Engine(config(data_dir, slots=16))
    running = asyncio.create_task(engine.run())
    while not running.done():
        with contextlib.suppress(OSError):
            await engine.serve(StreamLink(*await asyncio.open_unix_connection(socket)))
        await asyncio.sleep(0.05)
    await running


if __name__ == "__main__":
    here = Path(__file__).parent
    sys.path[:0] = [str(here), str(here.parents[1])]
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
