"""The command as a person or a script calls it: a process, its output, its exit code."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cronium_app import cli
from cronium_app.domain.ids import new_id

PASSWORD = "correct horse battery"
EMAIL = "admin@example.org"


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


Cronium = Callable[..., Done]


@pytest.fixture
def cronium(tmp_path: Path, monkeypatch, capsys) -> Cronium:
    """Calls the command in this process, with a home of its own; its modules are imported once."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def call(*arguments: str, stdin: str = "", **environment: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["cronium", *arguments])
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in environment.items():
                patch.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli.main()
        out, err = capsys.readouterr()
        return Done(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture
def data(tmp_path: Path, cronium: Cronium) -> str:
    folder = str(tmp_path / "data")
    assert cronium("migrate", "--data", folder).returncode == 0
    return folder


def test_help_needs_no_heavy_module():
    """Half a second on an idle machine; what is imported is what counts."""
    script = "import sys, cronium_app.cli; print(sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("sqlalchemy", "reflex", "pydantic", "fastapi", "httpx2", "rich"):
        assert f"'{heavy}'" not in loaded


def test_as_a_process():
    command = [sys.executable, "-m", "cronium_app.cli"]
    done = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "setup-link" in done.stdout
    done = subprocess.run([*command, "nonsense"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")


def test_administration_without_a_server(cronium, data):
    link = cronium("setup-link", "--data", data)
    assert link.stdout.startswith("http://127.0.0.1:8080/setup#")
    made = cronium("user", "create", "--email", EMAIL, "--admin", "--data", data, stdin=PASSWORD)
    assert made.returncode == 0, made.stderr
    again = cronium("setup-link", "--data", data)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "cronium: The administrator exists already.\n"
    token = cronium("token", "create", "--email", EMAIL, "--name", "CI", "--data", data)
    assert token.stdout.startswith("crn_")
    assert token.stdout.count("\n") == 1
    listed = cronium("token", "list", "--email", EMAIL, "--data", data).stdout
    assert "live" in listed
    assert token.stdout.strip() not in listed
    revoked = cronium("token", "revoke", listed.split()[0], "--email", EMAIL, "--data", data)
    assert revoked.returncode == 0
    assert "revoked" in cronium("token", "list", "--email", EMAIL, "--data", data).stdout
    reset = cronium("user", "reset-password", EMAIL, "--generate", "--data", data)
    assert len(reset.stdout.strip()) >= 20
    cronium("user", "disable", EMAIL, "--data", data)
    assert cronium("user", "list", "--data", data).stdout == f"{EMAIL}  admin  disabled\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("token", "create", "--email", "x@y", "--name", "n"),
            "There is no user with this address.",
        ),
        (("user", "create", "--email", "nobody"), "String should match"),
        (("user", "create", "--email", EMAIL), "at least 10 characters"),
        (("user", "disable", "x@y"), "There is no user"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cronium, data, arguments, sentence):
    done = cronium(*arguments, "--data", data, stdin="short\n")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_database_and_wrong_settings(cronium, tmp_path):
    done = cronium("user", "list", "--data", str(tmp_path / "nothing"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "There is no database" in done.stderr
    assert not (tmp_path / "nothing").exists()
    done = cronium("doctor", CRONIUM_PROT="8080")
    assert done.stderr == (
        "cronium: There is no setting CRONIUM_PROT; check its spelling or unset it.\n"
    )
    assert cronium("run", "list").stderr.count("\n") == 1
    done = cronium("run", "list", CRONIUM_URL="http://127.0.0.1:9", CRONIUM_TOKEN="x")
    assert (done.returncode, done.stderr.count("\n")) == (6, 1)
    assert cronium("nonsense").returncode == 2


def test_doctor_without_an_engine(cronium, data):
    done = cronium("doctor", "--data", data, CRONIUM_DOCKER_SOCKET="/nowhere.sock")
    assert done.returncode == 1
    assert "WRONG  engine" in done.stdout
    assert "ok     database" in done.stdout
    assert "ok     disk" in done.stdout


@pytest.mark.docker
def test_work_over_http(cronium, start_server, tmp_path):
    server = start_server(CRONIUM_ADMIN_EMAIL=EMAIL, CRONIUM_ADMIN_PASSWORD=PASSWORD)
    token = cronium(
        "token", "create", "--email", EMAIL, "--name", "CI", "--data", str(server.data)
    ).stdout.strip()
    done = cronium("login", server.url, stdin=token + "\n")
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "config" / "cronium" / "config.toml"
    assert kept.stat().st_mode & 0o777 == 0o600

    script = 'echo "hello $(cronium_input who)"; echo oops >&2; exit "$(cronium_input code 0)"'
    flags = ("--name", "CLI", "--runtime", "bash", "--script", "-", "--set", "network=false")
    event = cronium("event", "create", *flags, stdin=script).stdout.strip()
    assert json.loads(cronium("event", "get", event).stdout)["network"] is False
    run = cronium("run", "start", event, "--follow", "--inputs", '{"who": "you"}')
    assert (run.stdout, run.returncode) == ("hello you\n", 0), run.stderr
    assert run.stderr.startswith("oops\nsucceeded: ")
    failed = cronium("run", "start", event, "--wait", "--inputs", '{"code": 3}')
    assert failed.returncode == 1
    run_id = failed.stdout.strip()
    assert cronium("run", "log", run_id, "--offset", "6").stdout == "\noops\n"
    assert cronium("run", "wait", run_id).returncode == 1
    assert run_id in cronium("run", "list", "--status", "failed").stdout

    assert cronium("event", "update", event, "--script", "-", stdin="sleep 60").stdout == (
        "revision 2\n"
    )
    slow = cronium("run", "start", event).stdout.strip()
    assert cronium("run", "wait", slow, "--timeout", "1").returncode == 4
    assert cronium("run", "cancel", slow).returncode == 0
    assert cronium("run", "wait", slow).returncode == 3

    schedule = cronium("schedule", "add", event, "--cron", "@daily").stdout.strip()
    assert schedule in cronium("schedule", "list", event).stdout
    wrong = cronium("schedule", "add", event, "--cron", "0 0 31 2 *")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (5, 1)
    assert wrong.stderr.startswith("cronium: expression: ")
    missing = cronium("run", "get", str(new_id()))
    assert (missing.returncode, missing.stderr) == (
        5, "cronium: There is no such thing here.\n",
    )  # fmt: skip
    assert cronium("event", "delete", event, "--yes").returncode == 0
