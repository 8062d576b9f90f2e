"""What a new event may begin with: eight scripts that run as they are, and the first run's demo.

They need nothing but the base images, and no network unless their description says so.
"""

from functools import cache
from importlib.resources import files
from typing import Final, Literal, NamedTuple

from cronium_app.actions.views import Template

DEMO_NAME: Final = "Welcome to Cronium"
DEMO_TAGS: Final = ["demo"]


class _Entry(NamedTuple):
    key: str
    name: str
    description: str
    runtime: Literal["python", "node", "bash"]
    timeout_s: int = 300
    network: bool = False


_ENTRIES = (
    _Entry(
        "hello",
        "Hello from Bash",
        "Greets, tells where it runs, and hands a value on. The shortest start.",
        "bash",
    ),
    _Entry(
        "web-check",
        "Check a web page",
        "Asks a page for its status and how fast it answered. Without a network it checks a page "
        "that it serves itself.",
        "python",
        network=True,
    ),
    _Entry(
        "backup-rotation",
        "Back up and keep the newest",
        "Packs a folder, verifies the archive and keeps the newest seven. Shown on sample files.",
        "bash",
    ),
    _Entry(
        "json-report",
        "JSON to a result",
        "Reads JSON, adds it up and hands the sums on as outputs.",
        "node",
    ),
    _Entry(
        "csv-summary",
        "Summarise a CSV table",
        "Groups rows, prints a table and hands the totals on.",
        "python",
    ),
    _Entry(
        "disk-watch",
        "Watch disk space",
        "Fails with a clear sentence when a file system is fuller than its limit.",
        "bash",
    ),
    _Entry(
        "retry-steps",
        "Try again with pauses",
        "Repeats a step that fails now and then, with growing pauses.",
        "node",
    ),
    _Entry(
        "git-mirror",
        "Mirror a Git repository",
        "Makes or updates a mirror and counts what is new. Shown on a repository of its own.",
        "bash",
    ),
)


@cache
def templates() -> list[Template]:
    """In the order they are offered."""
    return [
        Template(
            key=entry.key,
            name=entry.name,
            description=entry.description,
            runtime=entry.runtime,
            script=_script(entry.key, entry.runtime),
            network=entry.network,
            timeout_s=entry.timeout_s,
        )
        for entry in _ENTRIES
    ]


def demo_script() -> str:
    return _script("demo", "bash")


def _script(key: str, runtime: str) -> str:
    suffix = {"python": "py", "node": "js", "bash": "sh"}[runtime]
    return (files("cronium_app.actions") / "scripts" / f"{key}.{suffix}.txt").read_text("utf-8")
