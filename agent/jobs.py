"""Pure values of the execution engine: what one attempt needs, and how it ended.

Nothing here does I/O. Times are seconds unless a name says otherwise; sizes are MiB where the
name ends in `_mb`, else bytes.
"""

from enum import StrEnum
from typing import Literal

import msgspec

Runtime = Literal["python", "node", "bash"]

MAX_SCRIPT_BYTES = 1024 * 1024
MAX_INPUT_BYTES = 1_000_000
MAX_OUTPUT_BYTES = 1_000_000
MAX_ENV_BYTES = 512 * 1024
MAX_OUTPUT_DEPTH = 20  # lists and objects within each other


class Reason(StrEnum):
    """Why a run or an attempt ended. Users match rules on these: add freely, never rename."""

    EXITED = "exited"  # the script ended by itself; the exit code says how
    TIMED_OUT = "timed_out"  # a phase passed its limit; the detail names the phase
    OOM_KILLED = "oom_killed"  # the memory limit was hit and the script was killed for it
    LOG_LIMIT = "log_limit"  # it wrote more than may be kept
    NOT_STARTED = "not_started"  # no container could be made for it; the script never ran
    IMAGE_UNAVAILABLE = "image_unavailable"  # the image is not here and cannot be had
    BAD_IMAGE = "bad_image"  # the image lacks what a job needs (sh, interpreter ...)
    LOST = "lost"  # nobody can tell any more how it ended
    CRASHED = "crashed"  # a bug of ours; the log of the server has the traceback
    ENGINE_KILLED = "engine_killed"  # the container ended, and not by us; nobody saw the script end
    CANCELLED_BY_USER = "cancelled_by_user"
    REPLACED = "replaced"  # a newer run of the same event took its place
    SKIPPED = "skipped"  # a fire that became no run
    EXPIRED = "expired"  # it waited in the queue longer than allowed


class Phase(StrEnum):
    """Where an attempt is. Each phase has a limit and a duration of its own."""

    SETUP = "setup"  # image, create, start, deliver
    EXECUTION = "execution"  # from delivered to trailer or exit
    CLEANUP = "cleanup"  # outputs, verified removal


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one attempt may use."""

    setup_s: float = 600.0
    execution_s: float = 3600.0
    cleanup_s: float = 60.0
    stop_grace_s: float = 10.0
    memory_mb: int = 512
    work_mb: int = 256
    tmp_mb: int = 64
    cpus: float = 1.0
    pids: int = 256
    log_mb: int = 1024  # output beyond it ends the attempt


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The self-contained description of one attempt that is handed to an executor.

    `inputs` is the UTF-8 JSON text the script reads. `context` is what `event()` of the helper
    library shows: short, not secret. Ids are lower-case UUID strings.
    """

    run_id: str
    attempt_id: str
    attempt: int  # number of the try, from 1
    epoch: int
    event_name: str
    runtime: Runtime
    script: bytes
    image: str
    env: dict[str, str] = {}
    network: bool = True
    timezone: str = "UTC"
    inputs: bytes = b"{}"
    context: dict[str, str] = {}
    limits: Limits = Limits()


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an attempt ended. Recorded once; every number is the executor's own measurement.

    `exit_code` is the script's (None if it never ran). `outputs` and `conditions` are UTF-8 JSON
    texts. Durations are None for a phase that was never entered. `log_length` and `log_sha256`
    describe the whole `.log` as sent; `stdout_bytes`/`stderr_bytes` count per stream.
    """

    reason: Reason
    exit_code: int | None = None
    signal: int | None = None
    detail: str = ""
    timed_out_phase: Phase | None = None
    stopped: bool = False  # it ended after we had been asked to stop it
    oom_warning: bool = False  # some process of the job was OOM-killed, the script went on
    outputs: bytes = b"{}"
    outputs_complete: bool = True
    conditions: bytes = b"{}"
    setup_s: float | None = None
    execution_s: float | None = None
    cleanup_s: float | None = None
    image_digest: str = ""
    log_length: int = 0
    log_sha256: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    permanent: bool = True  # False: an infrastructure fault, trying again may help
