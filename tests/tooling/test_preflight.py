"""What the check before any download finds, and the command it gives for it."""

import os
import re
import socket
from pathlib import Path

import pytest

from scripts import engine, preflight

NO_ENGINE = engine.State("/nowhere.sock", answers=False, denied=False, installed="")


@pytest.fixture
def listening() -> object:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    yield server
    server.close()


def test_an_old_python_is_named_with_the_command_for_a_new_one() -> None:
    [problem] = preflight.check_python((3, 9))
    assert "3.9 is too old" in problem.what
    assert "apt install python3.11" in problem.mend
    assert preflight.check_python((3, 11)) == preflight.check_python((3, 13)) == []


def test_a_taken_port_names_who_has_it_and_a_free_one(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    [problem] = preflight.check_port("127.0.0.1", port)
    assert re.search(rf"^Port {port} is taken by .+ \(process {os.getpid()}\)\.$", problem.what)
    free = int(problem.mend.rpartition("=")[2])
    assert preflight.check_port("127.0.0.1", free) == []


def test_a_process_that_ends_while_it_is_looked_at_is_somebody_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    row = "0: 0100007F:1F90 00000000:0000 0A 0:0 0:0 0 0 0 4711"
    (tmp_path / "net" / "tcp").write_text(f"head\n{row}\n")
    (tmp_path / "77" / "fd").mkdir(parents=True)
    (tmp_path / "77" / "fd" / "3").symlink_to("socket:[4711]")
    assert preflight.holder(8080, tmp_path) == "process 77"  # its name is gone
    (tmp_path / "77" / "comm").write_text("nginx\n")
    assert preflight.holder(8080, tmp_path) == "nginx (process 77)"


def test_an_address_that_is_not_ours_is_told_apart_from_a_taken_port() -> None:
    [problem] = preflight.check_port("203.0.113.1", 8080)
    assert problem.what.startswith("This machine has no address 203.0.113.1")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "MIN_FREE_GB", 10**9)
    [problem] = preflight.check_disk([tmp_path, tmp_path / "not" / "yet" / "there"])
    assert "GB free" in problem.what


def test_a_folder_that_cannot_be_written_is_named() -> None:
    [problem] = preflight.check_writable(Path("/proc/cronium"))
    assert problem.what == "You may not write to the data folder /proc/cronium."


@pytest.mark.parametrize(
    ("state", "mend"),
    [
        (NO_ENGINE, "sudo apt install docker.io"),
        (NO_ENGINE._replace(installed="docker-ce"), "sudo systemctl start docker"),
        (NO_ENGINE._replace(denied=True), "usermod -aG docker"),
    ],
)
def test_each_trouble_with_the_engine_has_its_command(
    state: engine.State, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "is_root_with_apt", lambda: False)
    [problem] = preflight.check_engine(state)
    assert mend in problem.mend


def test_root_with_apt_gets_an_engine_but_never_instead_of_one_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "is_root_with_apt", lambda: True)
    state = NO_ENGINE._replace(address=engine.SOCKET)
    assert engine.can_provide(state)
    assert engine.can_provide(state._replace(installed="docker.io"))
    assert not engine.can_provide(state._replace(installed="docker-ce"))
    assert not engine.can_provide(state._replace(installed="podman"))
    assert not engine.can_provide(NO_ENGINE)  # an address of the user's own choice
    assert not engine.can_provide(state._replace(denied=True))


@pytest.mark.docker
def test_the_engine_of_this_machine_answers() -> None:
    assert engine.look().answers


def test_a_socket_nobody_answers_on_is_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    monkeypatch.delenv("CRONIUM_DOCKER_SOCKET", raising=False)
    assert engine.look()[:3] == (str(path), False, False)


def test_a_stale_pid_file_is_forgotten_and_a_live_one_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "docker.pid"
    monkeypatch.setattr(engine, "PID_FILE", file)
    file.write_text(str(os.getpid()))  # a live process, but no dockerd
    engine._forget_stale_pid()
    assert not file.exists()
    monkeypatch.setattr(engine.Path, "read_text", lambda self: "1" if self == file else "dockerd\n")
    file.touch()
    engine._forget_stale_pid()
    assert file.exists()
