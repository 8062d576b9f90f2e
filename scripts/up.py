"""`make up`: everything from a clean clone to a running server, in the foreground.

Standard library only, and run by the machine's own Python: `.venv` may not exist yet.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from scripts import engine, environment, preflight
from scripts.console import CHANGES, ROOT, VENV, changed, fail, say

REMEMBERED = ROOT / ".cronium.local"
KEYS = ("HOST", "PORT", "DATA")
LOOPBACK = ("127.0.0.1", "::1", "localhost")
CRONIUM = VENV / "bin" / "cronium"


def main() -> None:
    if sys.platform == "darwin":
        raise fail(
            "make up runs on Linux; on macOS use the one container with Docker Desktop "
            "(the docker line at the top of README.md)."
        )
    given = {key: os.environ[key] for key in KEYS if os.environ.get(key)}
    settings = effective(given, read_remembered(), os.environ)
    host, port, data = check_values(settings)
    running = running_on(data)
    if running is not None:
        say(f"Cronium already runs on {data}: {running}")
        return
    mend_or_stop(preflight.check(host, port, data, ROOT))
    state = engine.look()
    if not state.answers:
        engine.provide(state)
    remember(given)
    environment.ensure(dev=False)
    build_client()
    announce(host, port, data)
    # The server takes our place, so that Ctrl-C and every signal reach it and nobody else.
    os.execv(CRONIUM, [str(CRONIUM), "serve", *flags(given)])


def effective(
    given: dict[str, str], remembered: dict[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Host, port and data folder in the order in which the server itself looks for them."""
    variables = {"HOST": "CRONIUM_HOST", "PORT": "CRONIUM_PORT", "DATA": "CRONIUM_DATA_DIR"}
    home = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "~")) / ".local/share")
    defaults = {"HOST": "127.0.0.1", "PORT": "8080", "DATA": str(Path(home) / "cronium")}
    return {
        key: given.get(key) or environ.get(variables[key]) or remembered.get(key) or defaults[key]
        for key in KEYS
    }


def check_values(settings: dict[str, str]) -> tuple[str, int, Path]:
    port = settings["PORT"]
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise fail(f"PORT={port} is not a port: give a number from 1 to 65535.")
    data = Path(settings["DATA"]).expanduser().absolute()
    if data == ROOT or ROOT in data.parents:
        raise fail(f"DATA={data} lies inside the clone: choose a folder that outlives it.")
    return settings["HOST"], int(port), data


def read_remembered() -> dict[str, str]:
    try:
        lines = REMEMBERED.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs if key.strip() in KEYS}


def remember(given: dict[str, str]) -> None:
    """What was given once holds until something else is given. DATA is kept as an absolute path."""
    before = read_remembered()
    if "DATA" in given:
        given = {**given, "DATA": str(Path(given["DATA"]).expanduser().absolute())}
    after = {**before, **given}
    if after != before:
        REMEMBERED.write_text("".join(f"{key}={after[key]}\n" for key in KEYS if key in after))
        changed(f"remembered {', '.join(sorted(given))} in {REMEMBERED}")


def flags(given: dict[str, str]) -> list[str]:
    return [part for key in KEYS if key in given for part in (f"--{key.lower()}", given[key])]


def running_on(data: Path) -> str | None:
    """The address of the server that holds this data folder; None when nobody does.

    A server locks its folder for as long as it lives, and notes its address in the lock.
    """
    try:
        with (data / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _noted_address(lock.read(4096))
    except OSError:
        pass
    return None


def _noted_address(note: bytes) -> str:
    try:
        return str(json.loads(note)["address"])
    except (ValueError, KeyError, TypeError):
        return "it is just starting"


def mend_or_stop(problems: list[preflight.Problem]) -> None:
    if not problems:
        return
    say("Cronium cannot start yet. What is missing, and the command that mends it:\n")
    for problem in problems:
        say(f"  - {problem.what}\n      {problem.mend}")
    raise fail("\nNothing was changed. Then run make up again.")


def build_client() -> None:
    built = (ROOT / ".web" / "build" / "client").exists()
    quiet = ["--quiet"] if built else []
    command = [str(environment.PYTHON), "-m", "scripts.build_client", *quiet]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise SystemExit(1)
    if not built:
        changed(f"built the browser client in {ROOT / '.web'}")


def announce(host: str, port: int, data: Path) -> None:
    if not data.exists():
        changed(f"the data folder {data} (database, logs, master key) is new")
    if CHANGES:
        say("\nChanged on this machine:")
        for change in CHANGES:
            say(f"  - {change}")
    say(f"\nData:      {data}")
    say(f"Here:      {address(host, port)}")
    if host in LOOPBACK:
        name = socket.gethostname()
        user = getpass.getuser()
        say(
            f"Elsewhere: ssh -L {port}:127.0.0.1:{port} {user}@{name}, then http://127.0.0.1:{port}"
        )
        say(
            "To open it to the network: make up HOST=0.0.0.0 (put TLS before it: docs/operations.md)"
        )
    else:
        say("Open to the network without encryption: put TLS before it (docs/operations.md).")
    say("Stop with Ctrl-C.\n")


def address(host: str, port: int) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise fail("\nStopped before the server was started.") from None
