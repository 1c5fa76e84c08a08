"""What a process of the simulation does between two moments at which it can be stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from reconciler.core.effects import Effect
from reconciler.core.snapshot import Next


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

    outcome: Next


@dataclass
class Held:
    """The periodic job that a round holds: its name and token."""

    job: tuple[str, int] | None = None


Step: TypeAlias = Effect[Any] | ListAll | Do | Release


class Violation(Exception):
    """A rule that must never break is broken."""
