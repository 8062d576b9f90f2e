"""The clocks of a host that runs jobs."""

import time
from functools import cache
from pathlib import Path

# Goes on while the machine sleeps and means the same to every process of one boot.
_ELAPSED = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now_ms() -> int:
    """Wall clock, ms since the epoch, UTC. For showing, never for durations."""
    return time.time_ns() // 1_000_000


def elapsed_s() -> float:
    """Seconds on a clock that never steps; comparable within one boot of the machine."""
    return time.clock_gettime(_ELAPSED)


@cache
def boot_id() -> str:
    """Names this boot of the machine, so that `elapsed_s` of another one is not trusted."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
