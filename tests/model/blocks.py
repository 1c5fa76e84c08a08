"""Which explorations are made: a short block with every run of the tests, a long one by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.actions import Faults
from tests.model.explore import Explored, explore


class Block(NamedTuple):
    """One exploration, and how many states it has at least."""

    name: str
    faults: int
    kinds: Faults
    at_least: int

    def explore(self) -> Explored:
        """Explore it."""
        return explore(self.faults, self.kinds)


SHORT = (
    Block("two faults, but no pauses", 2, Faults.ALL & ~Faults.PAUSES, 120_000),
    Block("two faults of processes and changes", 2, Faults.CRASHES | Faults.PAUSES | Faults.CHANGES, 110_000),
)
LONG = (
    # The longest first, since the others fit beside it.
    Block("three faults, but no pauses", 3, Faults.ALL & ~Faults.PAUSES, 2_000_000),
    Block("three faults of pauses and changes", 3, Faults.PAUSES | Faults.CHANGES, 1_000_000),
    Block("two faults of all kinds", 2, Faults.ALL, 500_000),
)


def explore_all(blocks: tuple[Block, ...] = LONG) -> Iterator[Explored]:
    """Each block in turn."""
    for block in blocks:
        yield block.explore()
