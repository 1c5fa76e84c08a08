"""Figures over rounds: a table for people and ``build/bench-<name>.json`` for machines."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

ROUNDS = 5
BUILD = Path(__file__).resolve().parents[2] / "build"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, with a value from each round.

    Attributes:
        name: its key in the file.
        values: one a round.
        unit: what it counts; empty for a ratio.
        wanted: the bound for the median, or None when it is only told.
    """

    name: str
    values: Sequence[float]
    unit: str = ""
    wanted: tuple[Literal["<=", ">=", "="], float] | None = None

    @property
    def median(self) -> float:
        """The middle of the values."""
        return median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the bound; None without one."""
        match self.wanted:
            case ("<=", bound):
                return self.median <= bound
            case (">=", bound):
                return self.median >= bound
            case ("=", bound):
                return self.median == bound
        return None

    def document(self) -> dict[str, object]:
        """The figure as the file holds it."""
        told: dict[str, object] = {
            "median": round(self.median, 4),
            "min": round(min(self.values), 4),
            "max": round(max(self.values), 4),
            "values": [round(value, 4) for value in self.values],
        }
        if self.unit:
            told["unit"] = self.unit
        if self.wanted is not None:
            told["wanted"] = f"{self.wanted[0]} {self.wanted[1]:g}"
        return told

    def row(self) -> str:
        """The figure as a line of the table."""
        wanted = "" if self.wanted is None else f"{self.wanted[0]} {self.wanted[1]:g}"
        verdict = {None: "", True: "met", False: "MISSED"}[self.met]
        span = f"{min(self.values):.3f} to {max(self.values):.3f}"
        return f"{self.name:<24}{self.median:>10.3f} {self.unit:<6}  {span:<24} {wanted:<8} {verdict}".rstrip()


def publish(name: str, figures: Sequence[Figure]) -> bool:
    """Write the file and print the table; whether every bound is kept."""
    about = {
        "rounds": max(len(figure.values) for figure in figures),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
    }
    BUILD.mkdir(exist_ok=True)
    document = {figure.name: figure.document() for figure in figures} | {"about": about}
    (BUILD / f"bench-{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    head = f"{'figure':<24}{'median':>10} {'':<6}  {'range':<24} wanted"
    lines = [f"bench-{name}: {about['rounds']} rounds", head, *(figure.row() for figure in figures), ""]
    sys.stdout.write("\n".join(lines) + "\n")
    return all(figure.met is not False for figure in figures)
