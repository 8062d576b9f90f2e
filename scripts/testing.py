"""`make test`: all set-up on this machine, then every test with its counts.

Standard library only, and run by the machine's own Python: `.venv` may not exist yet.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from scripts import engine, environment
from scripts.console import CHANGES, ROOT, fail, say

# What the tests need beside the engine: a program that shows it is there, and its package.
NEEDED = {
    "chromium": "chromium",
    "sshd": "openssh-server",
    "debootstrap": "debootstrap",
}
POSTGRES = Path("/usr/lib/postgresql")


def main() -> None:
    packages = missing()
    if packages:
        if not engine.is_root_with_apt():
            raise fail(f"The tests need more: sudo apt install {' '.join(packages)}")
        engine.apt_install(packages)
    state = engine.look()
    if not state.answers:
        if not engine.can_provide(state):
            raise fail(f"The tests need a container engine that answers on {state.address}.")
        engine.provide(state)
    if not shutil.which("docker") and engine.is_root_with_apt():
        engine.apt_install((), also=("docker-cli",))  # the tests build and start containers with it
    environment.ensure(dev=True)
    # Images first and beside the client: both take a minute and neither needs the other.
    images = _begin("scripts.build_images")
    client = _begin("scripts.build_client")
    if client.wait() != 0 or images.wait() != 0:
        raise fail("The set-up for the tests failed (see above).")
    for change in CHANGES:
        say(f"changed on this machine: {change}")
    results = ROOT / "dist"
    results.mkdir(exist_ok=True)
    arguments = [
        *("-m", "pytest", "-p", "scripts.count_kinds"),
        *("--junitxml", str(results / "junit.xml"), "--durations", "10", "-q"),
    ]
    os.chdir(ROOT)
    os.execv(environment.PYTHON, [str(environment.PYTHON), *arguments, *sys.argv[1:]])


def missing() -> list[str]:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    packages = [
        package for program, package in NEEDED.items() if not shutil.which(program, path=path)
    ]
    if not any(POSTGRES.glob("*/bin/postgres")):
        packages.append("postgresql")
    return packages


def _begin(module: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([environment.PYTHON, "-m", module], cwd=ROOT, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
