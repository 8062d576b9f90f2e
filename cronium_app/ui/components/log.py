"""The log of a run: a window onto bytes that arrive on a socket of their own."""

import reflex as rx
from reflex.event import passthrough_event_spec

from cronium_app.ui import routes
from cronium_app.ui.components.kinds import Flag, Handler, Number, Text


class LogPane(rx.NoSSRComponent):
    """See `log_pane`."""

    library = "$/public/js/log_pane.jsx"
    tag = "LogPane"
    lib_dependencies: list[str] = ["virtua@0.54.2"]

    socket: rx.Var[str]
    raw: rx.Var[str]
    attempt: rx.Var[int]
    running: rx.Var[bool]
    compact: rx.Var[bool]
    waiting: rx.Var[str]
    script_href: rx.Var[str]
    on_end: rx.EventHandler[passthrough_event_spec(str)]


def log_pane(
    run_id: Text,
    *,
    running: Flag = True,
    attempt: Number = 0,
    compact: bool = False,
    waiting: Text = "Waiting for output",
    script_href: Text = "",
    on_end: Handler = None,
) -> rx.Component:
    """Everything the run has printed, then live.

    `attempt` 0 means the latest. `compact` is for the output under the editor: no permalinks, a
    fixed height. `waiting` stands there until the first byte. `script_href` (address of the
    revision's script) turns "line N" of a traceback into a link to its line N. `on_end` gets the
    JSON text of the last frame when the log is complete.
    """
    handlers = {"on_end": on_end} if on_end is not None else {}
    return LogPane.create(
        socket=routes.log_socket_path(run_id),
        raw=routes.log_path(run_id),
        attempt=attempt,
        running=running,
        compact=compact,
        waiting=waiting,
        script_href=script_href,
        **handlers,
    )
