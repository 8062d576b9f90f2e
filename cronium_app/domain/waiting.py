"""Which queued runs may be claimed now, and why the others wait, in words. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from cronium_app.domain.durations import in_words
from cronium_app.domain.targets import Target

ANYWHERE = "container"
OWN_IMAGES = "cronium/"  # made by us beforehand; any other is pulled in the set-up of its run


def place_of(target: Target) -> str:
    """What a server must reach to claim a run with this target."""
    return ANYWHERE if target.agent is None else f"{ANYWHERE}:{target.agent}"


def places_of_agent(name: str, *, builtin: bool) -> frozenset[str]:
    """The places an agent serves. A run that names no agent goes to the built-in one."""
    named = f"{ANYWHERE}:{name}"
    return frozenset({named, ANYWHERE}) if builtin else frozenset({named})


def is_held_up(image: str, state: str) -> bool:
    """Whether runs with this image wait for it in the queue. Where it cannot be had they do not:
    they fail, and say why."""
    return image.startswith(OWN_IMAGES) and state not in ("ready", "unavailable")


@dataclass(frozen=True, kw_only=True)
class ImageView:
    image: str
    state: Literal["ready", "building", "pulling", "unavailable", "missing"]
    percent: int | None = None
    text: str = ""

    @property
    def holds_up(self) -> bool:
        return is_held_up(self.image, self.state)


@dataclass(frozen=True, kw_only=True)
class EngineView:
    """What the built-in agent last said about its container engine."""

    state: Literal["up", "down", "starting"] = "starting"
    detail: str = ""  # one sentence when down, else the engine's version
    slots: int = 0
    free_slots: int = 0
    images: tuple[ImageView, ...] = field(default=())


def waiting_text(
    engine: EngineView, *, place: str, image: str, available_at: datetime, now: datetime
) -> str:
    """Why a queued run has not started, as a clause without a full stop; "" if it starts now."""
    if available_at > now:
        return f"not before {available_at:%Y-%m-%d %H:%M:%S} UTC"
    if place != ANYWHERE and place != f"{ANYWHERE}:local":
        return f"waits for the agent {place.removeprefix(f'{ANYWHERE}:')}"
    if engine.state == "starting":
        return "waits for the container engine to be found"
    if engine.state == "down":
        return "waits for the container engine"
    for view in engine.images:
        if view.image == image and view.holds_up:
            return f"preparing {image}" + ("" if view.percent is None else f", {view.percent} %")
    if engine.free_slots <= 0:
        return f"waits for a free slot ({engine.slots} of {engine.slots} in use)"
    return ""


def next_try_text(available_at: datetime, now: datetime) -> str:
    """When a run between two tries goes on, as a clause without a full stop."""
    return f"next try {in_words(max(timedelta(seconds=1), available_at - now))}"
