"""Getting images: built here, pulled from a registry, or refused, on a real engine."""

import asyncio
import hashlib
import io
import json
import shutil
import tarfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiodocker
import pytest
from aiohttp import web

from agent import image_base
from agent.containers import EngineDown
from agent.image_base import BaseSettings, apt_mirrors, find_base, find_own_image, own_container_id
from agent.image_build import BuildProgress, Context, PullProgress
from agent.images import OWN_RUNTIMES, ImageProgress, ImageStore, ImageUnavailable

pytestmark = pytest.mark.docker
CONTEXTS = Path(__file__).parents[2] / "images"
VERSION = f"0.0.0-{uuid.uuid4().hex[:12]}"  # so that parallel runs leave each other's images alone


@pytest.fixture
async def docker() -> AsyncIterator[aiodocker.Docker]:
    async with aiodocker.Docker() as client:
        yield client


@pytest.fixture
async def scratch(docker: aiodocker.Docker) -> AsyncIterator[str]:
    """An image with one file, so that a build on it takes milliseconds."""
    name = f"cronium-test/scratch-{uuid.uuid4().hex[:12]}:1"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        text = b'FROM scratch\nCOPY Dockerfile /\nCMD ["none"]\n'
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    context.seek(0)
    await docker.images.build(fileobj=context, encoding="identity", tag=name)
    yield name
    await docker.images.delete(name, force=True)


@pytest.fixture
async def contexts(docker: aiodocker.Docker, tmp_path: Path) -> AsyncIterator[Path]:
    """Contexts without a RUN step; whatever was built from them goes when the test ends."""
    for name in ("common", *OWN_RUNTIMES):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY mark /mark\n")
        (folder / "mark").write_text(f"{name} {uuid.uuid4()}")
    yield tmp_path / "images"
    for image in await docker.images.list(filters={"label": [f"cronium.version={VERSION}"]}):
        for tag in image["RepoTags"] or []:
            await docker.images.delete(tag, force=True)


def make_store(docker: aiodocker.Docker, contexts: Path, base: str, **options) -> ImageStore:
    return ImageStore(docker, contexts=contexts, version=VERSION, base_image=base, **options)


async def test_every_change_of_its_state_is_told_with_the_state_already_changed(
    docker: aiodocker.Docker, contexts: Path, scratch: str
) -> None:
    seen: list[ImageProgress] = []
    store = make_store(docker, contexts, scratch, on_change=lambda: seen.append(store.states()[-1]))
    await store.ensure("cronium/bash")
    assert store.states()[-1].image == "cronium/bash"
    assert seen[0].state == "building"
    assert seen[-1] == store.states()[-1]
    assert seen[-1].state == "ready"
    again = make_store(docker, contexts, scratch, on_change=lambda: seen.append(again.states()[-1]))
    seen.clear()
    await again.ensure("cronium/bash")  # it is there: found, not built
    assert [state.state for state in seen] == ["ready"]


async def test_callers_share_one_build_and_see_its_progress(
    docker: aiodocker.Docker, contexts: Path, scratch: str
) -> None:
    store = make_store(docker, contexts, scratch)
    seen: list[list[ImageProgress]] = [[], []]
    ids = await asyncio.gather(
        store.ensure("cronium/bash", seen[0].append),
        store.ensure("docker.io/cronium/bash:latest", seen[1].append),
        store.warm(),
    )
    assert ids[0] == ids[1]
    assert ids[0].startswith("sha256:")
    for states in seen:
        assert states[0].text == "preparing cronium/bash, 0 %"
        assert states[-1].state == "ready"
        percents = [state.percent or 0 for state in states]
        assert percents == sorted(percents)
    assert {state.image: state.state for state in store.states()} == {
        "cronium/python": "ready",
        "cronium/node": "ready",
        "cronium/bash": "ready",
    }


