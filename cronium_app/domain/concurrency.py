"""Named groups with keys: at most so many runs hold one at a time, whichever events they are of.

Group and key are texts in which `{{ inputs.env }}` stands for an input of the run. That is the
whole grammar: a path into the inputs, nothing that computes, so nothing that could be abused.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, cast
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

MAX_NAME = 200
MAX_LIMIT = 100_000

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_PATH = re.compile(r"\s*inputs((?:\.[A-Za-z0-9_-]{1,100}){1,10})\s*\Z")


class KeyUnresolved(ValueError):
    """The key needs an input that the run does not have; the message is one sentence."""


class Concurrency(BaseModel):
    """`group` empty: the event's own. `limit`: how many runs may hold the same key at once."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    group: Annotated[str, Field(max_length=MAX_NAME)] = ""
    key: Annotated[str, Field(max_length=MAX_NAME)] = ""
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 1

    @field_validator("group", "key")
    @classmethod
    def _template(cls, value: str) -> str:
        value = value.strip()
        _refuse_control(value, "A group's name or key")
        for place in _PLACE.findall(value):
            if not _PATH.match(place):
                raise ValueError("Between {{ and }} only an input is possible: {{ inputs.env }}.")
        if "{{" in (rest := _PLACE.sub("", value)) or "}}" in rest:
            raise ValueError("A {{ has no }}, or the other way round.")
        return value


def resolve(rule: Concurrency, owner_id: UUID, event_id: UUID, inputs: str) -> str:
    """The whole key of a run with these inputs (JSON text). Groups belong to their owner: nobody
    holds up another person's runs. Raises KeyUnresolved.
    """
    values: Any = json.loads(inputs) if "{{" in rule.group + rule.key else {}
    group, key = _filled(rule.group, values), _filled(rule.key, values)
    if rule.group and not group:
        raise KeyUnresolved("The concurrency group's name came out empty.")
    scope = f"group:{group}" if rule.group else f"event:{event_id}"
    return f"{owner_id}/{json.dumps([scope, key], ensure_ascii=False)}"


def name_of(whole_key: str) -> str:
    """A whole key as people read it: `deploy-prod`; "" for an event's own group without key."""
    if not whole_key:
        return ""
    scope, key = json.loads(whole_key.partition("/")[2])
    group = scope.removeprefix("group:") if scope.startswith("group:") else ""
    if not key or key == group or key.startswith(f"{group}-"):
        return key or group
    return f"{group}-{key}" if group else key


def _filled(template: str, values: Any) -> str:
    text = _PLACE.sub(lambda match: _value(match[1], values), template)
    if len(text) > MAX_NAME:
        raise KeyUnresolved(f"The concurrency key is longer than {MAX_NAME} characters.")
    return text


def _value(place: str, values: Any) -> str:
    match = _PATH.match(place)
    path = match[1].split(".")[1:] if match else []
    name = ".".join(path)
    found: Any = values
    for part in path:
        if not isinstance(found, Mapping) or part not in found:
            raise KeyUnresolved(f"The concurrency key needs the input “{name}”.")
        found = cast("Mapping[str, Any]", found)[part]
    if isinstance(found, bool):
        return "true" if found else "false"
    if not isinstance(found, str | int | float):
        raise KeyUnresolved(
            f"The input “{name}” of the concurrency key is neither text nor number."
        )
    text = str(found)
    try:
        _refuse_control(text, f"The input “{name}” of the concurrency key")
    except ValueError as error:
        raise KeyUnresolved(str(error)) from None
    return text


def _refuse_control(text: str, what: str) -> None:
    if any(
        ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000 for char in text
    ):
        raise ValueError(f"{what} has characters that cannot be shown.")


# --- who holds, and why another waits -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A run that is under way. `since` is None between two tries."""

    run_id: UUID
    event_id: UUID
    event_name: str
    exclusive: bool
    group_key: str
    since: datetime | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A queued run as the rules see it."""

    run_id: UUID
    event_id: UUID
    group_key: str
    group_limit: int
    exclusive: bool
    begun: bool  # between two tries


def blocked_text(
    waiting: Waiting, holders: Sequence[Holder], *, running: int, server_limit: int | None
) -> str:
    """Which rule keeps a queued run from starting, and who holds what it needs; "" if none."""
    if before := _before(waiting, holders):
        between = " (it waits for its next try)" if before.since is None else _since(before)
        return f"waits for the run before it{between}"
    if waiting.group_key:
        held = [h for h in holders if h.since and h.group_key == waiting.group_key]
        if len(held) >= waiting.group_limit:
            return _group_text(waiting, held)
    if server_limit is not None and running >= server_limit:
        return f"waits: {running:,} runs are under way, the limit is {server_limit:,}"
    return ""


def _before(waiting: Waiting, holders: Sequence[Holder]) -> Holder | None:
    return next(
        (
            holder
            for holder in holders
            if holder.event_id == waiting.event_id
            and (waiting.exclusive or holder.exclusive)
            and holder.run_id != waiting.run_id
            and (holder.since is not None or not waiting.begun)
        ),
        None,
    )


def _group_text(waiting: Waiting, held: list[Holder]) -> str:
    first = min(held, key=lambda holder: (holder.since is None, holder.since))
    name = name_of(waiting.group_key)
    if not name and len(held) == 1:
        return f"waits for the run before it{_since(first)}"
    if not name:
        return f"waits: {len(held):,} runs of this event are under way, as many as it allows"
    others = len(held) - 1
    more = f" and {others:,} other{'s' if others > 1 else ''}" if others else ""
    return f"waits for {name}, held by {first.event_name}{more}{_since(first)}"


def _since(holder: Holder) -> str:
    return f" since {holder.since:%H:%M:%S} UTC" if holder.since else ""
