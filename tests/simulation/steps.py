"""What a process of the simulation does between two moments at which it can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from reconciler.core.context import Result
from reconciler.core.effects import Effect


@dataclass(frozen=True)
class ListAll:
    """All projects of the organization."""


@dataclass(frozen=True)
class Do:
    """A statement of the catalog outside of a pass."""

    name: str
    act: Callable[[], Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Release:
    """The end of a pass."""

    outcome: Result


@dataclass
class Held:
    """The periodic job that a round holds: its name and token."""

    job: tuple[str, int] | None = None


Step: TypeAlias = Effect[Any] | ListAll | Do | Release


@dataclass(slots=True)
class Taken:
    """A step that a process came to.

    Attributes:
        verb: the part of the program that asked for it.
        of_a_pass: whether a pass took it and not a periodic round.
        asked: whether it went out to Neon or to the catalog, and was not answered from memory.
        done: whether Neon did it, where it is a request.
        completed: whether its process lived to see it take effect.
        place: how many lines the trace had before it.
    """

    step: Step
    verb: str
    of_a_pass: bool
    asked: bool = False
    done: bool = True
    completed: bool = False
    place: int = 0

    @property
    def name(self) -> str:
        """What the ledger calls the step."""
        return self.step.name if isinstance(self.step, Do) else type(self.step).__name__


class Violation(Exception):
    """A rule that must never break is broken."""
