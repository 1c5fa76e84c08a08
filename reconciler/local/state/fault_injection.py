"""How operations end: mostly well, and otherwise as chance or the machine's owner wants it."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from reconciler.local.state.models import OperationOutcome

_FAILURES: tuple[OperationOutcome, ...] = ("fail", "error", "cancel", "skip")


class OutcomePlan:
    """The source of operations' fates. It has a chance of its own, so that mishaps change no ids.

    A fate is ``finish``; ``fail``: it fails twice and then finishes; ``error`` and ``cancel``: it ends so, and nothing
    took effect; ``skip``: there was nothing to do, so that a start starts nothing; ``stick``: it runs until released.
    """

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed + 1)  # noqa: S311 - mishaps are no secret
        self._rate = rate
        self._planned: deque[OperationOutcome] = deque()

    def plan(self, outcomes: Iterable[OperationOutcome]) -> None:
        """Fix the fates of the next operations, one after the other."""
        self._planned.extend(outcomes)

    def draw(self) -> OperationOutcome:
        """Return the fate of a new operation."""
        if self._planned:
            return self._planned.popleft()
        if self._rate and self._random.random() < self._rate:
            return self._random.choice(_FAILURES)
        return "finish"
