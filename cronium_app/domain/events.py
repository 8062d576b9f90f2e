"""An event's content: what a revision freezes, with its limits and its canonical form."""

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from agent.image_ref import split_image_reference
from agent.jobs import MAX_ENV_BYTES, MAX_SCRIPT_BYTES, Runtime
from agent.runtime import check_variable
from cronium_app.domain.concurrency import Concurrency
from cronium_app.domain.overlap import Overlap
from cronium_app.domain.retries import Retries
from cronium_app.domain.targets import ContainerTarget, Target

DEFAULT_IMAGES: dict[Runtime, str] = {
    "python": "cronium/python",
    "node": "cronium/node",
    "bash": "cronium/bash",
}

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")

QueueLimit = Annotated[int, Field(ge=0, le=10_000)]
Priority = Annotated[int, Field(ge=-100, le=100)]  # higher goes first
QueueExpiry = Annotated[int, Field(ge=0, le=366 * 86400)]

# Part of the canonical form from the beginning. Whatever came later is left out of it while it has
# its default, so that a new version changes no revision's sha256 that nobody changed.
ALWAYS_WRITTEN = frozenset(
    {
        "runtime", "script", "image", "env", "target", "network", "timeout_s", "setup_timeout_s",
        "cleanup_timeout_s", "stop_grace_s", "memory_mb", "work_mb", "cpus", "pids",
    }
)  # fmt: skip


class EventContent(BaseModel):
    """The part of an event that a revision stores. Names, tags and schedules are not in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: Literal["python", "node", "bash"]
    script: str
    image: str = ""  # empty: the default of the runtime
    env: dict[str, str] = Field(default_factory=dict, max_length=500)
    target: Target = Field(default_factory=ContainerTarget)
    network: bool = True
    timeout_s: Annotated[int, Field(ge=1, le=30 * 86400)] = 3600
    setup_timeout_s: Annotated[int, Field(ge=1, le=86400)] = 600
    cleanup_timeout_s: Annotated[int, Field(ge=1, le=3600)] = 60
    stop_grace_s: Annotated[int, Field(ge=0, le=3600)] = 10
    memory_mb: Annotated[int, Field(ge=16, le=1024 * 1024)] = 512
    work_mb: Annotated[int, Field(ge=1, le=1024 * 1024)] = 256
    cpus: Annotated[float, Field(ge=0.05, le=256, allow_inf_nan=False)] = 1.0
    pids: Annotated[int, Field(ge=8, le=65536)] = 256
    retries: Retries = Field(default_factory=Retries)
    overlap: Overlap = "allow"
    queue_limit: QueueLimit = 100  # waiting behind the one under way; only with overlap "queue"
    concurrency: Concurrency | None = None
    priority: Priority = 0
    queue_expires_s: QueueExpiry = 0  # 0: it waits for ever

    @field_validator("script")
    @classmethod
    def _script(cls, value: str) -> str:
        try:
            size = len(value.encode())
        except UnicodeEncodeError as error:
            raise ValueError("The script has characters that are not valid Unicode.") from error
        if size > MAX_SCRIPT_BYTES:
            raise ValueError(f"The script is {size} bytes long; the limit is 1 MiB.")
        if "\0" in value:
            raise ValueError("The script contains a NUL character.")
        return value

    @field_validator("image")
    @classmethod
    def _image(cls, value: str) -> str:
        if not value:
            return ""
        reference = split_image_reference(value)
        ours = (
            reference.registry in ("", "docker.io", "index.docker.io")
            and reference.path in DEFAULT_IMAGES.values()
            and reference.tag in ("", "latest")
            and not reference.digest
        )
        # in the one spelling under which the queue knows that they are being made
        return reference.path if ours else str(reference)

    @field_validator("env")
    @classmethod
    def _env(cls, value: dict[str, str]) -> dict[str, str]:
        size = 0
        for name, text in value.items():
            if not ENV_NAME.match(name):
                raise ValueError(
                    "A variable's name is letters, digits and _ and starts with no digit."
                )
            try:
                size += len(name) + len(text.encode()) + 2
            except UnicodeEncodeError as error:
                raise ValueError(f"The value of {name} is not valid Unicode.") from error
            if complaint := check_variable(name, text):
                raise ValueError(complaint)
            if len(text) > 100_000:
                raise ValueError(f"The value of {name} is longer than 100,000 characters.")
        if size > MAX_ENV_BYTES:
            raise ValueError("The environment is larger than 512 KiB altogether.")
        return value

    def resolved_image(self) -> str:
        return self.image or DEFAULT_IMAGES[self.runtime]

    def canonical(self) -> str:
        """Canonical JSON: keys sorted, no spaces, without later fields at their default. Its sha256
        names the content.
        """
        usual = {
            name
            for name, field in type(self).model_fields.items()
            if name not in ALWAYS_WRITTEN
            and getattr(self, name) == field.get_default(call_default_factory=True)
        }
        values = self.model_dump(mode="json", exclude=usual)
        return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def sha256(self) -> str:
        return hashlib.sha256(self.canonical().encode()).hexdigest()
