"""The command `cronium`: serve and administer here, everything else over HTTP.

Exit codes: 0 done, 1 a failed run or another error, 2 wrong usage, 3 a cancelled run, 4 still
running when waiting ended, 5 refused by the server, 6 no server answers.

Modules are imported when a command needs them: `cronium --help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cronium_app.cli import admin, remote
from cronium_app.cli.errors import CliError

app = typer.Typer(
    name="cronium",
    help="Write a script, give it a schedule, see what happened.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # plain help: its library alone takes longer to import than we may
    context_settings={"help_option_names": ["-h", "--help"]},
)
admin.add_to(app)
remote.add_to(app)


@app.command(rich_help_panel="Server")
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen at.")] = None,
    port: Annotated[int | None, typer.Option(help="0: any free one.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder.")] = None,
) -> None:
    """Start the server, in the foreground."""
    from cronium_app.cli import serving
    from cronium_app.settings import load_settings

    serving.serve(load_settings({"host": host, "port": port, "data_dir": data}))


def main() -> None:
    """Errors are one line; tracebacks are for bugs of ours."""
    try:
        app()
    except CliError as error:
        _stop(str(error), error.exit_code)
    except KeyboardInterrupt:
        _stop("", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has seen enough
        sys.exit(0)
    except Exception as error:
        if not _is_sentence(error):
            raise
        _stop(str(error), 1)


def _is_sentence(error: Exception) -> bool:
    """Whether its message is made for people. Compared by name, so that nothing is imported."""
    known = {
        "CroniumError", "SettingsError", "MigrationError", "KeyringError", "FolderInUse",
        "FolderUnusable", "StartRefused",
    }  # fmt: skip
    return any(base.__name__ in known for base in type(error).__mro__)


def _stop(message: str, code: int) -> None:
    if message:
        print(f"cronium: {message}", file=sys.stderr)
    sys.exit(code)
