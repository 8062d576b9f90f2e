"""`.venv` from the pinned, hashed requirements; nothing is done when nothing changed."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys

from scripts.console import ROOT, VENV, changed, counted, say

REQUIREMENTS = ROOT / "requirements"
_PINNED = re.compile(r"^[a-z0-9][\w.\[\],-]*==", re.MULTILINE)
STAMP = VENV / "cronium-stamp"
PYTHON = VENV / "bin" / "python"


def ensure(*, dev: bool = False) -> bool:
    """Bring `.venv` up to date; True if anything was done. `dev` adds what the tests need.

    A `.venv` made for development is good enough for running.
    """
    wanted = fingerprint(dev=dev)
    if _stamp() in ({wanted} if dev else {wanted, fingerprint(dev=True)}):
        return False
    dev = dev or _stamp_is_dev()
    if not _works():
        say(f"Making {VENV.relative_to(ROOT)} with Python {sys.version.split()[0]}.")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        changed(f"made {VENV}")
    STAMP.unlink(missing_ok=True)
    _install("package.txt", "dev.txt" if dev else "build.txt")
    _pip("install", "-q", "--no-build-isolation", "--no-deps", "-e", str(ROOT))
    STAMP.write_text(fingerprint(dev=dev) + ("\ndev" if dev else ""))
    return True


def fingerprint(*, dev: bool) -> str:
    """sha256 over what decides the contents of `.venv`: lists, package metadata, Python, place."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    names = ["package.txt", "dev.txt" if dev else "build.txt"]
    for file in (ROOT / "pyproject.toml", *(REQUIREMENTS / name for name in names)):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _stamp() -> str:
    try:
        return STAMP.read_text().split("\n")[0]
    except OSError:
        return ""


def _stamp_is_dev() -> bool:
    return STAMP.exists() and STAMP.read_text().endswith("\ndev")


def _works() -> bool:
    """A venv that was moved, or whose Python went away, is made anew."""
    try:
        code = f"import sys, pip; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
        return (
            subprocess.run([PYTHON, "-c", code], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


def _install(*names: str) -> None:
    files = [REQUIREMENTS / name for name in names]
    total = sum(len(_PINNED.findall(file.read_text())) for file in files)
    # The lists are complete, so pip need not look for dependencies; what is imported gets compiled
    # then, not all of it now.
    arguments = ["install", "--no-compile", "--no-deps", "--require-hashes"]
    arguments += [part for file in files for part in ("-r", str(file))]
    counted(
        [*_pip_command(), *arguments],
        "Fetching Python packages",
        marks=("Collecting ", "Processing ", "Ignoring "),
        total=total,
        then=("Installing collected", "Unpacking them"),
    )


def _pip(*arguments: str) -> None:
    subprocess.run([*_pip_command(), *arguments], cwd=ROOT, check=True)


def _pip_command() -> list[str]:
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return [str(PYTHON), "-m", "pip"]


if __name__ == "__main__":
    ensure(dev="--dev" in sys.argv)
