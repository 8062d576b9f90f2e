"""Retries: never more than allowed, never sooner or later than said, faults of ours not charged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.jobs import Outcome, Phase, Reason
from cronium_app.domain.retries import (
    INFRA_MAX,
    INFRA_MAX_DELAY_S,
    JITTER,
    Retries,
    Retry,
    decide,
    is_infrastructure,
)

REASONS = st.sampled_from(list(Reason))
FAILED = Outcome(reason=Reason.EXITED, exit_code=1)
NEVER_BEGAN = Outcome(reason=Reason.NOT_STARTED, permanent=False)

rules = st.builds(
    Retries,
    max=st.integers(0, 8),
    backoff=st.sampled_from(["fixed", "exponential"]),
    delay_s=st.floats(0, 100),
    max_delay_s=st.floats(100, 10_000),
    on_reasons=st.lists(
        st.sampled_from(["exited", "timed_out", "oom_killed", "engine_killed", "lost", "crashed"])
    ),
    on_exit_codes=st.lists(st.integers(1, 255), max_size=4),
)
outcomes = st.builds(
    Outcome,
    reason=REASONS,
    exit_code=st.one_of(st.none(), st.integers(0, 255)),
    permanent=st.booleans(),
)


@given(rule=rules, ends=st.lists(outcomes, min_size=30, max_size=30), seed=st.text(max_size=5))
def test_a_run_has_at_most_the_tries_of_both_counts(rule, ends, seed):
    infra = counted = 0
    for number, outcome in enumerate(ends, start=1):
        retry = decide(rule, outcome, attempt=number, infra_faults=infra, seed=f"{seed}{number}")
        if retry is None:
            break
        counted += retry.counted
        infra += not retry.counted
        assert retry.counted != is_infrastructure(outcome)
        assert outcome.exit_code != 0 or outcome.reason is not Reason.EXITED
    assert counted <= rule.max
    assert infra <= INFRA_MAX


@given(rule=rules, tries=st.integers(1, 8), infra=st.integers(0, INFRA_MAX), seed=st.text())
def test_the_wait_is_within_its_range_and_the_same_when_asked_again(rule, tries, infra, seed):
    rule = rule.model_copy(update={"on_reasons": ["exited"], "on_exit_codes": []})
    retry, again = (
        decide(rule, FAILED, attempt=tries + infra, infra_faults=infra, seed=seed) for _ in "12"
    )
    assert retry == again
    assert (retry is None) == (tries > rule.max)
    if retry is not None:
        doubled = 1 if rule.backoff == "fixed" else 2 ** (tries - 1)
        base = min(rule.delay_s * doubled, rule.max_delay_s)
        assert base * (1 - JITTER) - 0.001 <= retry.delay_s
        assert retry.delay_s <= min(rule.max_delay_s, base * (1 + JITTER)) + 0.001


@given(faults=st.integers(0, INFRA_MAX + 2))
def test_a_fault_of_the_infrastructure_costs_no_try_and_has_its_own_end(faults):
    retry = decide(Retries(), NEVER_BEGAN, attempt=faults + 1, infra_faults=faults, seed="x")
    assert (retry is None) == (faults >= INFRA_MAX)
    if retry is not None:
        assert not retry.counted
        assert 0 < retry.delay_s <= INFRA_MAX_DELAY_S


@pytest.mark.parametrize(
    ("fields", "outcome", "follows"),
    [
        ({}, FAILED, True),
        ({}, Outcome(reason=Reason.EXITED, exit_code=0), False),
        ({"on_exit_codes": [75]}, FAILED, False),
        ({"on_exit_codes": [75]}, Outcome(reason=Reason.EXITED, exit_code=75), True),
        ({"on_exit_codes": [75]}, Outcome(reason=Reason.OOM_KILLED, exit_code=137), True),
        ({"on_reasons": ["timed_out"]}, FAILED, False),
        ({}, Outcome(reason=Reason.LOST), False),
        ({"on_reasons": ["lost"]}, Outcome(reason=Reason.LOST), True),
        ({}, Outcome(reason=Reason.NOT_STARTED), False),
        ({}, Outcome(reason=Reason.CANCELLED_BY_USER, stopped=True), False),
        ({}, Outcome(reason=Reason.EXITED, exit_code=143, stopped=True), False),
        ({}, Outcome(reason=Reason.TIMED_OUT, timed_out_phase=Phase.EXECUTION), True),
        ({}, Outcome(reason=Reason.TIMED_OUT, timed_out_phase=Phase.CLEANUP), False),
    ],
)
def test_only_what_was_chosen_is_tried_again(fields, outcome, follows):
    retry = decide(Retries(max=1, **fields), outcome, attempt=1, infra_faults=0, seed="")
    assert (retry is not None) == follows


def test_faults_in_between_do_not_shorten_what_the_user_allowed():
    rule = Retries(max=2, backoff="fixed", delay_s=0, max_delay_s=0)
    assert decide(rule, FAILED, attempt=4, infra_faults=2, seed="") == Retry(
        delay_s=0, counted=True
    )
    assert decide(rule, FAILED, attempt=5, infra_faults=2, seed="") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"max": -1}, {"max": 101}, {"max": "3"}, {"max": True}, {"max": 1.5}, {"backoff": "random"},
        {"delay_s": -1}, {"delay_s": float("nan")}, {"delay_s": float("inf")}, {"delay_s": 10**9},
        {"delay_s": 20, "max_delay_s": 10}, {"on_reasons": ["skipped"]}, {"on_reasons": "exited"},
        {"on_exit_codes": [0]}, {"on_exit_codes": [256]}, {"on_exit_codes": ["1"]},
        {"on_exit_codes": [1] * 10_000}, {"on_reasons": ["exited"] * 10_000}, {"forever": True},
    ],
)  # fmt: skip
def test_a_rule_that_makes_no_sense_is_refused(fields):
    with pytest.raises(ValidationError):
        Retries(**fields)


def test_a_rule_is_stored_in_one_form():
    rule = Retries(on_reasons=["timed_out", "exited", "exited"], on_exit_codes=[9, 1, 9])
    assert (rule.on_reasons, rule.on_exit_codes) == (["exited", "timed_out"], [1, 9])
