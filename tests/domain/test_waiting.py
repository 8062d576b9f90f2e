"""Why a queued run waits."""

from datetime import UTC, datetime, timedelta

import pytest

from cronium_app.domain.targets import ContainerTarget
from cronium_app.domain.waiting import (
    EngineView,
    ImageView,
    place_of,
    places_of_agent,
    waiting_text,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UP = EngineView(state="up", slots=4, free_slots=4)
BUILDING = ImageView(image="cronium/python", state="building", percent=60)


def text(engine: EngineView, **fields) -> str:
    values = {"place": "container", "image": "cronium/python", "available_at": NOW, "now": NOW}
    return waiting_text(engine, **(values | fields))


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (UP, ""),
        (EngineView(), "waits for the container engine to be found"),
        (EngineView(state="down"), "waits for the container engine"),
        (EngineView(state="up", slots=4), "waits for a free slot (4 of 4 in use)"),
        (EngineView(state="up", slots=4, free_slots=1, images=(BUILDING,)),
         "preparing cronium/python, 60 %"),
        (EngineView(state="up", slots=4, images=(BUILDING,)), "preparing cronium/python, 60 %"),
        (EngineView(state="up", slots=1, free_slots=1,
                    images=(ImageView(image="cronium/python", state="missing"),)),
         "preparing cronium/python"),
        (EngineView(state="up", slots=1, free_slots=1,
                    images=(ImageView(image="cronium/python", state="unavailable"),)), ""),
        (EngineView(state="up", slots=1, free_slots=1,
                    images=(ImageView(image="cronium/node", state="building"),)), ""),
    ],
)  # fmt: skip
def test_the_first_thing_in_the_way_is_named(engine, words):
    assert text(engine) == words


def test_another_image_is_pulled_for_the_run_that_wants_it_and_holds_up_nobody():
    pulling = ImageView(image="python:3.13", state="pulling", percent=40)
    engine = EngineView(state="up", slots=4, free_slots=4, images=(pulling,))
    assert text(engine, image="python:3.13") == ""
    assert not pulling.holds_up


def test_a_later_time_and_another_agent_are_named():
    assert text(UP, available_at=NOW + timedelta(hours=1)) == "not before 2026-01-01 01:00:00 UTC"
    assert text(UP, place="container:lab") == "waits for the agent lab"


def test_who_serves_which_place():
    assert place_of(ContainerTarget()) in places_of_agent("local", builtin=True)
    assert place_of(ContainerTarget(agent="lab")) in places_of_agent("lab", builtin=False)
    assert place_of(ContainerTarget()) not in places_of_agent("lab", builtin=False)
