"""What may be asked: one strict model per entry point. Nothing else reaches the use cases.

`checked(Model, data)` turns anything that does not fit into `Invalid` with the field and one
sentence. Moments are strings as a person or a program writes them: RFC 3339, or wall-clock time
in the schedule's zone.
"""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from agent.jobs import MAX_INPUT_BYTES
from cronium_app.actions.errors import Invalid
from cronium_app.domain.clock import rfc3339
from cronium_app.domain.concurrency import Concurrency
from cronium_app.domain.events import EventContent, Priority, QueueExpiry, QueueLimit
from cronium_app.domain.jitter import LONGEST_S
from cronium_app.domain.misfire import LONGEST_WINDOW_S
from cronium_app.domain.overlap import Overlap
from cronium_app.domain.retries import Retries
from cronium_app.domain.targets import Target

MAX_DEPTH = 20
MAX_ID = 36
_INT64 = 2**63
# They show a text in another order than it has, or break its line.
_HIDDEN = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def plain_text(value: str) -> str:
    """One line that people read: no control characters, no broken Unicode, no outer spaces."""
    value = value.strip()
    if any(ord(char) < 32 or 127 <= ord(char) < 160 for char in value):
        raise ValueError("Control characters are not allowed here.")
    if any(char in _HIDDEN for char in value):
        raise ValueError("Characters that change the direction of text are not allowed here.")
    return value


