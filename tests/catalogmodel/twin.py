"""The simulator's catalog, and what the simulator has no use for: owners, keys, pages, who holds what, the budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from reconciler.catalog.apps import CreateResult
from reconciler.catalog.control_plane_store import Binding
from reconciler.catalog.errors import CreateLimitReached, IdempotencyKeyReused, LimitReached, NameTaken
from reconciler.catalog.limits import OwnerLimits
from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core.context import Event, Result
from reconciler.core.rate_limit import BucketConfig, Credit, Grant, Priority, TokenBucket, take_tokens
from reconciler.errors import LeaseLost
from specs.app import DesiredApp
from specs.metadata import AppMetadata
from specs.status import AppStatus
from tests.simulation.clock import Clock
from tests.simulation.fleet import FleetCatalog

T = TypeVar("T")
History = tuple[str, str, str, str, str, int, datetime]
"""One line of history: app, type, reason, message, actor, generation, time."""


@dataclass
class Round:
    """What ``periodic_jobs`` keeps for the metrics, and who holds the job."""

    holder: str | None = None
    finished_at: float = -math.inf
    began: float | None = None
    whole_at: float | None = None
    seconds: float | None = None


class Twin(FleetCatalog):
    """What the real catalog must be equal to.

    Attributes:
        keys: by owner and idempotency key, the fingerprint, the app and the time.
        living: by owner, how many living apps.
        created: by owner, the hours (since 1970) in which apps were created.
        counted: by owner, how many keys were counted.
        holders: by app, who took its lease.
        history: every line, oldest first.
    """

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        super().__init__(clock, lease_seconds)
        self.keys: dict[tuple[str, str], tuple[bytes | None, str, datetime]] = {}
        self.living: dict[str, int] = {}
        self.created: dict[str, list[int]] = {}
        self.counted: dict[str, int] = {}
        self.holders: dict[str, str] = {}
        self.history: list[History] = []
        self.pinned: Binding | None = None
        self.rounds = {name: Round() for name in self.jobs}
        self.bucket = TokenBucket(0.0, clock.date, clock.date, {kind: Credit(0.0, clock.date) for kind in _OWED})

    # The API

    def create(
        self,
        owner: str,
        desired: DesiredApp,
        *,
        provided: Collection[str],
        app_id: str,
        key: str | None,
        fingerprint: bytes | None,
        limits: OwnerLimits,
    ) -> CreateResult:
        """``AppCatalog.create``."""
        known = None if key is None else self.keys.get((owner, key))
        if known is not None and self._lives(known[2]):
            if known[0] != fingerprint:
                raise IdempotencyKeyReused
            return CreateResult(self.rows[known[1]].as_shown_to_owner(), created=False)
        for row in self.rows.values():
            if (row.owner_id, row.app_name, row.delete_requested_at) == (owner, desired.app_name, None):
                return self._found(row, desired, provided, key, fingerprint)
        if self.living.get(owner, 0) >= limits.apps:
            raise LimitReached(limits.apps)
        hour = int(self._clock.now // 3600)
        recent = sorted(each for each in self.created.get(owner, []) if each > hour - 25)
        if len(recent) >= limits.creates_per_day:
            frees = recent[len(recent) - limits.creates_per_day]
            raise CreateLimitReached(limits.creates_per_day, (frees + 25) * 3600 - self._clock.now)
        self.living[owner] = self.living.get(owner, 0) + 1
        self.created[owner] = [*recent, hour]
        self.create_app(app_id, owner, desired)
        self._remember(owner, key, fingerprint, app_id)
        return CreateResult(self.rows[app_id], created=True)

    def _found(
        self,
        row: AppMetadata,
        desired: DesiredApp,
        provided: Collection[str],
        key: str | None,
        fingerprint: bytes | None,
    ) -> CreateResult:
        stored = row.spec.model_dump() | {"app_name": row.app_name}
        mismatches = sorted(name for name in provided if stored[name] != getattr(desired, name))
        if mismatches:
            raise NameTaken(row.app_id, tuple(mismatches))
        self._remember(row.owner_id, key, fingerprint, row.app_id)
        return CreateResult(row.as_shown_to_owner(), created=False)

    def _remember(self, owner: str, key: str | None, fingerprint: bytes | None, app_id: str) -> None:
        if key is not None:
            self.keys[owner, key] = (fingerprint, app_id, self._clock.date)
            self.counted[owner] = self.counted.get(owner, 0) + 1

    def _lives(self, made_at: datetime) -> bool:
        return made_at > self._clock.date - timedelta(hours=24)

    def expire_keys(self) -> None:
        """``expire_keys``, all pages of it."""
        self.keys = {key: value for key, value in self.keys.items() if self._lives(value[2])}

    def ask_to_delete(self, owner: str, app_id: str) -> AppMetadata | None:
        """``AppCatalog.request_delete``."""
        row = self.visible(owner, app_id)
        if row is None:
            return None
        if row.delete_requested_at is None:
            self.living[owner] = max(0, self.living[owner] - 1)
            self.request_delete(app_id)
        return self.rows[app_id].as_shown_to_owner()

    def visible(self, owner: str, app_id: str) -> AppMetadata | None:
        """A row as long as its owner can see it."""
        row = self.rows.get(app_id)
        seen = row is not None and row.owner_id == owner and not self._buried(row)
        return row if seen else None

    def listed(self, owner: str, status: AppStatus | None, name: str | None) -> list[AppMetadata]:
        """``AppCatalog.list``, all pages of it."""
        rows = [row.as_shown_to_owner() for app_id, row in self.rows.items() if self.visible(owner, app_id)]
        wanted = [
            row
            for row in rows
            if (row.status != AppStatus.DELETED if status is None else row.status == status)
            and name in (None, row.app_name)
        ]
        return sorted(wanted, key=lambda row: (row.created_at, row.app_id), reverse=True)

    # Leases

    def take(self, owner: str, limit: int) -> list[WorkItem]:
        """``claim`` by one of several."""
        claimed = self.claim(limit)
        self.holders |= {each.lease.app_id: owner for each in claimed}
        return claimed

    def release(self, lease: Lease, outcome: Result) -> bool:
        """``release``."""
        released = super().release(lease, outcome)
        if released:
            self.holders.pop(lease.app_id, None)
        return released

    def give_back(self, owner: str) -> None:
        """``give_back``."""
        for app_id in [app_id for app_id, holder in self.holders.items() if holder == owner]:
            work = self.work[app_id]
            work.lease_expires_at, work.due_at, work.priority_at = None, self._clock.now, self._clock.now
            del self.holders[app_id]

    def under_lease(self, act: Callable[[], T]) -> T:
        """What a pass does; its app may be buried by now."""
        try:
            return act()
        except KeyError as gone:
            raise LeaseLost(str(gone.args[0])) from None

    # The plane

    def keep(self, pins: Binding) -> Binding:
        """``pin``."""
        self.pinned = self.pinned or pins
        self.pin(pins.org_id)
        return self.pinned

    def override_stop(self) -> datetime:
        """``override_stop``."""
        plane = self.plane
        plane.stop_reason, plane.stopped_at, plane.overridden_until = None, math.inf, self._clock.now + 3600
        return self._clock.date + timedelta(hours=1)

    def witnesses(self, start: str, besides: str, limit: int) -> list[str]:
        """``witnesses``."""
        seen = [row for row in self._connected() if row.status != AppStatus.LOST and row.app_id != besides]
        seen.sort(key=lambda row: (row.app_id < start, row.app_id))
        return [str(row.project_id) for row in seen[:limit]]

    def bury(self) -> None:
        """``bury``; what hangs on a row goes with it."""
        for app_id in [app_id for app_id, row in self.rows.items() if self._past(row)]:
            del self.rows[app_id], self.work[app_id], self.intents[app_id]
            self.holders.pop(app_id, None)
            self.keys = {key: value for key, value in self.keys.items() if value[1] != app_id}
            self.history = [line for line in self.history if line[0] != app_id]

    def take_job(self, owner: str, name: str, period: float) -> tuple[int, str] | None:
        """``claim_job`` by one of several."""
        claimed, job = self.claim_job(name, period), self.rounds[name]
        if claimed is not None:
            now = self._clock.now
            job.holder, job.began = owner, now if claimed[1] == "" else (now if job.began is None else job.began)
        return claimed

    def end_job(self, name: str, token: int, position: str, *, whole: bool) -> None:
        """``finish_job``."""
        job, now = self.rounds[name], self._clock.now
        if self.jobs[name].token != token:
            return
        self.finish_job(name, token, position)
        job.holder, job.finished_at = None, now
        if whole:
            began = self.jobs[name].started_at if job.began is None else job.began
            job.whole_at, job.seconds, job.began = now, now - began, None

    def give_back_jobs(self, owner: str) -> None:
        """``give_back_jobs``."""
        for name, job in self.rounds.items():
            if job.holder == owner:
                job.holder, self.jobs[name].lease_expires_at = None, None

    # The budget

    def lease_requests(self, wanted: Mapping[Priority, int], terms: BucketConfig) -> Grant:
        """``look`` and ``keep``."""
        self.bucket, grant = take_tokens(self.bucket, wanted, self._clock.date, terms)
        return grant

    def close_budget(self, seconds: float) -> None:
        """``close``."""
        bucket, now = self.bucket, self._clock.date
        until = max(bucket.closed_until, now + timedelta(seconds=seconds))
        self.bucket = TokenBucket(0.0, max(bucket.updated_at, now), until, bucket.credits)

    # Helpers

    def _buried(self, row: AppMetadata) -> bool:
        return row.tombstone_until is not None and row.tombstone_until <= self._clock.date

    def _past(self, row: AppMetadata) -> bool:
        return row.tombstone_until is not None and row.tombstone_until < self._clock.date

    def _tell(self, app_id: str, events: tuple[Event, ...]) -> None:
        super()._tell(app_id, events)
        row = self.rows[app_id]
        for said in events:
            actor = row.owner_id if said.type in ("Created", "DeleteRequested") else "reconciler"
            line = (str(said.type), str(said.reason), said.message, actor, row.generation)
            self.history.append((app_id, *line, self._clock.date))


_OWED = (Priority.REPAIR, Priority.RESYNC)