async def test_what_is_there_is_found_again_and_built_anew_when_its_context_changed(
    docker: aiodocker.Docker, contexts: Path, scratch: str
) -> None:
    first = await make_store(docker, contexts, scratch).ensure("cronium/node")
    seen: list[ImageProgress] = []
    assert await make_store(docker, contexts, scratch).ensure("cronium/node", seen.append) == first
    assert seen == []
    (contexts / "node" / "mark").write_text("changed")
    changed = make_store(docker, contexts, scratch)
    assert await changed.ensure("cronium/node") != first
    details = await docker.images.inspect(await changed.ensure("cronium/node"))
    labels = details["Config"]["Labels"]
    assert labels["cronium.kind"] == "image"
    assert labels["cronium.image"] == "node"
    assert labels["cronium.version"] == VERSION
    assert len(labels["cronium.content"]) == 64


async def test_a_strange_image_under_our_tag_is_not_taken_for_ours(
    docker: aiodocker.Docker, contexts: Path, scratch: str
) -> None:
    store = make_store(docker, contexts, scratch)
    ours = await store.ensure("cronium/bash")
    tag = next(
        tag
        for tag in (await docker.images.inspect(ours))["RepoTags"]
        if tag.startswith("cronium/bash:")
    )
    await docker.images.tag(scratch, tag.split(":")[0], tag=tag.split(":")[1])
    assert (
        await make_store(docker, contexts, scratch).ensure("cronium/bash")
        != (await docker.images.inspect(scratch))["Id"]
    )


async def test_an_image_that_cannot_be_built_leaves_the_others_alone(
    docker: aiodocker.Docker, contexts: Path, scratch: str
) -> None:
    (contexts / "python" / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\nCOPY nowhere /x\n")
    store = make_store(docker, contexts, scratch)
    await store.warm()
    states = {state.image: state for state in store.states()}
    assert states["cronium/bash"].state == states["cronium/node"].state == "ready"
    assert states["cronium/python"].state == "unavailable"
    assert states["cronium/python"].text.startswith("cronium/python could not be built: ")
    with pytest.raises(ImageUnavailable, match="could not be built") as caught:
        await store.ensure("cronium/python")
    assert not caught.value.permanent


async def test_cancelling_a_caller_does_not_end_the_build(
    docker: aiodocker.Docker, contexts: Path, scratch: str
) -> None:
    store = make_store(docker, contexts, scratch)
    begun = asyncio.Event()
    leaves = asyncio.create_task(store.ensure("cronium/bash", lambda _: begun.set()))
    await begun.wait()
    joined = asyncio.Event()
    stays = asyncio.create_task(store.ensure("cronium/bash", lambda _: joined.set()))
    await joined.wait()
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert await stays == await store.ensure("cronium/bash")


async def test_without_an_engine_it_says_so(contexts: Path, tmp_path: Path) -> None:
    async with aiodocker.Docker(f"unix://{tmp_path}/none.sock") as nobody:
        store = make_store(nobody, contexts, "x")
        await store.warm()
        for image in ("cronium/bash", "some/tool:1"):
            with pytest.raises(EngineDown):
                await store.ensure(image)
        assert store.states()[0].state == "missing"


PULL_BEGINS = b'{"status":"Pulling from tool","id":"1"}\n'


@pytest.mark.parametrize("said", [PULL_BEGINS, PULL_BEGINS + b'{"status":"Down', None])
async def test_an_engine_that_goes_away_during_a_pull_is_no_fault_of_the_image(
    contexts: Path, tmp_path: Path, said: bytes | None
) -> None:
    """Nothing is remembered against the image: the next try pulls it."""
    pulls: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if not request.path.endswith("/images/create") or (pulls and said is None):
            return web.json_response({"message": "No such image"}, status=404)
        pulls.append(request.path)
        response = web.StreamResponse()
        await response.prepare(request)
        if said is None:
            await response.write(b'{"error":"context canceled"}\n')
            (tmp_path / "engine.sock").unlink()
        else:
            await response.write(said)
        assert request.transport is not None
        request.transport.abort()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    await web.UnixSite(runner, f"{tmp_path}/engine.sock").start()
    async with aiodocker.Docker(f"unix://{tmp_path}/engine.sock", api_version="v1.41") as engine:
        store = make_store(engine, contexts, "x")
        for _ in range(2):
            with pytest.raises(EngineDown):
                await store.ensure("some/tool:1")
        assert len(pulls) == (1 if said is None else 2)
        assert [state.image for state in store.states() if state.state == "unavailable"] == []
    await runner.cleanup()


@pytest.mark.parametrize(
    "name",
    ["../containers/json?x=", "a b", "-v", "ALPINE", "cronium/ruby", "cronium/python:0.9"],
)
async def test_a_name_that_is_wrong_or_ours_reaches_no_engine(name: str, contexts: Path) -> None:
    class Untouchable:
        def __getattr__(self, attribute: str) -> Any:
            raise AssertionError(f"the engine was asked ({attribute})")

    store = make_store(Untouchable(), contexts, "x")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ImageUnavailable) as caught:
        await store.ensure(name)
    assert caught.value.permanent


