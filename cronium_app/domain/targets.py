"""Where an event runs: a stored discriminated union. Later kinds add a member, nothing else."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ContainerTarget(BaseModel):
    """In a container, by an agent chosen by name or labels; without either, the built-in one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["container"] = "container"
    agent: str | None = Field(default=None, max_length=100)
    labels: list[str] = Field(default_factory=list, max_length=20)

    @field_validator("labels")
    @classmethod
    def _no_labels_yet(cls, value: list[str]) -> list[str]:
        if value:
            raise ValueError("Labels choose no agent yet; name the agent, or leave them out.")
        return value


Target = ContainerTarget
