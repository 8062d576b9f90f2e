"""Sign in, sign out, first set-up: by form (a page without scripts) or by JSON.

A form is answered by 303 to a page, JSON by JSON. A failed form leads back with `error=` and the
code, never with what was typed.
"""

import json
from typing import Any, cast
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from cronium_app.actions import accounts
from cronium_app.actions.accounts import SignedIn
from cronium_app.actions.commands import LoginIn, SetupIn
from cronium_app.actions.errors import CroniumError, Invalid
from cronium_app.api.dependencies import CallerDep, IdentityDep, ServicesDep
from cronium_app.api.errors import RESPONSES, answer
from cronium_app.api.gate import LOGIN, SETUP
from cronium_app.api.request import Caller
from cronium_app.security.cookies import clear_cookie, local_path, set_cookie
from cronium_app.security.identity import SESSION_LIFE

router = APIRouter(prefix="/auth", tags=["auth"], responses=RESPONSES)
FORM = "application/x-www-form-urlencoded"
MAX_FIELDS = 20


def _body(model: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model}"}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        },
        "security": [],
    }


@router.post("/login", openapi_extra=_body("LoginIn"))
async def login(request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """A new session. The cookie is HttpOnly and belongs to this host alone."""
    fields, is_form = await _fields(request)
    wanted = local_path(str(fields.get("next", "/")))
    try:
        signed_in = await accounts.authenticate(
            services,
            fields,
            address=caller.address,
            user_agent=caller.headers.get("user-agent", ""),
        )
    except CroniumError as error:
        return _failed(error, is_form, LOGIN, {"next": wanted} if wanted != "/" else {})
    return _welcome(signed_in, caller, is_form, wanted)


@router.post("/setup", openapi_extra=_body("SetupIn"))
async def setup(request: Request, services: ServicesDep, caller: CallerDep) -> Response:
    """Create the administrator by the one-time code, and sign in. Leads to the demo's run."""
    fields, is_form = await _fields(request)
    try:
        signed_in = await accounts.setup(
            services,
            fields,
            address=caller.address,
            user_agent=caller.headers.get("user-agent", ""),
        )
    except CroniumError as error:
        return _failed(error, is_form, SETUP, {})
    path = f"/runs/{signed_in.demo_run_id}" if signed_in.demo_run_id else "/"
    return _welcome(signed_in, caller, is_form, path)


@router.post("/logout")
async def logout(
    request: Request, services: ServicesDep, caller: CallerDep, identity: IdentityDep
) -> Response:
    """The session ends at once; its sockets are closed. What was typed and not saved stays in the
    browser's store under its writer's id: it is to survive a sign-out.
    """
    is_form = _content_type(request) == FORM
    if identity.actor.via == "session":
        await accounts.sign_out(services, identity)
    response: Response = RedirectResponse(LOGIN, 303) if is_form else JSONResponse({"next": LOGIN})
    response.headers.append("set-cookie", clear_cookie(secure=caller.secure))
    return response


def _welcome(signed_in: SignedIn, caller: Caller, is_form: bool, path: str) -> Response:
    response: Response = RedirectResponse(path, 303) if is_form else JSONResponse({"next": path})
    cookie = set_cookie(
        signed_in.token, secure=caller.secure, max_age_s=int(SESSION_LIFE.total_seconds())
    )
    response.headers.append("set-cookie", cookie)
    return response


def _failed(error: CroniumError, is_form: bool, page: str, keep: dict[str, str]) -> Response:
    if not is_form:
        return answer(error)
    return RedirectResponse(f"{page}?{urlencode({'error': error.code, **keep})}", 303)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _fields(request: Request) -> tuple[dict[str, Any], bool]:
    """The body as a flat object, and whether it came from a form."""
    raw = await request.body()
    kind = _content_type(request)
    try:
        if kind == FORM:
            return dict(parse_qsl(raw.decode(), max_num_fields=MAX_FIELDS)), True
        if kind == "application/json":
            fields = json.loads(raw)
            if isinstance(fields, dict):
                return cast("dict[str, Any]", fields), False
            raise Invalid("A JSON object is needed here.")
    except (ValueError, RecursionError):
        raise _BadBody("The body cannot be read.", code="bad_json") from None
    raise Invalid("Send a form or JSON.", field="content-type")


class _BadBody(CroniumError):
    status = 400


SCHEMAS = (LoginIn, SetupIn)  # read from the raw body, so FastAPI does not see them by itself
