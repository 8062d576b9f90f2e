import pytest
from hypothesis import given
from hypothesis import strategies as st

from cronium_app.domain.overlap import Admission, Unfinished, admit

NOBODY, RUNNING, WAITING = Unfinished(), Unfinished(begun=1), Unfinished(waiting=1)
RULES = st.sampled_from(["allow", "skip", "queue", "replace"])


@pytest.mark.parametrize(
    ("rule", "others", "runs", "replaces"),
    [
        ("allow", Unfinished(begun=9, waiting=9), True, False),
        ("skip", NOBODY, True, False),
        ("skip", RUNNING, False, False),
        ("skip", WAITING, False, False),
        ("queue", NOBODY, True, False),
        ("queue", RUNNING, True, False),
        ("queue", Unfinished(begun=1, waiting=2), False, False),
        ("queue", Unfinished(begun=0, waiting=2), True, False),
        ("replace", NOBODY, True, False),
        ("replace", RUNNING, True, True),
        ("replace", WAITING, True, True),
    ],
)
def test_what_becomes_of_a_new_run(rule, others, runs, replaces):
    admission = admit(rule, 2, others, test=False)
    assert (admission.runs, admission.replaces) == (runs, replaces)
    assert bool(admission.why) == (not runs)


@given(rule=RULES, limit=st.integers(0, 5), begun=st.integers(0, 3), waiting=st.integers(0, 9))
def test_a_test_always_gets_its_turn_and_disturbs_nobody(rule, limit, begun, waiting):
    others = Unfinished(begun=begun, waiting=waiting)
    assert admit(rule, limit, others, test=True) == Admission(runs=True)


@given(limit=st.integers(0, 5), count=st.integers(1, 20), begun=st.integers(0, 1))
def test_no_more_wait_than_the_limit_says(limit, count, begun):
    """One is under way or about to be, `limit` wait behind it; whatever comes then is skipped."""
    waiting = 0
    for _ in range(count):
        others = Unfinished(begun=begun, waiting=waiting)
        waiting += admit("queue", limit, others, test=False).runs
    assert begun + waiting == min(begun + count, limit + 1)
