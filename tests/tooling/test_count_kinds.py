"""The counts of `make test`: a skip or too few tests fail it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.console import ROOT

TESTS = """
import pytest
@pytest.mark.docker
def test_a(): pass
@pytest.mark.docker
@pytest.mark.faults
def test_b(): pass
def test_c(): pass
@pytest.mark.browser
def test_d():
    if {skip}: pytest.skip("no browser")
@pytest.mark.skipif(True, reason="other kinds may skip")
def test_e(): pass
"""


def run(tmp_path: Path, *, skip: bool, floors: str, workers: str = "0") -> tuple[int, str]:
    tests = tmp_path / "test_kinds.py"
    tests.write_text(TESTS.replace("{skip}", str(skip)))
    (tmp_path / "floors.toml").write_text(f"[passed]\n{floors}")
    code = (
        "import sys, pathlib, pytest\nfrom scripts import count_kinds\n"
        f"count_kinds.FLOORS = pathlib.Path({str(tmp_path / 'floors.toml')!r})\n"
        "sys.exit(pytest.main(sys.argv[1:], plugins=[count_kinds]))"
    )
    settings = tmp_path / "pytest.ini"
    settings.write_text("[pytest]\nmarkers =\n  docker\n  faults\n  browser\n")
    arguments = ["-q", "-c", str(settings), "-p", "xdist.plugin", "-n", workers, str(tests)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("workers", ["0", "1"])
def test_counts_by_marker_and_ends_with_pytests_own_summary(tmp_path: Path, workers: str) -> None:
    code, shown = run(tmp_path, skip=False, floors="docker = 2\nothers = 1\n", workers=workers)
    assert code == 0, shown
    assert "docker         2 passed    0 failed    0 skipped   floor 2" in shown
    assert "faults         1 passed" in shown
    assert "4 passed, 1 skipped" in shown.splitlines()[-1]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_skip_of_a_kind_fails_and_so_do_too_few(tmp_path: Path, workers: str) -> None:
    code, shown = run(tmp_path, skip=True, floors="docker = 3\n", workers=workers)
    assert code == 1
    assert "FAILED 1 browser tests were skipped; none may be" in shown
    assert "FAILED 2 docker tests passed; the floor is 3" in shown
