"""The images that jobs run in: our own three, built here, and any other, pulled when missing.

`cronium/python`, `cronium/node` and `cronium/bash` are built on this engine from the contexts that
ship with the product and are never pulled by that name. A base (`image_base`) carries one common
layer, and the three are built on that in parallel. Each is tagged by the product's version and the
hash of what it was made from, so two installations on one engine do not get in each other's way.
"""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiodocker

from agent.containers import EngineDown
from agent.image_base import BaseSettings, find_base
from agent.image_build import (
    Context,
    ImageUnavailable,
    Report,
    build_image,
    find_image,
    image_id,
    image_labels,
    pull_image,
)
from agent.image_ref import ImageReference, split_image_reference
from agent.protocol import ImageState

__all__ = ["ImageProgress", "ImageStore", "ImageUnavailable"]

ImageProgress = ImageState
OnProgress = Callable[[ImageProgress], None]

OWN_RUNTIMES = ("python", "node", "bash")
OWN_PREFIX = "cronium/"
RETRY_AFTER_S = 15.0  # a failure is not tried again sooner: each try may take a minute
_KEPT_FAILURES = 20
_COMMON_SHARE = 0.7  # how much of the whole work the common layer is

logger = logging.getLogger(__name__)


@dataclass
class _Work:
    """One build or pull that any number of callers wait for."""

    task: asyncio.Task[str]
    state: ImageProgress
    listeners: list[OnProgress] = field(default_factory=list["OnProgress"])
    failed_at: float = 0.0

    def show(self, state: ImageProgress) -> None:
        if state == self.state:
            return
        self.state = state
        for listener in list(self.listeners):
            listener(state)


