"""How much of a fast log one viewer gets: about 1 MB/s for long, a burst now and then.

Pure arithmetic on a monotonic clock; `LogStore.follow` obeys it. A viewer that cannot be served
at the speed of the job is moved to the end and told what it missed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

RATE: Final = 1_000_000  # bytes per second and viewer, for long
QUANTUM: Final = 256 * 1024  # what a viewer gets at a time when it cannot have everything
BURST: Final = 16 * 1024 * 1024  # beyond the rate: a job of this size is seen whole
SHARED: Final = 64 * 1024 * 1024  # bursts of all viewers together
SHARED_RATE: Final = 4 * 1024 * 1024


@dataclass(frozen=True)
class Skipped:
    """Bytes that a viewer was not sent. `line` is the number of the line at `end`, where it goes
    on: always the beginning of a line, unless that line is longer than `QUANTUM`."""

    offset: int
    end: int
    lines: int
    line: int


class Bucket:
    """Fills with `rate` bytes a second up to `size`; starts full."""

    def __init__(self, rate: float, size: float, clock: Callable[[], float]) -> None:
        self._rate, self._size, self._clock = rate, size, clock
        self._level, self._at = size, clock()

    def level(self) -> float:
        now = self._clock()
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def take(self, amount: float) -> None:
        self._level = self.level() - amount

    def seconds_to(self, amount: float) -> float:
        return max(0.0, (amount - self.level()) / self._rate)


class Allowance:
    """What the viewers of one server share."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shared = Bucket(SHARED_RATE, SHARED, clock)

    def pace(self) -> "Pace":
        return Pace(self._shared, self._clock)


class Pace:
    """One viewer's. What is there when it comes is history and free; `free_to` is its end."""

    def __init__(self, shared: Bucket, clock: Callable[[], float]) -> None:
        self._shared = shared
        self._steady = Bucket(RATE, QUANTUM, clock)
        self._burst = Bucket(RATE / 10, BURST, clock)
        self.free_to: int | None = None

    def budget(self) -> int:
        """Bytes that may go out now. Less than nothing is nothing."""
        burst = max(0.0, min(self._burst.level(), self._shared.level()))
        return int(max(0.0, self._steady.level()) + burst)

    def spend(self, amount: int) -> None:
        """Sent: out of the steady rate first, the rest out of the bursts."""
        steady = min(float(amount), max(0.0, self._steady.level()))
        self._steady.take(steady)
        if rest := amount - steady:
            self._burst.take(rest)
            self._shared.take(rest)

    def wait(self) -> float:
        """Seconds until the next quantum."""
        return self._steady.seconds_to(QUANTUM)
