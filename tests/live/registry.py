"""What the walk does, in order: steps of a project's life, and observations, one for each assumed behavior."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from importlib import import_module

from tests.live.context import Live

# In the order in which they are done within a phase: what life needs, then what decides the design, then the rest.
MODULES = ("life", "decisive", "general", "projects", "branches", "computes", "roles", "snapshots")


class Verdict(StrEnum):
    """Whether Neon does as a row says."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNTOLD = "could not be told"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict and what was seen, without any secret."""

    verdict: Verdict
    seen: str


def agrees_if(it_does: object, seen: str) -> Finding:
    """Agreement where it does, a difference otherwise."""
    return Finding(Verdict.AGREES if it_does else Verdict.DIFFERS, seen)


class Phase(IntEnum):
    """Where in its life the project is."""

    CREATED = 1
    """Neon has just answered; its operations run."""
    WHOLE = 2
    """Its operations are over."""
    CHANGED = 3
    """Branches, roles, databases and settings are changed."""
    DELETED = 4
    RECOVERED = 5
    GONE = 6
    """Deleted again."""


Step = Callable[[Live], Awaitable[None]]
Observe = Callable[[Live], Awaitable[Finding]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A step, or an observation about the row that it names."""

    phase: Phase
    name: str
    step: Step | None = None
    observe: Observe | None = None


_ENTRIES: list[Entry] = []


def step(phase: Phase) -> Callable[[Step], Step]:
    """Have a function done in a phase; an exception of it is a break in the project's life."""

    def register(function: Step) -> Step:
        _ENTRIES.append(Entry(phase, function.__name__, step=function))
        return function

    return register


def observes(row: str, phase: Phase) -> Callable[[Observe], Observe]:
    """Have a function judge one row of the table; an exception of it means that it could not be told.

    Raises:
        ValueError: the row has an observation already.
    """

    def register(function: Observe) -> Observe:
        if any(entry.observe is not None and entry.name == row for entry in _ENTRIES):
            raise ValueError(f"{row} is observed twice")
        _ENTRIES.append(Entry(phase, row, observe=function))
        return function

    return register


def entries() -> tuple[Entry, ...]:
    """All of them, in the order in which they are done."""
    for module in MODULES:
        import_module(f"tests.live.{module}")
    return tuple(sorted(_ENTRIES, key=lambda entry: entry.phase))


def observed_rows() -> tuple[str, ...]:
    """The rows that are observed, in order."""
    return tuple(entry.name for entry in entries() if entry.observe is not None)
