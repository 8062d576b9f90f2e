"""What a caller sees. Values, not rows: ids are lower-case strings, times aware UTC.

As JSON, times are RFC 3339 with milliseconds and end in `Z`. Durations are seconds unless a name
says ms. Words ready to be shown are the pages' own work, except sentences written by the engine.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PlainSerializer

from cronium_app.domain.clock import rfc3339
from cronium_app.domain.concurrency import Concurrency
from cronium_app.domain.overlap import Overlap
from cronium_app.domain.retries import Retries
from cronium_app.domain.targets import Target

Item = TypeVar("Item")
Time = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class View(BaseModel):
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Page(View, Generic[Item]):
    """`next` and `prev` are opaque cursors: towards older and towards newer items."""

    items: list[Item]
    next: str | None = None
    prev: str | None = None


# --- schedules --------------------------------------------------------------------------------


class PauseView(View):
    """`target_name`: the event's name, for a schedule with its rule in words; the tag; or ""."""

    id: str
    scope: Literal["schedule", "event", "tag", "all"]
    target: str
    target_name: str
    since: Time
    until: Time
    by: str
    note: str


class ScheduleView(View):
    """`next_fire_at` is None when it will not fire: off, ended, or its event off or archived.
    `next_fires` are what the rule gives all the same while it is switched on. While it is paused,
    `paused_until` and `paused_by` say how; its fires then become visible skips.
    """

    id: str
    event_id: str
    kind: str
    expression: str | None
    every_s: int | None
    at: Time | None
    timezone: str
    start: Time | None
    end: Time | None
    enabled: bool
    dst: str
    misfire: str
    misfire_window_s: int
    jitter_s: int
    paused_until: Time | None
    paused_by: str
    words: str
    next_fire_at: Time | None
    next_fires: list[Time]
    notes: list[str]
    last_fire_at: Time | None


class SchedulePreview(View):
    words: str
    fires: list[Time]
    notes: list[str]


# --- events -----------------------------------------------------------------------------------


class ContentView(View):
    runtime: Literal["python", "node", "bash"]
    script: str
    image: str
    env: dict[str, str]
    target: Target
    network: bool
    timeout_s: int
    setup_timeout_s: int
    cleanup_timeout_s: int
    stop_grace_s: int
    memory_mb: int
    work_mb: int
    cpus: float
    pids: int
    retries: Retries
    overlap: Overlap
    queue_limit: int
    concurrency: Concurrency | None
    priority: int
    queue_expires_s: int


class EventView(ContentView):
    """`image` is what was asked for ("" = the runtime's own), `resolved_image` what is used."""

    id: str
    name: str
    tags: list[str]
    enabled: bool
    archived: bool
    draft: bool
    revision: int
    owner_id: str
    created_at: Time
    updated_at: Time
    resolved_image: str
    schedules: list[ScheduleView]


class Tick(View):
    run_id: str
    status: Status
    reason: str | None
    at: Time
    duration_ms: int | None


class EventRow(View):
    """`ticks`: its last 30 runs, oldest first, without tests."""

    id: str
    name: str
    tags: list[str]
    enabled: bool
    archived: bool
    runtime: str
    image: str
    revision: int
    ticks: list[Tick]
    next_fire_at: Time | None
    schedule_words: list[str]
    schedule_timezone: str
    last_duration_ms: int | None
    last_status: Status | None


class DeletePreview(View):
    """What would go with an event: counts, and bytes of logs."""

    runs: int
    schedules: int
    log_bytes: int
    running: int


class RevisionRow(View):
    number: int
    created_at: Time
    created_by: str
    sha256: str


class RevisionView(RevisionRow):
    content: ContentView


class Template(View):
    key: str
    name: str
    description: str
    runtime: Literal["python", "node", "bash"]
    script: str
    network: bool = True
    timeout_s: int = 3600
    env: dict[str, str] = {}


# --- runs -------------------------------------------------------------------------------------


class RunRow(View):
    id: str
    event_id: str
    event_name: str
    runtime: str
    status: Status
    reason: str | None
    reason_text: str
    exit_code: int | None
    trigger: str
    triggered_by: str
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    duration_ms: int | None
    waiting_text: str
    revision: int


