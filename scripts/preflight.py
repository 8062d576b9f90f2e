"""Before any download: what is missing on this machine, each with the one command that mends it.

Runs on the machine's own Python, standard library only, even where that Python is too old.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts import engine

MIN_PYTHON = (3, 11)
MIN_FREE_GB = 3


class Problem(NamedTuple):
    """What is missing, and the one command that mends it."""

    what: str
    mend: str


def check(host: str, port: int, data: Path, root: Path) -> list[Problem]:
    """Everything that stands in the way, in the order in which to mend it."""
    return [
        *check_python(sys.version_info[:2]),
        *check_venv(),
        *check_engine(engine.look()),
        *check_disk([root, data]),
        *check_writable(data),
        *check_port(host, port),
    ]


def check_python(version: tuple[int, ...]) -> list[Problem]:
    if version >= MIN_PYTHON:
        return []
    found = ".".join(map(str, version))
    mend = "sudo apt install python3.11 python3.11-venv, then: make up PYTHON=python3.11"
    return [Problem(f"Python {found} is too old: Cronium needs 3.11 or newer.", mend)]


def check_venv() -> list[Problem]:
    if not all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        return [Problem("Python's venv module is missing.", "sudo apt install python3-venv")]
    return []


def check_engine(state: engine.State) -> list[Problem]:
    """An engine that does not answer is no problem where we may install or start one."""
    if state.answers or engine.can_provide(state):
        return []
    if state.denied:
        user = os.environ.get("USER", "$USER")
        return [
            Problem(
                f"You may not use the container engine's socket {state.address}.",
                f"sudo usermod -aG docker {user}, then log out and in again",
            )
        ]
    if state.installed:
        return [
            Problem(
                f"The container engine is installed ({state.installed}) but does not answer "
                f"on {state.address}.",
                "sudo systemctl start docker",
            )
        ]
    return [Problem("There is no container engine.", "sudo apt install docker.io")]


def check_disk(places: list[Path]) -> list[Problem]:
    problems: dict[int, Problem] = {}
    for place in map(_existing, places):
        free = shutil.disk_usage(place).free / 1e9
        if free < MIN_FREE_GB:
            problems[os.stat(place).st_dev] = Problem(
                f"{place} has {free:.1f} GB free; Cronium needs {MIN_FREE_GB} GB.",
                "docker system prune, or make up DATA=/a/larger/disk",
            )
    return list(problems.values())


def check_writable(data: Path) -> list[Problem]:
    place = _existing(data)
    try:
        with tempfile.TemporaryFile(dir=place):
            return []
    except OSError:
        pass
    what = f"You may not write to the data folder {data}."
    return [Problem(what, "make up DATA=$HOME/cronium-data")]


def _existing(place: Path) -> Path:
    while not place.exists():
        place = place.parent
    return place


def check_port(host: str, port: int) -> list[Problem]:
    if port == 0:
        return []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                what = f"Port {port} is taken by {holder(port)}."
                return [Problem(what, f"make up PORT={free_port(port)}")]
            if error.errno == errno.EACCES:
                what = f"Port {port} is reserved for root."
                return [Problem(what, f"make up PORT={free_port(8080)}")]
            what = f"This machine has no address {host} ({error.strerror})."
            return [Problem(what, "make up HOST=127.0.0.1")]
    return []


def free_port(near: int) -> int:
    for port in range(near + 1, min(near + 100, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return 0


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """Who listens there: a program and its id, as far as this user may see."""
    inodes = _listening_inodes(port, proc)
    for process in proc.glob("[0-9]*"):
        if inodes & set(_open_files(process)):
            with contextlib.suppress(OSError):  # it may end this moment
                name = (process / "comm").read_text().strip()
                return f"{name} (process {process.name})"
            return f"process {process.name}"
    return "a process of another user" if inodes else "another program"


def _open_files(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # another user's, or gone by now
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(link)


def _listening_inodes(port: int, proc: Path) -> set[str]:
    inodes: set[str] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return inodes
