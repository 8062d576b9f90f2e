"""The one error of everything that a person can get wrong about a schedule."""

from __future__ import annotations


class ScheduleError(ValueError):
    """A schedule that cannot be saved.

    `field` is the input it belongs to (`kind`, `expression`, `every_s`, `at`, `timezone`, `start`,
    `end`, `dst`); the message is one plain sentence to show beside that input.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message
