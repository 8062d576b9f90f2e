"""The queue of runs: who may be claimed next, and what holds the others up.

The rows of queued runs are the queue. Two small tables beside them only say where to look, so that
a claim costs the same with ten queued runs and with a hundred thousand:

* a **lane** is the queued runs of one event that wait for exactly the same things (place, image,
  group, priority), so that either all of them may start or none. Its first run stands for all.
* a **turn** is an event at a priority. The lowest number goes next and gets a new, highest one:
  round robin, so that an event with a thousand runs does not stand before one with a single run.

`next_at` of both is never later than the truth; whoever finds it too early puts it right. A run
whose `lane` is empty is not sorted in yet: whatever changes a queued run just empties it. Lanes and
turns are only touched, and limits only looked at, under `lock`: no two claims anywhere see the same
free place, whatever number of servers there is. Functions take the session and never commit.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import (
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    type_coerce,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, col
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.sqltypes import UTCDateTime

from agent.jobs import Reason
from cronium_app.domain.concurrency import Holder
from cronium_app.domain.overlap import Unfinished
from cronium_app.domain.runs import RunStatus
from cronium_app.store.tables import Run

SORTED_AT_ONCE = 500
EXPIRED_AT_ONCE = 500
LOOKS = 1000  # at lanes whose runs are gone, before a claim gives up
_LOCK = 0x63726F71  # of PostgreSQL's advisory locks

_RUNS = SQLModel.metadata.tables["runs"]
_TURNS = SQLModel.metadata.tables["queue_turns"]
_LANES = SQLModel.metadata.tables["queue_lanes"]


async def lock(session: AsyncSession) -> None:
    """Nobody else claims or is admitted under a rule before this transaction ends. On SQLite every
    write transaction is alone anyway."""
    if session.get_bind().dialect.name == "postgresql":
        await _execute(session, select(func.pg_advisory_xact_lock(_LOCK)))
    await session.flush()  # what follows does not see what the session only remembers


# --- at the door ----------------------------------------------------------------------------------


async def unfinished(
    session: AsyncSession, event_ids: Collection[UUID], *, at_most: int
) -> dict[UUID, Unfinished]:
    """How many runs of each event have not ended, without tests; counted up to `at_most`."""
    if not event_ids:
        return {}
    events = SQLModel.metadata.tables["events"]
    running = _count(events, "r", "r.status = 'running'", at_most)
    between = _count(events, "b", "b.status = 'queued' AND b.attempt > 0", at_most)
    queued = _count(events, "w", "w.status = 'queued'", at_most)
    found = await _execute(
        session, select(events.c.id, running, between, queued).where(events.c.id.in_(event_ids))
    )
    return {
        row[0]: Unfinished(begun=row[1] + row[2], waiting=max(0, row[3] - row[2])) for row in found
    }


def _count(events: Any, alias: str, where: str, at_most: int) -> Any:
    row = _RUNS.alias(alias)
    inner = (
        select(row.c.id)
        .select_from(row)
        .where(text(where), row.c.event_id == events.c.id, row.c.hidden.is_(False))
        .limit(at_most)
        .correlate(events)
        .subquery()
    )
    return select(func.count()).select_from(inner).scalar_subquery()


async def replace_older(
    session: AsyncSession, event_id: UUID, new: Collection[UUID], *, now: datetime
) -> tuple[list[UUID], list[UUID]]:
    """A newer run takes the place of all others of its event but tests: what waits is cancelled,
    what runs is asked to stop. Returns both."""
    of_event = (_RUNS.c.event_id == event_id, _RUNS.c.hidden.is_(False), _RUNS.c.id.not_in(new))
    stop = {"stop_requested_at": now, "stop_reason": Reason.REPLACED.value}
    cancelled = await _execute(
        session,
        update(_RUNS)
        .where(_RUNS.c.status == RunStatus.QUEUED.value, *of_event)
        .values(
            **stop,
            status=RunStatus.CANCELLED.value,
            reason=Reason.REPLACED.value,
            reason_text="A newer run of the same event took its place before it started.",
            finished_at=now,
            waiting_text="",
        )
        .returning(_RUNS.c.id),
    )
    stopping = await _execute(
        session,
        update(_RUNS)
        .where(
            _RUNS.c.status == RunStatus.RUNNING.value,
            _RUNS.c.stop_requested_at.is_(None),
            *of_event,
        )
        .values(**stop)
        .returning(_RUNS.c.id),
    )
    return list(cancelled.scalars()), list(stopping.scalars())


# --- sorting in -----------------------------------------------------------------------------------

_OF_LANE = ("event_id", "priority", "place", "image", "exclusive", "group_key", "group_limit")
_NEW = (
    select(*(_RUNS.c[name] for name in (*_OF_LANE, "id", "attempt", "available_at")))
    .where(text("status = 'queued'"), _RUNS.c.lane.is_(None))
    .order_by(_RUNS.c.available_at, _RUNS.c.id)
    .limit(SORTED_AT_ONCE)
)


async def sort_in(session: AsyncSession) -> int:
    """Give queued runs that have none their lanes. Under `lock`. Returns how many there were."""
    rows = [dict(row) for row in (await _execute(session, _NEW)).mappings()]
    if not rows:
        return 0
    lanes: dict[UUID, dict[str, Any]] = {}
    turns: dict[tuple[UUID, int], dict[str, Any]] = {}
    for row in rows:
        begun = row["attempt"] > 0
        lane = row["lane"] = _lane_id(row, begun)
        at = row["available_at"]
        values = {name: row[name] for name in _OF_LANE} | {"id": lane, "begun": begun}
        lanes.setdefault(lane, values | {"next_at": at})
        turn = (row["event_id"], row["priority"])
        turns.setdefault(turn, {"event_id": turn[0], "priority": turn[1], "next_at": at})
    last = await _last_number(session)
    for number, values in zip(itertools.count(last + 1), turns.values(), strict=False):
        values["number"] = number
    await _execute(session, _set_lane, [{"of": row["id"], "to": row["lane"]} for row in rows])
    await _upsert(session, _TURNS, ["event_id", "priority"], list(turns.values()))
    await _upsert(session, _LANES, ["id"], list(lanes.values()))
    return len(rows)


_set_lane = (
    update(_RUNS)
    .where(_RUNS.c.id == bindparam("of"), text("status = 'queued'"))
    .values(lane=bindparam("to"))
)


def _lane_id(row: Mapping[str, Any], begun: bool) -> UUID:
    same = [str(row[name]) for name in _OF_LANE[1:]]
    return uuid5(row["event_id"], "\n".join([str(begun), *same]))


async def _last_number(session: AsyncSession) -> int:
    return (await _execute(session, select(func.max(_TURNS.c.number)))).scalar() or 0


async def _upsert(
    session: AsyncSession, table: Any, key: list[str], rows: list[dict[str, Any]]
) -> None:
    """Insert, or bring `next_at` of what is there forward."""
    sqlite_here = session.get_bind().dialect.name == "sqlite"
    statement = sqlite.insert(table) if sqlite_here else postgresql.insert(table)
    new = statement.excluded.next_at
    earlier = case((table.c.next_at <= new, table.c.next_at), else_=new)
    await _execute(
        session,
        statement.on_conflict_do_update(index_elements=key, set_={"next_at": earlier}),
        rows,
    )


# --- claiming -------------------------------------------------------------------------------------


async def claim(
    session: AsyncSession,
    *,
    owner: str,
    now: datetime,
    lease_until: datetime,
    places: Collection[str],
    images_in_work: Collection[str] = (),
    server_limit: int | None = None,
) -> Run | None:
    """queued -> running: the next run that nothing holds up. None if there is none."""
    await lock(session)
    await sort_in(session)
    if server_limit is not None and await running_count(session) >= server_limit:
        return None
    following = _following(now, sorted(places), sorted(images_in_work))
    for _ in range(LOOKS):
        found = (await _execute(session, following)).first()
        if found is None:
            return None
        event_id, priority, lane = found
        run = await _take(session, lane, owner=owner, now=now, lease_until=lease_until)
        await _moved_on(session, event_id, priority, lane, served=run is not None)
        if run is not None:
            return run
    return None


def _following(now: datetime, places: list[str], images_in_work: list[str]) -> Any:
    """The event whose turn it is, with the first of its lanes that nothing holds up."""
    free = _free(now, places, images_in_work)
    lane = select(_LANES.c.id).where(free).order_by(_LANES.c.next_at, _LANES.c.id).limit(1)
    return (
        select(_TURNS.c.event_id, _TURNS.c.priority, lane.correlate(_TURNS).scalar_subquery())
        .where(_TURNS.c.next_at <= now, exists(select(_LANES.c.id).where(free)).correlate(_TURNS))
        .order_by(_TURNS.c.priority.desc(), _TURNS.c.number)
        .limit(1)
    )


def _free(now: datetime, places: list[str], images_in_work: list[str]) -> Any:
    running, begun, holder = (_RUNS.alias(name) for name in ("r", "b", "h"))
    # An exclusive run has its event for itself: it waits for all others, all others wait for it.
    beside_a_running_one = exists(
        select(running.c.id).where(
            text("r.status = 'running'"),
            running.c.event_id == _LANES.c.event_id,
            or_(_LANES.c.exclusive, running.c.exclusive),
        )
    )
    beside_one_between_tries = exists(
        select(begun.c.id).where(
            text("b.status = 'queued' AND b.attempt > 0"),
            begun.c.event_id == _LANES.c.event_id,
            or_(_LANES.c.exclusive, begun.c.exclusive),
        )
    )
    held = (
        select(func.count())
        .select_from(holder)
        .where(text("h.status = 'running'"), holder.c.group_key == _LANES.c.group_key)
        .scalar_subquery()
    )
    conditions = [
        _LANES.c.event_id == _TURNS.c.event_id,
        _LANES.c.priority == _TURNS.c.priority,
        _LANES.c.next_at <= now,
        _LANES.c.place.in_(places),
        not_(beside_a_running_one),
        or_(_LANES.c.begun, not_(beside_one_between_tries)),
        or_(_LANES.c.group_key == "", held < _LANES.c.group_limit),
    ]
    if images_in_work:
        conditions.append(_LANES.c.image.not_in(images_in_work))
    return and_(*conditions)


async def _take(
    session: AsyncSession, lane: UUID, *, owner: str, now: datetime, lease_until: datetime
) -> Run | None:
    """None: the lane has no run that is due any more."""
    queue = _RUNS.alias("q")
    first = (
        select(queue.c.id)
        .where(text("q.status = 'queued'"), queue.c.lane == lane)
        .order_by(queue.c.available_at, queue.c.id)
        .limit(1)
    )
    statement = (
        update(Run)
        .where(
            col(Run.id) == first.scalar_subquery(),
            col(Run.status) == RunStatus.QUEUED.value,
            col(Run.available_at) <= now,
        )
        .values(
            status=RunStatus.RUNNING.value,
            attempt=col(Run.attempt) + 1,
            fence=col(Run.fence) + 1,
            lease_owner=owner,
            lease_until=lease_until,
            lane=None,
            started_at=func.coalesce(col(Run.started_at), type_coerce(now, UTCDateTime())),
            waiting_text="",
        )
        .returning(Run)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return (await session.scalars(statement)).first()


async def _moved_on(
    session: AsyncSession, event_id: UUID, priority: int, lane: UUID, *, served: bool
) -> None:
    """Put right when lane and turn are next to be looked at; what is empty goes."""
    first = select(func.min(_RUNS.c.available_at)).where(
        text("status = 'queued'"), _RUNS.c.lane == lane
    )
    await _keep(session, _LANES, _LANES.c.id == lane, (await _execute(session, first)).scalar())
    of_turn = and_(_LANES.c.event_id == event_id, _LANES.c.priority == priority)
    earliest = (await _execute(session, select(func.min(_LANES.c.next_at)).where(of_turn))).scalar()
    number = {"number": await _last_number(session) + 1} if served and earliest else {}
    turn = and_(_TURNS.c.event_id == event_id, _TURNS.c.priority == priority)
    await _keep(session, _TURNS, turn, earliest, **number)


async def _keep(
    session: AsyncSession, table: Any, which: Any, next_at: datetime | None, **values: Any
) -> None:
    if next_at is None:
        await _execute(session, delete(table).where(which))
    else:
        await _execute(session, update(table).where(which).values(next_at=next_at, **values))


# --- expiry ---------------------------------------------------------------------------------------


async def expire(session: AsyncSession, now: datetime) -> Sequence[tuple[UUID, UUID]]:
    """queued -> cancelled, of at most 500 runs that waited too long for their first attempt.
    Returns them with their owners."""
    due = (
        select(_RUNS.c.id)
        .where(text("status = 'queued'"), _RUNS.c.expires_at <= now, _RUNS.c.attempt == 0)
        .limit(EXPIRED_AT_ONCE)
    )
    found = await _execute(
        session,
        update(_RUNS)
        .where(_RUNS.c.id.in_(due), _RUNS.c.status == RunStatus.QUEUED.value)
        .values(
            status=RunStatus.CANCELLED.value,
            reason=Reason.EXPIRED.value,
            reason_text="It waited in the queue longer than its event allows.",
            finished_at=now,
            waiting_text="",
        )
        .returning(_RUNS.c.id, _RUNS.c.owner_id),
    )
    return [(row[0], row[1]) for row in found]


async def is_untidy(session: AsyncSession, now: datetime) -> bool:
    """Whether there are runs to be sorted in, or expired ones."""
    expired = select(_RUNS.c.id).where(
        text("status = 'queued'"), _RUNS.c.expires_at <= now, _RUNS.c.attempt == 0
    )
    for statement in (_NEW, expired):
        if (await _execute(session, statement.limit(1))).first() is not None:
            return True
    return False


async def next_moment(session: AsyncSession, now: datetime) -> datetime | None:
    """When the queue is to be looked at again although nothing else happens; `now` if there are
    runs that nobody has sorted in yet."""
    if (await _execute(session, _NEW.limit(1))).first() is not None:
        return now
    due = select(func.min(_LANES.c.next_at)).where(_LANES.c.next_at > now)
    expiry = select(func.min(_RUNS.c.expires_at)).where(
        text("status = 'queued'"), _RUNS.c.expires_at > now
    )
    row = (await _execute(session, select(due.scalar_subquery(), expiry.scalar_subquery()))).one()
    return min((moment for moment in row if moment is not None), default=None)


# --- who holds, who waits -------------------------------------------------------------------------


async def running_count(session: AsyncSession) -> int:
    statement = select(func.count()).select_from(_RUNS).where(text("status = 'running'"))
    return (await _execute(session, statement)).scalar_one()


async def holders(session: AsyncSession) -> list[Holder]:
    """Every run that is under way, of everybody: running or between two tries."""
    names = ("id", "event_id", "event_name", "exclusive", "group_key", "started_at")
    columns = [_RUNS.c[name] for name in names]
    found: list[Holder] = []
    for where in ("status = 'running'", "status = 'queued' AND attempt > 0"):
        rows = await _execute(session, select(*columns).where(text(where)).limit(5000))
        found += [
            Holder(
                run_id=row[0], event_id=row[1], event_name=row[2], exclusive=row[3],
                group_key=row[4], since=row[5] if where == "status = 'running'" else None,
            )
            for row in rows
        ]  # fmt: skip
    return found


async def group_rows(session: AsyncSession, owner_id: UUID, *, limit: int) -> Sequence[Any]:
    """The owner's runs that hold a group or have their event for themselves, or wait for either:
    what is under way first, then those that wait, the oldest first, `limit` of both. Columns: id,
    event_id, event_name, status, exclusive, group_key, group_limit, attempt, started_at, created_at.
    """
    names = (
        "id", "event_id", "event_name", "status", "exclusive", "group_key", "group_limit",
        "attempt", "started_at", "created_at",
    )  # fmt: skip
    found: list[Any] = []
    for status in (RunStatus.RUNNING, RunStatus.QUEUED):
        rows = await _execute(
            session,
            select(*(_RUNS.c[name] for name in names))
            .where(
                _RUNS.c.owner_id == owner_id,
                _RUNS.c.status == status.value,
                or_(_RUNS.c.group_key != "", _RUNS.c.exclusive),
            )
            .order_by(_RUNS.c.created_at, _RUNS.c.id)
            .limit(limit),
        )
        found += rows.all()
    return found


async def _execute(
    session: AsyncSession, statement: Any, rows: Sequence[Mapping[str, Any]] | None = None
) -> Any:
    connection = await session.connection()
    if rows is None:
        return await connection.execute(statement)
    return await connection.execute(statement, rows)
