"""Pauses: who stopped which schedules, until when. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

PauseScope = Literal["schedule", "event", "tag", "all"]


@dataclass(frozen=True, kw_only=True)
class Pause:
    """`target`: the id of a schedule or event, a tag in lower case, or "". `until` is not included.
    `by`: who paused it, as that person was called then."""

    owner_id: UUID
    scope: PauseScope
    target: str
    since: datetime
    until: datetime
    by: str
    note: str = ""

    def covers(self, moment: datetime) -> bool:
        return self.since <= moment < self.until

    @property
    def why(self) -> str:
        """The sentence of a fire that did not run because of it."""
        what = {"tag": f" (tag {self.target})", "all": " (all schedules)"}.get(self.scope, "")
        by = f" by {self.by}" if self.by else ""
        note = f": {self.note}" if self.note else ""
        return f"Paused{what}{by} until {self.until:%Y-%m-%d %H:%M} UTC{note}."


def concerning(
    pauses: Sequence[Pause],
    *,
    owner_id: UUID,
    schedule_id: UUID,
    event_id: UUID,
    tags: Collection[str],
) -> tuple[Pause, ...]:
    """Those that stop this schedule, the longest first."""
    if not pauses:
        return ()
    lowered = {tag.lower() for tag in tags}
    found = [
        pause
        for pause in pauses
        if pause.owner_id == owner_id and _means(pause, schedule_id, event_id, lowered)
    ]
    return tuple(sorted(found, key=lambda pause: pause.until, reverse=True))


def _means(pause: Pause, schedule_id: UUID, event_id: UUID, tags: Collection[str]) -> bool:
    match pause.scope:
        case "all":
            return True
        case "tag":
            return pause.target in tags
        case "event":
            return pause.target == str(event_id)
        case "schedule":
            return pause.target == str(schedule_id)


def at(pauses: Sequence[Pause], moment: datetime) -> Pause | None:
    """The one that stops a fire of that moment, if any."""
    return next((pause for pause in pauses if pause.covers(moment)), None)
