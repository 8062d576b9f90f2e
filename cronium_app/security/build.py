"""All of security that a running server needs, in one value."""

from dataclasses import dataclass

from cronium_app.domain.clock import Clock
from cronium_app.security.identity import ApiTokens, Sessions
from cronium_app.security.passwords import Passwords
from cronium_app.security.throttle import Throttle
from cronium_app.store.database import Database


@dataclass(frozen=True, kw_only=True)
class Security:
    passwords: Passwords
    sessions: Sessions
    tokens: ApiTokens
    throttle: Throttle

    def close(self) -> None:
        self.passwords.close()


def build_security(db: Database, clock: Clock) -> Security:
    return Security(
        passwords=Passwords(),
        sessions=Sessions(db, clock),
        tokens=ApiTokens(db, clock),
        throttle=Throttle(),
    )
