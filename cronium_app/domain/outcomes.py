"""From how an attempt ended to what a person reads: status, reason, one sentence, a next step.

Pure. The sentence says what happened, the next step what to do about it where we know that.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from agent.jobs import Limits, Outcome, Phase, Reason
from cronium_app.domain.runs import RunStatus, final_status


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What the sentence may need besides the outcome itself."""

    limits: Limits = field(default_factory=Limits)
    network: bool = True
    runtime: str = "bash"
    image: str = ""
    last_lines: tuple[str, ...] = ()
    stopped_by: str = ""  # who asked for the stop, as people know them


@dataclass(frozen=True, kw_only=True)
class Ending:
    status: RunStatus
    reason: Reason
    text: str
    next_step: str = ""


def settle(outcome: Outcome, *, stop_requested: bool, replaced: bool = False) -> Outcome:
    """An attempt that ended because a person asked is cancelled, whatever its exit code says; so
    is one whose place a newer run took."""
    why = Reason.REPLACED if replaced else Reason.CANCELLED_BY_USER
    asked = outcome.reason in _STOPPABLE or outcome.reason is Reason.CANCELLED_BY_USER
    if stop_requested and outcome.stopped and asked:
        return replace(outcome, reason=why)
    return outcome


_STOPPABLE = frozenset(
    {Reason.EXITED, Reason.NOT_STARTED, Reason.ENGINE_KILLED, Reason.IMAGE_UNAVAILABLE}
)


def describe(outcome: Outcome, around: Circumstances) -> Ending:
    """The ending of a settled outcome, in words."""
    text, step = _WORDS[outcome.reason](outcome, around)
    return Ending(status=final_status(outcome), reason=outcome.reason, text=text, next_step=step)


def seconds(value: float) -> str:
    """`3,600 s`, `2.5 s`: a duration as the sentences show it."""
    return f"{value:,.0f} s" if value == int(value) else f"{value:,.1f} s"


Words = tuple[str, str]  # what happened, what to do
Writer = Callable[[Outcome, Circumstances], Words]


def _exited(outcome: Outcome, around: Circumstances) -> Words:
    code = outcome.exit_code
    if code == 0:
        if outcome.oom_warning:
            return (
                "The script succeeded, but one of its processes was killed for lack of memory.",
                f"Raise the memory limit ({around.limits.memory_mb} MB).",
            )
        if not outcome.outputs_complete:
            return "The script succeeded, but not all it reported was kept.", outcome.detail
        return "The script succeeded.", ""
    if hint := _from_last_lines(around):
        return f"The script failed with exit code {code}: {hint[0]}", hint[1]
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code is not None and 128 < code < 160:  # above, no signal has such a number in any shell
        return _by_signal(code - 128, code)
    return f"The script failed with exit code {code}.", "The end of the log usually says why."


_BY_CODE: dict[int, Words] = {
    126: (
        "A command was found but could not be executed (exit code 126).",
        "Make the file executable (chmod +x), or call it through its interpreter.",
    ),
    127: (
        "A command was not found (exit code 127).",
        "Check its spelling, or choose an image that has it.",
    ),
    137: (
        "The script was killed (exit code 137, SIGKILL).",
        "Something inside killed it; if it needs much memory, raise the memory limit.",
    ),
    139: (
        "The script crashed with a memory access error (exit code 139, SIGSEGV).",
        "A program or native module has a bug, or does not fit this image's system libraries.",
    ),
    255: (
        "The script failed with exit code 255.",
        "Often a failed ssh; the end of the log usually says why.",
    ),
}

_SIGNALS = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 6: "SIGABRT", 7: "SIGBUS",
            8: "SIGFPE", 13: "SIGPIPE", 14: "SIGALRM", 15: "SIGTERM"}  # fmt: skip


def _by_signal(number: int, code: int) -> Words:
    name = _SIGNALS.get(number, f"signal {number}")
    return f"The script ended by {name} (exit code {code}).", "The end of the log may say why."


_PY_MODULE = re.compile(r"ModuleNotFoundError: No module named '([^']{1,200})'")
_NODE_MODULE = re.compile(r"Cannot find (?:module|package) '([^']{1,200})'")
_COMMAND = re.compile(r"(?:line \d+: )?([\w./+-]{1,100}): (?:command )?not found\b")
_NO_SPACE = re.compile(r"No space left on device|ENOSPC")
_NO_NETWORK = re.compile(
    r"Temporary failure in name resolution|Could not resolve host|Network is unreachable"
    r"|ENETUNREACH|EAI_AGAIN|Name or service not known|getaddrinfo",
    re.IGNORECASE,
)
_NO_THREADS = re.compile(r"Resource temporarily unavailable|can't start new thread|EAGAIN")
_READ_ONLY = re.compile(r"Read-only file system|EROFS")


