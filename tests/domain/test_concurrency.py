import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cronium_app.domain.concurrency import (
    Concurrency,
    Holder,
    KeyUnresolved,
    Waiting,
    blocked_text,
    name_of,
    resolve,
)

OWNER, OTHER, EVENT, RUN = UUID(int=1), UUID(int=2), UUID(int=3), UUID(int=4)
SINCE = datetime(2026, 3, 1, 14, 3, 10, tzinfo=UTC)


def key(inputs: Any = None, owner: UUID = OWNER, event: UUID = EVENT, **fields: Any) -> str:
    return resolve(Concurrency(**fields), owner, event, json.dumps(inputs or {}))


def test_a_key_is_made_of_inputs():
    made = key(
        {"env": "prod", "at": {"n": 3}}, group="deploy", key="{{ inputs.env }}{{inputs.at.n}}"
    )
    assert name_of(made) == "deploy-prod3"
    assert made != key({"env": "test", "at": {"n": 3}}, group="deploy", key="{{ inputs.env }}")
    assert (
        name_of(key({"env": "prod"}, group="deploy", key="deploy-{{ inputs.env }}"))
        == "deploy-prod"
    )
    assert name_of(key({"env": "prod"}, group="deploy-{{ inputs.env }}")) == "deploy-prod"
    assert name_of(key(key="{{ inputs.on }}", inputs={"on": True})) == "true"
    assert name_of(key()) == name_of("") == ""


def test_groups_are_shared_by_events_of_one_owner_only():
    other_event = UUID(int=9)
    assert key(group="deploy") == key(group="deploy", event=other_event)
    assert key(group="deploy") != key(group="deploy", owner=OTHER)
    assert key() != key(event=other_event)
    assert key(key="a") != key(key="a", event=other_event)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_different_names_never_meet(group, one, other_group, other):
    def made(group: str, key_: str) -> str | None:
        try:
            return key({"g": group, "k": key_}, group="g{{inputs.g}}", key="{{inputs.k}}")
        except KeyUnresolved:
            return None

    first, second = made(group, one), made(other_group, other)
    if first is not None and second is not None:
        assert (first == second) == ((group, one) == (other_group, other))


@pytest.mark.parametrize(
    ("template", "inputs"),
    [
        ("{{ inputs.env }}", {}), ("{{ inputs.env }}", {"env": None}), ("{{ inputs.env }}", {"env": []}),
        ("{{ inputs.env.name }}", {"env": "prod"}), ("{{ inputs.env }}", {"env": "a\nb"}),
        ("{{ inputs.env }}", {"env": "x" * 201}), ("{{ inputs.env }}", {"env": "\ud800"}),
        ("{{ inputs.__class__ }}", {}), ("{{ inputs.env.__class__ }}", {"env": "a"}),
    ],
)  # fmt: skip
def test_an_input_that_cannot_be_a_key_is_said_in_one_sentence(template, inputs):
    with pytest.raises(KeyUnresolved) as error:
        key(inputs, group="deploy", key=template)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"key": "{{ 7 * 7 }}"}, {"key": "{{ inputs }}"}, {"key": "{{ inputs['env'] }}"},
        {"key": "{{ inputs.env | upper }}"}, {"key": "{{ secrets.a }}"}, {"key": "{{ inputs.a"},
        {"key": "inputs.a }}"}, {"key": "{{ {{ inputs.a }} }}"}, {"key": "{% for a in b %}{{"},
        {"key": "x" * 201}, {"key": "a\0b"}, {"group": "a\x1bb"}, {"limit": 0}, {"limit": "1"},
        {"limit": -1}, {"limit": 10**9}, {"group": 5}, {"holders": 3},
    ],
)  # fmt: skip
def test_a_rule_that_is_more_than_a_path_is_refused(fields):
    with pytest.raises(ValidationError):
        Concurrency(**fields)


def test_a_hostile_template_costs_nothing():
    with pytest.raises(ValidationError):
        Concurrency(key="{{ inputs" + ".a" * 94 + "!}}")


# --- who holds ---


def holder(group_key: str = "", **fields: Any) -> Holder:
    values: dict[str, Any] = {
        "run_id": UUID(int=7), "event_id": UUID(int=8), "event_name": "release", "since": SINCE, "exclusive": False,
    }  # fmt: skip
    return Holder(group_key=group_key, **(values | fields))


def waiting(group_key: str = "", **fields: Any) -> Waiting:
    values: dict[str, Any] = {
        "run_id": RUN, "event_id": EVENT, "group_limit": 1, "exclusive": False, "begun": False,
    }  # fmt: skip
    return Waiting(group_key=group_key, **(values | fields))


def text(who: Waiting, *holders: Holder, running: int = 0, limit: int | None = None) -> str:
    return blocked_text(who, holders, running=running, server_limit=limit)


def test_the_wait_for_a_group_names_who_holds_it():
    prod = key(group="deploy", key="prod")
    assert text(waiting(prod)) == ""
    assert text(waiting(prod), holder(key(group="deploy", key="test"))) == ""
    held = text(waiting(prod), holder(prod))
    assert held == "waits for deploy-prod, held by release since 14:03:10 UTC"
    three = text(waiting(prod, group_limit=3), *[holder(prod) for _ in "123"])
    assert three == "waits for deploy-prod, held by release and 2 others since 14:03:10 UTC"
    assert text(waiting(prod, group_limit=3), holder(prod)) == ""


def test_a_run_between_two_tries_keeps_its_event_but_not_its_group():
    prod = key(group="deploy", key="prod")
    between = holder(prod, since=None, event_id=EVENT)
    assert text(waiting(prod), between) == ""
    assert "next try" in text(waiting(exclusive=True), between)
    assert text(waiting(exclusive=True, begun=True), between) == ""
    itself = holder(prod, since=None, event_id=EVENT, run_id=RUN)
    assert text(waiting(exclusive=True, begun=True), itself) == ""


def test_the_limit_of_the_server_is_said():
    assert "limit is 20" in text(waiting(), running=20, limit=20)
    assert text(waiting(), running=19, limit=20) == ""