def _unique_tags(tags: list[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def json_object(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON object as programs exchange it: finite numbers, at most 20 levels, 1 MB."""
    size = 0
    pending: list[tuple[Any, int]] = [(value, 1)]
    while pending:
        item, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"More than {MAX_DEPTH} levels of nesting.")
        size += 2 + _json_leaf_size(item)
        if isinstance(item, dict):
            for key, inner in cast("dict[Any, Any]", item).items():
                if not isinstance(key, str):
                    raise ValueError("The keys of an object are text.")
                size += _json_leaf_size(key)
                pending.append((inner, depth + 1))
        elif isinstance(item, list):
            pending.extend((inner, depth + 1) for inner in cast("list[Any]", item))
        if size > MAX_INPUT_BYTES:
            raise ValueError("More than 1 MB altogether.")
    return value


def _json_leaf_size(item: Any) -> int:
    if item is None or isinstance(item, bool | dict | list):
        return 4
    if isinstance(item, str):
        try:
            return len(item.encode())
        except UnicodeEncodeError as error:
            raise ValueError("A text is not valid Unicode.") from error
    if isinstance(item, int) and -_INT64 <= item < _INT64:
        return 20
    if isinstance(item, float) and math.isfinite(item):
        return 24
    raise ValueError("Only JSON is possible here, with numbers of at most 64 bits.")


def _moment(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) and value.tzinfo else value


def _instant(value: Any) -> Any:
    """Strict models take no text for a time; programs and addresses have nothing else."""
    if not isinstance(value, str):
        return value
    if len(value) > 64:
        raise ValueError("Write a time as 2026-03-29T14:30:00Z.")
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment.astimezone(UTC)  # the first and last day of the calendar are not everywhere
    except (ValueError, OverflowError):
        raise ValueError("Write a time as 2026-03-29T14:30:00Z.") from None
    return moment


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(plain_text),
    Field(min_length=1),
]
Tag = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=50),
    AfterValidator(plain_text),
    Field(min_length=1),
]
Tags = Annotated[list[Tag], Field(max_length=20), AfterValidator(_unique_tags)]
JsonObject = Annotated[dict[str, Any], AfterValidator(json_object)]
Moment = Annotated[str, BeforeValidator(_moment, json_schema_input_type=str), Field(max_length=64)]
Instant = Annotated[AwareDatetime, BeforeValidator(_instant, json_schema_input_type=AwareDatetime)]
Id = Annotated[str, StringConstraints(max_length=MAX_ID)]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        to_lower=True,
        min_length=3,
        max_length=254,
        pattern=r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}$",
    ),
]
Password = Annotated[str, Field(max_length=1024)]


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("A NUL character cannot be looked for.")
    return value


Wanted = Annotated[str, Field(max_length=200), AfterValidator(_no_nul)]


class Command(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def checked(model: type[AnyModel], data: Mapping[str, Any] | BaseModel) -> AnyModel:
    """`data` as a `model`, or Invalid with the first field at fault and one sentence."""
    if isinstance(data, model):
        return data
    try:
        return model.model_validate(data.model_dump() if isinstance(data, BaseModel) else data)
    except ValidationError as error:
        raise invalid_from(error) from None
    except RecursionError:
        raise Invalid("The nesting is too deep.") from None


def invalid_from(error: ValidationError) -> Invalid:
    """The first thing pydantic found, in our words and without what was sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return Invalid(
        sentence(first["type"], first["msg"]),
        field=".".join(printable(part) for part in first["loc"]) or None,
    )


def printable(part: Any) -> str:
    """Keys of an object are the sender's own text; they go back harmless and short."""
    return str(part).encode("ascii", "replace").decode()[:100]


def sentence(kind: str, text: str) -> str:
    known = {
        "extra_forbidden": "This field does not exist.",
        "missing": "This field is needed.",
        "json_invalid": "This is not JSON.",
    }
    text = known.get(kind, text.removeprefix("Value error, "))
    return text if text.endswith(".") else f"{text}."


# --- events -----------------------------------------------------------------------------------

CONTENT_FIELDS = tuple(EventContent.model_fields)


class _Content(EventContent):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    def content(self) -> EventContent:
        return EventContent.model_validate(self.model_dump(include=set(CONTENT_FIELDS)))


class EventIn(_Content):
    name: Name
    tags: Tags = Field(default_factory=list)
    enabled: bool = True


class EventPatch(Command):
    """What is not given stays; null ends `concurrency`. `base_revision`: the one the edit started
    from; if a newer one exists, the save is refused with both shown. Without it the last save wins.
    """

    base_revision: Annotated[int, Field(ge=0, le=2**31)] | None = None
    name: Name | None = None
    tags: Tags | None = None
    enabled: bool | None = None
    runtime: Literal["python", "node", "bash"] | None = None
    script: str | None = None
    image: str | None = None
    env: dict[str, str] | None = Field(default=None, max_length=500)
    target: Target | None = None
    network: bool | None = None
    timeout_s: Annotated[int, Field(ge=1, le=30 * 86400)] | None = None
    setup_timeout_s: Annotated[int, Field(ge=1, le=86400)] | None = None
    cleanup_timeout_s: Annotated[int, Field(ge=1, le=3600)] | None = None
    stop_grace_s: Annotated[int, Field(ge=0, le=3600)] | None = None
    memory_mb: Annotated[int, Field(ge=16, le=1024 * 1024)] | None = None
    work_mb: Annotated[int, Field(ge=1, le=1024 * 1024)] | None = None
    cpus: Annotated[float, Field(ge=0.05, le=256, allow_inf_nan=False)] | None = None
    pids: Annotated[int, Field(ge=8, le=65536)] | None = None
    retries: Retries | None = None
    overlap: Overlap | None = None
    queue_limit: QueueLimit | None = None
    concurrency: Concurrency | None = None
    priority: Priority | None = None
    queue_expires_s: QueueExpiry | None = None

    def content_values(self) -> dict[str, Any]:
        """What of the content was given. Null means not given, but for `concurrency`: there it is
        a value, and ends the limit."""
        given = self.model_dump(include=set(CONTENT_FIELDS), exclude_unset=True)
        return {k: v for k, v in given.items() if v is not None or k == "concurrency"}


class TestIn(_Content):
    """Run unsaved text once. Without `event_id` a draft event is made to hold it."""

    __test__ = False  # pytest would take the name for a test class
    event_id: Id | None = None
    name: Annotated[str, StringConstraints(max_length=200), AfterValidator(plain_text)] = ""
    inputs: JsonObject = Field(default_factory=dict)


# --- schedules --------------------------------------------------------------------------------


MisfireWindow = Annotated[int, Field(ge=0, le=LONGEST_WINDOW_S)]
Jitter = Annotated[int, Field(ge=0, le=LONGEST_S)]


class ScheduleIn(Command):
    kind: Literal["cron", "interval", "once"]
    expression: Annotated[str, Field(max_length=1000)] | None = None
    every_s: Annotated[int, Field(ge=1, le=3_653 * 86_400)] | None = None
    at: Moment | None = None
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    start: Moment | None = None
    end: Moment | None = None
    enabled: bool = True
    dst: Literal["once", "skip"] = "once"
    misfire: Literal["skip", "once", "all"] = "once"
    misfire_window_s: MisfireWindow = 3600
    jitter_s: Jitter = 0


class SchedulePatch(Command):
    """What is not given stays; null clears `start` and `end`."""

    kind: Literal["cron", "interval", "once"] | None = None
    expression: Annotated[str, Field(max_length=1000)] | None = None
    every_s: Annotated[int, Field(ge=1, le=3_653 * 86_400)] | None = None
    at: Moment | None = None
    timezone: Annotated[str, Field(max_length=64)] | None = None
    start: Moment | None = None
    end: Moment | None = None
    enabled: bool | None = None
    dst: Literal["once", "skip"] | None = None
    misfire: Literal["skip", "once", "all"] | None = None
    misfire_window_s: MisfireWindow | None = None
    jitter_s: Jitter | None = None


class PauseIn(Command):
    """`target`: the id of the schedule or event, or the tag; nothing for `all`."""

    scope: Literal["schedule", "event", "tag", "all"]
    target: Annotated[str, StringConstraints(strip_whitespace=True, max_length=50)] = ""
    until: Instant
    note: Annotated[str, StringConstraints(max_length=200), AfterValidator(plain_text)] = ""


# --- runs -------------------------------------------------------------------------------------


class RunIn(Command):
    """`revision` None: the newest saved one."""

    inputs: JsonObject = Field(default_factory=dict)
    revision: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None


class RunFilter(Command):
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"] | None = None
    event_id: Id | None = None
    trigger: Literal["schedule", "manual", "test", "api"] | None = None
    since: Instant | None = None
    until: Instant | None = None
    text: Wanted | None = None
    include_tests: bool = False


class EventFilter(Command):
    search: Wanted = ""
    tag: Wanted | None = None
    archived: bool = False


class PageIn(Command):
    cursor: Annotated[str, Field(max_length=500)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


# --- people and tokens ------------------------------------------------------------------------


class LoginIn(Command):
    email: Annotated[str, Field(max_length=254)]
    password: Password
    next: Annotated[str, Field(max_length=2000)] = "/"


class SetupIn(Command):
    code: Annotated[str, Field(max_length=200)]
    email: Email
    password: Password


class PasswordIn(Command):
    current: Password
    new: Password


class UserIn(Command):
    email: Email
    password: Password
    role: Literal["admin", "user"] = "user"


class TokenIn(Command):
    """`expires_at` None: until it is revoked."""

    name: Annotated[
        str,
        StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
        AfterValidator(plain_text),
    ]
    expires_at: Instant | None = None
