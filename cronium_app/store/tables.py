# pyright: reportAssignmentType=false
"""All tables. Rows never leave the server: actions turn them into views.

Times are aware UTC. Enum-like columns hold the strings of `domain`. JSON columns are canonical
JSON text written by us, so that SQLite and PostgreSQL store the same bytes.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from cronium_app.domain.ids import new_id


class Meta(SQLModel, table=True):
    """Facts about this installation: its id, the id of its master key."""

    __tablename__ = "meta"
    key: str = Field(primary_key=True)
    value: str


class User(SQLModel, table=True):
    __tablename__ = "users"
    id: UUID = Field(default_factory=new_id, primary_key=True)
    email: str = Field(unique=True)  # lower case
    password_hash: str
    role: str
    disabled_at: datetime | None = None
    created_at: datetime
    password_changed_at: datetime


class LoginSession(SQLModel, table=True):
    __tablename__ = "sessions"
    id: UUID = Field(default_factory=new_id, primary_key=True)
    token_hash: str = Field(unique=True)  # sha256 hex of the cookie's value
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    user_agent: str = ""


class ApiToken(SQLModel, table=True):
    __tablename__ = "api_tokens"
    id: UUID = Field(default_factory=new_id, primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    name: str
    hint: str  # first characters, to recognise it in a list
    token_hash: str = Field(unique=True)  # sha256 hex
    created_at: datetime
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class SetupCode(SQLModel, table=True):
    __tablename__ = "setup_codes"
    id: UUID = Field(default_factory=new_id, primary_key=True)
    code_hash: str = Field(unique=True)
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


class AuditEntry(SQLModel, table=True):
    __tablename__ = "audit"
    id: UUID = Field(default_factory=new_id, primary_key=True)
    at: datetime
    actor: str  # user id, or "system"
    via: str
    action: str
    object_id: str = ""
    detail: str = Field(default="", sa_column=Column(Text, nullable=False))


class Event(SQLModel, table=True):
    __tablename__ = "events"
    __table_args__ = (Index("ix_events_owner_name", "owner_id", "name"),)
    id: UUID = Field(default_factory=new_id, primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", index=True)
    name: str
    tags: str = Field(default="[]", sa_column=Column(Text, nullable=False))  # JSON list
    enabled: bool = True
    draft: bool = False  # exists only because something was tested before the first save
    revision: int  # the newest saved (not draft) revision; 0 while draft
    archived_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


class Revision(SQLModel, table=True):
    __tablename__ = "revisions"
    event_id: UUID = Field(foreign_key="events.id", ondelete="CASCADE", primary_key=True)
    number: int = Field(primary_key=True)
    content: str = Field(sa_column=Column(Text, nullable=False))  # canonical JSON
    sha256: str
    runtime: str = ""  # out of the content, for lists
    image: str = ""  # as resolved
    draft: bool = False  # made by Test: hidden from the history
    created_at: datetime
    created_by: UUID | None = None


class Schedule(SQLModel, table=True):
    __tablename__ = "schedules"
    id: UUID = Field(default_factory=new_id, primary_key=True)
    event_id: UUID = Field(foreign_key="events.id", ondelete="CASCADE", index=True)
    owner_id: UUID = Field(foreign_key="users.id")
    kind: str  # cron | interval | once
    expression: str | None = None
    every_s: int | None = None
    at: datetime | None = None
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    dst: str = "once"
    misfire: str = "once"  # skip | once | all: what becomes of fires while no server ran
    misfire_window_s: int = 3600  # missed by more than this, none of them runs
    jitter_s: int = 0  # each run starts up to this much after its fire
    anchor_at: datetime  # interval fire k = anchor + k * every
    enabled: bool = True
    next_fire_at: datetime | None = Field(default=None, index=True)  # None: never again, or off
    last_fire_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


class Pause(SQLModel, table=True):
    """Nothing fires from `since_at` until `until_at`; each fire between them is a visible skip.

    Kept a while after its end: a server that was down meanwhile must still know of it.
    """

    __tablename__ = "pauses"
    __table_args__ = (Index("ix_pauses_owner", "owner_id", "until_at"),)
    id: UUID = Field(default_factory=new_id, primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    scope: str  # schedule | event | tag | all
    target: str = ""  # the id or the tag; "" for all
    since_at: datetime
    until_at: datetime  # moved forward when somebody ends it early
    created_by: UUID | None = None
    created_by_name: str = ""  # as it was then
    note: str = ""


class Agent(SQLModel, table=True):
    __tablename__ = "agents"
    id: UUID = Field(primary_key=True)  # made by the agent in its own data folder
    name: str = Field(unique=True)
    builtin: bool = False
    slots: int = 0
    version: str = ""
    first_seen_at: datetime
    last_seen_at: datetime | None = None


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class Run(SQLModel, table=True):
    """One execution of an event. The row is the queue entry."""

    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("schedule_id", "fire_time", name="uq_runs_fire"),
        # One for each filter of the history; all end in the order it is shown in.
        Index("ix_runs_owner", "owner_id", "created_at", "id"),
        Index("ix_runs_event", "event_id", "created_at", "id"),
        Index("ix_runs_status", "owner_id", "status", "created_at", "id"),
        Index("ix_runs_trigger", "owner_id", "trigger", "created_at", "id"),
        # Text search reads this instead of the whole rows (four times as fast). PostgreSQL limits
        # the size of an index entry, and scans its table fast enough.
        Index("ix_runs_search", "owner_id", "created_at", "id", "hidden", "search_text").ddl_if(
            dialect="sqlite"
        ),
        # The queue: the runs of a lane in their order. See store.queue.
        _partial("ix_runs_queue", "lane", "available_at", "id", where="status = 'queued'"),
        _partial("ix_runs_waiting", "event_id", where="status = 'queued'"),
        _partial("ix_runs_between", "event_id", where="status = 'queued' AND attempt > 0"),
        _partial("ix_runs_expiry", "expires_at", where="status = 'queued'"),
        _partial("ix_runs_event_running", "event_id", where="status = 'running'"),
        _partial("ix_runs_group_running", "group_key", where="status = 'running'"),
        Index(
            "ix_runs_lease",
            "lease_until",
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )
    id: UUID = Field(default_factory=new_id, primary_key=True)
    event_id: UUID = Field(foreign_key="events.id", ondelete="CASCADE")
    owner_id: UUID = Field(foreign_key="users.id")
    revision: int
    status: str
    reason: str | None = None
    reason_text: str = ""  # one plain sentence for people
    next_step: str = ""  # what they can do about it, where we know
    exit_code: int | None = None
    place: str = "container"  # what a server must reach to claim it; see domain.waiting
    image: str = ""
    trigger: str
    triggered_by: UUID | None = None  # the user; None for schedules
    triggered_by_name: str = ""  # as it was then: an e-mail address or the schedule in words
    hidden: bool = False  # tests are hidden from the history by default
    schedule_id: UUID | None = None  # no foreign key: a deleted schedule's runs keep its id
    fire_time: datetime | None = None
    priority: int = 0
    exclusive: bool = False  # not beside another run of its event
    group_key: str = ""  # what it holds while it runs; see domain.concurrency
    group_limit: int = 0  # how many may hold that
    lane: UUID | None = None  # its place in the queue; None: not sorted in yet
    created_at: datetime
    available_at: datetime  # not to be claimed before
    expires_at: datetime | None = None  # not to be started after, unless it has begun before
    waiting_text: str = ""  # why it is still queued, in words
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_ms: int | None = Field(default=None, sa_column=Column(BigInteger))
    stop_requested_at: datetime | None = None
    stop_requested_by: str = ""
    stop_reason: str = ""  # other than that a person asked for it
    attempt: int = 0  # number of the current attempt, 0 before the first
    infra_faults: int = 0  # attempts that ended before the script began, by no fault of its own
    fence: int = 0
    lease_owner: str | None = None
    lease_until: datetime | None = None
    event_name: str = ""  # as it was then
    search_text: str = Field(default="", sa_column=Column(Text, nullable=False))  # lower case
    inputs: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    outputs: str = Field(default="{}", sa_column=Column(Text, nullable=False))
    conditions: str = Field(default="{}", sa_column=Column(Text, nullable=False))


class QueueTurn(SQLModel, table=True):
    """An event with runs in the queue at one priority: the lowest number goes next."""

    __tablename__ = "queue_turns"
    __table_args__ = (
        Index("ix_queue_turns_order", text("priority DESC"), "number"),
        Index("ix_queue_turns_number", "number"),
    )
    event_id: UUID = Field(foreign_key="events.id", ondelete="CASCADE", primary_key=True)
    priority: int = Field(primary_key=True)
    number: int = Field(sa_column=Column(BigInteger, nullable=False))
    next_at: datetime | None = None  # not later than the first of its lanes


class QueueLane(SQLModel, table=True):
    """Queued runs of one event that wait for the same things, in order of `available_at`."""

    __tablename__ = "queue_lanes"
    __table_args__ = (
        Index("ix_queue_lanes_event", "event_id", "priority", "next_at"),
        Index("ix_queue_lanes_next", "next_at"),
    )
    id: UUID = Field(primary_key=True)
    event_id: UUID = Field(foreign_key="events.id", ondelete="CASCADE")
    priority: int
    place: str
    image: str
    exclusive: bool
    begun: bool  # between two tries
    group_key: str
    group_limit: int
    next_at: datetime | None = None  # not later than the first of its runs


class Attempt(SQLModel, table=True):
    """One try of a run. Logs belong to attempts."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("run_id", "number", name="uq_attempts_number"),)
    id: UUID = Field(default_factory=new_id, primary_key=True)
    run_id: UUID = Field(foreign_key="runs.id", ondelete="CASCADE", index=True)
    number: int
    epoch: int = 1
    agent_id: UUID | None = None
    status: str  # running | succeeded | failed | cancelled
    reason: str | None = None
    reason_text: str = ""
    exit_code: int | None = None
    phase: str = "setup"
    image: str = ""
    image_digest: str = ""
    container_id: str = ""
    created_at: datetime
    accepted_at: datetime | None = None  # the agent has it on its disk
    execution_at: datetime | None = None
    cleanup_at: datetime | None = None
    finished_at: datetime | None = None
    setup_s: float | None = None
    execution_s: float | None = None
    cleanup_s: float | None = None
    log_home: str = ""  # id of the server that holds the file
    log_length: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    log_lines: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    log_sha256: str = ""
    log_complete: bool = False
    stdout_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    stderr_bytes: int = Field(default=0, sa_column=Column(BigInteger, nullable=False))
    oom_warning: bool = False
    outcome: bytes | None = Field(default=None, sa_column=Column(LargeBinary))  # as reported
