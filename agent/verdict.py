"""How an attempt ended, from everything that was seen of it. Pure."""

from dataclasses import dataclass
from typing import Any, cast

import msgspec

from agent.jobs import MAX_OUTPUT_BYTES, MAX_OUTPUT_DEPTH, Job, Phase, Reason
from agent.stream import Trailer

_KILLED = 137
_TERMINATED = 143
_NOT_DELIVERED = 125
_NO_SHELL = (126, 127)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known after a container has exited and its whole output was read."""

    exit_code: int
    oom_killed: bool = False
    start_error: str = ""
    trailer: Trailer | None = None
    stop_reason: Reason | None = None  # somebody wanted it to end, and it was signalled
    stop_phase: Phase | None = None
    grace_s: float = 0.0
    killed_by_us: bool = False
    engine_restarted: bool = False  # the connection to the container engine broke meanwhile


@dataclass(frozen=True, kw_only=True)
class Verdict:
    reason: Reason
    exit_code: int | None
    detail: str = ""
    phase: Phase | None = None
    oom_warning: bool = False
    permanent: bool = True


def not_delivered(seen: Seen) -> bool:
    """The job did not arrive whole, so not a line of it ran: it may be delivered anew."""
    return seen.trailer is None and seen.exit_code == _NOT_DELIVERED and not seen.oom_killed


def is_decided(seen: Seen) -> bool:
    """Whether reason and exit code are known before the end of the output was read. An exit code
    alone says nothing: whether the job ran at all, and whether it ended by itself, is told by
    the trailer only."""
    if seen.trailer is not None:
        return True
    if seen.exit_code in (_NOT_DELIVERED, *_NO_SHELL):
        return False
    return seen.stop_reason is not None or (seen.exit_code == _KILLED and seen.oom_killed)


def judge(job: Job, seen: Seen) -> Verdict:
    """The reason, in the order of what explains most."""
    trailer = seen.trailer
    if trailer is not None and trailer.missing:
        return _missing_tool(job, trailer.missing)
    if seen.stop_reason is not None:
        return _stopped(job, seen, seen.stop_reason)
    if seen.exit_code == _KILLED and seen.oom_killed:
        return Verdict(
            reason=Reason.OOM_KILLED,
            exit_code=_KILLED,
            detail=f"It used more than its {job.limits.memory_mb} MB of memory and was killed.",
        )
    if trailer is None:
        return _without_trailer(job, seen)
    if seen.engine_restarted and seen.exit_code in (_KILLED, _TERMINATED):
        return _killed_from_outside(seen)
    return Verdict(
        reason=Reason.EXITED,
        exit_code=seen.exit_code,
        detail="A process of the job was killed because memory ran out." if seen.oom_killed else "",
        oom_warning=seen.oom_killed,
    )


def _stopped(job: Job, seen: Seen, reason: Reason) -> Verdict:
    detail = ""
    if reason is Reason.TIMED_OUT and seen.stop_phase is not None:
        detail = timed_out_sentence(job, seen.stop_phase)
    elif reason is Reason.LOG_LIMIT:
        detail = f"It wrote more than {job.limits.log_mb} MB of output."
    elif seen.killed_by_us:
        detail = f"It went on for {seen.grace_s:g} s after the signal and was killed."
    return Verdict(
        reason=reason,
        exit_code=seen.exit_code,
        detail=detail,
        phase=seen.stop_phase,
        oom_warning=seen.oom_killed,
    )


def timed_out_sentence(job: Job, phase: Phase) -> str:
    """Says which limit was passed."""
    limits = {
        Phase.SETUP: ("Setting up", job.limits.setup_s),
        Phase.EXECUTION: ("The script", job.limits.execution_s),
        Phase.CLEANUP: ("Cleaning up", job.limits.cleanup_s),
    }
    what, limit = limits[phase]
    return f"{what} took longer than {limit:g} s."


def _without_trailer(job: Job, seen: Seen) -> Verdict:
    if seen.exit_code in _NO_SHELL:
        return Verdict(
            reason=Reason.BAD_IMAGE,
            exit_code=None,
            detail=f"The image {job.image} has no usable /bin/sh, which every job needs.",
        )
    if seen.start_error:
        return Verdict(
            reason=Reason.NOT_STARTED, exit_code=None, detail=seen.start_error, permanent=False
        )
    if not_delivered(seen):
        return Verdict(
            reason=Reason.NOT_STARTED,
            exit_code=None,
            detail="The job could not be delivered to its container.",
            permanent=False,
        )
    return _killed_from_outside(seen)


def _killed_from_outside(seen: Seen) -> Verdict:
    if seen.engine_restarted:
        detail = "Its container was ended when the container engine restarted, not by Cronium."
    else:
        detail = (
            "Its container ended before the end of the script was seen, and not by Cronium: it "
            "was killed from outside, or the script killed the process that runs it."
        )
    return Verdict(
        reason=Reason.ENGINE_KILLED,
        exit_code=seen.exit_code,
        detail=detail,
        oom_warning=seen.oom_killed,
        permanent=False,
    )


def _missing_tool(job: Job, tool: str) -> Verdict:
    return Verdict(
        reason=Reason.BAD_IMAGE,
        exit_code=None,
        detail=f"The image {job.image} has no `{tool}`, which a {_LANGUAGE[job.runtime]} job needs.",
    )


_LANGUAGE = {"python": "Python", "node": "Node.js", "bash": "Bash"}


# --- what the script reported ---


@dataclass(frozen=True)
class Reports:
    """UTF-8 JSON texts, and one sentence when something of them was not kept."""

    outputs: bytes = b"{}"
    conditions: bytes = b"{}"
    complaint: str = ""


def read_reports(trailer: Trailer | None) -> Reports:
    """Reduces the lines that the helper library wrote. Never raises: a script may write anything."""
    if trailer is None:
        return Reports(complaint="Its results were lost with its container.")
    complaints: list[str] = []
    outputs = _reduce(trailer.outputs, "outputs", _add_output, complaints)
    conditions = _reduce(trailer.conditions, "conditions", _add_condition, complaints)
    return Reports(outputs, conditions, " ".join(complaints))


def _reduce(lines: bytes | None, name: str, add: Any, complaints: list[str]) -> bytes:
    if lines is None:
        complaints.append(_too_large(name))
        return b"{}"
    if not lines:
        return b"{}"
    value: Any = {}
    for line in lines.decode("utf-8", "replace").split("\n"):
        if not line.strip():
            continue
        try:
            value = add(value, msgspec.json.decode(line))
        except (msgspec.MsgspecError, RecursionError, ValueError, TypeError, KeyError):
            complaint = f"Some {name} could not be read: they are not JSON as the helper writes it."
            if complaint not in complaints:
                complaints.append(complaint)
    if is_too_deep(value):
        complaints.append(
            f"The {name} are nested deeper than {MAX_OUTPUT_DEPTH} levels and were not kept."
        )
        return b"{}"
    try:
        text = msgspec.json.encode(value)
    except (RecursionError, ValueError, TypeError):
        text = b""
    if not text or len(text) > MAX_OUTPUT_BYTES:
        complaints.append(_too_large(name))
        return b"{}"
    return text


def is_too_deep(value: Any) -> bool:
    """Whether lists and objects lie within each other deeper than whoever reads them can follow."""
    level: list[Any] = [value]
    for _ in range(MAX_OUTPUT_DEPTH + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [inner for outer in level for inner in _inside(outer)]
    return True


def _inside(value: Any) -> Any:
    return cast(dict[str, Any], value).values() if isinstance(value, dict) else value


def _too_large(name: str) -> str:
    return f"The {name} are larger than {MAX_OUTPUT_BYTES // 1_000_000} MB and were not kept."


def _add_output(so_far: Any, record: Any) -> Any:
    if "name" in record:
        value = record["text"] if "text" in record else msgspec.json.decode(record["json"])
        added: Any = {str(record["name"]): value}
    elif "guess" in record:
        added = _json_or_text(record["guess"])
    else:
        added = record["value"]
    if not isinstance(added, dict):
        return added
    merged: dict[str, Any] = {**so_far} if isinstance(so_far, dict) else {}
    merged.update(added)  # pyright: ignore[reportUnknownArgumentType]
    return merged


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        return text


def _add_condition(so_far: Any, record: Any) -> Any:
    if not isinstance(record["value"], bool):
        raise TypeError
    return {**so_far, str(record["name"]): record["value"]}
