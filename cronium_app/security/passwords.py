"""Passwords: argon2id, in two threads of their own, so that a flood of logins blocks nobody.

At most `WAITING` checks wait; more are refused at once with `Busy`. An unknown user costs the
same as a known one, because a hash of nothing is checked instead.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_BYTES = 1024
MIN_CHARS = 10
THREADS = 2
WAITING = 64

Result = TypeVar("Result")


class Busy(Exception):
    """Too many passwords are being checked; try again in a moment."""


class WeakPassword(ValueError):
    """The message says in one sentence what is wanted."""


class Passwords:
    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = 0
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, _bytes(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """False for a wrong password, an unknown user (`stored` None) or one that is too long."""
        raw = password.encode("utf-8", "surrogatepass")
        if len(raw) > MAX_BYTES:
            stored, raw = None, b""
        right = await self._run(self._check, stored or self._nobody, raw)
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, stored: str, raw: bytes) -> bool:
        try:
            return self._hasher.verify(stored, raw)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., Result], *args: object) -> Result:
        if self._waiting >= WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._pool, partial(function, *args)
            )
        finally:
            self._waiting -= 1


def check_strength(password: str, email: str) -> None:
    """Raises WeakPassword. Length is what counts (NIST 800-63B); no rules on kinds of characters."""
    if len(password) < MIN_CHARS:
        raise WeakPassword(f"A password needs at least {MIN_CHARS} characters.")
    if len(_bytes(password)) > MAX_BYTES:
        raise WeakPassword("A password has at most 1,024 bytes.")
    lowered, address = password.strip().lower(), email.strip().lower()
    if lowered in (address, address.partition("@")[0]) or len(set(password)) < 4:
        raise WeakPassword("Choose a password that is not your address and less uniform.")


def _bytes(password: str) -> bytes:
    try:
        return password.encode()
    except UnicodeEncodeError:
        raise WeakPassword("The password is not valid Unicode.") from None
