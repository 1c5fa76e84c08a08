"""Fault injection: the outcomes of operations, planned by the caller or drawn at random."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

from reconciler.local.state.models import OperationOutcome

_FAILURES: tuple[OperationOutcome, ...] = ("fail", "error", "cancel", "skip")


class OutcomePlan:
    """The outcomes of new operations. Its random source is separate, so injected failures change no ids.

    ``finish``: the operation finishes. ``fail``: it fails twice, then finishes. ``error`` and ``cancel``: it ends with
    that status and has no effect. ``skip``: it is skipped, and a start starts nothing. ``hang``: it runs until the
    hanging operations are resumed.
    """

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed + 1)  # noqa: S311 - no secret
        self._rate = rate
        self._planned: deque[OperationOutcome] = deque()

    def plan(self, outcomes: Iterable[OperationOutcome]) -> None:
        """Set the outcomes of the next operations, in order."""
        self._planned.extend(outcomes)

    def draw(self) -> OperationOutcome:
        """Return the outcome of a new operation."""
        if self._planned:
            return self._planned.popleft()
        if self._rate and self._random.random() < self._rate:
            return self._random.choice(_FAILURES)
        return "finish"
