"""The one container as the README starts it: engine without job images, one run per language."""

import asyncio
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from agent.image_base import BaseSettings, find_base
from scripts.console import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

EMAIL, PASSWORD = "smoke@example.org", "a long enough passphrase"
CONTEXT = (
    *("pyproject.toml", "README.md", "LICENSE", "rxconfig.py", "requirements", "scripts"),
    *("assets", "images", "alembic", "agent", "cronium_app", "docker", "Dockerfile"),
    ".dockerignore",
)
LOCAL_AUTHORITIES = Path("/usr/local/share/ca-certificates")
SCRIPTS = {
    "python": ("import requests, yaml\nprint('hello from python')\n", b"hello from python\n"),
    "node": ("console.log('hello from node')\n", b"hello from node\n"),
    "bash": ("echo hello from bash\n", b"hello from bash\n"),
}


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"{arguments}: {done.stdout[-3000:]}{done.stderr}"
    return done.stdout.strip()


def layers(image: str) -> list[str]:
    return json.loads(docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", image))


@pytest.fixture(scope="module")
def base() -> str:
    async def find() -> str:
        async with aiodocker.Docker() as client:
            return await find_base(client, BaseSettings(), lambda _: None)

    return asyncio.run(find())


@pytest.fixture(scope="module")
def product(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The product's image, built from this tree; it and what was built on it go in the end."""
    context = tmp_path_factory.mktemp("context")
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "*.crt", "external")
    for name in CONTEXT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, context / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, context / name)
    for authority in LOCAL_AUTHORITIES.glob("*.crt"):
        shutil.copy(authority, context / "docker" / "ca")
    # Job images of this content exist on no engine.
    with (context / "images" / "common" / "Dockerfile").open("a") as file:
        file.write(f"# {uuid.uuid4()}\n")
    name = f"cronium-test/product:{uuid.uuid4().hex[:12]}"
    built = subprocess.run(
        ["docker", "build", "-q", "--build-arg", f"BASE={base}", "-t", name, str(context)],
        env={"DOCKER_BUILDKIT": "0", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-5000:] + built.stderr[-2000:]
    yield name
    remove_everything_on(name)


def remove_everything_on(product: str) -> None:
    for container in docker("ps", "-aq", "--filter", f"ancestor={product}").split():
        docker("rm", "-fv", container, check=False)
    own = layers(product)
    listed = docker("images", "-q", "--no-trunc", "--filter", "label=cronium.kind=image")
    for image in dict.fromkeys(listed.split()):
        if layers(image)[: len(own)] == own:
            docker("rmi", "-f", image, check=False)
    docker("rmi", "-f", product, check=False)


@dataclass
class Server:
    """A running container of the product, spoken to over its mapped port."""

    container: str
    url: str
    token: str = ""

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=400) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, method: str, path: str, body: object = None) -> Any:
        status, text = self.call(method, path, body)
        assert status < 300, f"{method} {path}: {status} {text[:500]}"
        return json.loads(text)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while True:
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            running = docker("inspect", "-f", "{{.State.Running}}", self.container)
            if running != "true" or time.monotonic() > deadline:
                log = subprocess.run(
                    ["docker", "logs", self.container], capture_output=True, text=True, check=True
                )
                pytest.fail(f"not ready: {log.stdout[-4000:]}{log.stderr[-4000:]}")
            time.sleep(0.2)


def start(image: str, data: str) -> Server:
    container = docker(
        *("run", "-d", "--restart", "unless-stopped", "-p", "127.0.0.1::8080"),
        *("-v", f"{data}:/data", "-v", "/var/run/docker.sock:/var/run/docker.sock"),
        *("-e", f"CRONIUM_ADMIN_EMAIL={EMAIL}", "-e", f"CRONIUM_ADMIN_PASSWORD={PASSWORD}"),
        *("--label", "cronium.test=one-container", image),
    )
    port = docker("port", container, "8080/tcp").rpartition(":")[2]
    server = Server(container, f"http://127.0.0.1:{port}")
    server.wait_until_ready()
    return server


@pytest.fixture(scope="module")
def server(product: str) -> Iterator[Server]:
    volume = f"cronium-test-{uuid.uuid4().hex[:12]}"
    try:
        started = start(product, volume)
        started.token = docker(
            *("exec", started.container, "cronium", "token", "create"),
            *("--email", EMAIL, "--name", "smoke"),
        )
        yield started
    finally:
        for container in docker("ps", "-aq", "--filter", f"volume={volume}").split():
            docker("rm", "-f", container, check=False)
        docker("volume", "rm", "-f", volume, check=False)


@pytest.mark.parametrize("runtime", SCRIPTS)
def test_runs_a_script_though_the_engine_has_no_job_images(server: Server, runtime: str) -> None:
    script, expected = SCRIPTS[runtime]
    event = server.json(
        "POST",
        "/api/v1/events",
        {"name": f"smoke {runtime}", "runtime": runtime, "script": script},
    )
    run = server.json("POST", f"/api/v1/events/{event['id']}/runs?wait=1", {})
    deadline = time.monotonic() + 400
    while run["status"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.5)
        run = server.json("GET", f"/api/v1/runs/{run['id']}")
    assert (run["status"], run["exit_code"]) == ("succeeded", 0), run
    assert server.call("GET", f"/api/v1/runs/{run['id']}/log?offset=0")[1] == expected


def test_job_images_are_built_on_the_products_own_image(server: Server, product: str) -> None:
    own = layers(product)
    listed = docker("images", "-q", "--no-trunc", "--filter", "label=cronium.kind=image")
    on_it = [image for image in set(listed.split()) if layers(image)[: len(own)] == own]
    assert len(on_it) >= 3
    for image in on_it:
        shown = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c",
                       "ls -d /opt/cronium /usr/local/bin/cronium; env")  # fmt: skip
        assert "/opt/cronium" not in shown
        assert "CRONIUM" not in shown
        health = docker("image", "inspect", "-f", "{{json .Config.Healthcheck}}", image)
        assert "healthcheck.py" not in health


def test_the_server_has_given_up_root(server: Server) -> None:
    status = docker("exec", server.container, "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert fields["Gid"].split() == ["10001"] * 4
    assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


def test_the_image_has_neither_node_nor_the_build_machines_authorities(product: str) -> None:
    script = (
        (
            "find / -xdev -type f ( -name node -o -name npm ) ; ls /usr/local/share/ca-certificates;"
            " ls -d /opt/cronium/.venv/bin/pip* /opt/cronium/.web-*"
        )
        .replace("(", "\\(")
        .replace(")", "\\)")
    )
    shown = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", product, "-c",
                   f"{script} 2>/dev/null; true")  # fmt: skip
    assert shown == ""


def test_the_health_check_passes(server: Server) -> None:
    code = docker("exec", server.container, "/opt/cronium/.venv/bin/python", "-I",
                  "/opt/cronium/docker/healthcheck.py")  # fmt: skip
    assert code == ""


def test_a_folder_of_the_host_will_do_as_data(product: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    server = start(product, str(data))
    try:
        assert (data / "cronium.db").stat().st_uid == 10001
        assert (data / "master.key").stat().st_mode & 0o777 == 0o600
    finally:
        docker("rm", "-f", server.container)
