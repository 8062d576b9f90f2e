"""The client build's own rules, without building: addresses, stamp, lock."""

import gzip
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import build_client

BAKED = (
    "var e={EVENT:`ws://localhost:8000/_event`,PING:'http://localhost:8000/ping',"
    'UPLOAD:"http://localhost:8000/_upload"};'
)


def _client(web: Path, text: str) -> Path:
    assets = build_client.client_dir(web) / "assets"
    assets.mkdir(parents=True)
    file = assets / "reflex-env-abc.js"
    file.write_text(text)
    file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(text.encode()))
    (build_client.client_dir(web) / "index.html").write_text("<!doctype html>")
    return file


def test_the_page_talks_to_whoever_served_it(tmp_path: Path):
    file = _client(tmp_path, BAKED)
    assert list(build_client.make_addresses_relative(build_client.client_dir(tmp_path)))
    text = file.read_text()
    assert "localhost" not in text
    assert "`${location.origin.replace(/^http/,'ws')}/_event`" in text
    assert text.count("`${location.origin}/") == 2
    assert gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes()).decode() == text


@pytest.mark.parametrize("text", ["var e={}", BAKED + "'https://localhost:1/x'"])
def test_a_bundle_that_looks_different_is_no_success(tmp_path: Path, text: str):
    _client(tmp_path, text)
    with pytest.raises(build_client.BuildError):
        list(build_client.make_addresses_relative(build_client.client_dir(tmp_path)))


def test_nothing_changed_means_nothing_to_do(tmp_path: Path):
    _client(tmp_path, "")
    environment = os.environ | {"REFLEX_WEB_WORKDIR": str(tmp_path)}
    environment.pop("CRONIUM_UI_MODULE", None)
    (tmp_path / "cronium-client.stamp").write_text(build_client.fingerprint())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    made = subprocess.run(
        [sys.executable, "-m", "scripts.build_client"],
        cwd=build_client.ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert made.returncode == 0, made.stderr
    assert "up to date" in made.stdout
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.3


def test_a_changed_source_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _client(tmp_path, "")
    stamp = tmp_path / "cronium-client.stamp"
    stamp.write_text(build_client.fingerprint())
    assert build_client.is_current(tmp_path)
    monkeypatch.setenv("CRONIUM_UI_MODULE", "tests.ui.gallery")
    assert not build_client.is_current(tmp_path)


def test_the_lock_names_versions_and_checksums_but_no_registry():
    lock = json.loads((build_client.LOCK / "package-lock.json").read_text())
    packages = {name: row for name, row in lock["packages"].items() if name}
    assert len(packages) > 100
    assert [name for name, row in packages.items() if "resolved" in row] == []
    assert [name for name, row in packages.items() if not row.get("integrity")] == []
    wanted = json.loads((build_client.LOCK / "package.json").read_text())
    exact = re.compile(r"^\d+\.\d+\.\d+$")
    for section in ("dependencies", "devDependencies"):
        assert [n for n, v in wanted[section].items() if not exact.match(v)] == []
