"""How much later than its fire a run starts. Pure."""

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

LONGEST_S = 86_400
_PARTS = 2**64


def jitter(schedule_id: UUID, fire: datetime, longest_s: int) -> timedelta:
    """From 0 to `longest_s`, the same for this schedule and fire whenever and wherever it is
    asked: a restart between the fire and its run moves nothing, and two servers agree."""
    if longest_s <= 0:
        return timedelta()
    seed = schedule_id.bytes + int(fire.timestamp()).to_bytes(8, "big", signed=True)
    part = int.from_bytes(blake2b(seed, digest_size=8).digest(), "big")
    return timedelta(milliseconds=part * longest_s * 1000 // _PARTS)
