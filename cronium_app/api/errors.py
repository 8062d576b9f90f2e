"""One shape for everything that goes wrong: `{"code", "message", "field"}`."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from cronium_app.actions.commands import printable, sentence
from cronium_app.actions.errors import CroniumError, Invalid

log = structlog.get_logger(__name__)


class ErrorOut(BaseModel):
    """`code` is for programs; `message` is one sentence; `field` names the input at fault."""

    code: str
    message: str
    field: str | None = None
    extra: dict[str, Any] | None = None


_MEANING = {
    400: "The body is no JSON.",
    401: "No session or token, or one that does not count any more.",
    403: "Not allowed, or sent from another site.",
    404: "Missing, or another person's.",
    409: "It does not fit the present state.",
    422: "A value does not fit.",
    429: "Too many tries.",
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorOut, "description": text} for status, text in _MEANING.items()
}

_CODES = {400: "bad_request", 401: "not_signed_in", 403: "denied", 404: "not_found",
          405: "method_not_allowed", 422: "too_large"}  # fmt: skip
TOO_LARGE = "The body is larger than 1.5 MB, or 3 MB for an event."
_WORDS = {
    400: "The request cannot be understood.",
    404: "There is no such thing here.",
    405: "This address does not know that method.",
    422: TOO_LARGE,
}


def answer(error: CroniumError) -> JSONResponse:
    body: dict[str, Any] = {"code": error.code, "message": error.message, "field": error.field}
    if error.extra:
        body["extra"] = _jsonable(error.extra)
    headers: dict[str, str] = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after_s" in error.extra:
        headers["Retry-After"] = str(error.extra["retry_after_s"])
    return JSONResponse(body, error.status, headers)


def install(app: FastAPI) -> None:
    app.add_exception_handler(CroniumError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unknown)


async def _known(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, CroniumError):
        raise error
    return answer(error)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse(
            {"code": "bad_json", "message": "The body is no JSON.", "field": None}, 400
        )
    field = ".".join(printable(part) for part in _path(first["loc"])) or None
    return answer(Invalid(sentence(first["type"], first["msg"]), field=field))


def _path(location: Sequence[Any]) -> Sequence[Any]:
    """Without where it was (body, query ...): people know the field's name."""
    return location[1:] if location and location[0] in ("body", "query", "path") else location


async def _http(_request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    status = error.status_code
    message = _WORDS.get(status, "The request was refused.")
    body = {"code": _CODES.get(status, "refused"), "message": message, "field": None}
    return JSONResponse(body, status, dict(error.headers or {}))


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("request_failed", path=request.url.path, error=type(error).__name__)
    body = {
        "code": "internal",
        "message": "Something went wrong in Cronium itself; its log says what.",
        "field": None,
    }
    return JSONResponse(body, 500)


def _jsonable(extra: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for key, value in extra.items()
    }
