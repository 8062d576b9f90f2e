"""The HTTP side: every route of ours behind one gate. The pages are mounted below it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from cronium_app.api import account, auth, errors, events, logs, queue, runs, system
from cronium_app.api.gate import Gate
from cronium_app.services import Services
from cronium_app.services import services as running_services

ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
DESCRIPTION = (
    "Send a token as `Authorization: Bearer crn_…`; make one in the settings or with "
    "`cronium token create`. Times are RFC 3339 in UTC. Lists answer `items` and `next`, a cursor "
    "for the next page. Errors are `code`, `message` and, where one input is at fault, `field`."
)


def build_api(*, client_dir: Path, services: Callable[[], Services] = running_services) -> FastAPI:
    """`client_dir` holds the built pages, whose inline scripts are allowed by their hashes.
    `services` answers once the lifespan has built them.
    """
    api = FastAPI(
        title="Cronium",
        version="1",
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    api.state.services = services
    for router in (
        system.router,
        auth.router,
        events.router,
        runs.router,
        queue.router,
        logs.router,
        account.router,
    ):
        api.include_router(router)
    for path in ("/api", "/api/{rest:path}"):
        api.add_route(path, _nothing, ALL_METHODS, include_in_schema=False)
    errors.install(api)
    api.add_middleware(Gate, services=services, client_dir=client_dir)
    _describe(api)
    return api


async def _nothing(request: Request) -> Response:
    """Below /api the pages, which are mounted last and take everything, are never asked."""
    others = (route for route in request.app.routes if getattr(route, "endpoint", None) != _nothing)
    if any(route.matches(request.scope)[0] is Match.PARTIAL for route in others):
        raise HTTPException(405)
    raise HTTPException(404)


def _describe(api: FastAPI) -> None:
    """The OpenAPI with the token and with the bodies that are read by hand."""

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            spec = get_openapi(
                title=api.title,
                version=api.version,
                description=api.description,
                routes=api.routes,
            )
            components = spec.setdefault("components", {})
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            for model in auth.SCHEMAS:
                components["schemas"][model.__name__] = model.model_json_schema()
            spec["security"] = [{"token": []}]
            api.openapi_schema = spec
        return api.openapi_schema

    api.openapi = openapi
