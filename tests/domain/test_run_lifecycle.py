"""The drawing in the documentation and the code say the same."""

import re
from pathlib import Path

from agent.jobs import Outcome, Reason
from cronium_app.domain.runs import FINAL, TRANSITIONS, RunStatus, final_status

DOCUMENT = Path(__file__).parents[2] / "docs" / "run-lifecycle.md"


def test_the_drawing_equals_the_transitions() -> None:
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", DOCUMENT.read_text(), re.MULTILINE))
    coded = {(str(a), str(b)) for a, following in TRANSITIONS.items() for b in following}
    assert drawn == coded


def test_every_reason_is_explained() -> None:
    explained = set(re.findall(r"`(\w+)`", DOCUMENT.read_text().split("## Reasons")[1]))
    assert {str(reason) for reason in Reason} <= explained


def test_final_statuses_have_no_way_out() -> None:
    assert {RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED} == FINAL


def test_only_exit_code_zero_succeeds() -> None:
    assert final_status(Outcome(reason=Reason.EXITED, exit_code=0)) is RunStatus.SUCCEEDED
    for reason in Reason:
        for code in (None, 0, 1, 137):
            if (reason, code) == (Reason.EXITED, 0):
                continue
            assert final_status(Outcome(reason=reason, exit_code=code)) is not RunStatus.SUCCEEDED


def test_a_stop_is_cancelled_whatever_the_exit_code() -> None:
    for code in (0, 1, 137, 143):
        outcome = Outcome(reason=Reason.CANCELLED_BY_USER, exit_code=code)
        assert final_status(outcome) is RunStatus.CANCELLED
