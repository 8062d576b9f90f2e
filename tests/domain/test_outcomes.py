"""Every ending in one sentence, with a next step where there is one."""

import pytest

from agent.jobs import Limits, Outcome, Phase, Reason
from cronium_app.domain.outcomes import Circumstances, describe, settle
from cronium_app.domain.runs import RunStatus


def exited(code: int, *lines: str, **around):
    outcome = Outcome(reason=Reason.EXITED, exit_code=code)
    return describe(outcome, Circumstances(last_lines=lines, **around))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_one_sentence(reason):
    ending = describe(Outcome(reason=reason, exit_code=1), Circumstances(image="x"))
    assert ending.reason is reason
    assert ending.text.endswith(".")
    assert ending.text[0].isupper()
    assert "\n" not in ending.text


def test_zero_is_success_and_needs_no_advice():
    ending = exited(0, "ModuleNotFoundError: No module named 'x'")
    assert (ending.status, ending.text, ending.next_step) == (
        RunStatus.SUCCEEDED, "The script succeeded.", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "word"),
    [(1, "exit code 1"), (126, "could not be executed"), (127, "not found"), (137, "SIGKILL"),
     (139, "memory access"), (143, "SIGTERM"), (134, "SIGABRT"), (159, "signal 31"), (190, "exit code 190"),
     (255, "exit code 255")],
)  # fmt: skip
def test_an_exit_code_is_explained(code, word):
    ending = exited(code)
    assert word in ending.text
    assert ending.next_step
    assert ending.status is RunStatus.FAILED


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "ModuleNotFoundError: No module named 'pandas.io'",
            "the Python module pandas.io is missing",
        ),
        ("Error: Cannot find module 'left-pad'", "the Node.js module left-pad is missing"),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'got' imported from", "module got"),
        ("script.sh: line 3: jqq: command not found", "the command jqq was not found"),
        ("sh: 1: foo: not found", "the command foo was not found"),
        ("write: No space left on device", "its work folder is full"),
        ("OSError: [Errno 30] Read-only file system: '/x'", "everything is read-only"),
        ("RuntimeError: can't start new thread", "no further process or thread"),
        ("curl: (6) Could not resolve host: x.test", "out of reach"),
    ],
)
def test_the_end_of_the_log_says_why(line, text):
    ending = exited(1, "before", line)
    assert text in ending.text
    assert ending.text.startswith("The script failed with exit code 1: ")
    assert ending.next_step


def test_no_network_is_said_plainly_when_it_is_off():
    assert "which is off" in exited(1, "getaddrinfo EAI_AGAIN x", network=False).text


def test_the_pip_line_names_the_package_only():
    line = "ModuleNotFoundError: No module named 'yaml.representer'"
    assert exited(1, line).next_step.endswith("pip install --target . yaml")


@pytest.mark.parametrize(
    ("phase", "words"),
    [(Phase.SETUP, "longer than 600 s; the script did not run"),
     (Phase.EXECUTION, "longer than 3,600 s and was stopped"),
     (Phase.CLEANUP, "longer than 60 s")],
)  # fmt: skip
def test_a_timeout_names_its_phase_and_its_limit(phase, words):
    outcome = Outcome(reason=Reason.TIMED_OUT, timed_out_phase=phase)
    assert words in describe(outcome, Circumstances()).text


def test_memory_names_the_limit():
    outcome = Outcome(reason=Reason.OOM_KILLED, exit_code=137)
    ending = describe(outcome, Circumstances(limits=Limits(memory_mb=64)))
    assert "64 MB" in ending.text


def test_the_agents_own_words_win():
    outcome = Outcome(reason=Reason.IMAGE_UNAVAILABLE, detail="There is no image nope:1.")
    assert describe(outcome, Circumstances()).text == "There is no image nope:1."


def test_a_stop_that_was_asked_for_is_a_cancel_whatever_the_exit_code():
    outcome = Outcome(reason=Reason.EXITED, exit_code=0, stopped=True)
    settled = settle(outcome, stop_requested=True)
    assert describe(settled, Circumstances(stopped_by="ann")).text == "Cancelled by ann."
    assert describe(settled, Circumstances()).status is RunStatus.CANCELLED


def test_a_script_that_ended_before_the_stop_reached_it_keeps_its_end():
    outcome = Outcome(reason=Reason.EXITED, exit_code=0)
    assert settle(outcome, stop_requested=True) is outcome


def test_memory_stays_the_reason_even_while_stopping():
    outcome = Outcome(reason=Reason.OOM_KILLED, exit_code=137, stopped=True)
    assert settle(outcome, stop_requested=True).reason is Reason.OOM_KILLED


@pytest.mark.parametrize("code", [128, 160, 190, 255])
def test_not_every_large_exit_code_is_a_signal(code):
    assert "signal" not in exited(code).text


def test_255_hints_at_ssh():
    assert "ssh" in exited(255).next_step


def test_a_container_that_ended_may_have_been_ended_by_its_script():
    ending = describe(Outcome(reason=Reason.ENGINE_KILLED), Circumstances())
    assert "or the script killed" in ending.text


def test_success_says_when_results_were_not_kept():
    outcome = Outcome(
        reason=Reason.EXITED, exit_code=0, outputs_complete=False, detail="Nested too deep."
    )
    ending = describe(outcome, Circumstances())
    assert (ending.status, ending.next_step) == (RunStatus.SUCCEEDED, "Nested too deep.")
    assert "not all" in ending.text