def _from_last_lines(around: Circumstances) -> Words | None:
    text = "\n".join(around.last_lines)
    if match := _PY_MODULE.search(text):
        return (
            f"the Python module {match[1]} is missing.",
            "Use an image that has it, or install it in the script: "
            f"pip install --target . {match[1].partition('.')[0]}",
        )
    if match := _NODE_MODULE.search(text):
        return (
            f"the Node.js module {match[1]} is missing.",
            "Use an image that has it, or install it at the start of the script.",
        )
    if around.runtime == "bash" and (match := _COMMAND.search(text)):
        return (
            f"the command {match[1]} was not found.",
            "Check its spelling, or choose an image that has it.",
        )
    return _from_limits(text, around)


def _from_limits(text: str, around: Circumstances) -> Words | None:
    if _NO_SPACE.search(text):
        return (
            "its work folder is full.",
            f"Raise the work folder's size ({around.limits.work_mb} MB).",
        )
    if _NO_NETWORK.search(text):
        if around.network:
            return "a host name or network was out of reach.", "Check the name and the network."
        return "it needs the network, which is off.", "Switch the event's network on."
    if _READ_ONLY.search(text):
        return (
            "it wrote outside its work folder, where everything is read-only.",
            "Write to the work folder ($HOME) or to /tmp.",
        )
    if _NO_THREADS.search(text):
        return (
            "it could start no further process or thread.",
            f"Raise the process limit ({around.limits.pids}).",
        )
    return None


def _timed_out(outcome: Outcome, around: Circumstances) -> Words:
    if outcome.timed_out_phase is Phase.SETUP:
        return (
            f"Setting up took longer than {seconds(around.limits.setup_s)}; "
            "the script did not run.",
            "Look at the state of the image and the container engine, or raise the setup limit.",
        )
    if outcome.timed_out_phase is Phase.CLEANUP:
        return (
            f"Cleaning up took longer than {seconds(around.limits.cleanup_s)}.",
            "Raise the clean-up limit.",
        )
    return (
        f"The script ran longer than {seconds(around.limits.execution_s)} and was stopped.",
        "Raise the event's timeout, or find out from the log where it hangs.",
    )


def _oom(_outcome: Outcome, around: Circumstances) -> Words:
    return (
        f"The script needed more than {around.limits.memory_mb} MB of memory and was killed.",
        "Raise the memory limit, or let the script use less.",
    )


def _cancelled(_outcome: Outcome, around: Circumstances) -> Words:
    return (f"Cancelled by {around.stopped_by}." if around.stopped_by else "Cancelled."), ""


def _image_unavailable(outcome: Outcome, around: Circumstances) -> Words:
    return (
        outcome.detail or f"The image {around.image} is not available.",
        "Check the image's name, and that the container engine can reach its registry.",
    )


def _bad_image(outcome: Outcome, around: Circumstances) -> Words:
    return (
        outcome.detail or f"The image {around.image} has no interpreter for {around.runtime}.",
        "Choose an image that has it, or leave the image empty for the default.",
    )


def _not_started(outcome: Outcome, _around: Circumstances) -> Words:
    return (
        outcome.detail or "The container could not be started; the script did not run.",
        "" if outcome.permanent else "Run it again; if it happens again, see `cronium doctor`.",
    )


def _lost(outcome: Outcome, _around: Circumstances) -> Words:
    return (
        outcome.detail or "Nobody can tell any more how the script ended.",
        "Check what it did before you run it again.",
    )


def _engine_killed(outcome: Outcome, _around: Circumstances) -> Words:
    return (
        outcome.detail
        or "The container was ended from outside, or the script killed the process that runs it.",
        "Look whether the script kills processes (kill -1, pkill); if not, the container engine "
        "may have been restarted: run it again.",
    )


def _crashed(_outcome: Outcome, _around: Circumstances) -> Words:
    return (
        "Cronium itself made an error while it ran this.",
        "The server's own log has the details; please report them.",
    )


def _plain(text: str) -> Writer:
    return lambda outcome, _around: (outcome.detail or text, "")


_WORDS: dict[Reason, Writer] = {
    Reason.EXITED: _exited,
    Reason.TIMED_OUT: _timed_out,
    Reason.OOM_KILLED: _oom,
    Reason.LOG_LIMIT: _plain("It wrote more log than may be kept and was stopped."),
    Reason.NOT_STARTED: _not_started,
    Reason.IMAGE_UNAVAILABLE: _image_unavailable,
    Reason.BAD_IMAGE: _bad_image,
    Reason.LOST: _lost,
    Reason.CRASHED: _crashed,
    Reason.ENGINE_KILLED: _engine_killed,
    Reason.CANCELLED_BY_USER: _cancelled,
    Reason.REPLACED: _plain("A newer run of the same event took its place."),
    Reason.SKIPPED: _plain("This fire was skipped."),
    Reason.EXPIRED: _plain("It waited in the queue longer than allowed."),
}
