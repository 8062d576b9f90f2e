"""REST of events and of their schedules and revisions."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from cronium_app.actions import events, pauses, runs, schedules
from cronium_app.actions.commands import (
    EventIn,
    EventPatch,
    PauseIn,
    RunIn,
    ScheduleIn,
    SchedulePatch,
    TestIn,
)
from cronium_app.actions.views import (
    DeletePreview,
    EventRow,
    EventView,
    Page,
    PauseView,
    RevisionRow,
    RevisionView,
    RunView,
    SchedulePreview,
    ScheduleView,
    Template,
)
from cronium_app.api.dependencies import ActorDep, ServicesDep
from cronium_app.api.errors import RESPONSES

router = APIRouter(prefix="/api/v1", responses=RESPONSES)

Cursor = Annotated[str | None, Query(max_length=500)]
Limit = Annotated[int, Query(ge=1, le=200)]
FireCount = Annotated[int, Query(ge=1, le=schedules.MOST_FIRES)]
Wait = Annotated[
    int | None,
    Query(ge=0, le=3600, description="Wait so many seconds for the end: 200 if it came, else 202."),
]


@router.get("/events", tags=["events"])
async def list_events(
    services: ServicesDep,
    actor: ActorDep,
    search: Annotated[str, Query(max_length=200)] = "",
    tag: Annotated[str | None, Query(max_length=50)] = None,
    archived: bool = False,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[EventRow]:
    """By name, each with its last 30 runs and its next fire."""
    return await events.list_events(services, actor, search, tag, archived, cursor, limit)


@router.post("/events", status_code=201, tags=["events"])
async def create_event(services: ServicesDep, actor: ActorDep, event: EventIn) -> EventView:
    """A new event. `name`, `runtime` and `script` are enough."""
    return await events.create(services, actor, event)


@router.get("/events/{event_id}", tags=["events"])
async def get_event(services: ServicesDep, actor: ActorDep, event_id: str) -> EventView:
    """One event with its schedules."""
    return await events.get(services, actor, event_id)


@router.patch("/events/{event_id}", tags=["events"])
async def update_event(
    services: ServicesDep, actor: ActorDep, event_id: str, patch: EventPatch
) -> EventView:
    """Save; what is not given stays. 409 `revision_conflict` if `base_revision` is not the newest."""
    return await events.update(services, actor, event_id, patch)


@router.delete("/events/{event_id}", status_code=204, tags=["events"], response_class=Response)
async def delete_event(services: ServicesDep, actor: ActorDep, event_id: str) -> None:
    """With its schedules, revisions, runs and logs. 409 while a run has not ended."""
    await events.delete(services, actor, event_id)


@router.get("/events/{event_id}/delete-preview", tags=["events"])
async def preview_deletion(services: ServicesDep, actor: ActorDep, event_id: str) -> DeletePreview:
    """What a deletion would take along."""
    return await events.delete_preview(services, actor, event_id)


@router.post("/events/{event_id}/duplicate", status_code=201, tags=["events"])
async def duplicate_event(services: ServicesDep, actor: ActorDep, event_id: str) -> EventView:
    """A copy, its schedules switched off."""
    return await events.duplicate(services, actor, event_id)


@router.post("/events/{event_id}/archive", tags=["events"])
async def archive_event(services: ServicesDep, actor: ActorDep, event_id: str) -> EventView:
    """Out of the way: nothing fires, its history stays."""
    return await events.archive(services, actor, event_id)


@router.post("/events/{event_id}/restore", tags=["events"])
async def restore_event(services: ServicesDep, actor: ActorDep, event_id: str) -> EventView:
    """Back from the archive."""
    return await events.restore(services, actor, event_id)


@router.get("/events/{event_id}/revisions", tags=["revisions"])
async def list_revisions(
    services: ServicesDep, actor: ActorDep, event_id: str
) -> Page[RevisionRow]:
    """Every save, newest first."""
    return Page(items=await events.list_revisions(services, actor, event_id))


@router.get("/events/{event_id}/revisions/{number}", tags=["revisions"])
async def get_revision(
    services: ServicesDep, actor: ActorDep, event_id: str, number: int
) -> RevisionView:
    """One save with its content."""
    return await events.revision(services, actor, event_id, number)


@router.post("/events/{event_id}/revisions/{number}/restore", tags=["revisions"])
async def restore_revision(
    services: ServicesDep, actor: ActorDep, event_id: str, number: int
) -> EventView:
    """Its content becomes the newest revision."""
    return await events.restore_revision(services, actor, event_id, number)


@router.get("/events/{event_id}/schedules", tags=["schedules"])
async def list_schedules(
    services: ServicesDep, actor: ActorDep, event_id: str
) -> Page[ScheduleView]:
    """In the order they were made."""
    return Page(items=await schedules.list_of_event(services, actor, event_id))


@router.post("/events/{event_id}/schedules", status_code=201, tags=["schedules"])
async def create_schedule(
    services: ServicesDep, actor: ActorDep, event_id: str, schedule: ScheduleIn
) -> ScheduleView:
    """cron with `expression`, interval with `every_s`, or once with `at`."""
    return await schedules.create(services, actor, event_id, schedule)


@router.post("/schedules/preview", tags=["schedules"])
async def preview_schedule(
    services: ServicesDep, actor: ActorDep, schedule: ScheduleIn, count: FireCount = 20
) -> SchedulePreview:
    """In words, with the next fires and what clock changes do to them. Saves nothing."""
    return await schedules.preview(services, actor, schedule, count)


@router.get("/schedules/{schedule_id}/preview", tags=["schedules"])
async def preview_saved_schedule(
    services: ServicesDep, actor: ActorDep, schedule_id: str, count: FireCount = 20
) -> SchedulePreview:
    """The next fires of a schedule, whether it is switched on or not."""
    return await schedules.preview_saved(services, actor, schedule_id, count)


@router.get("/schedules/{schedule_id}", tags=["schedules"])
async def get_schedule(services: ServicesDep, actor: ActorDep, schedule_id: str) -> ScheduleView:
    """One schedule with its next five fires."""
    return await schedules.get(services, actor, schedule_id)


@router.patch("/schedules/{schedule_id}", tags=["schedules"])
async def update_schedule(
    services: ServicesDep, actor: ActorDep, schedule_id: str, patch: SchedulePatch
) -> ScheduleView:
    """What is not given stays; null clears `start` and `end`."""
    return await schedules.update(services, actor, schedule_id, patch)


@router.delete(
    "/schedules/{schedule_id}", status_code=204, tags=["schedules"], response_class=Response
)
async def delete_schedule(services: ServicesDep, actor: ActorDep, schedule_id: str) -> None:
    """Its runs stay."""
    await schedules.delete(services, actor, schedule_id)


@router.get("/pauses", tags=["schedules"])
async def list_pauses(services: ServicesDep, actor: ActorDep) -> Page[PauseView]:
    """What is paused now, first what ends first."""
    return Page(items=await pauses.pauses(services, actor))


@router.post("/pauses", status_code=201, tags=["schedules"])
async def create_pause(services: ServicesDep, actor: ActorDep, pause: PauseIn) -> PauseView:
    """Stop one schedule, an event's, those with a tag, or all, until a moment. Their fires become
    visible skips. Pausing the same again changes the end."""
    return await pauses.pause(services, actor, pause)


@router.delete("/pauses/{pause_id}", status_code=204, tags=["schedules"], response_class=Response)
async def end_pause(services: ServicesDep, actor: ActorDep, pause_id: str) -> None:
    """Go on now."""
    await pauses.resume(services, actor, pause_id)


@router.get("/tags", tags=["events"])
async def list_tags(services: ServicesDep, actor: ActorDep) -> Page[str]:
    """Every tag in use."""
    return Page(items=await events.tags(services, actor))


@router.get("/templates", tags=["events"])
async def list_templates(_actor: ActorDep) -> Page[Template]:
    """Scripts to begin with; they run as they are."""
    return Page(items=events.templates())


_WAITED = {
    200: {"model": RunView, "description": "It has ended (with `wait`)."},
    202: {"model": RunView, "description": "It has not ended yet (with `wait`)."},
}


@router.post("/events/{event_id}/runs", status_code=201, tags=["runs"], responses={**_WAITED})
async def start_run(
    services: ServicesDep,
    actor: ActorDep,
    event_id: str,
    response: Response,
    run: RunIn | None = None,
    wait: Wait = None,
) -> RunView:
    """Start a run: 201 at once."""
    run_id = await runs.queue(services, actor, event_id, run)
    return await waited(services, actor, run_id, response, wait)


@router.post("/runs/test", status_code=201, tags=["runs"], responses={**_WAITED})
async def run_unsaved(
    services: ServicesDep, actor: ActorDep, test: TestIn, response: Response, wait: Wait = None
) -> RunView:
    """Run a text once without saving it."""
    view = await events.test(services, actor, test)
    return view if wait is None else await waited(services, actor, view.id, response, wait)


async def waited(
    services: ServicesDep, actor: ActorDep, run_id: str, response: Response, wait: int | None
) -> RunView:
    """The run after `wait` seconds at most, with the status of the answer set to fit."""
    if wait is None:
        return await runs.get(services, actor, run_id)
    view, over = await runs.wait(services, actor, run_id, wait)
    response.status_code = 200 if over else 202
    return view
