# pyright: reportPrivateUsage=false
"""Opening a schedule's form and saving it again changes nothing that nobody touched."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cronium_app.actions.views import ScheduleView
from cronium_app.ui.pages import schedules

# 02:30:15 in Berlin, the second time round: the clocks went back at 03:00.
SECOND_TIME_ROUND = datetime(2026, 10, 25, 1, 30, 15, tzinfo=UTC)


def _view(**fields: Any) -> ScheduleView:
    plain: dict[str, Any] = dict.fromkeys(ScheduleView.model_fields) | {
        "id": "s",
        "event_id": "e",
        "kind": "interval",
        "every_s": 900,
        "timezone": "Europe/Berlin",
        "enabled": True,
        "dst": "once",
        "misfire": "once",
        "misfire_window_s": 3600,
        "jitter_s": 0,
        "paused_by": "",
        "words": "",
        "next_fires": [],
        "notes": [],
    }
    return ScheduleView.model_validate(plain | fields)


def _saved(view: ScheduleView, **typed: str) -> dict[str, Any]:
    """What a save would send."""
    form = schedules._form(view) | typed
    patch = schedules._changed(view, schedules._command(form, view))
    return patch.model_dump(exclude_unset=True) if patch else {}


@pytest.mark.parametrize(
    "view",
    [
        _view(start=SECOND_TIME_ROUND, end=datetime(2027, 1, 1, tzinfo=UTC)),
        _view(kind="once", every_s=None, at=SECOND_TIME_ROUND),
        _view(kind="cron", every_s=None, expression="30 2 * * *"),
    ],
)
def test_a_save_without_a_change_sends_nothing(view: ScheduleView) -> None:
    assert _saved(view) == {}


def test_only_what_was_typed_is_sent() -> None:
    view = _view(start=SECOND_TIME_ROUND)
    assert _saved(view, every="20") == {"every_s": 1200}
    assert _saved(view, start="") == {"start": None}
    assert _saved(view, kind="cron", expression="0 6 * * *") == {
        "kind": "cron",
        "expression": "0 6 * * *",
    }


def test_the_field_shows_the_seconds() -> None:
    assert schedules._form(_view(start=SECOND_TIME_ROUND))["start"] == "2026-10-25T02:30:15"


def test_another_zone_reads_the_wall_time_anew() -> None:
    sent = _saved(_view(start=SECOND_TIME_ROUND), timezone="Asia/Tokyo")
    assert sent["timezone"] == "Asia/Tokyo"
    assert "start" in sent
