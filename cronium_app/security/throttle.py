"""How often somebody may try a password, a setup code or a token. In memory, per process.

A person is not locked out of a session they have: only new sign-ins are counted. Failures from
one address at one account are limited closely, at one account from everywhere loosely (so that a
stranger cannot keep its owner out for long), and from one address at all accounts in between.
"""

from limits import RateLimitItemPerHour, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

PER_ACCOUNT_AND_ADDRESS = RateLimitItemPerMinute(10, 5, namespace="account+address")
PER_ACCOUNT = RateLimitItemPerHour(100, 1, namespace="account")
PER_ADDRESS = RateLimitItemPerMinute(60, 5, namespace="address")
SETUP_PER_ADDRESS = RateLimitItemPerMinute(20, 5, namespace="setup")
TOKEN_PER_ADDRESS = RateLimitItemPerMinute(100, 1, namespace="token")


class Throttle:
    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def may_sign_in(self, email: str, address: str) -> bool:
        """Counts the try against the account, so that parallel tries cannot slip through."""
        limiter = self._limiter
        return (
            limiter.test(PER_ADDRESS, address)
            and limiter.hit(PER_ACCOUNT_AND_ADDRESS, email, address)
            and limiter.hit(PER_ACCOUNT, email)
        )

    def sign_in_failed(self, address: str) -> None:
        self._limiter.hit(PER_ADDRESS, address)

    def signed_in(self, email: str, address: str) -> None:
        self._limiter.clear(PER_ACCOUNT_AND_ADDRESS, email, address)
        self._limiter.clear(PER_ACCOUNT, email)

    def may_set_up(self, address: str) -> bool:
        return self._limiter.hit(SETUP_PER_ADDRESS, address)

    def may_try_token(self, address: str) -> bool:
        return self._limiter.test(TOKEN_PER_ADDRESS, address)

    def token_failed(self, address: str) -> None:
        self._limiter.hit(TOKEN_PER_ADDRESS, address)
