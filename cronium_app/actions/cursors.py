"""Opaque places in a list: base64url of a small JSON array. Whatever is not ours is refused."""

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from cronium_app.actions.errors import Invalid
from cronium_app.domain.ids import parse_id
from cronium_app.store.listing import Direction, Position

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def write_position(direction: Direction, created_at: datetime, run_id: UUID) -> str:
    return _write([direction, (created_at - _EPOCH) // _MICROSECOND, str(run_id)])


def read_position(cursor: str | None) -> Position | None:
    """Raises Invalid(field="cursor")."""
    if cursor is None:
        return None
    match _read(cursor):
        case [("older" | "newer") as direction, int(micros), str(text)] if 0 <= micros < 2**56:
            if run_id := parse_id(text):
                at = _EPOCH + micros * _MICROSECOND
                return Position(direction=cast("Direction", direction), created_at=at, id=run_id)
        case _:
            pass
    raise _refusal()


def write_name(name: str, event_id: UUID) -> str:
    return _write([name, str(event_id)])


def read_name(cursor: str | None) -> tuple[str, UUID] | None:
    """Raises Invalid(field="cursor")."""
    if cursor is None:
        return None
    match _read(cursor):
        case [str(name), str(text)] if _is_text(name):
            if event_id := parse_id(text):
                return name, event_id
        case _:
            pass
    raise _refusal()


def _write(parts: list[Any]) -> str:
    raw = json.dumps(parts, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _read(cursor: str) -> Any:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        raise _refusal() from None


def _is_text(name: str) -> bool:
    return "\0" not in name and not any("\ud800" <= char <= "\udfff" for char in name)


def _refusal() -> Invalid:
    return Invalid("This is not a place in the list: begin again without it.", field="cursor")
