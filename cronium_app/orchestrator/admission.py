"""What the rules of its event make of a new run at the door, inside the caller's transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from agent.jobs import Reason
from cronium_app.domain import overlap
from cronium_app.domain.concurrency import resolve
from cronium_app.domain.events import EventContent
from cronium_app.domain.overlap import Unfinished
from cronium_app.domain.runs import RunStatus
from cronium_app.store import queue


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A run to be: its event's content, and its columns, which `admit` may change."""

    content: EventContent
    values: dict[str, Any]

    @property
    def event_id(self) -> UUID:
        return self.values["event_id"]

    @property
    def concerned(self) -> bool:
        queued = self.values["status"] == RunStatus.QUEUED.value
        return queued and overlap.is_exclusive(self.content.overlap)


@dataclass(frozen=True, kw_only=True)
class Replaced:
    """Runs that make room for a newer one, to be told of after the commit."""

    owner_id: UUID
    cancelled: Sequence[UUID]
    stopping: Sequence[UUID]


def rules_of(content: EventContent, values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that say what a queued run waits for. Raises KeyUnresolved."""
    columns: dict[str, Any] = {"exclusive": overlap.is_exclusive(content.overlap)}
    if content.concurrency is not None:
        columns["group_key"] = resolve(
            content.concurrency, values["owner_id"], values["event_id"], values["inputs"]
        )
        columns["group_limit"] = content.concurrency.limit
    if content.queue_expires_s:
        longest = timedelta(seconds=content.queue_expires_s)
        columns["expires_at"] = values["available_at"] + longest
    return columns


def skip(values: dict[str, Any], why: str) -> None:
    """It becomes no run, but a row that says so."""
    values |= {
        "status": RunStatus.CANCELLED.value,
        "reason": Reason.SKIPPED.value,
        "reason_text": why,
        "finished_at": values["created_at"],
        "search_text": f"{values['search_text']} {why.lower()}",
    }


async def admit(session: AsyncSession, candidates: Iterable[Candidate]) -> dict[UUID, UUID]:
    """Apply the overlap rules, in order. Returns which new run replaces the others of its event;
    for those call `replace` once they are inserted."""
    concerned = [candidate for candidate in candidates if candidate.concerned]
    if not concerned:
        return {}
    await queue.lock(session)
    at_most = 2 + max(candidate.content.queue_limit for candidate in concerned)
    events = {candidate.event_id for candidate in concerned}
    others = await queue.unfinished(session, events, at_most=at_most)
    replacing: dict[UUID, UUID] = {}
    for candidate in concerned:
        content, values = candidate.content, candidate.values
        before = others.get(candidate.event_id, Unfinished())
        admission = overlap.admit(
            content.overlap, content.queue_limit, before, test=values.get("hidden", False)
        )
        if not admission.runs:
            skip(values, admission.why)
            continue
        if not values.get("hidden", False):
            others[candidate.event_id] = Unfinished(begun=before.begun, waiting=before.waiting + 1)
        if admission.replaces:
            replacing[candidate.event_id] = values["id"]
    return replacing


async def replace(
    session: AsyncSession, event_id: UUID, new: UUID, owner_id: UUID, now: datetime
) -> Replaced:
    """The run `new` takes the place of the others of its event."""
    await session.flush()
    cancelled, stopping = await queue.replace_older(session, event_id, [new], now=now)
    return Replaced(owner_id=owner_id, cancelled=cancelled, stopping=stopping)
