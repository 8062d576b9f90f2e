"""Whatever is sent, a command is either right or refused in one sentence."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cronium_app.actions.commands import (
    CONTENT_FIELDS,
    EventIn,
    EventPatch,
    LoginIn,
    RunFilter,
    RunIn,
    ScheduleIn,
    SchedulePatch,
    SetupIn,
    TestIn,
    TokenIn,
    UserIn,
    checked,
)
from cronium_app.actions.errors import Invalid
from cronium_app.domain.events import EventContent

GOOD: dict[type, dict[str, Any]] = {
    EventIn: {"name": "n", "runtime": "bash", "script": "echo"},
    EventPatch: {"name": "n"},
    TestIn: {"runtime": "bash", "script": "echo"},
    ScheduleIn: {"kind": "interval", "every_s": 5},
    SchedulePatch: {"every_s": 5},
    RunIn: {"inputs": {"a": [1, None, 2.5, "x"]}},
    RunFilter: {"since": "2026-01-01T00:00:00Z"},
    LoginIn: {"email": "a@b", "password": "x"},
    SetupIn: {"code": "x", "email": "A@B.example", "password": "x"},
    UserIn: {"email": "a@b.example", "password": "x"},
    TokenIn: {"name": "t"},
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


HOSTILE: list[Any] = [
    {"a": 1}, [1], float("nan"), float("inf"), 10**400, -1, "\ud800", "a\0b", "x" * 5_000_000,
    nested(50), True, None, b"bytes", 1.5, "", [[[]]], "\u202e", object(),
]  # fmt: skip


def refused(model: type, data: dict[str, Any]) -> Invalid | None:
    try:
        checked(model, data)
    except Invalid as error:
        return error
    return None


@pytest.mark.parametrize("model", GOOD, ids=lambda model: model.__name__)
def test_the_good_one_passes(model: type) -> None:
    assert checked(model, GOOD[model])


@pytest.mark.parametrize("model", GOOD, ids=lambda model: model.__name__)
def test_hostile_values_give_one_sentence_or_are_fine(model: type) -> None:
    for field in model.model_fields:
        for value in HOSTILE:
            refusal = refused(model, GOOD[model] | {field: value})
            if refusal is not None:
                assert refusal.field, (field, value)
                assert "\n" not in refusal.message
                assert len(refusal.message) < 300
                refusal.message.encode()


@pytest.mark.parametrize("model", GOOD, ids=lambda model: model.__name__)
def test_unknown_fields_are_refused(model: type) -> None:
    with pytest.raises(Invalid) as caught:
        checked(model, GOOD[model] | {"is_admin": True})
    assert caught.value.field == "is_admin"


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (EventIn, "memory_mb", {"$gt": 0}),
        (EventIn, "memory_mb", True),
        (EventIn, "memory_mb", "512"),
        (EventIn, "memory_mb", 10**400),
        (EventIn, "cpus", float("nan")),
        (EventIn, "cpus", 10**400),
        (EventIn, "name", "   "),
        (EventIn, "name", "two\nlines"),
        (EventIn, "name", "half \ud800"),
        (EventIn, "name", "cod\u202exe.txt"),
        (EventIn, "name", "a\u2066b"),
        (EventIn, "tags", ["a\u200fb"]),
        (EventIn, "script", "a\0b"),
        (EventIn, "script", "half \ud800"),
        (EventIn, "script", "x" * (1024 * 1024 + 1)),
        (EventIn, "image", "../containers/json?all=1&x="),
        (EventIn, "env", {"1A": "x"}),
        (EventIn, "env", {"A": "\0"}),
        (EventIn, "env", {"UID": "0"}),
        (EventIn, "env", {"OPTIND": "1"}),
        (EventIn, "env", {"A": "\u20ac" * 50_000}),
        (EventIn, "env", {f"A{n}": "x" * 2000 for n in range(400)}),
        (EventIn, "tags", ["x"] * 21),
        (EventIn, "tags", [""]),
        (EventIn, "runtime", "perl"),
        (EventIn, "enabled", "yes"),
        (EventIn, "target", {"kind": "container", "privileged": True}),
        (RunIn, "inputs", nested(50)),
        (RunIn, "inputs", {"a": float("inf")}),
        (RunIn, "inputs", {"a": 2**63}),
        (RunIn, "inputs", {"\ud800": 1}),
        (RunIn, "inputs", {"a": "x" * 1_000_001}),
        (RunIn, "revision", 0),
        (RunFilter, "since", "2026-01-01"),
        (RunFilter, "since", 5),
        (RunFilter, "since", "0001-01-01T00:00:00+14:00"),
        (RunFilter, "until", "9999-12-31T23:59:59-14:00"),
        (ScheduleIn, "every_s", 0),
        (ScheduleIn, "every_s", 1.0),
        (ScheduleIn, "expression", "*" * 5000),
        (LoginIn, "password", "x" * 1025),
        (SetupIn, "email", "nobody"),
        (UserIn, "role", "owner"),
    ],
)
def test_refused(model: type, field: str, value: object) -> None:
    with pytest.raises(Invalid) as caught:
        checked(model, GOOD[model] | {field: value})
    assert (caught.value.field or "").partition(".")[0] == field


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3),
    max_leaves=20,
), max_size=5))  # fmt: skip
def test_inputs_are_json_or_refused(value: dict[str, Any]) -> None:
    import json

    try:
        command = checked(RunIn, {"inputs": value})
    except Invalid:
        return
    assert json.loads(json.dumps(command.inputs, allow_nan=False)) == value


def test_a_patch_knows_every_field_of_the_content_with_the_same_bounds() -> None:
    bounds = {name: _bounds(EventContent, name) for name in CONTENT_FIELDS}
    assert bounds == {name: _bounds(EventPatch, name) for name in CONTENT_FIELDS}


def _bounds(model: type, name: str) -> dict[str, Any]:
    schema = model.model_json_schema()["properties"][name]
    options = [schema, *schema.get("anyOf", [])]
    keys = ("minimum", "maximum", "maxProperties")
    return {key: option[key] for option in options for key in keys if key in option}
