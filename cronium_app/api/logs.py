"""Logs as bytes, as lines, as hits, and as a live socket.

The socket (`GET …/log/ws`) sends binary frames: 8 bytes offset, 8 bytes time in ms, 1 byte stream
(1 stdout, 2 stderr), all big-endian, then the bytes. Where it begins:

    from=N                    byte N (0 without any of these)
    from=N&align=1            the first beginning of a line at or after byte N
    line=N                    the beginning of line N, or of the last line
    tail=N                    a line's beginning about N bytes before the end
    all_below=M               with line or tail: a log of at most M bytes from 0, without `limit`
    limit=N                   at most N bytes of what is there now, then it closes
    skip=0                    everything, however fast the job is
    attempt=K                 the log of that attempt (0 or left out: the newest)

Text frames are JSON with one key:

    start    {offset, line, length}   first, after align, line or tail: where it begins; `line` is
                                      the number of the line there (1 + line feeds before it)
    skipped  {from, to, lines, line}  these bytes are not sent: the job is faster than 1 MB/s for
                                      longer than a viewer can be served. It goes on at `to`, in
                                      line `line`
    stop     {offset, length}         last, with limit: the next byte, and the log's length now
    end      {status, reason, exit_code, log_length, log_complete}   last: the log is whole
"""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncGenerator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self, TypeVar
from uuid import UUID

import structlog
from fastapi import APIRouter, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

from cronium_app.actions import logs, runs
from cronium_app.actions.errors import CroniumError, Invalid
from cronium_app.actions.log_views import LogLines, LogSearch
from cronium_app.api.dependencies import ActorDep, CallerDep, ServicesDep
from cronium_app.api.errors import RESPONSES, answer
from cronium_app.api.gate import still_valid
from cronium_app.domain.permissions import Actor
from cronium_app.logs.files import Frame, Place, Skipped
from cronium_app.services import Services

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/v1", tags=["logs"], responses=RESPONSES)

CHUNK = 256 * 1024
FRAME = struct.Struct(">QQB")
SIGNED_OUT = 4401
Answer = TypeVar("Answer")
_BYTES = {"schema": {"type": "string", "format": "binary"}}
Offset = Annotated[int, Query(ge=0, le=2**62)]
From = Annotated[int, Query(alias="from", ge=0, le=2**62, description="byte offset")]
AttemptNumber = Annotated[
    int | None, Query(alias="attempt", ge=0, le=2**31 - 1, description="0: the newest")
]


@router.get(
    "/runs/{run_id}/log",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/plain": _BYTES, "application/octet-stream": _BYTES},
            "headers": {"X-Log-Length": {"schema": {"type": "integer"}}},
            "description": "The bytes as the job wrote them, both streams in order of arrival.",
        }
    },
)
async def read_log(
    services: ServicesDep,
    actor: ActorDep,
    run_id: str,
    offset: Offset = 0,
    download: bool = False,
    attempt: AttemptNumber = None,
) -> Response:
    """The log from a byte offset to what there is now; `X-Log-Length` is its whole length."""
    found, headers = await _headers(services, actor, run_id, offset, download, attempt)
    return StreamingResponse(
        _bytes(services, found, offset, int(headers["Content-Length"])),
        media_type=_media_type(download),
        headers=headers,
    )


@router.head("/runs/{run_id}/log", include_in_schema=False)
async def log_headers(
    services: ServicesDep,
    actor: ActorDep,
    run_id: str,
    offset: Offset = 0,
    download: bool = False,
    attempt: AttemptNumber = None,
) -> Response:
    """How long it is, without reading it."""
    _, headers = await _headers(services, actor, run_id, offset, download, attempt)
    return Response(media_type=_media_type(download), headers=headers)


def _media_type(download: bool) -> str:
    return "application/octet-stream" if download else "text/plain; charset=utf-8"


async def _headers(
    services: Services, actor: Actor, run_id: str, offset: int, download: bool, attempt: int | None
) -> tuple[UUID | None, dict[str, str]]:
    found, length = await logs.open_log(services, actor, run_id, attempt)
    return found, {
        "X-Log-Length": str(length),
        "Content-Length": str(max(0, length - offset)),
        "Content-Disposition": f'attachment; filename="run-{run_id}.log"' if download else "inline",
    }


async def _bytes(
    services: Services, found: UUID | None, offset: int, left: int
) -> AsyncGenerator[bytes]:
    """In pieces, each read when the one before is on its way."""
    while found is not None and left > 0:
        data = await services.logs.read(found, offset, min(CHUNK, left))
        if not data:
            return
        yield data
        offset, left = offset + len(data), left - len(data)


@router.get("/runs/{run_id}/log/lines")
async def read_lines(
    services: ServicesDep,
    actor: ActorDep,
    run_id: str,
    line: Annotated[int, Query(ge=1, le=2**62)] = 1,
    count: Annotated[int, Query(ge=1, le=1000)] = 100,
    attempt: AttemptNumber = None,
) -> LogLines:
    """Lines by their number, as in the downloaded file; fast wherever they are."""
    return await logs.lines(services, actor, run_id, line, count, attempt)


