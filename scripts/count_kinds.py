"""A pytest plugin: how many tests of each kind ran, against the floors in tests/floors.toml.

Loaded by `make test` only (`-p scripts.count_kinds`). A skipped test of Docker, PostgreSQL, browser
or faults is a failure here: the machine was set up for them, so a skip hides something.
"""

import tomllib
from collections import Counter
from pathlib import Path

import pytest

KINDS = ("docker", "postgres", "browser", "faults")
FLOORS = Path(__file__).resolve().parent.parent / "tests" / "floors.toml"


class KindCounter:
    """Counts by marker; a test with two markers counts for both, one with none for `others`."""

    def __init__(self, floors: dict[str, int]) -> None:
        self._floors = floors
        self.passed: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        kinds = [kind for kind in KINDS if kind in report.keywords] or ["others"]
        if report.skipped:
            self.skipped.update(kinds)
        elif report.failed:
            self.failed.update(kinds)
        elif report.when == "call":
            self.passed.update(kinds)

    def problems(self) -> list[str]:
        found = [
            f"{self.skipped[kind]} {kind} tests were skipped; none may be"
            for kind in KINDS
            if self.skipped[kind]
        ]
        found += [
            f"{self.passed[kind]} {kind} tests passed; the floor is {floor} (tests/floors.toml)"
            for kind, floor in self._floors.items()
            if self.passed[kind] < floor
        ]
        return found

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):
            return  # a worker of xdist sees only its share
        if self.problems() and session.exitstatus in (pytest.ExitCode.OK, 0):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("tests by kind")
        for kind in (*KINDS, "others"):
            terminalreporter.line(
                f"{kind:10} {self.passed[kind]:5} passed {self.failed[kind]:4} failed "
                f"{self.skipped[kind]:4} skipped   floor {self._floors.get(kind, 0)}"
            )
        for problem in self.problems():
            terminalreporter.line(f"FAILED {problem}", red=True)


def pytest_configure(config: pytest.Config) -> None:
    floors = tomllib.loads(FLOORS.read_text())["passed"]
    config.pluginmanager.register(KindCounter(floors), "cronium-kinds")
