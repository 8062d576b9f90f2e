"""Why an attempt ended, from what was seen; and what its script reported."""

import json
from dataclasses import replace

import pytest
from harness import make_job
from hypothesis import given
from hypothesis import strategies as st

from agent.jobs import Phase, Reason
from agent.stream import Trailer
from agent.verdict import Seen, is_decided, judge, not_delivered, read_reports

JOB = make_job("x", "python", image="some/image")


def whole(code: int = 0, **changes) -> Trailer:
    return Trailer(code=code, outputs=b"", conditions=b"", **changes)


@pytest.mark.parametrize(
    ("seen", "reason", "exit_code", "words"),
    [
        (Seen(exit_code=0, trailer=whole()), Reason.EXITED, 0, ""),
        (Seen(exit_code=125, trailer=whole(125)), Reason.EXITED, 125, ""),
        (Seen(exit_code=127, trailer=whole(127)), Reason.EXITED, 127, ""),
        (Seen(exit_code=137, trailer=whole(137)), Reason.EXITED, 137, ""),
        (Seen(exit_code=137, oom_killed=True, trailer=whole(137)), Reason.OOM_KILLED, 137, "MB"),
        (Seen(exit_code=137, oom_killed=True), Reason.OOM_KILLED, 137, "memory"),
        (Seen(exit_code=3, oom_killed=True, trailer=whole(3)), Reason.EXITED, 3, "memory ran out"),
        (Seen(exit_code=137), Reason.ENGINE_KILLED, 137, "from outside"),
        (Seen(exit_code=127), Reason.BAD_IMAGE, None, "no usable /bin/sh"),
        (
            Seen(exit_code=127, trailer=whole(127, missing="python3")),
            Reason.BAD_IMAGE,
            None,
            "some/image has no `python3`, which a Python job needs",
        ),
        (
            Seen(exit_code=143, trailer=whole(143), engine_restarted=True),
            Reason.ENGINE_KILLED,
            143,
            "engine restarted",
        ),
        (Seen(exit_code=5, trailer=whole(5), engine_restarted=True), Reason.EXITED, 5, ""),
        (
            Seen(exit_code=143, trailer=whole(143), stop_reason=Reason.CANCELLED_BY_USER),
            Reason.CANCELLED_BY_USER,
            143,
            "",
        ),
        (
            Seen(exit_code=0, trailer=whole(), stop_reason=Reason.CANCELLED_BY_USER),
            Reason.CANCELLED_BY_USER,
            0,
            "",
        ),
        (
            Seen(
                exit_code=137,
                stop_reason=Reason.TIMED_OUT,
                stop_phase=Phase.EXECUTION,
                killed_by_us=True,
            ),
            Reason.TIMED_OUT,
            137,
            "longer than 3600 s",
        ),
        (
            Seen(exit_code=137, stop_reason=Reason.REPLACED, killed_by_us=True, grace_s=2.0),
            Reason.REPLACED,
            137,
            "2 s after the signal",
        ),
        (Seen(exit_code=128, start_error="no space"), Reason.NOT_STARTED, None, "no space"),
        (Seen(exit_code=125), Reason.NOT_STARTED, None, "not be delivered"),
    ],
)
def test_reasons(seen, reason, exit_code, words):
    verdict = judge(JOB, seen)
    assert (verdict.reason, verdict.exit_code) == (reason, exit_code)
    assert words in verdict.detail
    assert words or not verdict.detail


codes = st.sampled_from([0, 1, 3, 124, 125, 126, 127, 128, 137, 139, 143, 255])


@given(
    st.builds(
        Seen,
        exit_code=codes,
        oom_killed=st.booleans(),
        stop_reason=st.sampled_from([None, Reason.CANCELLED_BY_USER, Reason.TIMED_OUT]),
        killed_by_us=st.booleans(),
        engine_restarted=st.booleans(),
    )
)
def test_what_is_decided_without_a_trailer_no_trailer_can_change(seen):
    if not is_decided(seen):
        return
    early = judge(JOB, seen)
    late = judge(JOB, replace(seen, trailer=whole(seen.exit_code)))
    assert (early.reason, early.exit_code) == (late.reason, late.exit_code)


def test_an_exit_code_alone_decides_nothing():
    assert not is_decided(Seen(exit_code=0))
    assert not is_decided(Seen(exit_code=137))
    assert is_decided(Seen(exit_code=0, trailer=whole()))
    assert is_decided(Seen(exit_code=137, oom_killed=True))
    assert is_decided(Seen(exit_code=137, stop_reason=Reason.TIMED_OUT, killed_by_us=True))


def test_only_125_without_a_trailer_was_not_delivered():
    assert not_delivered(Seen(exit_code=125))
    assert not not_delivered(Seen(exit_code=125, trailer=whole(125)))
    assert not not_delivered(Seen(exit_code=137))


def reports(outputs: str, conditions: str = "") -> Trailer:
    return Trailer(code=0, outputs=outputs.encode(), conditions=conditions.encode())


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ('{"value": {"a": 1}}\n{"value": {"b": 2}}\n', {"a": 1, "b": 2}),
        ('{"value": {"a": 1}}\n{"value": {"a": 2}}\n', {"a": 2}),
        ('{"value": 5}\n', 5),
        ('{"value": 5}\n{"value": {"a": 1}}\n', {"a": 1}),
        ('{"name": "a", "text": "1"}\n', {"a": "1"}),
        ('{"name": "a", "json": "[1, 2]"}\n', {"a": [1, 2]}),
        ('{"guess": "{\\"a\\": 1}"}\n', {"a": 1}),
        ('{"guess": "plain text"}\n', "plain text"),
        ("", {}),
    ],
)
def test_reported_lines_become_one_value(lines, expected):
    got = read_reports(reports(lines))
    assert json.loads(got.outputs) == expected
    assert got.complaint == ""


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", '{"name": "a", "json": "{"}', "{}", '"text"', "5", "null", "[" * 5000],
)
def test_what_cannot_be_read_is_said_and_the_rest_is_kept(line):
    got = read_reports(reports(f'{{"value": {{"a": 1}}}}\n{line}\n{{"value": {{"b": 2}}}}\n'))
    assert json.loads(got.outputs) == {"a": 1, "b": 2}
    assert "not JSON" in got.complaint


def test_conditions_are_true_or_false():
    lines = '{"name": "a", "value": true}\n{"name": "b", "value": false}\n'
    assert json.loads(read_reports(reports("", lines)).conditions) == {"a": True, "b": False}


def test_without_a_trailer_the_results_are_said_to_be_lost():
    assert read_reports(None).complaint


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_report_can_break_the_reader(outputs, conditions):
    got = read_reports(Trailer(code=0, outputs=outputs, conditions=conditions))
    json.loads(got.outputs)
    assert isinstance(json.loads(got.conditions), dict)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_what_is_nested_too_deep_is_not_kept():
    kept = read_reports(reports(f'{{"value": {{"a": {nested(19)}}}}}\n'))
    assert not kept.complaint
    dropped = read_reports(reports(f'{{"value": {{"a": {nested(20)}}}}}\n'))
    assert dropped.outputs == b"{}"
    assert "deeper than 20 levels" in dropped.complaint
    assert read_reports(reports(f'{{"value": {{"a": {nested(400)}}}}}\n')).outputs == b"{}"
