"""Whether an attempt that ended is followed by another, and when. Pure.

Two counts that never mix: what the user's rule allows, and faults of the infrastructure, where the
script never began. The latter have a limit and waits of their own, and cost the user nothing.
"""

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.jobs import Outcome, Phase, Reason

RetryReason = Literal[
    "exited", "timed_out", "oom_killed", "engine_killed", "log_limit", "lost", "crashed",
    "not_started", "image_unavailable", "bad_image",
]  # fmt: skip
USUAL_REASONS: tuple[RetryReason, ...] = ("exited", "timed_out", "oom_killed", "engine_killed")

INFRA_MAX = 5
INFRA_DELAY_S = 2.0
INFRA_MAX_DELAY_S = 60.0
JITTER = 0.1  # of the delay, to either side
MAX_DELAY_S = 7 * 86_400.0

ExitCode = Annotated[int, Field(ge=1, le=255)]
Delay = Annotated[float, Field(ge=0, le=MAX_DELAY_S, allow_inf_nan=False)]


class Retries(BaseModel):
    """An event's rule. `max`: tries after the first one. Without exit codes, any but 0 counts.

    `lost` is not among the usual reasons: nobody knows whether the script did its work.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    max: Annotated[int, Field(ge=0, le=100)] = 0
    backoff: Literal["fixed", "exponential"] = "exponential"
    delay_s: Delay = 10.0
    max_delay_s: Delay = 3600.0
    on_reasons: list[RetryReason] = Field(default=[*USUAL_REASONS], max_length=50)
    on_exit_codes: list[ExitCode] = Field(default=[], max_length=255)

    @field_validator("on_reasons")
    @classmethod
    def _reasons(cls, value: list[RetryReason]) -> list[RetryReason]:
        return [reason for reason in get_args(RetryReason) if reason in value]

    @field_validator("on_exit_codes")
    @classmethod
    def _codes(cls, value: list[int]) -> list[int]:
        return sorted(set(value))

    @model_validator(mode="after")
    def _delays(self) -> "Retries":
        if self.delay_s > self.max_delay_s:
            raise ValueError("The delay of retries is longer than its own maximum.")
        return self


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Another attempt follows after `delay_s`. `counted`: it costs one of the user's."""

    delay_s: float
    counted: bool


def decide(
    rule: Retries, outcome: Outcome, *, attempt: int, infra_faults: int, seed: str
) -> Retry | None:
    """What follows the end of attempt number `attempt`, of which `infra_faults` before it were the
    infrastructure's fault. `seed` makes the jitter, so that the same end always decides the same.
    None: the run ends here.
    """
    if is_infrastructure(outcome):
        if infra_faults >= INFRA_MAX:
            return None
        base = exponential(INFRA_DELAY_S, infra_faults, INFRA_MAX_DELAY_S)
        return Retry(delay_s=_jittered(base, INFRA_MAX_DELAY_S, seed), counted=False)
    used = attempt - infra_faults  # the user's own tries, this one included
    if used > rule.max or not _is_chosen(rule, outcome):
        return None
    fixed = rule.backoff == "fixed"
    base = rule.delay_s if fixed else exponential(rule.delay_s, used - 1, rule.max_delay_s)
    return Retry(delay_s=_jittered(base, rule.max_delay_s, seed), counted=True)


def is_infrastructure(outcome: Outcome) -> bool:
    """The script never began, and not for a reason of its own."""
    never_ran = outcome.reason in (Reason.NOT_STARTED, Reason.IMAGE_UNAVAILABLE)
    return never_ran and not outcome.permanent and outcome.exit_code is None


def exponential(first_s: float, doublings: int, cap_s: float) -> float:
    """`first_s`, doubled so many times, at most `cap_s`."""
    return min(cap_s, first_s * 2.0 ** min(doublings, 64))


def _is_chosen(rule: Retries, outcome: Outcome) -> bool:
    if outcome.stopped and outcome.timed_out_phase is None:
        return False  # somebody wanted it to end
    if outcome.timed_out_phase is Phase.CLEANUP:
        return False  # the script was through; only what followed was slow
    if outcome.reason.value not in rule.on_reasons:
        return False
    if outcome.reason is not Reason.EXITED:
        return True
    code = outcome.exit_code
    return code != 0 and (not rule.on_exit_codes or code in rule.on_exit_codes)


def _jittered(base_s: float, cap_s: float, seed: str) -> float:
    digest = hashlib.sha256(seed.encode()).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64  # 0 <= fraction < 1
    return round(min(cap_s, base_s * (1 - JITTER + 2 * JITTER * fraction)), 3)
