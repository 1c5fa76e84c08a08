"""The catalog's twin for thousands of apps: what is due is found by an index, as ``app_work`` has one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core.context import CreateIntent, Credentials, Result
from reconciler.core.rate_limit import BucketConfig
from specs.app import DesiredApp
from tests.driven.table import Table
from tests.simulation.catalog import Work
from tests.simulation.clock import Clock


@dataclass
class _Watched(Work):
    """A row that tells when it is planned anew."""

    on_plan: Callable[[], None] = field(default=lambda: None, repr=False)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "due_at" and "on_plan" in self.__dict__:
            self.on_plan()


class LargeCatalog(Table):
    """The same rows and rules; ``claim`` and ``next_due`` do not look at every row."""

    def __init__(self, clock: Clock, lease_seconds: float, terms: BucketConfig) -> None:
        super().__init__(clock, lease_seconds, terms)
        self._later: list[tuple[float, str]] = []
        self._ripe: dict[str, None] = {}
        self._leased: dict[str, None] = {}

    def create_app(self, app_id: str, owner_id: str, desired: DesiredApp) -> None:
        """``insert_app``."""
        super().create_app(app_id, owner_id, desired)
        made = self.work[app_id]
        row = _Watched(made.due_at, made.priority_at)
        self.work[app_id] = row
        row.on_plan = lambda: self._plan(app_id)
        self._plan(app_id)

    def found(self, app_id: str, intent: CreateIntent, held: Credentials, **columns: Any) -> None:
        """An app that has been there for long, and is settled."""
        self.intents[app_id] = [intent]
        self.rows[app_id] = self.rows[app_id].model_copy(update=columns | self._sealed(held))
        self.work[app_id].due_at = self.work[app_id].priority_at = math.inf

    def claim(self, limit: int) -> list[WorkItem]:
        """``claim``."""
        due = self._due()
        if not due:
            return []
        claimed = [self._claim(app_id) for app_id in self._in_turn(dict.fromkeys([*due, *self._leased]))[:limit]]
        self._leased |= dict.fromkeys(one.lease.app_id for one in claimed)
        return claimed

    def release(self, lease: Lease, outcome: Result) -> bool:
        """``release``."""
        held = super().release(lease, outcome)
        if held:
            self._leased.pop(lease.app_id, None)
        return held

    def next_due(self) -> float:
        """``next_due``, as a moment; the present where something is due already."""
        if self._due():
            return self._clock.now
        while self._later and self._later[0][0] != self.work[self._later[0][1]].due_at:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else math.inf

    def _plan(self, app_id: str) -> None:
        due_at = self.work[app_id].due_at
        if due_at != math.inf:
            heapq.heappush(self._later, (due_at, app_id))

    def _due(self) -> list[str]:
        now = self._clock.now
        while self._later and self._later[0][0] <= now:
            self._ripe[heapq.heappop(self._later)[1]] = None
        over = [app_id for app_id in self._ripe if self.work[app_id].due_at > now]
        for app_id in over:
            del self._ripe[app_id]
        return list(self._ripe)
