"""The log API of the product, faked in memory: same paths, same frames, and knobs to break it.

`/fake/{run}/append|end|cut|overlap` drive it from a test.
"""

import asyncio
import contextlib
import struct
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket

BIG = 100_000
HUGE = 600_000
START_MS = 1_795_400_000_000


@dataclass
class FakeLog:
    frames: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    length: int = 0
    ended: bool = False
    # How many bytes of what was already sent each new connection gets once more.
    overlap: int = 0
    # What the next frame says was left out; while `quiet` nobody is told of new bytes.
    skipped: dict[str, int] | None = None
    quiet: bool = False
    joined: bytes | None = None
    connects: list[int] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    sockets: set[WebSocket] = field(default_factory=set)

    def append(self, stream: int, data: bytes, *, at_ms: int | None = None) -> None:
        ms = START_MS + len(self.frames) * 137 if at_ms is None else at_ms
        self.frames.append((self.length, ms, stream, data))
        self.length += len(data)
        self.wake()

    def whole(self) -> bytes:
        if self.joined is None or len(self.joined) != self.length:
            self.joined = b"".join(part for *_, part in self.frames)
        return self.joined

    def place(self, query: dict[str, str]) -> tuple[int, dict[str, int] | None]:
        """Where the socket begins, the plainest way."""
        asked = {name: int(value) for name, value in query.items()}
        if not {"line", "tail", "align"} & set(asked):
            return asked.get("from", 0), None
        data, at = self.whole(), 0
        if "align" in asked:
            at = asked["from"]
        elif self.length > asked.get("all_below", 0):
            at = max(0, self.length - asked["tail"]) if "tail" in asked else 0
            for _ in range(min(asked.get("line", 1), data.count(b"\n")) - 1):
                at = data.index(b"\n", at) + 1
        while 0 < at < self.length and data[at - 1] != 10:
            at += 1
        return at, {"offset": at, "line": 1 + data.count(b"\n", 0, at), "length": self.length}

    def piece(self, offset: int, limit: int) -> bytes:
        data = self.whole()[offset : offset + limit]
        return struct.pack(">QQB", offset, START_MS, 1) + data

    def wake(self) -> None:
        if self.quiet:
            return
        was, self.changed = self.changed, asyncio.Event()
        was.set()

    def since(self, offset: int) -> list[tuple[int, int, int, bytes]]:
        made = []
        for at, ms, stream, data in self.frames:
            if at + len(data) > offset:
                cut = max(0, offset - at)
                made.append((at + cut, ms, stream, data[cut:]))
        return made


SMALL = [
    (
        1,
        b"\x1b[32m\xc2\xbb\x1b[0m dumping \x1b[1mpostgres\x1b[0m (14 databases)\npg_dump: last built-in OID is 16383\n",
    ),
    (
        1,
        b"  analytics        1.1 GiB   \x1b[32mok\x1b[0m\n  billing          412 MiB   \x1b[32mok\x1b[0m\n",
    ),
    (
        2,
        b"\x1b[33mwarning:\x1b[0m table \x1b[1msessions\x1b[0m has no primary key, dumping without order\n",
    ),
    (
        1,
        b"  crm              2.7 GiB   \x1b[32mok\x1b[0m\n\x1b[32m\xc2\xbb\x1b[0m uploading with restic to s3:backup/prod\nopen repository\n",
    ),
    (
        1,
        "repository 7c3e12aa opened (version 2, compression level auto)\nÜmläut 漢字 🚀\n".encode(),
    ),
    (2, b"\x1b[31munable to refresh lock: context deadline exceeded\x1b[0m\n"),
    (2, b'Traceback (most recent call last):\n  File "/job/script.py", line 12, in <module>\n'),
    (1, b"lock refreshed after 1 retry\n  4.2 GiB  10 %\r  4.2 GiB  61 %  "),
]
HOSTILE = (
    b"<script>window.pwned=1</script>\n<img src=x onerror=window.pwned=1>\n"
    b"\x1b]8;;javascript:window.pwned=1\x1b\\click me\x1b]8;;\x1b\\\n"
    b"\x1b]8;;https://example.org/ok\x1b\\good link\x1b]8;;\x1b\\\n"
    b"\x1b[2J\x1b[1;1Hcleared?\n\x1b]0;title\x07titled\n\x1b]52;c;ZXZpbA==\x07clipped\n\x9b31mc1\n"
    b"bidi \xe2\x80\xae evil\nnul \x00 bell \x07\n\xff\xfe\xfd\n"
)


