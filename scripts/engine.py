"""Find the container engine; where we may, install and start one that outlives us.

We may only as root on a machine with apt, and only where there is no engine at all or Debian's own
`docker.io` stands still. An existing docker-ce or podman is never touched.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from scripts.console import changed, confirm, fail, say

SOCKET = "/var/run/docker.sock"
PACKAGES = ("docker.io", "iptables", "debootstrap", "ca-certificates")
LOG = Path("/var/log/cronium-dockerd.log")
PID_FILE = Path("/var/run/docker.pid")


class State(NamedTuple):
    """What was found. `installed` names the package or program, empty when there is none."""

    address: str
    answers: bool
    denied: bool
    installed: str


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=5)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(5)
        self.sock.connect(self._path)


def address() -> str:
    """The engine's address as the server will use it."""
    where = os.environ.get("CRONIUM_DOCKER_SOCKET") or os.environ.get("DOCKER_HOST") or SOCKET
    return where.split("unix://")[-1]


def look() -> State:
    where = address()
    answers, denied = _ping(where)
    return State(where, answers, denied, "" if answers else installed())


def _ping(where: str) -> tuple[bool, bool]:
    """Does it answer; were we refused for lack of permission."""
    try:
        if where.startswith("/"):
            connection: http.client.HTTPConnection = _UnixConnection(where)
        else:
            host, _, port = where.split("://")[-1].partition(":")
            connection = http.client.HTTPConnection(host, int(port or 2375), timeout=5)
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200, False
    except PermissionError:
        return False, True
    except (OSError, ValueError, http.client.HTTPException):
        return False, False


def installed() -> str:
    for package in ("docker-ce", "docker.io", "podman", "docker-engine"):
        if _has_package(package):
            return package
    program = shutil.which("dockerd") or shutil.which("podman")
    return program or ""


def _has_package(name: str) -> bool:
    if not shutil.which("dpkg-query"):
        return False
    answer = subprocess.run(
        ["dpkg-query", "-W", "-f=${Status}", name], capture_output=True, text=True, check=False
    )
    return answer.stdout == "install ok installed"


def is_root_with_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def can_provide(state: State) -> bool:
    ours = state.installed in ("", "docker.io") and state.address == SOCKET
    return is_root_with_apt() and ours and not state.denied


def provide(state: State) -> None:
    """Make an engine answer. Raises SystemExit with a sentence when it cannot be."""
    if not state.installed:
        say(
            "No container engine answers here. Cronium runs scripts in containers, so it needs one."
        )
        if not confirm("Install Debian's docker.io with apt and start it?"):
            raise fail("Without an engine nothing can run: sudo apt install docker.io")
        apt_install(PACKAGES, also=("docker-cli",))  # a package of its own since Debian 13
    else:
        say("The container engine (docker.io) is installed but does not answer.")
        if not confirm("Start it?"):
            raise fail("Without an engine nothing can run: sudo systemctl start docker")
    start()


def apt_install(packages: Sequence[str], *, also: Sequence[str] = ()) -> None:
    """Install `packages`, and those of `also` that this release has."""
    say(f"Installing with apt: {' '.join(packages)}")
    _apt(["apt-get", "update", "-qq"])
    here = [name for name in also if _quietly(["apt-cache", "show", name]) == 0]
    _apt(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages, *here])
    changed(f"installed with apt: {' '.join((*packages, *here))}")


def _apt(command: list[str]) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        say(done.stdout[-3000:])
        raise fail(f"{' '.join(command)} failed (its output is above).")


def start() -> None:
    """systemd, else the service script, else a process of its own session with its own log."""
    if _wait(1):
        return
    if Path("/run/systemd/system").exists():
        _quietly(["systemctl", "enable", "--now", "docker"])
        if _wait(30):
            changed("started the docker service (systemd; it starts with the machine)")
            return
    _forget_stale_pid()
    if Path("/etc/init.d/docker").exists():
        _quietly(["service", "docker", "start"])
        if _wait(15):
            changed("started the docker service")
            return
    _forget_stale_pid()
    say(f"Starting dockerd; its log is {LOG}.")
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            ["dockerd"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=True,
        )
    if not _wait(45):
        tail = "\n".join(LOG.read_text(errors="replace").splitlines()[-8:])
        raise fail(f"dockerd did not start. The end of {LOG}:\n{tail}")
    changed(f"started dockerd (process {process.pid}, log {LOG}); it goes on after Cronium ends")


def _quietly(command: list[str]) -> int:
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False
    ).returncode


def _wait(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        if _ping(address())[0]:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)


def _forget_stale_pid() -> None:
    """dockerd refuses to start beside the pid file of one that was killed."""
    try:
        pid = int(PID_FILE.read_text())
    except (OSError, ValueError):
        return
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        name = ""
    if name != "dockerd":
        PID_FILE.unlink(missing_ok=True)
