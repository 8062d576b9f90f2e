"""Figures and how far to trust them: percentiles, ratios with a bootstrap interval, noise."""

import os
import random
from dataclasses import asdict, dataclass, field
from typing import Any


def percentile(values: list[float], p: float) -> float:
    """Nearest rank. `p` from 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(p * len(ordered)))]


def ratio_of_medians(
    subject: list[float], floor: list[float], rounds: int = 2000
) -> tuple[float, float, float]:
    """(ratio, low, high): 95 % bootstrap interval of median(subject) / median(floor)."""
    rng = random.Random(7)
    ratios = sorted(
        percentile(rng.choices(subject, k=len(subject)), 0.5)
        / percentile(rng.choices(floor, k=len(floor)), 0.5)
        for _ in range(rounds)
    )
    exact = percentile(subject, 0.5) / percentile(floor, 0.5)
    return exact, ratios[int(0.025 * rounds)], ratios[int(0.975 * rounds)]


def is_noisy(floor: list[float]) -> bool:
    """The floor itself jumps: p95/p50 > 1.6, or its median drifted > 15 % over the measurement."""
    third = max(1, len(floor) // 3)
    first, last = percentile(floor[:third], 0.5), percentile(floor[-third:], 0.5)
    middle = percentile(floor, 0.5)
    return percentile(floor, 0.95) / middle > 1.6 or abs(last - first) / middle > 0.15


@dataclass
class Figure:
    """One line of the report. `ok` is None where no goal is named."""

    name: str
    value: str
    goal: str = ""
    ok: bool | None = None
    noisy: bool = False
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "load": os.getloadavg()}


def table(figures: list[Figure]) -> str:
    rows = [("figure", "value", "goal", "verdict")]
    for figure in figures:
        verdict = {True: "met", False: "NOT met", None: "-"}[figure.ok]
        rows.append(
            (figure.name, figure.value, figure.goal, verdict + (" (noisy)" if figure.noisy else ""))
        )
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
