"""Events, schedules and runs, over HTTP."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cronium_app.cli.client import Client, save_config
from cronium_app.cli.errors import CANCELLED, FAILED, STILL_RUNNING, CliError

AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
EventId = Annotated[str, typer.Argument(help="The event's id.")]
RunId = Annotated[str, typer.Argument(help="The run's id.")]
ScheduleId = Annotated[str, typer.Argument(help="The schedule's id.")]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="JSON with the fields; - for standard input.")
]
PANEL = "Work"
WAIT_S = 60  # of one request; waiting longer is several requests


def add_to(app: typer.Typer) -> None:
    event = typer.Typer(help="What can run.", no_args_is_help=True)
    for name, command in (
        ("list", event_list), ("get", event_get), ("create", event_create),
        ("update", event_update), ("delete", event_delete),
    ):  # fmt: skip
        event.command(name)(command)
    schedule = typer.Typer(help="When it runs by itself.", no_args_is_help=True)
    for name, command in (
        ("list", schedule_list), ("add", schedule_add), ("get", schedule_get),
        ("update", schedule_update), ("delete", schedule_delete),
    ):  # fmt: skip
        schedule.command(name)(command)
    run = typer.Typer(help="What has run and runs.", no_args_is_help=True)
    for name, command in (
        ("start", run_start), ("wait", run_wait), ("log", run_log), ("cancel", run_cancel),
        ("get", run_get), ("list", run_list),
    ):  # fmt: skip
        run.command(name)(command)
    app.command("login", rich_help_panel=PANEL)(login)
    app.add_typer(event, name="event", rich_help_panel=PANEL)
    app.add_typer(schedule, name="schedule", rich_help_panel=PANEL)
    app.add_typer(run, name="run", rich_help_panel=PANEL)


def login(
    url: Annotated[str, typer.Argument(help="The server, as in the browser.")],
    token: Annotated[str | None, typer.Option(help="Better left out: it is asked for.")] = None,
) -> None:
    """Keep a server's address and a token for later commands."""
    import getpass

    if token is None:
        token = getpass.getpass("Token: ") if sys.stdin.isatty() else sys.stdin.readline()
    client = Client(url, str(token).strip())
    who = client.call("GET", "/api/v1/me")
    print(f"Signed in as {who['email']}; kept in {save_config(client.url, client.token)}.")


# --- events ---------------------------------------------------------------------------------------