class ImageStore:
    """Knows which images this engine has, and gets those that are missing."""

    def __init__(
        self,
        docker: aiodocker.Docker,
        *,
        contexts: Path,
        version: str,
        base_image: str | None,
        owner: str = "",
        base: BaseSettings | None = None,
        fresh: bool = False,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Images belong to the engine, not to one `owner`: two installations may share them.

        `base` overrides `base_image`; `fresh` builds anew what is there already. `on_change` is
        called whenever `states()` has changed; it must not block.
        """
        self._docker = docker
        self._contexts = contexts
        self._version = version
        self._base = base or BaseSettings(configured=base_image or None)
        self._fresh = fresh
        self._on_change = on_change
        self._works: dict[str, _Work] = {}
        self._own_ready: dict[str, bool] = {}
        self._read_contexts: dict[str, Context] = {}

    async def ensure(self, image: str, on_progress: OnProgress | None = None) -> str:
        """The id ("sha256:...") of `image` on this engine, built or pulled first where needed.

        Callers that want the same image share one build or pull; cancelling one of them does not
        end it. Raises ImageUnavailable, or EngineDown, which says nothing about the image.
        """
        try:
            reference = split_image_reference(image)
        except ValueError as error:
            raise ImageUnavailable(str(error), permanent=True) from error
        runtime = own_runtime(reference)
        if runtime is not None:
            key, found = OWN_PREFIX + runtime, await self._find_own(runtime)
        else:
            key, found = str(reference), await self._find_other(reference)
        if found is not None:
            if self._works.pop(key, None) is not None:
                self._on_change()
            return found
        if runtime is not None:
            return await self._share(key, "building", on_progress, lambda: self._build(runtime))
        return await self._share(key, "pulling", on_progress, lambda: self._pull(reference))

    async def warm(self) -> None:
        """Make our own images, in parallel. Never raises; what fails shows in `states()`.

        Cheap when all are there, so it may be called again whenever the engine comes back.
        """
        await asyncio.gather(*(self._warm_one(OWN_PREFIX + name) for name in OWN_RUNTIMES))

    def states(self) -> list[ImageProgress]:
        """Our own images, always, then others that are being pulled or could not be."""
        shown = [self._own_state(name) for name in OWN_RUNTIMES]
        own = {state.image for state in shown} | {OWN_PREFIX + "common"}
        return shown + [work.state for key, work in self._works.items() if key not in own]

    @property
    def wanting(self) -> bool:
        """Whether nobody has begun to make one of our own images, which `warm` would do."""
        return any(self._own_state(name).state == "missing" for name in OWN_RUNTIMES)

    async def aclose(self) -> None:
        """Give up whatever is being built or pulled."""
        tasks = [work.task for work in self._works.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _warm_one(self, image: str) -> None:
        try:
            await self.ensure(image)
        except ImageUnavailable as error:
            logger.warning("%s is not available: %s", image, error)
        except EngineDown as error:
            logger.info("%s has to wait: %s", image, error)
        except Exception:
            logger.exception("%s could not be prepared", image)

    def _own_state(self, runtime: str) -> ImageProgress:
        image = OWN_PREFIX + runtime
        if work := self._works.get(image):
            return work.state
        if self._own_ready.get(runtime):
            return ImageProgress(image=image, state="ready", text="ready")
        return ImageProgress(image=image, state="missing", text="not built yet")

    async def _share(
        self,
        key: str,
        doing: str,
        on_progress: OnProgress | None,
        work: Callable[[], Awaitable[str]],
    ) -> str:
        entry = self._works.get(key)
        if entry is None or self._is_stale(entry):
            entry = self._begin(key, doing, work)
        if on_progress is not None:
            entry.listeners.append(on_progress)
            on_progress(entry.state)
        try:
            return await asyncio.shield(entry.task)
        finally:
            if on_progress is not None:
                entry.listeners.remove(on_progress)

    def _is_stale(self, entry: _Work) -> bool:
        now = asyncio.get_running_loop().time()
        return entry.task.done() and now - entry.failed_at >= RETRY_AFTER_S

    def _begin(self, key: str, doing: str, work: Callable[[], Awaitable[str]]) -> _Work:
        async def run() -> str:
            return await work()

        task = asyncio.create_task(run(), name=f"image {key}")
        verb = "preparing" if doing == "building" else "pulling"
        state = ImageProgress(
            image=key,
            state="building" if doing == "building" else "pulling",
            percent=0,
            text=f"{verb} {key}, 0 %",
        )
        entry = self._works[key] = _Work(task=task, state=state, listeners=[self._tell])
        self._on_change()
        task.add_done_callback(lambda task: self._ended(key, entry, task))
        return entry

    def _tell(self, _state: ImageProgress) -> None:
        self._on_change()

    def _ended(self, key: str, entry: _Work, task: asyncio.Task[str]) -> None:
        entry.failed_at = asyncio.get_running_loop().time()
        error = None if task.cancelled() else task.exception()
        if error is None or isinstance(error, EngineDown):
            if self._works.get(key) is entry:
                del self._works[key]
            if isinstance(error, EngineDown):
                self._on_change()
            elif not task.cancelled():
                entry.show(ImageProgress(image=key, state="ready", percent=100, text="ready"))
            return
        text = (
            str(error) if isinstance(error, ImageUnavailable) else f"{key} could not be prepared."
        )
        entry.show(ImageProgress(image=key, state="unavailable", text=text))
        done = [name for name, work in self._works.items() if work.task.done()]
        for name in done[:-_KEPT_FAILURES]:
            del self._works[name]

    def _reporter(self, key: str, low: float = 0.0) -> Report:
        """Turns a fraction of the work from `low` on into the percentage of `key`."""

        def report(fraction: float) -> None:
            entry = self._works.get(key)
            percent = min(99, int(100 * (low + (1 - low) * fraction)))
            if entry is None or percent <= (entry.state.percent or 0):
                return
            verb = "preparing" if entry.state.state == "building" else "pulling"
            entry.show(
                ImageProgress(
                    image=key,
                    state=entry.state.state,
                    percent=percent,
                    text=f"{verb} {key}, {percent} %",
                )
            )

        return report

    async def _find_other(self, reference: ImageReference) -> str | None:
        details = await find_image(self._docker, str(reference))
        return None if details is None else image_id(details)

    async def _pull(self, reference: ImageReference) -> str:
        key = str(reference)
        await pull_image(self._docker, reference, self._reporter(key))
        details = await find_image(self._docker, key)
        if details is None:
            raise ImageUnavailable(
                f"Image pull failed: {key} is not for this kind of machine.", permanent=True
            )
        return image_id(details)

    async def _find_own(self, name: str) -> str | None:
        if self._fresh and not self._own_ready.get(name):
            return None
        content = await self._content(name)
        details = await find_image(self._docker, self._tag(name, content))
        # The name alone proves nothing: anybody may tag an image on this engine.
        is_ours = details is not None and image_labels(details).get("cronium.content") == content
        self._note_own(name, ready=is_ours)
        return image_id(details) if details is not None and is_ours else None

    def _note_own(self, name: str, *, ready: bool) -> None:
        if self._own_ready.get(name, False) is not ready:
            self._own_ready[name] = ready
            self._on_change()

    async def _build(self, runtime: str) -> str:
        key = OWN_PREFIX + runtime

        def follow(state: ImageProgress) -> None:
            self._reporter(key)(_COMMON_SHARE * (state.percent or 0) / 100)

        common = await self._find_own("common")
        if common is None:
            common = await self._share(
                OWN_PREFIX + "common", "building", follow, self._build_common
            )
        return await self._build_on(runtime, common)

    async def _build_common(self) -> str:
        report = self._reporter(OWN_PREFIX + "common")
        base = await find_base(
            self._docker, self._base, lambda fraction: report(_COMMON_SHARE * fraction)
        )
        return await self._build_on("common", base)

    async def _build_on(self, name: str, base: str) -> str:
        content = await self._content(name)
        image = OWN_PREFIX + name
        entry = self._works.get(image)
        done_before = (entry.state.percent or 0) / 100 if entry else 0.0
        built = await build_image(
            self._docker,
            await self._context(name),
            name=image,
            tag=self._tag(name, content),
            base=base,
            labels={
                "cronium.kind": "image",
                "cronium.image": name,
                "cronium.version": self._version,
                "cronium.content": content,
            },
            report=self._reporter(image, done_before),
            fresh=self._fresh,
        )
        self._note_own(name, ready=True)
        logger.info("built %s as %s", image, built)
        return built

    def _tag(self, name: str, content: str) -> str:
        return f"{OWN_PREFIX}{name}:{self._version}-{content[:12]}"

    async def _content(self, name: str) -> str:
        """sha256 of everything the image is made from: version, base, contexts."""
        total = hashlib.sha256()
        for part in (self._version, self._base.configured or ""):
            total.update(part.encode() + b"\0")
        for part in {"common": None, name: None}:
            total.update((await self._context(part)).digest())
        return total.hexdigest()

    async def _context(self, name: str) -> Context:
        if name not in self._read_contexts:
            self._read_contexts[name] = await asyncio.to_thread(Context, self._contexts / name)
        return self._read_contexts[name]


def own_runtime(reference: ImageReference) -> str | None:
    """ "python" for `cronium/python`, None for an image that is not ours.

    Raises ImageUnavailable for any other name under `cronium/`: such a name is never pulled.
    """
    if reference.registry not in ("", "docker.io", "index.docker.io"):
        return None
    if not reference.path.startswith(OWN_PREFIX):
        return None
    runtime = reference.path.removeprefix(OWN_PREFIX)
    if runtime in OWN_RUNTIMES and reference.tag in ("", "latest") and not reference.digest:
        return runtime
    names = ", ".join(OWN_PREFIX + name for name in OWN_RUNTIMES)
    raise ImageUnavailable(
        f"{reference} is none of the images that Cronium builds itself: {names}.", permanent=True
    )
