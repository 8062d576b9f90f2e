"""Every address of the pages, in one place."""

from typing import Final

import reflex as rx

HOME: Final = "/"
EVENTS: Final = "/events"
EVENT_NEW: Final = "/events/new"
EVENT: Final = "/events/[event_id]"
EVENT_EDIT: Final = "/events/[event_id]/edit"
RUNS: Final = "/runs"
RUN: Final = "/runs/[run_id]"
SETTINGS: Final = "/settings"
LOGIN: Final = "/login"
SETUP: Final = "/setup"

# Pages that answer without a session. Everything else sends the visitor to LOGIN first.
ANONYMOUS: Final = (LOGIN, SETUP)


def event_url(event_id: str | rx.Var[str]) -> str:
    """Address of an event. A Var gives an expression that the browser fills in."""
    return f"{EVENTS}/{event_id}"


def run_url(run_id: str | rx.Var[str]) -> str:
    """Address of a run."""
    return f"{RUNS}/{run_id}"


def log_socket_path(run_id: str | rx.Var[str]) -> str:
    """Path of the log's socket, without `from`; the log pane adds where it stands."""
    return f"/api/v1/runs/{run_id}/log/ws"


def log_path(run_id: str | rx.Var[str]) -> str:
    """Path of the raw log."""
    return f"/api/v1/runs/{run_id}/log"