class RetriesView(View):
    """`max`: what the event allows; `used` of them so far. `infra_faults`: attempts that ended
    before the script began, which are not counted. `next_try_at`: None unless between two tries.
    """

    max: int
    used: int
    infra_faults: int
    next_try_at: Time | None


class AttemptView(View):
    """One try of a run. `duration_s` runs from its start to its end."""

    number: int
    status: Literal["running", "succeeded", "failed", "cancelled"]
    reason: str | None
    reason_text: str
    exit_code: int | None
    phase: str | None
    created_at: Time
    finished_at: Time | None
    duration_s: float | None
    setup_s: float | None
    execution_s: float | None
    cleanup_s: float | None
    image: str
    image_digest: str
    log_length: int
    log_lines: int
    log_complete: bool


class GroupMember(View):
    """`since`: when it began, or was put into the queue."""

    run_id: str
    event_id: str
    event_name: str
    since: Time


class GroupView(View):
    """Who holds and who waits. `kind`: `group` for a named one; `event` for an event's own limit,
    or an event that runs one at a time. `waiting` shows at most 50, `waiting_count` at most 1,000.
    """

    kind: Literal["group", "event"]
    name: str
    limit: int
    holders: list[GroupMember]
    waiting: list[GroupMember]
    waiting_count: int


class RunView(View):
    """`triggered_by` is a name as it was then. `next_step`: what to do about a failure, or "".
    `usual_s`: the median of the event's last 20 successes, None while there is none.
    `outputs` is an object unless the script made another JSON value its result. `duration_s` is
    what a person experienced, `started_at` to `finished_at`, in every list and on every page; the
    phases are what the executor measured of its own work in the newest attempt.
    """

    id: str
    event_id: str
    event_name: str
    owner_id: str
    revision: int
    status: Status
    reason: str | None
    reason_text: str
    next_step: str
    exit_code: int | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    duration_s: float | None
    attempt: int
    trigger: str
    triggered_by: str
    schedule_id: str | None
    fire_time: Time | None
    inputs: dict[str, Any]
    outputs: Any
    conditions: dict[str, Any]
    stop_requested_at: Time | None
    waiting_text: str
    phase: str | None
    setup_s: float | None
    execution_s: float | None
    cleanup_s: float | None
    runtime: str
    image: str
    image_digest: str
    limits: dict[str, float]
    network: bool
    log_length: int
    log_lines: int
    log_complete: bool
    hidden: bool
    usual_s: float | None
    retries: RetriesView


# --- home -------------------------------------------------------------------------------------


class RunningRow(RunRow):
    phase: str | None
    last_line: str
    lines: int
    usual_s: float | None


class NextFire(View):
    event_id: str
    event_name: str
    schedule_id: str
    at: Time
    timezone: str
    words: str


class Counts(View):
    """Of the last 24 hours, without tests; `events` are those not archived, now."""

    events: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int


class ImageView(View):
    image: str
    state: str
    percent: int | None
    text: str


class EngineView(View):
    """`state`: up, down or starting; `detail` is one sentence when it is not up."""

    state: str
    detail: str
    slots: int
    free_slots: int
    images: list[ImageView]


class HomeView(View):
    """`running`: what is queued or runs now, newest first. `failed`: since yesterday's midnight
    in UTC. `next_fires`: at most ten.
    """

    running: list[RunningRow]
    failed: list[RunRow]
    next_fires: list[NextFire]
    counts: Counts
    engine: EngineView


# --- people and tokens ------------------------------------------------------------------------


class Me(View):
    """`via`: session or token."""

    id: str
    email: str
    role: str
    via: str


class UserView(View):
    id: str
    email: str
    role: str
    disabled: bool
    created_at: Time


class SessionView(View):
    id: str
    created_at: Time
    last_seen_at: Time
    expires_at: Time
    user_agent: str
    current: bool


class TokenView(View):
    """`hint`: the first characters, to tell tokens apart. The token itself is shown only once."""

    id: str
    name: str
    hint: str
    created_at: Time
    last_used_at: Time | None
    expires_at: Time | None
    revoked_at: Time | None


class NewToken(View):
    token: str
    view: TokenView
