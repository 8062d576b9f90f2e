"""What the set-up scripts say, and what they remember having changed. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CHANGES: list[str] = []


def say(text: str) -> None:
    print(text, flush=True)


def fail(text: str) -> SystemExit:
    print(text, file=sys.stderr, flush=True)
    return SystemExit(1)


def changed(text: str) -> None:
    """Note a change to the machine; all of them are listed at the end."""
    CHANGES.append(text)


def confirm(question: str) -> bool:
    """Ask on a terminal. `YES=1`, or nobody to ask, means yes."""
    if os.environ.get("YES") == "1" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    return input(f"{question} [Y/n] ").strip().lower() in ("", "y", "yes")


def counted(
    command: list[str],
    what: str,
    *,
    marks: tuple[str, ...],
    total: int,
    then: tuple[str, str] = ("", ""),
) -> None:
    """Run a long command, counting the output lines that start with one of `marks`.

    `then` is the start of a line and what to say when it comes. Shows its output only when it fails. Raises SystemExit then.
    """
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines: list[str] = []
    seen = shown = 0
    live = sys.stdout.isatty()
    for line in process.stdout or ():
        lines.append(line)
        if then[0] and line.startswith(then[0]):
            say(("\n" if live else "") + then[1] + " ...")
        if not line.startswith(marks):
            continue
        seen = min(seen + 1, total)
        percent = 100 * seen // max(1, total)
        if live:
            print(f"\r{what} ... {percent} %", end="", flush=True)
        elif percent >= shown + 25:
            shown = percent // 25 * 25
            say(f"{what} ... {shown} %")
    if live and not then[0]:
        print()
    if process.wait() != 0:
        sys.stderr.write("".join(lines[-40:]))
        raise fail(f"{what} failed (the last lines are above).")
