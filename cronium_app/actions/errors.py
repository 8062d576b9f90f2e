"""What can go wrong for a caller. Every entry point turns these into its own form.

REST answers `{"code", "message", "field"}` (plus `extra` where there is some) with `status`;
pages show the message beside the field; the CLI prints it on one line. Messages are plain
sentences for people and never quote what was sent.
"""

from typing import Any, ClassVar


class CroniumError(Exception):
    """`code` is for programs and never changes; `field` names the input at fault, or is None."""

    status: ClassVar[int] = 400
    default_code: ClassVar[str] = "bad_request"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.field = field
        self.extra: dict[str, Any] = extra or {}


class NotSignedIn(CroniumError):
    status = 401
    default_code = "not_signed_in"

    def __init__(self, message: str = "Sign in first.", *, code: str | None = None) -> None:
        super().__init__(message, code=code)


class Denied(CroniumError):
    status = 403
    default_code = "denied"

    def __init__(self, message: str = "You may not do this.", *, code: str | None = None) -> None:
        super().__init__(message, code=code)


class NotFound(CroniumError):
    """Missing, or another person's: the two look exactly alike."""

    status = 404
    default_code = "not_found"

    def __init__(self, message: str = "There is no such thing here.") -> None:
        super().__init__(message)


class Conflict(CroniumError):
    status = 409
    default_code = "conflict"


class Invalid(CroniumError):
    status = 422
    default_code = "invalid"


class TooMany(CroniumError):
    """`extra["retry_after_s"]` says after how many seconds another try makes sense."""

    status = 429
    default_code = "too_many"
