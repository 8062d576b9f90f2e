"""Numbers and sentences as people read them."""

import pytest

from cronium_app.ui import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0 ms"),
        (0.0084, "8 ms"),
        (0.4, "0.4 s"),
        (4.1, "4.1 s"),
        (59.94, "59.9 s"),
        (59.99, "1 m 00 s"),
        (100, "1 m 40 s"),
        (3600, "1 h 00 m"),
        (4320, "1 h 12 m"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3600, "1 h"), (90, "90 s"), (300, "5 min"), (86_400, "1 d"), (0.5, "0.5 s")],
)
def test_limits_in_the_largest_exact_unit(seconds: float, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (812, "812 B"), (90_112, "88 KiB"), (1_258_291, "1.2 MiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert words.size(count) == text


def test_what_a_run_may_touch() -> None:
    assert (
        words.touches("bash", "", network=True)
        == "container cronium/bash, network on, no files of this host"
    )
    assert "network off" in words.touches("python", "python:3.13-slim", network=False)
    assert "python:3.13-slim" in words.touches("python", "python:3.13-slim", network=False)


def test_who_started_it() -> None:
    assert words.trigger("schedule", "every day at 02:00") == "schedule “every day at 02:00”"
    assert words.trigger("manual", "ada@example.org") == "ada@example.org"
