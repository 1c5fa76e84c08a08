"""The catalog's twin for thousands of apps: what is due is found by an index, as ``app_work`` has one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reconciler.catalog.work import Claimed
from reconciler.core.snapshot import CreateIntent, Credentials
from specs.app import DesiredApp
from specs.status import AppStatus
from tests.simulation.catalog import Work
from tests.simulation.clock import Clock
from tests.simulation.fleet import FleetCatalog


@dataclass
class _Watched(Work):
    """A row that tells when it is planned anew."""

    on_plan: Callable[[], None] = field(default=lambda: None, repr=False)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name in {"due_at", "rank_at"} and "on_plan" in self.__dict__:
            self.on_plan()


class LargeCatalog(FleetCatalog):
    """The same rows and rules; ``claim`` and ``next_due`` do not look at every row.

    Attributes:
        statements: how many claims and releases there were.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        super().__init__(clock, lease_seconds)
        self.statements = 0
        self._later: list[tuple[float, str]] = []
        self._ready: list[tuple[float, str]] = []

    def create_app(self, app_id: str, owner_id: str, desired: DesiredApp) -> None:
        """``insert_app``."""
        super().create_app(app_id, owner_id, desired)
        made = self.work[app_id]
        row = _Watched(made.due_at, made.rank_at)
        self.work[app_id] = row
        row.on_plan = lambda: self._plan(app_id)
        self._plan(app_id)

    def found(self, app_id: str, intent: CreateIntent, held: Credentials, **columns: Any) -> None:
        """An app that has been there for long, and is settled."""
        self.intents[app_id] = [intent]
        self.rows[app_id] = self.rows[app_id].model_copy(update=columns | self._sealed(held))
        self.work[app_id].due_at = self.work[app_id].rank_at = math.inf

    def witnesses(self, start: str, besides: str, limit: int) -> list[str]:
        """``witnesses``."""
        rows = [
            row
            for row in self.rows.values()
            if row.app_id != besides
            and row.connected_at is not None
            and row.status != AppStatus.LOST
            and row.delete_requested_at is None
        ]
        rows.sort(key=lambda row: (row.app_id < start, row.app_id))
        return [str(row.project_id) for row in rows[:limit]]

    def claim(self, limit: int) -> list[Claimed]:
        """``claim``."""
        self.statements += 1
        self._ripen()
        claimed: list[Claimed] = []
        while self._ready and len(claimed) < limit:
            rank_at, app_id = heapq.heappop(self._ready)
            if self._is_ready(rank_at, app_id):
                claimed.append(self._claim(app_id))
        return claimed

    def next_due(self) -> float:
        """``next_due``, as a moment; the present where something is due already."""
        self._ripen()
        while self._ready and not self._is_ready(*self._ready[0]):
            heapq.heappop(self._ready)
        if self._ready:
            return self._clock.now
        while self._later and self._later[0][0] != self.work[self._later[0][1]].due_at:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else math.inf

    def _plan(self, app_id: str) -> None:
        due_at = self.work[app_id].due_at
        if due_at != math.inf:
            heapq.heappush(self._later, (due_at, app_id))

    def _ripen(self) -> None:
        while self._later and self._later[0][0] <= self._clock.now:
            due_at, app_id = heapq.heappop(self._later)
            if self.work[app_id].due_at == due_at:
                heapq.heappush(self._ready, (self.work[app_id].rank_at, app_id))

    def _is_ready(self, rank_at: float, app_id: str) -> bool:
        work = self.work[app_id]
        return work.due_at <= self._clock.now and work.rank_at == rank_at
