"""Progress of running attempts on its way to the database: gathered, written a few times a second.

None of it is on the way from trigger to end: what an attempt's end needs comes with its outcome.
"""

import asyncio
from typing import Any
from uuid import UUID

import structlog

from cronium_app.store import runs
from cronium_app.store.database import Database

log = structlog.get_logger(__name__)

INTERVAL_S = 0.2


class ProgressWriter:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._pending: dict[UUID, dict[str, Any]] = {}
        self._wake = asyncio.Event()

    def note(self, attempt_id: UUID, **values: Any) -> None:
        """Columns of the attempt; later ones win."""
        self._pending.setdefault(attempt_id, {}).update(values)
        self._wake.set()

    def forget(self, attempt_id: UUID) -> None:
        """It has ended: its last word is written with its outcome."""
        self._pending.pop(attempt_id, None)

    def take(self, attempt_id: UUID) -> dict[str, Any]:
        return self._pending.pop(attempt_id, {})

    async def run(self) -> None:
        """Endless."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(INTERVAL_S)
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            async with self._db.write() as session:
                for attempt_id, values in pending.items():
                    await runs.record_progress(session, attempt_id, values)
        except Exception:
            log.exception("progress not written")  # the outcome will say it again
