"""What the helper libraries refuse, run by the interpreters that are here, without a container."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent import runtime

FOLDER = Path(runtime.__file__).parent


def run_helper(control: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "CRONIUM_DIR": str(control),
        "PYTHONPATH": str(FOLDER),
        "PATH": os.environ["PATH"],
    }
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=20
    )


def python(control: Path, call: str) -> subprocess.CompletedProcess[str]:
    return run_helper(
        control, sys.executable, "-c", f"import cronium; cronium.set_condition({call})"
    )


def node(control: Path, call: str) -> subprocess.CompletedProcess[str]:
    return run_helper(control, "node", "-e", f"require('{FOLDER}/cronium.js').setCondition({call})")


def bash(control: Path, words: str) -> subprocess.CompletedProcess[str]:
    return run_helper(
        control, "bash", "-c", f". {FOLDER}/cronium.sh; cronium_set_condition {words}"
    )


@pytest.mark.parametrize("call", ["'ok', 'no'", "'ok', 0"])
@pytest.mark.parametrize("language", [python, node])
def test_a_condition_is_true_or_false_and_nothing_else(tmp_path, language, call):
    done = language(tmp_path, call)
    assert done.returncode != 0
    assert "true or false" in done.stderr.lower()
    assert not (tmp_path / "conditions").exists()


@pytest.mark.parametrize("words", ["ok maybe", "ok ''", "ok TRUE"])
def test_a_condition_of_a_shell_script_is_one_of_six_words(tmp_path, words):
    done = bash(tmp_path, words)
    assert done.returncode == 2
    assert "true or false" in done.stderr
    assert not (tmp_path / "conditions").exists()


@pytest.mark.parametrize(
    ("words", "value"),
    [("ok", "true"), ("ok yes", "true"), ("ok 1", "true"), ("ok no", "false"), ("ok 0", "false"),
     ("ok false", "false")],
)  # fmt: skip
def test_words_of_a_shell_script(tmp_path, words, value):
    assert bash(tmp_path, words).returncode == 0
    assert (tmp_path / "conditions").read_text() == f'{{"name": "ok", "value": {value}}}\n'
