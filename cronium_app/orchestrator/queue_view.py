"""Who holds what, as the claim loop saw it last: the words for those who wait."""

from collections.abc import Sequence

from cronium_app.domain.concurrency import Holder, Waiting, blocked_text
from cronium_app.store.tables import Run


class QueueView:
    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._holders: Sequence[Holder] = ()

    def take(self, holders: Sequence[Holder]) -> bool:
        """The newest state. True if it differs from the one before."""
        changed = {h.run_id for h in holders} != {h.run_id for h in self._holders}
        self._holders = holders
        return changed

    def text(self, run: Run) -> str:
        """Which rule keeps a queued run from starting; "" if none does."""
        waiting = Waiting(
            run_id=run.id,
            event_id=run.event_id,
            group_key=run.group_key,
            group_limit=run.group_limit,
            exclusive=run.exclusive,
            begun=run.attempt > 0,
        )
        running = sum(holder.since is not None for holder in self._holders)
        return blocked_text(waiting, self._holders, running=running, server_limit=self._limit)
