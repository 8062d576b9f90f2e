"""REST of tries and of groups: what goes on between submit and start."""

from fastapi import APIRouter

from cronium_app.actions import queue, runs
from cronium_app.actions.views import AttemptView, GroupView, RunView
from cronium_app.api.dependencies import ActorDep, ServicesDep
from cronium_app.api.errors import RESPONSES

router = APIRouter(prefix="/api/v1", tags=["runs"], responses=RESPONSES)


@router.get("/runs/{run_id}/attempts")
async def list_attempts(services: ServicesDep, actor: ActorDep, run_id: str) -> list[AttemptView]:
    """Every try of a run, the first one first."""
    return await queue.attempts(services, actor, run_id)


@router.post("/runs/{run_id}/try-now")
async def try_now(services: ServicesDep, actor: ActorDep, run_id: str) -> RunView:
    """Wait no longer for the next try. 409 when the run is not between two tries."""
    await queue.try_now(services, actor, run_id)
    return await runs.get(services, actor, run_id)


@router.post("/runs/{run_id}/give-up")
async def give_up(services: ServicesDep, actor: ActorDep, run_id: str) -> RunView:
    """Make no further try. 409 when the run is not between two tries."""
    await queue.give_up(services, actor, run_id)
    return await runs.get(services, actor, run_id)


@router.get("/groups")
async def list_groups(services: ServicesDep, actor: ActorDep) -> list[GroupView]:
    """Who holds and who waits, for named groups and for events that run one at a time."""
    return await queue.groups(services, actor)
