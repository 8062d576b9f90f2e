"""Every message between server and agent: types, version, size limits, codec. No I/O.

One frame is one MessagePack-encoded tagged struct. Unknown fields and unknown types are refused.
Each message may arrive twice and must be safe to receive twice. Everything about an attempt names
its `attempt_id` and `epoch`; a message with an old epoch changes nothing.

A conversation:

    agent  -> Hello(holding what it still has)         server -> Welcome
    server -> Resume(attempt, epoch, offset) for each run it wants to go on with, or Forget
    server -> Start(job)                               agent  -> Accepted | Refused
    agent  -> Progress, LogChunk ..., Finished         server -> LogAck ..., FinishAck
    server -> Stop(attempt, epoch, grace)              agent  -> (the run ends in Finished)
    agent  -> Heartbeat every few seconds

`LogChunk.offset` is a byte offset in the attempt's `.log` (both streams in order of arrival).
The server appends only at its own length: earlier bytes are trimmed, a gap is answered with
`LogAck(offset=own length, again=True)` and the agent sends again from there.
"""

from typing import Literal, TypeAlias

import msgspec

from agent.jobs import Job, Outcome, Phase

PROTOCOL_VERSION = 1
MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_LOG_BYTES = 256 * 1024  # data of one LogChunk


class ProtocolError(Exception):
    """The peer sent something this version does not understand. Never quotes the frame."""


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag=True):
    pass


class Segment(msgspec.Struct, frozen=True, array_like=True):
    """A stretch of one stream inside a LogChunk. The lengths of all segments sum to the data."""

    stream: int  # 1 stdout, 2 stderr
    length: int  # bytes
    time_ms: int  # when it was read, ms since the epoch, UTC


class Held(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An attempt an agent still has: not started, running, or ended and not yet acknowledged."""

    run_id: str
    attempt_id: str
    epoch: int
    state: Literal["accepted", "running", "finished"]
    log_length: int


class ImageState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    image: str
    state: Literal["ready", "building", "pulling", "unavailable", "missing"]
    percent: int | None = None
    text: str = ""


# --- from the agent ---


class Hello(_Message, frozen=True, kw_only=True):
    protocol: int = PROTOCOL_VERSION
    agent_id: str  # a UUID made once in the agent's data folder
    name: str
    version: str
    slots: int
    holding: list[Held] = []


class Heartbeat(_Message, frozen=True, kw_only=True):
    free_slots: int
    engine: Literal["up", "down"]
    engine_detail: str = ""  # one sentence when down or degraded, else the engine's version
    degraded: str = ""  # one sentence why no job is taken though the engine is up
    images: list[ImageState] = []


class Accepted(_Message, frozen=True, kw_only=True):
    """The job is journalled on the agent's disk: from here on it will not be lost."""

    attempt_id: str
    epoch: int


class Refused(_Message, frozen=True, kw_only=True):
    """The job was not taken (no slot, draining, engine down). The server hands it out again."""

    attempt_id: str
    epoch: int
    why: Literal["no_slot", "draining", "engine_down", "stale", "invalid"]
    detail: str = ""


class Progress(_Message, frozen=True, kw_only=True):
    """The attempt entered `phase` at `time_ms`; `text` says what goes on ("building image, 60 %")."""

    attempt_id: str
    epoch: int
    phase: Phase
    time_ms: int
    text: str = ""
    image_digest: str = ""
    container_id: str = ""


class LogChunk(_Message, frozen=True, kw_only=True):
    attempt_id: str
    epoch: int
    offset: int
    crc32: int  # of data
    data: bytes
    segments: list[Segment]


class Finished(_Message, frozen=True, kw_only=True):
    """How the attempt ended. May come before the last log bytes; `outcome.log_length` says how
    many there will be.

    An empty `outcome.log_sha256` means: status, reason and exit code are known, but the log, and
    what the script reported at its end, are still being read. Another Finished follows, with the
    final numbers; only that one is to be answered with FinishAck."""

    attempt_id: str
    epoch: int
    outcome: Outcome


# --- from the server ---


class Welcome(_Message, frozen=True, kw_only=True):
    protocol: int = PROTOCOL_VERSION
    server_version: str
    server_id: str


class Start(_Message, frozen=True, kw_only=True):
    job: Job


class Resume(_Message, frozen=True, kw_only=True):
    """Go on with an attempt you hold, sending its log from `offset`; sends Finished again if so."""

    attempt_id: str
    epoch: int
    offset: int


class Forget(_Message, frozen=True, kw_only=True):
    """The server has no use for this attempt: stop its container if it runs, drop all of it."""

    attempt_id: str
    epoch: int


class Stop(_Message, frozen=True, kw_only=True):
    attempt_id: str
    epoch: int
    grace_s: float
    why: str = ""


class LogAck(_Message, frozen=True, kw_only=True):
    """All bytes below `offset` are committed. `again`: send from `offset` once more."""

    attempt_id: str
    epoch: int
    offset: int
    again: bool = False


class FinishAck(_Message, frozen=True, kw_only=True):
    """The outcome is committed and the log complete: the agent may delete everything of it."""

    attempt_id: str
    epoch: int


FromAgent: TypeAlias = Hello | Heartbeat | Accepted | Refused | Progress | LogChunk | Finished
FromServer: TypeAlias = Welcome | Start | Resume | Forget | Stop | LogAck | FinishAck

_encoder = msgspec.msgpack.Encoder()
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_from_server: msgspec.msgpack.Decoder[FromServer] = msgspec.msgpack.Decoder(FromServer)


def encode(message: FromAgent | FromServer) -> bytes:
    """Raises ProtocolError when the message is larger than a frame may be."""
    frame = _encoder.encode(message)
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolError(f"{type(message).__name__} is larger than {MAX_FRAME_BYTES} bytes")
    return frame


def decode_from_agent(frame: bytes) -> FromAgent:
    """Raises ProtocolError."""
    _check_size(frame)
    try:
        return _from_agent.decode(frame)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolError("unreadable frame from an agent") from error


def decode_from_server(frame: bytes) -> FromServer:
    """Raises ProtocolError."""
    _check_size(frame)
    try:
        return _from_server.decode(frame)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolError("unreadable frame from the server") from error


def _check_size(frame: bytes) -> None:
    if len(frame) > MAX_FRAME_BYTES:
        raise ProtocolError(f"frame is longer than {MAX_FRAME_BYTES} bytes")
