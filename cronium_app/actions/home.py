"""The home page in one look: what runs, what failed, what comes."""

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from cronium_app.actions.access import require
from cronium_app.actions.context import Services
from cronium_app.actions.runs import row_of, usual_s
from cronium_app.actions.views import (
    Counts,
    EngineView,
    HomeView,
    ImageView,
    NextFire,
    RunningRow,
)
from cronium_app.domain import schedules as rules
from cronium_app.domain.events import DEFAULT_IMAGES
from cronium_app.domain.permissions import Actor, Permission
from cronium_app.store import events, listing
from cronium_app.store import schedules as schedule_rows
from cronium_app.store.tables import Run, Schedule

SHOWN_RUNNING = 50
SHOWN_FAILED = 20
SHOWN_FIRES = 10
FIRES_OF_ONE = 3  # one that fires every second must not hide all others


async def home(services: Services, actor: Actor) -> HomeView:
    require(actor, Permission.VIEW)
    now = services.clock.now()
    yesterday = (now - timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    failures = listing.RunQuery(owner_id=actor.user_id, status="failed", since=yesterday)
    async with services.db.read() as session:
        unfinished = await listing.unfinished(session, actor.user_id, SHOWN_RUNNING)
        failed = await listing.run_page(session, failures, None, SHOWN_FAILED)
        upcoming = await schedule_rows.upcoming(session, actor.user_id, SHOWN_FIRES)
        usual = {
            event_id: usual_s(await listing.recent_durations(session, event_id))
            for event_id in {run.event_id for run, _ in unfinished}
        }
        by_status = await listing.counts_since(session, actor.user_id, now - timedelta(days=1))
        total = await events.count(session, actor.user_id)
    return HomeView(
        running=[_running(services, run, rt, usual[run.event_id]) for run, rt in unfinished],
        failed=[row_of(services, run, runtime) for run, runtime in failed.runs],
        next_fires=_next_fires(upcoming),
        counts=Counts(events=total, **by_status),
        engine=engine(services, actor),
    )


def engine(services: Services, actor: Actor) -> EngineView:
    """How the container engine and the base images are. Everybody signed in may know. Other images
    are what somebody wrote into an event: only administrators see them all.
    """
    every = actor.can(Permission.ADMIN)
    state = services.orchestrator.engine_state()
    return EngineView(
        state=state.state,
        detail=state.detail,
        slots=state.slots,
        free_slots=state.free_slots,
        images=[
            ImageView(image=item.image, state=item.state, percent=item.percent, text=item.text)
            for item in state.images
            if every or item.image in DEFAULT_IMAGES.values()
        ],
    )


def _running(services: Services, run: Run, runtime: str, usual: float | None) -> RunningRow:
    live = services.orchestrator.live(run.id)
    row = row_of(services, run, runtime).model_dump()
    if live is not None and live.waiting_text:
        row["waiting_text"] = live.waiting_text
    return RunningRow(
        **row,
        phase=live.phase if live else None,
        last_line=live.last_lines[-1] if live and live.last_lines else "",
        lines=live.lines if live else 0,
        usual_s=usual,
    )


def _next_fires(upcoming: Sequence[tuple[Schedule, str]]) -> list[NextFire]:
    streams = [_fires_of(row, name) for row, name in upcoming]
    merged = heapq.merge(*streams, key=lambda fire: fire.at)
    return list(islice(merged, SHOWN_FIRES))


def _fires_of(row: Schedule, event_name: str) -> Iterator[NextFire]:
    spec = schedule_rows.spec_of(row)
    words = rules.describe(spec)
    at: datetime | None = row.next_fire_at
    for _ in range(FIRES_OF_ONE):
        if at is None:
            return
        yield NextFire(
            event_id=str(row.event_id),
            event_name=event_name,
            schedule_id=str(row.id),
            at=at,
            timezone=row.timezone,
            words=words,
        )
        at = rules.next_fire(spec, at)
