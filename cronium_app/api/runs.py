"""REST of runs. Their logs are in `logs`."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from cronium_app.actions import runs
from cronium_app.actions.views import Page, RunRow, RunView
from cronium_app.api.dependencies import ActorDep, ServicesDep
from cronium_app.api.errors import RESPONSES
from cronium_app.api.events import Cursor, Limit, Wait, waited

router = APIRouter(prefix="/api/v1", tags=["runs"], responses=RESPONSES)


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
    return await waited(services, actor, run_id, response, wait)


@router.post("/runs/{run_id}/cancel")
async def cancel_run(services: ServicesDep, actor: ActorDep, run_id: str) -> RunView:
    """Ask it to stop: signal, grace, kill. 409 when it has ended."""
    return await runs.cancel(services, actor, run_id)


@router.post("/runs/{run_id}/rerun", status_code=201)
async def rerun(services: ServicesDep, actor: ActorDep, run_id: str) -> RunView:
    """The same revision with the same inputs once more."""
    return await runs.rerun(services, actor, run_id)
