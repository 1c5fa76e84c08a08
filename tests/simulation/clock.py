"""Virtual time: events in order of time, and of their planning where times are equal."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime

START = 1_800_000_000.0


class Clock:
    """The only time that a simulation knows."""

    def __init__(self) -> None:
        self.now = START
        self._planned: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    @property
    def date(self) -> datetime:
        """The time as the catalog writes it."""
        return datetime.fromtimestamp(self.now, UTC)

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Plan an event."""
        self._count += 1
        heapq.heappush(self._planned, (max(when, self.now), self._count, event))

    def after(self, seconds: float, event: Callable[[], None]) -> None:
        """Plan an event."""
        self.at(self.now + seconds, event)

    def step(self) -> None:
        """Go to the next event and let it happen."""
        self.now, _, event = heapq.heappop(self._planned)
        event()
