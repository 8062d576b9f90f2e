"""What goes into a container: the loader it starts with, and the payload that makes it a job.

The loader is fixed at create, so a container can be started before its job is known. Everything
that belongs to a job comes over stdin, framed by its length: a line `nonce length wrapper-length`,
then the script, the inputs and the wrapper. What did not arrive whole never runs (exit 125).

The environment is in the wrapper's text, quoted for a POSIX shell: on no command line, and not
visible to whoever inspects the container.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from agent.jobs import MAX_ENV_BYTES, MAX_INPUT_BYTES, MAX_SCRIPT_BYTES, Job, Runtime
from agent.stream import MAX_REPORT_BYTES

CONTROL_FOLDER = "/run/cronium"
WORK_FOLDER = "/job"

# The kernel's limit for one NAME=value of a new program, with its final zero.
_MAX_VARIABLE_BYTES = 128 * 1024 - 1
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# Names the shell itself keeps or that would break the wrapper's own.
_SHELL_OWNED = frozenset(
    {"OPTIND", "UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO"}
)
_IMPORTS_HELPER = re.compile(rb"""(?:from|import)\s*\(?\s*["']cronium["']""")


class _Language(msgspec.Struct, frozen=True):
    script_name: str
    interpreters: tuple[str, ...]
    arguments: str
    helper: str
    variables: str  # shell text, run after the user's own variables


_LANGUAGES: dict[Runtime, _Language] = {
    "python": _Language(
        "script.py",
        ("python3", "python"),
        "-u",
        "cronium.py",
        'export PYTHONUNBUFFERED=1 PYTHONPATH="$CRONIUM_DIR${PYTHONPATH:+:$PYTHONPATH}"',
    ),
    "node": _Language(
        "script.js",
        ("node", "nodejs"),
        "",
        "cronium.js",
        'export NODE_PATH="$CRONIUM_DIR${NODE_PATH:+:$NODE_PATH}"',
    ),
    "bash": _Language(
        "script.sh",
        ("bash",),
        "",
        "cronium.sh",
        'export CRONIUM_USER_BASH_ENV="${BASH_ENV-}" BASH_ENV="$CRONIUM_DIR/cronium.sh"',
    ),
}


@cache
def text(name: str) -> str:
    """One of the files that come with this package."""
    return files(__package__ or "agent.runtime").joinpath(name).read_text(encoding="utf-8")


def check_job(job: Job) -> str | None:
    """A sentence why this job cannot be delivered, or None."""
    if len(job.script) > MAX_SCRIPT_BYTES:
        return f"The script is longer than {MAX_SCRIPT_BYTES // 1024} kB."
    if len(job.inputs) > MAX_INPUT_BYTES:
        return f"The inputs are larger than {MAX_INPUT_BYTES} bytes."
    total = 0
    for name, value in job.env.items():
        complaint = check_variable(name, value)
        if complaint is not None:
            return complaint
        total += len(name) + len(value.encode("utf-8", "surrogatepass")) + 2
    if total > MAX_ENV_BYTES:
        return f"The environment variables are larger than {MAX_ENV_BYTES // 1024} kB together."
    if not re.fullmatch(r"[A-Za-z0-9_+\-/]{1,64}", job.timezone, re.ASCII):
        return "The time zone is not a name of the time zone database."
    return None


def payload(job: Job, nonce: str) -> bytes:
    """All bytes to write to the stdin of a container that runs the loader."""
    wrapper = _wrapper(job).encode("utf-8", "surrogatepass")
    body = job.script + job.inputs + wrapper
    return f"{nonce} {len(body)} {len(wrapper)}\n".encode("ascii") + body


def _wrapper(job: Job) -> str:
    language = _LANGUAGES[job.runtime]
    words = {
        "files": _files(job, language),
        "interpreters": _command_v(language.interpreters),
        "missing": language.interpreters[0],
        "script_length": str(len(job.script)),
        "script_name": language.script_name,
        "prepare": _prepare(job),
        "environment": _environment(job, language),
        "arguments": language.arguments,
        "report_limit": str(MAX_REPORT_BYTES),
    }
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text("wrapper.sh"))


def _command_v(names: tuple[str, ...]) -> str:
    first, *others = names
    return first + "".join(f" || command -v {name}" for name in others)


def _files(job: Job, language: _Language) -> str:
    event = {
        **job.context,
        "name": job.event_name,
        "run_id": job.run_id,
        "attempt": job.attempt,
        "runtime": job.runtime,
    }
    contents = {
        language.helper: text(language.helper),
        "event.json": msgspec.json.encode(event).decode("utf-8"),
    }
    return "\n".join(
        f"printf '%s' {quote(content)} >\"$cr_d/{name}\"" for name, content in contents.items()
    )


def _prepare(job: Job) -> str:
    """Steps that few jobs need, so that the others do not pay for them."""
    steps: list[str] = []
    if job.inputs not in (b"", b"{}"):
        start = len(job.script) + 1
        steps.append(
            f'tail -c +{start} "$cr_d/job" | head -c {len(job.inputs)} >"$cr_d/inputs.json"'
        )
    if job.runtime == "node" and _IMPORTS_HELPER.search(job.script):
        # `import` does not look at NODE_PATH.
        steps.append("mkdir -p /job/node_modules/cronium")
        steps.append('cat "$cr_d/cronium.js" >/job/node_modules/cronium/index.js')
    return "\n".join(steps)


def _environment(job: Job, language: _Language) -> str:
    ours: dict[str, Any] = {
        "HOME": WORK_FOLDER,
        "TZ": job.timezone,
        "CRONIUM_RUN_ID": job.run_id,
        "CRONIUM_ATTEMPT": str(job.attempt),
        "CRONIUM_EVENT": job.event_name.replace("\0", ""),
    }
    lines = ['export LANG="${LANG:-C.UTF-8}"']
    lines += [f"export {name}={quote(value)}" for name, value in {**ours, **job.env}.items()]
    lines += [f"export CRONIUM_DIR={CONTROL_FOLDER}", language.variables]
    return "\n".join(lines)


def check_variable(name: str, value: str) -> str | None:
    """A sentence why no job can have this environment variable, or None."""
    if not _NAME.fullmatch(name):
        return f"{name[:80]!r} is no name of an environment variable: use letters, digits and _."
    if name in _SHELL_OWNED:
        return f"{name} belongs to the shell and cannot be set."
    if "\0" in value:
        return f"The value of {name} contains a NUL character."
    if len(name) + 1 + len(value.encode("utf-8", "surrogatepass")) > _MAX_VARIABLE_BYTES:
        return f"The value of {name} is longer than {_MAX_VARIABLE_BYTES // 1024} kB."
    return None


def quote(value: str) -> str:
    """One word of a POSIX shell that stands for exactly this text (without NUL)."""
    return "'" + value.replace("'", "'\\''") + "'"
