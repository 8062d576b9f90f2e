"""`make up`: what it takes from whom, what it remembers, and what it does when one runs already."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cronium_app.settings import load_settings
from cronium_app.store.folder import FolderLock
from scripts import environment, up
from scripts.console import ROOT


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / ".cronium.local"
    monkeypatch.setattr(up, "REMEMBERED", file)
    return file


def test_what_is_given_once_is_remembered_until_something_else_is(memory: Path) -> None:
    up.remember({"PORT": "9000", "DATA": "~/x"})
    up.remember({"PORT": "9001"})
    up.remember({})
    data = str(Path("~/x").expanduser())
    assert up.read_remembered() == {"PORT": "9001", "DATA": data}
    assert memory.read_text() == f"PORT=9001\nDATA={data}\n"


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        ({}, {}),
        ({"PORT": "9100"}, {"CRONIUM_PORT": "9200"}),
        ({}, {"CRONIUM_PORT": "9200", "CRONIUM_DATA_DIR": "/srv/c"}),
        ({}, {"XDG_DATA_HOME": "/xdg"}),
    ],
)
def test_agrees_with_the_server_about_every_setting(
    memory: Path, given: dict[str, str], environ: dict[str, str]
) -> None:
    memory.write_text("PORT=9300\nHOST=0.0.0.0\n")
    environ = {"HOME": "/home/u", **environ}
    ours = up.check_values(up.effective(given, up.read_remembered(), environ))
    flags = {"port": given.get("PORT")}
    server = load_settings(flags, environ=environ, root=memory.parent)
    assert ours == (server.host, server.port, server.data_dir)


@pytest.mark.parametrize(
    "settings",
    [
        {"HOST": "::1", "PORT": "http", "DATA": "/x"},
        {"HOST": "::1", "PORT": "65536", "DATA": "/x"},
        {"HOST": "::1", "PORT": "8080", "DATA": str(ROOT / "data")},
        {"HOST": "::1", "PORT": "8080", "DATA": str(ROOT)},
    ],
)
def test_refuses_no_port_and_data_inside_the_clone(settings: dict[str, str]) -> None:
    with pytest.raises(SystemExit):
        up.check_values(settings)


def test_finds_a_server_that_has_the_data_folder(tmp_path: Path) -> None:
    assert up.running_on(tmp_path / "none") is None
    lock = FolderLock(tmp_path)
    assert up.running_on(tmp_path) == "it is just starting"
    lock.announce("http://127.0.0.1:9123")
    assert up.running_on(tmp_path) == "http://127.0.0.1:9123"
    lock.release()
    assert up.running_on(tmp_path) is None


def test_says_where_it_runs_already_and_touches_nothing(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.announce("http://127.0.0.1:9123")
    before = up.REMEMBERED.read_bytes() if up.REMEMBERED.exists() else None
    done = subprocess.run(
        [sys.executable, "-m", "scripts.up"],
        cwd=ROOT,
        env={**os.environ, "DATA": str(tmp_path), "PORT": "9123"},
        capture_output=True,
        text=True,
        check=True,
    )
    lock.release()
    assert done.stdout == f"Cronium already runs on {tmp_path}: http://127.0.0.1:9123\n"
    assert before == (up.REMEMBERED.read_bytes() if up.REMEMBERED.exists() else None)


def test_lists_everything_missing_at_once_before_it_does_anything(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.up"],
        cwd=ROOT,
        env={
            **os.environ,
            "DATA": "/proc/cronium",
            "HOST": "203.0.113.1",
            "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert [line[:4] for line in done.stdout.splitlines()].count("  - ") >= 3
    assert "Nothing was changed." in done.stderr


def test_a_changed_list_of_packages_changes_the_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("package.txt", "build.txt", "dev.txt"):
        (tmp_path / name).write_text("a==1\n")
    monkeypatch.setattr(environment, "REQUIREMENTS", tmp_path)
    before = environment.fingerprint(dev=False)
    (tmp_path / "dev.txt").write_text("a==2\n")
    assert environment.fingerprint(dev=False) == before
    (tmp_path / "build.txt").write_text("a==2\n")
    assert environment.fingerprint(dev=False) != before


def test_every_pinned_package_has_hashes_and_no_list_names_an_index() -> None:
    for name in ("run.txt", "build.txt", "dev.txt", "package.txt"):
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        for entry in text.replace("\\\n", " ").splitlines():
            assert "--hash=sha256:" in entry, entry


def test_make_lists_its_targets() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for target in ("up", "dev", "client", "images", "check", "test", "bench", "migrate", "lock"):
        assert f"\n{target} " in "\n" + done.stdout