def event_list(
    search: Annotated[str | None, typer.Option(help="Words in name or tags.")] = None,
    tag: Annotated[str | None, typer.Option()] = None,
    archived: Annotated[bool, typer.Option(help="Those in the archive.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: AsJson = False,
) -> None:
    """Events by name."""
    page = Client.configured().call(
        "GET", "/api/v1/events", search=search, tag=tag, archived=archived, limit=limit
    )
    if as_json:
        _show(page)
    for row in _items(page, as_json):
        state = "" if row["enabled"] else " (off)"
        print(f"{row['id']}  {row['runtime']:6}  {row['name']}{state}")


def event_get(event_id: EventId) -> None:
    """One event as JSON."""
    _show(Client.configured().call("GET", f"/api/v1/events/{event_id}"))


def event_create(
    file: File = None,
    name: Annotated[str | None, typer.Option()] = None,
    runtime: Annotated[str | None, typer.Option(help="python, node or bash")] = None,
    script: Annotated[Path | None, typer.Option(help="A file; - for standard input.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field=value, value as JSON or text")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an event from JSON or flags; prints its id."""
    body = _fields(file, set_) | _given(name=name, runtime=runtime, script=_text(script))
    made = Client.configured().call("POST", "/api/v1/events", body)
    _show(made) if as_json else print(made["id"])


def event_update(
    event_id: EventId,
    file: File = None,
    name: Annotated[str | None, typer.Option()] = None,
    script: Annotated[Path | None, typer.Option(help="A file; - for standard input.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field=value, value as JSON or text")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given; prints the revision."""
    body = _fields(file, set_) | _given(name=name, script=_text(script))
    saved = Client.configured().call("PATCH", f"/api/v1/events/{event_id}", body)
    _show(saved) if as_json else print(f"revision {saved['revision']}")


def event_delete(
    event_id: EventId, yes: Annotated[bool, typer.Option(help="Do not ask.")] = False
) -> None:
    """With its schedules, history and logs."""
    client = Client.configured()
    weight = client.call("GET", f"/api/v1/events/{event_id}/delete-preview")
    what = f"{weight['runs']} runs and {weight['schedules']} schedules go with it."
    if not yes and not typer.confirm(f"{what} Delete?"):
        raise typer.Exit(1)
    client.call("DELETE", f"/api/v1/events/{event_id}")


# --- schedules ------------------------------------------------------------------------------------


def schedule_list(event_id: EventId, as_json: AsJson = False) -> None:
    """An event's schedules."""
    page = Client.configured().call("GET", f"/api/v1/events/{event_id}/schedules")
    if as_json:
        _show(page)
    for row in _items(page, as_json):
        print(f"{row['id']}  {row['words']} ({row['timezone']})  next {row['next_fire_at'] or '-'}")


def schedule_add(
    event_id: EventId,
    cron: Annotated[str | None, typer.Option(help="A cron expression.")] = None,
    every: Annotated[int | None, typer.Option(help="An interval in seconds.")] = None,
    at: Annotated[str | None, typer.Option(help="One date and time.")] = None,
    timezone: Annotated[str, typer.Option()] = "UTC",
    file: File = None,
    as_json: AsJson = False,
) -> None:
    """Add a schedule; prints its id."""
    body = {"timezone": timezone} | _fields(file, None)
    if cron is not None:
        body |= {"kind": "cron", "expression": cron}
    if every is not None:
        body |= {"kind": "interval", "every_s": every}
    if at is not None:
        body |= {"kind": "once", "at": at}
    made = Client.configured().call("POST", f"/api/v1/events/{event_id}/schedules", body)
    _show(made) if as_json else print(made["id"])


def schedule_get(schedule_id: ScheduleId) -> None:
    """One schedule as JSON."""
    _show(Client.configured().call("GET", f"/api/v1/schedules/{schedule_id}"))


def schedule_update(
    schedule_id: ScheduleId,
    file: File = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="field=value, value as JSON or text")
    ] = None,
) -> None:
    """Change what is given."""
    body = _fields(file, set_)
    _show(Client.configured().call("PATCH", f"/api/v1/schedules/{schedule_id}", body))


def schedule_delete(schedule_id: ScheduleId) -> None:
    """Its runs stay."""
    Client.configured().call("DELETE", f"/api/v1/schedules/{schedule_id}")


# --- runs -----------------------------------------------------------------------------------------


def run_start(
    event_id: EventId,
    inputs: Annotated[str | None, typer.Option(help="A JSON object.")] = None,
    wait: Annotated[bool, typer.Option(help="Until it has ended; the exit code says how.")] = False,
    follow: Annotated[bool, typer.Option(help="Print its log meanwhile.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a run; prints its id."""
    client = Client.configured()
    body = {"inputs": _json(inputs, "--inputs")} if inputs else None
    run = client.call("POST", f"/api/v1/events/{event_id}/runs", body)
    if not follow:
        _show(run) if as_json and not wait else print(run["id"], flush=True)
    if follow:
        _follow(client, run["id"], 0)
    if wait or follow:
        _end(client, run["id"], None, as_json)


def run_wait(
    run_id: RunId,
    timeout: Annotated[int | None, typer.Option(help="Seconds; without it for ever.")] = None,
    as_json: AsJson = False,
) -> None:
    """Wait for the end: 0 succeeded, 1 failed, 3 cancelled, 4 still running."""
    _end(Client.configured(), run_id, timeout, as_json)


def run_log(
    run_id: RunId,
    offset: Annotated[int, typer.Option(help="Begin at this byte.", min=0)] = 0,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
) -> None:
    """The log's bytes as they are. With --follow what the job wrote to stderr goes to stderr."""
    client = Client.configured()
    if follow:
        _follow(client, run_id, offset)
        return
    sys.stdout.buffer.write(client.log(run_id, offset))
    sys.stdout.buffer.flush()


def run_cancel(run_id: RunId) -> None:
    """Ask a run to stop."""
    run = Client.configured().call("POST", f"/api/v1/runs/{run_id}/cancel")
    print(run["status"])


def run_get(run_id: RunId) -> None:
    """One run as JSON."""
    _show(Client.configured().call("GET", f"/api/v1/runs/{run_id}"))


def run_list(
    status: Annotated[str | None, typer.Option()] = None,
    event: Annotated[str | None, typer.Option(help="The event's id.")] = None,
    text: Annotated[str | None, typer.Option(help="Words.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200)] = 50,
    as_json: AsJson = False,
) -> None:
    """The history, newest first."""
    page = Client.configured().call(
        "GET", "/api/v1/runs", status=status, event_id=event, text=text, limit=limit
    )
    if as_json:
        _show(page)
    for row in _items(page, as_json):
        print(f"{row['id']}  {row['created_at']}  {row['status']:9}  {row['event_name']}")


def _items(page: Any, as_json: bool) -> list[dict[str, Any]]:
    return [] if as_json else page["items"]


# --- helpers --------------------------------------------------------------------------------------


def _follow(client: Client, run_id: str, offset: int) -> None:
    for stream, data in client.follow(run_id, offset):
        out = sys.stderr.buffer if stream == 2 else sys.stdout.buffer
        out.write(data)
        out.flush()


def _end(client: Client, run_id: str, timeout: int | None, as_json: bool) -> None:
    """Exits with what the run's end means."""
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = WAIT_S if deadline is None else max(0, round(deadline - time.monotonic()))
        run = client.call("GET", f"/api/v1/runs/{run_id}", wait=min(WAIT_S, left))
        if run["status"] not in ("queued", "running"):
            break
        if deadline is not None and time.monotonic() >= deadline:
            raise CliError("It has not ended yet.", STILL_RUNNING)
    if as_json:
        _show(run)
    else:
        print(f"{run['status']}: {run['reason_text']}", file=sys.stderr)
    codes = {"succeeded": 0, "failed": FAILED, "cancelled": CANCELLED}
    raise typer.Exit(codes[run["status"]])


def _show(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _fields(file: Path | None, assignments: list[str] | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if file is not None:
        fields = _json(_text(file) or "", str(file))
        if not isinstance(fields, dict):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise CliError("A JSON object is needed.")
    for assignment in assignments or []:
        name, sign, text = assignment.partition("=")
        if not sign:
            raise CliError(f"--set {name}: write field=value.")
        try:
            fields[name] = json.loads(text)
        except ValueError:
            fields[name] = text
    return fields


def _text(path: Path | None) -> str | None:
    if path is None:
        return None
    if str(path) == "-":
        return sys.stdin.read()
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read: {error}") from None


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CliError(f"{where} is no JSON: {error}") from None