@router.get("/runs/{run_id}/log/search")
async def search_log(  # noqa: PLR0913 - one for each parameter
    request: Request,
    services: ServicesDep,
    actor: ActorDep,
    run_id: str,
    q: Annotated[str, Query(max_length=1000, description="words, or an expression")] = "",
    regex: Annotated[bool, Query(description="RE2 syntax, within one line")] = False,
    case: Annotated[bool, Query(description="upper and lower case differ")] = False,
    attempt: AttemptNumber = None,
    start: From = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> LogSearch:
    """Lines with a match. At most 5 s and `limit` hits at a time: `next` says where to go on."""
    wanted = logs.SearchIn(words=q, regex=regex, case=case, start=start, limit=limit)
    return await _while_there(request, logs.search_log(services, actor, run_id, wanted, attempt))


async def _while_there(request: Request, work: Coroutine[Any, Any, Answer]) -> Answer:
    """Stop working for one who left: words that are being typed are searched for at each pause."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
        return await working
    finally:
        leaving.cancel()
        working.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


# --- the socket -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the address of a socket asks for."""

    offset: int
    align: bool
    line: int | None
    tail: int | None
    all_below: int
    limit: int | None
    paced: bool
    attempt: int | None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        def number(name: str) -> int | None:
            text = query.get(name)
            if text is None or text == "":
                return None
            if not (text.isascii() and text.isdigit() and len(text) < 19):
                raise Invalid(
                    "This is a whole number, not negative, of 18 digits at most.", field=name
                )
            return int(text)

        return cls(
            offset=number("from") or 0,
            align=number("align") == 1,
            line=number("line"),
            tail=number("tail"),
            all_below=number("all_below") or 0,
            limit=number("limit"),
            paced=number("skip") != 0,
            attempt=number("attempt") or None,
        )

    @property
    def seeks(self) -> bool:
        return self.align or self.line is not None or self.tail is not None


@router.websocket("/runs/{run_id}/log/ws")
async def follow_log(
    socket: WebSocket, services: ServicesDep, caller: CallerDep, actor: ActorDep, run_id: str
) -> None:
    """Everything from where it begins, then live. See the top of this module."""
    try:
        wish = Wish.of(socket.query_params)
        await logs.open_log(services, actor, run_id, wish.attempt)
    except CroniumError as error:
        await socket.send_denial_response(answer(error))
        return
    await socket.accept()
    sender = _Sender(socket, services, actor, run_id, wish)
    tasks = [
        asyncio.create_task(sender.run()),
        asyncio.create_task(_until_gone(socket)),
        asyncio.create_task(still_valid(services, caller)),
    ]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[2].done():
            with contextlib.suppress(RuntimeError):
                await socket.close(SIGNED_OUT)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Sender:
    """One viewer's frames. A send waits until the viewer takes it, so nothing piles up here."""

    def __init__(
        self, socket: WebSocket, services: Services, actor: Actor, run_id: str, wish: Wish
    ) -> None:
        self._socket = socket
        self._services = services
        self._actor = actor
        self._run_id = run_id
        self._wish = wish

    async def run(self) -> None:
        try:
            start = await self._begin()
            limit = self._wish.limit
            if limit is None or (self._wish.seeks and start.length <= self._wish.all_below):
                await self._follow(start.offset)
            else:
                await self._piece(start, limit)
            await self._socket.close()
        except (WebSocketDisconnect, RuntimeError):
            return  # the viewer left
        except CroniumError:
            await self._close(1008)
        except Exception:
            log.exception("log_socket_failed", run=self._run_id)
            await self._close(1011)

    async def _begin(self) -> Place:
        wish = self._wish
        if not wish.seeks:
            length = await logs.log_length(self._services, self._actor, self._run_id, wish.attempt)
            return Place(offset=wish.offset, line=0, length=length)
        place = await logs.place(
            self._services,
            self._actor,
            self._run_id,
            wish.attempt,
            line=wish.line,
            tail=wish.tail,
            all_below=wish.all_below,
            offset=wish.offset,
        )
        await self._say("start", offset=place.offset, line=place.line, length=place.length)
        return place

    async def _piece(self, start: Place, limit: int) -> None:
        at, end = start.offset, start.offset + limit
        async for frame in logs.piece(
            self._services, self._actor, self._run_id, self._wish.attempt, at, end
        ):
            await self._socket.send_bytes(encode(frame))
            at = frame.end
        length = await logs.log_length(
            self._services, self._actor, self._run_id, self._wish.attempt
        )
        await self._say("stop", offset=at, length=length)

    async def _follow(self, offset: int) -> None:
        async for item in logs.follow_log(
            self._services,
            self._actor,
            self._run_id,
            offset,
            self._wish.attempt,
            paced=self._wish.paced,
        ):
            if isinstance(item, Skipped):
                left_out = {"from": item.offset, "to": item.end}
                await self._say("skipped", **left_out, lines=item.lines, line=item.line)
            else:
                await self._socket.send_bytes(encode(item))
        view = await runs.get(self._services, self._actor, self._run_id)
        await self._say(
            "end",
            status=view.status,
            reason=view.reason,
            exit_code=view.exit_code,
            log_length=view.log_length,
            log_complete=view.log_complete,
        )

    async def _say(self, key: str, **values: Any) -> None:
        await self._socket.send_text(json.dumps({key: values}))

    async def _close(self, code: int) -> None:
        with contextlib.suppress(RuntimeError):
            await self._socket.close(code)


async def _until_gone(socket: WebSocket) -> None:
    """Whatever the viewer sends is dropped; ends when it leaves."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive()


def encode(frame: Frame) -> bytes:
    return FRAME.pack(frame.offset, frame.time_ms, frame.stream) + frame.data