def sha(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
async def registry() -> AsyncIterator[str]:
    """A registry on loopback with one image, `tool:1`; `secret` wants a login, `busy` is busy."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        info = tarfile.TarInfo("file")
        info.size = 300_000
        archive.addfile(info, io.BytesIO(uuid.uuid4().bytes * 18_750))
    layer_data = layer.getvalue()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [sha(layer_data)]},
        }
    ).encode()
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": len(config),
                "digest": sha(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
                    "size": len(layer_data),
                    "digest": sha(layer_data),
                }
            ],
        }
    ).encode()

    def problem(status: int, code: str) -> web.Response:
        body = {"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}
        return web.json_response(body, status=status)

    async def answer(request: web.Request) -> web.Response:
        path = request.path
        if path == "/v2/":
            return web.json_response({})
        if path.startswith("/v2/secret/"):
            return problem(401, "UNAUTHORIZED")
        if path.startswith("/v2/busy/"):
            return problem(429, "TOOMANYREQUESTS")
        if path in ("/v2/tool/manifests/1", f"/v2/tool/manifests/{sha(manifest)}"):
            headers = {"Docker-Content-Digest": sha(manifest), "Content-Type": kind}
            return web.Response(body=manifest, headers=headers)
        for blob in (config, layer_data):
            if path == f"/v2/tool/blobs/{sha(blob)}":
                return web.Response(body=blob)
        return problem(404, "MANIFEST_UNKNOWN")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_pulls_what_is_missing_once(
    docker: aiodocker.Docker, contexts: Path, registry: str
) -> None:
    store = make_store(docker, contexts, "x")
    image = f"{registry}/tool:1"
    seen: list[ImageProgress] = []
    try:
        pulled = await asyncio.gather(store.ensure(image, seen.append), store.ensure(image))
        assert pulled[0] == pulled[1] == (await docker.images.inspect(image))["Id"]
        assert seen[0].text == f"pulling {image}, 0 %"
        assert seen[-1].state == "ready"
        assert [state.image for state in store.states()] == [f"cronium/{n}" for n in OWN_RUNTIMES]
        again: list[ImageProgress] = []
        assert await store.ensure(image, again.append) == pulled[0]
        assert again == []
    finally:
        await docker.images.delete(image, force=True)


@pytest.mark.parametrize(
    ("path", "sentence", "permanent"),
    [
        ("tool:3.99", "Image pull failed: no such tag {}.", True),
        ("secret:1", "Image pull failed: {} does not exist, or its registry wants a login.", True),
        ("busy:1", "Image pull failed: the registry of {} allows no more pulls for now.", False),
    ],
)
async def test_a_failed_pull_is_one_sentence(
    docker: aiodocker.Docker,
    contexts: Path,
    registry: str,
    path: str,
    sentence: str,
    permanent: bool,
) -> None:
    image = f"{registry}/{path}"
    store = make_store(docker, contexts, "x")
    with pytest.raises(ImageUnavailable) as caught:
        await store.ensure(image)
    shown = image.rpartition(":")[0] if "login" in sentence else image
    assert str(caught.value) == sentence.format(shown)
    assert caught.value.permanent is permanent
    assert store.states()[-1].state == "unavailable"


async def test_a_registry_out_of_reach_fails_at_once(
    docker: aiodocker.Docker, contexts: Path, unused_tcp_port: int
) -> None:
    store = make_store(docker, contexts, "x")
    async with asyncio.timeout(5):
        with pytest.raises(ImageUnavailable, match="cannot be reached from this engine") as caught:
            await store.ensure(f"127.0.0.1:{unused_tcp_port}/tool:1")
    assert not caught.value.permanent


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


NOWHERE = "127.0.0.1:1/nothing:1"  # no registry ever listens there


async def test_the_base_is_the_stock_image_then_one_made_before(
    docker: aiodocker.Docker, scratch: str
) -> None:
    settings = BaseSettings(stock=scratch, made=NOWHERE, may_bootstrap=False)
    assert await find_base(docker, settings, lambda _: None) == scratch
    settings = BaseSettings(stock=NOWHERE, made=scratch, may_bootstrap=False)
    assert await find_base(docker, settings, lambda _: None) == scratch


async def test_a_configured_base_is_that_one_or_none(
    docker: aiodocker.Docker, scratch: str
) -> None:
    settings = BaseSettings(configured=NOWHERE, stock=scratch)
    with pytest.raises(ImageUnavailable, match=r"^CRONIUM_BASE_IMAGE: Image pull failed"):
        await find_base(docker, settings, lambda _: None)
    with pytest.raises(ImageUnavailable, match=r"^CRONIUM_BASE_IMAGE: ") as caught:
        await find_base(docker, BaseSettings(configured="A B"), lambda _: None)
    assert caught.value.permanent


async def test_without_any_way_to_a_base_there_is_one_sentence(docker: aiodocker.Docker) -> None:
    settings = BaseSettings(stock=NOWHERE, made=NOWHERE, may_bootstrap=False)
    with pytest.raises(ImageUnavailable, match=r"^There is no Debian image to build on"):
        await find_base(docker, settings, lambda _: None)


async def test_debootstrap_is_the_last_way_and_only_for_root_on_debian(
    docker: aiodocker.Docker, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    async def make_base(_docker: object, reference: str, _report: object) -> None:
        made.append(reference)

    monkeypatch.setattr(image_base, "make_base", make_base)
    monkeypatch.setattr(image_base, "can_bootstrap", lambda: True)
    settings = BaseSettings(stock=NOWHERE, made="127.0.0.1:1/made:1")
    assert await find_base(docker, settings, lambda _: None) == "127.0.0.1:1/made:1"
    assert made == ["127.0.0.1:1/made:1"]


async def test_inside_the_one_container_its_own_image_is_the_base(
    docker: aiodocker.Docker, scratch: str
) -> None:
    name = f"cronium-test/product-{uuid.uuid4().hex[:12]}"
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        text = f"FROM {scratch}\nLABEL cronium.kind=product\n".encode()
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    context.seek(0)
    await docker.images.build(fileobj=context, encoding="identity", tag=name)
    product = (await docker.images.inspect(name))["Id"]
    ours = await docker.containers.create({"Image": name, "Cmd": ["none"]})
    other = await docker.containers.create({"Image": scratch, "Cmd": ["none"]})
    try:
        assert await find_own_image(docker, container=ours.id) == product
        assert await find_own_image(docker, container=other.id) is None
        assert await find_own_image(docker, container="0123456789ab") is None
        assert await find_own_image(docker, name) == product
        assert await find_own_image(docker, scratch) is None
        settings = BaseSettings(stock=NOWHERE, made=NOWHERE, own_image=name, may_bootstrap=False)
        assert await find_base(docker, settings, lambda _: None) == product
    finally:
        for container in (ours, other):
            await container.delete(force=True)
        await docker.images.delete(name, force=True)


def test_a_container_knows_its_id_whatever_its_host_name_is() -> None:
    identity = "0123456789abcdef" * 4
    line = f"1 2 254:1 /lib/docker/containers/{identity}/hostname /etc/hostname rw - ext4 /dev/x rw"
    assert own_container_id(line, "web") == identity
    assert own_container_id("", "0123456789ab") == "0123456789ab"
    assert own_container_id("", "build-server") is None
    assert own_container_id("36 35 0:30 / /sys rw - sysfs sysfs rw", "") is None


def test_reads_the_mirrors_out_of_apts_two_formats() -> None:
    modern = (
        "Types: deb\n# a remark\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-up\n"
        "Components: main\n\nTypes: deb\nURIs: http://mirror.example/sec\nSuites: x-security\n"
    )
    assert apt_mirrors(modern) == ("http://mirror.example/debian", "http://mirror.example/sec")
    classic = (
        "# deb http://off.example x main\ndeb [signed-by=/k] https://m.example/d bookworm main\n"
        "deb http://m.example/s bookworm-security main\ndeb-src http://src.example x main\n"
    )
    assert apt_mirrors(classic) == ("https://m.example/d", "http://m.example/s")
    assert apt_mirrors("deb cdrom:[Debian]/ bookworm main\n") == (None, None)
    assert apt_mirrors("") == (None, None)


def test_build_progress_counts_packages_inside_run_steps() -> None:
    progress = BuildProgress(run_steps=1)
    assert progress.feed("Step 1/3 : FROM x\n") == 0
    assert progress.feed("Step 2/3 : RUN apt\n0 upgraded, 2 newly installed, 0 to re") == 0
    assert progress.feed("move\nGet:1 http://m.example x/main amd64 a amd64 1 [3 kB]\n") == 1 / 6
    assert progress.feed("Unpacking a\nUnpacking b\nSetting up a\nSetting up b\n") == 5 / 6
    assert progress.feed("E: no space\nmore\n") == 5 / 6
    assert (progress.error_line, progress.last_line) == ("E: no space", "more")


def test_pull_progress_adds_up_layers() -> None:
    progress = PullProgress()
    assert progress.feed({"status": "Pulling from x"}) == 0
    detail = {"current": 10, "total": 100}
    assert progress.feed({"status": "Downloading", "id": "a", "progressDetail": detail}) == 0.1
    assert progress.feed({"status": "Downloading", "id": "b", "progressDetail": detail}) == 0.1
    assert progress.feed({"status": "Download complete", "id": "a"}) == 0.55


def test_a_context_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    shutil.copytree(CONTEXTS / "python", tmp_path / "copy")
    assert Context(tmp_path / "copy").digest() == Context(CONTEXTS / "python").digest()
    assert Context(tmp_path / "copy").tar() == Context(CONTEXTS / "python").tar()
    (tmp_path / "copy" / "Dockerfile").chmod(0o755)
    assert Context(tmp_path / "copy").digest() != Context(CONTEXTS / "python").digest()


CHECKS = {
    "cronium/bash": "true",
    "cronium/python": "python -c 'import requests, yaml' && python3 --version",
    "cronium/node": "node -e 'process.exit(0)'",
}


@pytest.mark.timeout(400)
@pytest.mark.parametrize("image", CHECKS)
async def test_the_real_images_have_what_they_promise(docker: aiodocker.Docker, image: str) -> None:
    from importlib.metadata import version

    store = ImageStore(docker, contexts=CONTEXTS, version=version("cronium"), base_image=None)
    identity = await store.ensure(image)
    script = (
        "set -e; [ $(id -u) = 1000 ]; for t in curl jq git ssh rsync head wc; do command -v $t; "
        "done; [ -f /usr/share/zoneinfo/Europe/Berlin ]; [ -s /etc/ssl/certs/ca-certificates.crt ];"
        ' [ -z "$(find /usr/local/share/ca-certificates /var/lib/apt/lists -type f)" ]; '
        f"{CHECKS[image]}; echo all-there"
    )
    container = await docker.containers.create(
        {
            "Image": identity,
            "Entrypoint": ["bash", "-c", script],
            "Labels": {"cronium.test": "images"},
            "HostConfig": {"NetworkMode": "none", "Memory": 256 << 20},
        }
    )
    try:
        await container.start()
        ended = await container.wait()
        log = "".join(await container.log(stdout=True, stderr=True))
        assert ended["StatusCode"] == 0, log
        assert log.endswith("all-there\n")
    finally:
        await container.delete(force=True)
