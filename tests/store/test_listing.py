"""Each page of the history is served by an index: looked at in the plans, not by the clock."""

from typing import Any

import pytest
from sqlalchemy import event

from cronium_app.domain.ids import new_id
from cronium_app.store import listing
from cronium_app.store.database import Database
from cronium_app.store.listing import Position, RunQuery

OWNER = new_id()


@pytest.fixture
def plans(sqlite_db: Database):
    """Runs a query and answers how SQLite goes about each of its statements on runs."""

    async def explain(work) -> list[str]:
        seen: list[tuple[str, Any]] = []

        def note(_conn, _cursor, statement, parameters, _context, _many) -> None:
            if "FROM runs" in statement or "JOIN runs" in statement:
                seen.append((statement, parameters))

        event.listen(sqlite_db.engine.sync_engine, "before_cursor_execute", note)
        async with sqlite_db.read() as session:
            await work(session)
        event.remove(sqlite_db.engine.sync_engine, "before_cursor_execute", note)
        found = []
        async with sqlite_db.engine.connect() as connection:
            for statement, parameters in seen:
                rows = await connection.exec_driver_sql(
                    f"EXPLAIN QUERY PLAN {statement}", parameters
                )
                found.append(" / ".join(row[3] for row in rows))
        return found

    return explain


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({}, "ix_runs_"),
        ({"status": "failed"}, "ix_runs_status "),
        ({"trigger": "api"}, "ix_runs_trigger "),
        ({"event_id": new_id()}, "ix_runs_event "),
        ({"text": "needle"}, "COVERING INDEX ix_runs_search "),
        ({"text": "needle", "status": "succeeded"}, "ix_runs_search "),
    ],
)
@pytest.mark.parametrize("where", ["first", "older", "newer", "last"])
async def test_a_page_walks_one_index_in_its_order(plans, clock, query, index, where):
    at = None
    if where in ("older", "newer"):
        at = Position(direction=where, created_at=clock.now(), id=new_id())

    async def page(session) -> None:
        await listing.run_page(
            session, RunQuery(owner_id=OWNER, **query), at, 50, last=where == "last"
        )

    (plan,) = await plans(page)
    assert index in plan
    assert "SCAN" not in plan
    assert "TEMP B-TREE" not in plan


async def test_what_the_other_lists_read_is_indexed_too(plans, clock):
    async def lists(session) -> None:
        await listing.unfinished(session, OWNER, 50)
        await listing.recent_durations(session, new_id())
        await listing.counts_since(session, OWNER, clock.now())
        await listing.ticks(session, [new_id(), new_id()])

    found = await plans(lists)
    assert len(found) >= 9
    for plan in found:
        assert "SCAN runs" not in plan
        assert "ix_runs_owner " not in plan  # that would be a walk over everything