def build_fake_api() -> FastAPI:
    api = FastAPI()
    logs: dict[str, FakeLog] = {}

    def get(run: str) -> FakeLog:
        if run not in logs:
            logs[run] = log = FakeLog()
            _fill(run.split("~")[0], log)
        return logs[run]

    @api.get("/api/v1/runs/{run}/log/search")
    async def search(run: str, q: str, start: Annotated[int, Query(alias="from")] = 0) -> Any:
        """Three hits at a time."""
        data, items = get(run).whole(), []
        while len(items) < 3 and (at := data.find(q.encode(), start)) >= 0:
            feed = data.index(b"\n", at)
            line = 1 + data.count(b"\n", 0, at)
            items.append(
                {
                    "line": line,
                    "offset": at,
                    "length": len(q),
                    "snippet": data[at : at + 30].decode(),
                }
            )
            start = feed + 1
        more = data.find(q.encode(), start) >= 0
        return {
            "items": items,
            "next": start if more else None,
            "stopped": "limit" if more else None,
            "length": len(data),
        }

    @api.get("/api/v1/runs/{run}/log")
    async def raw(run: str, offset: int = 0) -> Response:
        log = get(run)
        data = b"".join(part for *_, part in log.since(offset))
        return Response(
            data, media_type="application/octet-stream", headers={"X-Log-Length": str(log.length)}
        )

    @api.websocket("/api/v1/runs/{run}/log/ws")
    async def follow(ws: WebSocket, run: str) -> None:
        log = get(run)
        await ws.accept()
        if run.startswith("refused"):
            await ws.close(4404)
            return
        position, start = log.place(dict(ws.query_params))
        log.connects.append(position)
        position = max(0, position - log.overlap)
        log.sockets.add(ws)
        try:
            if start is not None:
                await ws.send_json({"start": start})
            whole = start and log.length <= int(ws.query_params.get("all_below", 0))
            if (limit := int(ws.query_params.get("limit", 0))) and not whole:
                await ws.send_bytes(log.piece(position, limit))
                stop = min(log.length, position + limit)
                await ws.send_json({"stop": {"offset": stop, "length": log.length}})
                await ws.close()
                return
            while True:
                if log.skipped is not None:
                    skipped, log.skipped = log.skipped, None
                    await ws.send_json({"skipped": skipped})
                    position = skipped["to"]
                wait = log.changed
                for at, ms, stream, data in log.since(position):
                    await ws.send_bytes(struct.pack(">QQB", at, ms, stream) + data)
                    position = at + len(data)
                if log.ended:
                    await ws.send_json({"end": {"status": "succeeded", "length": log.length}})
                    await ws.close()
                    return
                await wait.wait()
        except Exception:  # noqa: BLE001  whatever a cut looks like from this side
            return
        finally:
            log.sockets.discard(ws)

    @api.post("/fake/{run}/append")
    async def append(run: str, request: Request, stream: int = 1) -> None:
        get(run).append(stream, await request.body())

    @api.post("/fake/{run}/end")
    async def end(run: str) -> None:
        log = get(run)
        log.ended = True
        log.wake()

    @api.post("/fake/{run}/cut")
    async def cut(run: str) -> None:
        """Breaks every connection of this log."""
        sockets = get(run).sockets
        while sockets:
            with contextlib.suppress(Exception):
                await sockets.pop().close(1011)

    @api.post("/fake/{run}/outrun")
    async def outrun(run: str, request: Request) -> None:
        """So much is printed at once that nobody is sent all of it: only the last line."""
        log, data = get(run), await request.body()
        start, log.quiet = log.length, True
        log.append(1, data)
        last = data.rindex(b"\n", 0, -1) + 1
        line = 1 + log.whole().count(b"\n", 0, start + last)
        lines = data.count(b"\n") - 1
        log.skipped = {"from": start, "to": start + last, "lines": lines, "line": line}
        log.quiet = False
        log.wake()

    @api.post("/fake/{run}/overlap")
    async def overlap(run: str, count: int) -> None:
        get(run).overlap = count

    @api.get("/fake/{run}/connects")
    async def connects(run: str) -> list[int]:
        return get(run).connects

    return api


def _fill(kind: str, log: FakeLog) -> None:
    if kind == "small":
        for stream, data in SMALL:
            log.append(stream, data)
    elif kind == "hostile":
        log.append(1, HOSTILE)
        log.ended = True
    elif kind == "big":
        for start in range(0, BIG, 1000):
            lines = [
                f"\x1b[32m2026-11-23\x1b[0m worker {i + 1} did something \x1b[1museful\x1b[0m"
                for i in range(start, start + 1000)
            ]
            log.append(1, ("\n".join(lines) + "\n").encode())
        log.ended = True
    elif kind == "huge":
        # 60 MB: far more than the browser loads.
        for start in range(0, HUGE, 10_000):
            numbers = range(start + 1, start + 10_001)
            log.append(1, b"".join(b"%09d %s\n" % (i, b"x" * 90) for i in numbers))
        log.ended = True
    elif kind == "test":
        log.append(
            1,
            b"page 1 of 2, 100 invoices\npage 2 of 2, 37 invoices\n\x1b[32m\xe2\x9c\x93 137 invoices written\x1b[0m\n",
        )
        log.ended = True
