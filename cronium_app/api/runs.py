"""REST of runs, and their logs as bytes and as a live socket."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Query, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse

from cronium_app.actions import runs
from cronium_app.actions.errors import CroniumError
from cronium_app.actions.views import Page, RunRow, RunView
from cronium_app.api.dependencies import ActorDep, CallerDep, ServicesDep
from cronium_app.api.errors import RESPONSES, answer
from cronium_app.api.events import Cursor, Limit, Wait, waited
from cronium_app.api.gate import still_valid
from cronium_app.domain.permissions import Actor
from cronium_app.logs.files import Frame
from cronium_app.services import Services

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/api/v1", tags=["runs"], responses=RESPONSES)

CHUNK = 256 * 1024
FRAME = struct.Struct(">QQB")  # offset, time in ms since the epoch, stream (1 stdout, 2 stderr)
SIGNED_OUT = 4401
_BYTES = {"schema": {"type": "string", "format": "binary"}}
Offset = Annotated[int, Query(ge=0, le=2**62)]


@router.get("/runs")
async def list_runs(  # noqa: PLR0913 - one for each filter
    services: ServicesDep,
    actor: ActorDep,
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"] | None = None,
    event_id: Annotated[str | None, Query(max_length=36)] = None,
    trigger: Literal["schedule", "manual", "test", "api"] | None = None,
    since: Annotated[str | None, Query(max_length=64, description="RFC 3339, included")] = None,
    until: Annotated[str | None, Query(max_length=64, description="RFC 3339, excluded")] = None,
    text: Annotated[str | None, Query(max_length=200, description="words, all of them")] = None,
    include_tests: bool = False,
    last: Annotated[bool, Query(description="the page with the oldest runs")] = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[RunRow]:
    """The history over all events, newest first, without tests."""
    wanted = {
        "status": status, "event_id": event_id, "trigger": trigger, "since": since,
        "until": until, "text": text, "include_tests": include_tests,
    }  # fmt: skip
    return await runs.list_runs(services, actor, wanted, cursor, limit, last)


@router.get("/runs/{run_id}", responses={202: {"model": RunView, "description": "Not ended yet."}})
async def get_run(
    services: ServicesDep, actor: ActorDep, run_id: str, response: Response, wait: Wait = None
) -> RunView:
    """One run. With `wait` the answer comes when it has ended, or after so many seconds."""
    view = await runs.get(services, actor, run_id)
    return await waited(services, actor, view, response, wait)


@router.post("/runs/{run_id}/cancel")
async def cancel_run(services: ServicesDep, actor: ActorDep, run_id: str) -> RunView:
    """Ask it to stop: signal, grace, kill. 409 when it has ended."""
    return await runs.cancel(services, actor, run_id)


@router.post("/runs/{run_id}/rerun", status_code=201)
async def rerun(services: ServicesDep, actor: ActorDep, run_id: str) -> RunView:
    """The same revision with the same inputs once more."""
    return await runs.rerun(services, actor, run_id)


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
) -> Response:
    """The log from a byte offset to what there is now; `X-Log-Length` is its whole length."""
    length = await runs.log_length(services, actor, run_id)
    left = max(0, length - offset)
    headers = {
        "X-Log-Length": str(length),
        "Content-Length": str(left),
        "Content-Disposition": f'attachment; filename="run-{run_id}.log"' if download else "inline",
    }
    return StreamingResponse(
        _bytes(services, actor, run_id, offset, left),
        media_type="application/octet-stream" if download else "text/plain; charset=utf-8",
        headers=headers,
    )


async def _bytes(
    services: Services, actor: Actor, run_id: str, offset: int, left: int
) -> AsyncGenerator[bytes]:
    while left > 0:
        data, _ = await runs.read_log(services, actor, run_id, offset, min(CHUNK, left))
        if not data:
            return
        yield data
        offset, left = offset + len(data), left - len(data)


@router.websocket("/runs/{run_id}/log/ws")
async def follow_log(
    socket: WebSocket, services: ServicesDep, caller: CallerDep, actor: ActorDep, run_id: str
) -> None:
    """Everything from `from`, then live. Binary frames: 8 bytes offset, 8 bytes time in ms, 1 byte
    stream, all big-endian, then the bytes. At the end one text frame `{"end": {...}}`.
    """
    text = socket.query_params.get("from", "0")
    start = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    try:
        await runs.get(services, actor, run_id)
    except CroniumError as error:
        await socket.send_denial_response(answer(error))
        return
    await socket.accept()
    tasks = [
        asyncio.create_task(_send(socket, services, actor, run_id, start)),
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


async def _send(
    socket: WebSocket, services: Services, actor: Actor, run_id: str, start: int
) -> None:
    try:
        async for frame in runs.follow_log(services, actor, run_id, start):
            await socket.send_bytes(encode(frame))
        view = await runs.get(services, actor, run_id)
        end = {
            "status": view.status, "reason": view.reason, "exit_code": view.exit_code,
            "log_length": view.log_length, "log_complete": view.log_complete,
        }  # fmt: skip
        await socket.send_text(json.dumps({"end": end}))
        await socket.close()
    except (WebSocketDisconnect, RuntimeError):
        return  # the viewer left
    except CroniumError:
        with contextlib.suppress(RuntimeError):
            await socket.close(1008)
    except Exception:
        log.exception("log_socket_failed", run=run_id)
        with contextlib.suppress(RuntimeError):
            await socket.close(1011)


async def _until_gone(socket: WebSocket) -> None:
    """Whatever the viewer sends is dropped; ends when it leaves."""
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive()


def encode(frame: Frame) -> bytes:
    return FRAME.pack(frame.offset, frame.time_ms, frame.stream) + frame.data
