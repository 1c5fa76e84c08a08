"""The in-memory twin of ``work.sql``, ``record.sql`` and the part of ``apps.sql`` that writes.

Statement by statement the same conditions and the same effects; a statement is one moment of virtual time.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

from reconciler.catalog.apps import QUEUED_MESSAGE
from reconciler.catalog.status_store import AUTOMATIC_DELETES_PER_HOUR
from reconciler.catalog.work_queue import (
    AGING_SECONDS,
    BACKGROUND_LANE,
    CLAIM_WINDOW,
    TENANT_SPACING_SECONDS,
    Lease,
    WorkItem,
)
from reconciler.core.context import CreateIntent, Credentials, Event, Result, StatusUpdate
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import CatalogUnverified, LeaseLost, MutationsSuspended
from specs.app import DesiredApp
from specs.metadata import AppMetadata
from specs.status import Condition, ConditionType, Reason
from tests.simulation.clock import Clock


@dataclass
class Work:
    """A row of ``app_work``."""

    due_at: float
    priority_at: float
    lane: int = 0
    attempts: int = 0
    wake_count: int = 0
    confirmed_missing: bool = False
    duplicate_ids: list[str] = field(default_factory=list)
    lease_token: int = 0
    lease_expires_at: float | None = None


@dataclass
class Plane:
    """The row of ``catalog_identity``; ``unseen`` is what its server's identity and start say."""

    automatic_deletes_since: float
    last_create_seq: int = 0
    org_id: str | None = None
    stop_reason: str | None = None
    stopped_at: float = math.inf
    overridden_until: float = -math.inf
    automatic_deletes: int = 0
    doubt: str | None = None
    unseen: bool = False

    def stopped(self, now: float) -> bool:
        """Whether changes at Neon are stopped."""
        return self.doubt is not None or (self.stop_reason is not None and self.overridden_until < now)


class Catalog:
    """Rows, work, intents and events.

    Attributes:
        fenced: whether writes are conditional on the fencing token.
        version: counts every write to an app, a work, an intent or an event row.
        told: counts those to an app or an event row.
        on_write: told of each write under a lease.
        on_change: told of each change that may make work due.
    """

    fenced: ClassVar[bool] = True

    def __init__(self, clock: Clock, lease_seconds: float) -> None:
        self._clock = clock
        self._lease_seconds = lease_seconds
        self.rows: dict[str, AppMetadata] = {}
        self.work: dict[str, Work] = {}
        self.intents: dict[str, list[CreateIntent]] = {}
        self.events: list[tuple[str, str, str, str]] = []
        self.plane = Plane(automatic_deletes_since=clock.now)
        self.vault: dict[bytes, CheckedURI] = {}
        self.version = 0
        self.told = 0
        self.on_write: Callable[[Lease], None] = lambda _: None
        self.on_change: Callable[[], None] = lambda: None
        self._token = 0

    # The API

    def create_app(self, app_id: str, owner_id: str, desired: DesiredApp) -> None:
        """``insert_app``."""
        waiting = Condition(
            type=ConditionType.READY,
            status="False",
            reason=Reason.QUEUED,
            message=QUEUED_MESSAGE,
            last_transition_time=self._clock.date,
            observed_generation=0,
        )
        self.rows[app_id] = AppMetadata(
            app_name=desired.app_name,
            spec=desired.spec,
            app_id=app_id,
            owner_id=owner_id,
            created_at=self._clock.date,
            updated_at=self._clock.date,
            conditions=(waiting,),
        )
        self.work[app_id] = Work(self._clock.now, self._clock.now)
        self.intents[app_id] = []
        self._tell(app_id, (Event("Created", "Requested", "App creation requested."),))
        self._changed()

    def request_delete(self, app_id: str) -> None:
        """``request_delete`` and ``wake`` of the API."""
        app, now = self.rows[app_id], self._clock.date
        if app.delete_requested_at is not None:
            return
        self._update(app_id, delete_requested_at=now, generation=app.generation + 1)
        self._tell(app_id, (Event("DeleteRequested", "Requested", "App deletion requested."),))
        work = self.work[app_id]
        work.wake_count, work.lane, work.attempts = work.wake_count + 1, 0, 0
        if work.lease_expires_at is None or work.lease_expires_at <= self._clock.now:
            work.due_at = work.priority_at = self._clock.now
        self._changed()

    # Leases

    def claim(self, limit: int) -> list[WorkItem]:
        """``claim``."""
        return [self._claim(app_id) for app_id in self._in_turn(self.work)[:limit]]

    def _in_turn(self, planned: Iterable[str]) -> list[str]:
        """What is due of these in the order of ``claim``."""
        now, turns = self._clock.now, Counter[str]()
        due: list[tuple[float, str]] = []
        for app_id in planned:
            work = self.work[app_id]
            if work.due_at <= now:
                due.append((work.priority_at, app_id))
            elif work.lease_expires_at is not None and work.lease_expires_at > now:
                turns[self.rows[app_id].owner_id] += 1
        ranked: list[tuple[float, float, str]] = []
        for priority_at, app_id in sorted(due)[:CLAIM_WINDOW]:
            owner_id = self.rows[app_id].owner_id
            ranked.append((max(priority_at, now) + TENANT_SPACING_SECONDS * turns[owner_id], priority_at, app_id))
            turns[owner_id] += 1
        return [app_id for _, _, app_id in sorted(ranked)]

    def _claim(self, app_id: str) -> WorkItem:
        work, until = self.work[app_id], self._clock.now + self._lease_seconds
        self._token += 1
        work.lease_token, work.lease_expires_at, work.due_at = self._token, until, until
        self.version += 1
        return WorkItem(
            lease=Lease(app_id, self._token, work.wake_count),
            app=self.rows[app_id],
            at=self._clock.date,
            attempts=work.attempts,
            intents=tuple(self.intents[app_id]),
            confirmed_missing=work.confirmed_missing,
            duplicate_ids=tuple(work.duplicate_ids),
        )

    def next_due(self) -> float:
        """``next_due``, as a moment."""
        return min((work.due_at for work in self.work.values()), default=math.inf)

    def renew(self, lease: Lease) -> bool:
        """``renew``, for one lease."""
        work = self.work[lease.app_id]
        if not self._owns(work, lease) or work.lease_expires_at is None:
            return False
        work.lease_expires_at = work.due_at = self._clock.now + self._lease_seconds
        return True

    def release(self, lease: Lease, outcome: Result) -> bool:
        """``release``; nothing where the lease was lost."""
        work, now = self.work[lease.app_id], self._clock.now
        if not self._owns(work, lease) or work.lease_expires_at is None:
            return False
        woken = work.wake_count != lease.wake_count
        work.lease_expires_at = None
        work.attempts = work.attempts + 1 if outcome.backoff and not woken else 0
        work.confirmed_missing = work.confirmed_missing and (outcome.requeue_after is not None or woken)
        if woken:
            work.due_at, work.priority_at = now, now + work.lane * AGING_SECONDS
        else:
            work.lane = BACKGROUND_LANE if outcome.low_priority else 0
            after = math.inf if outcome.requeue_after is None else outcome.requeue_after
            work.due_at, work.priority_at = now + after, now + after + work.lane * AGING_SECONDS
        self._wrote(lease)
        return True

    def give_back_lease(self, lease: Lease) -> None:
        """``give_back``, for one lease."""
        work = self.work[lease.app_id]
        if work.lease_token == lease.token and work.lease_expires_at is not None:
            work.lease_expires_at, work.due_at, work.priority_at = None, self._clock.now, self._clock.now
            self._changed()

    # What a pass writes

    def permit(self, lease: Lease, *, swept: bool) -> None:
        """``permit`` and ``spend_sweep_delete``."""
        now, plane = self._clock.now, self.plane
        if plane.unseen and plane.doubt is None:
            raise CatalogUnverified("the catalog's server changed; it is compared with Neon first")
        if plane.stopped(now):
            raise MutationsSuspended(plane.doubt or plane.stop_reason or "All mutations are suspended.")
        work = self.work[lease.app_id]
        if not self._owns(work, lease) or work.lease_expires_at is None:
            raise LeaseLost(lease.app_id)
        work.lease_expires_at = work.due_at = now + self._lease_seconds
        if not swept:
            return
        fresh = plane.automatic_deletes_since < now - 3600
        if not fresh and plane.automatic_deletes >= AUTOMATIC_DELETES_PER_HOUR:
            raise MutationsSuspended(f"Automatic delete budget exhausted ({AUTOMATIC_DELETES_PER_HOUR} per hour).")
        plane.automatic_deletes = 1 if fresh else plane.automatic_deletes + 1
        plane.automatic_deletes_since = now if fresh else plane.automatic_deletes_since

    def open_intent(self, lease: Lease, effect: OpenIntent) -> CreateIntent:
        """``permit``, then ``open_intent``."""
        self.permit(lease, swept=False)
        app, intents = self.rows[lease.app_id], self.intents[lease.app_id]
        if app.project_id is not None or app.delete_requested_at is not None:
            raise LeaseLost(lease.app_id)
        if effect.reuse_create_seq is None:
            self.plane.last_create_seq += 1
            made = CreateIntent(self.plane.last_create_seq, app.incarnation, effect.nonce, "open", self._clock.date)
            intents.append(made)
            self._wrote(lease)
            return made
        for index, intent in enumerate(intents):
            if intent.create_seq == effect.reuse_create_seq and intent.state == "rejected":
                intents[index] = replace(intent, state="open", sent_at=self._clock.date, first_absent_at=None)
                self._wrote(lease)
                return intents[index]
        raise LeaseLost(lease.app_id)

    def settle_intent(
        self, lease: Lease, create_seq: int, state: Literal["open", "rejected", "absent"], *, absent: bool
    ) -> None:
        """``settle_intent``."""
        self._fence(lease)
        intents = self.intents[lease.app_id]
        for index, intent in enumerate(intents):
            if intent.create_seq == create_seq and intent.state == "open":
                first = intent.first_absent_at or self._clock.date if absent else intent.first_absent_at
                intents[index] = replace(intent, state=state, first_absent_at=first)
                self._wrote(lease)
                return
        raise LeaseLost(lease.app_id)

    def record(self, lease: Lease, said: StatusUpdate, credentials: Credentials | None = None) -> None:
        """``record``."""
        self._fence(lease)
        app = self.rows[lease.app_id]
        new: dict[str, Any] = {
            "status": said.status,
            "conditions": said.conditions,
            "observed_generation": max(app.observed_generation, said.observed_generation),
            **{str(column): at for column, at in said.timestamps.items()},
        }
        if credentials is not None:
            new |= self._sealed(credentials)
        if "deleted_at" in said.timestamps:
            new |= {"data_key_sealed": None, "connection_uri_sealed": None, "pooled_uri_sealed": None}
        self._update(lease.app_id, **new)
        self._tell(lease.app_id, said.events)
        self._wrote(lease)

    def record_project(self, lease: Lease, claimed: AppMetadata, effect: RecordProject) -> None:
        """``record_project``: compare-and-set on there being none."""
        self._fence(lease)
        app, said = self.rows[lease.app_id], effect.update
        if not self._is_free(app) or app.incarnation != claimed.incarnation:
            raise LeaseLost(lease.app_id)
        if any(row.project_id == effect.project_id for row in self.rows.values()):
            raise AssertionError(f"{effect.project_id} is recorded for two apps")
        self._update(
            lease.app_id,
            project_id=effect.project_id,
            org_id=effect.org_id,
            project_recorded_at=self._clock.date,
            data_key_sealed=b"key",
            data_key_wrapped_by="1",
            data_key_version=1,
            status=said.status,
            conditions=said.conditions,
            **self._sealed(effect.credentials),
        )
        intents = self.intents[lease.app_id]
        for index, intent in enumerate(intents):
            if intent.create_seq == effect.create_seq:
                intents[index] = replace(intent, state="recorded")
        self._tell(lease.app_id, said.events)
        self._wrote(lease)

    def open_seal(self, app: AppMetadata) -> Credentials | None:
        """The credentials of a row."""
        if app.connection_uri_sealed is None:
            return None
        pooled = None if app.pooled_uri_sealed is None else self.vault[app.pooled_uri_sealed]
        return Credentials(self.vault[app.connection_uri_sealed], pooled)

    # Helpers

    def _is_free(self, app: AppMetadata) -> bool:
        return app.project_id is None

    def _sealed(self, credentials: Credentials | None) -> dict[str, bytes | None]:
        if credentials is None:
            return {"connection_uri_sealed": None, "pooled_uri_sealed": None}
        pooled = credentials.pooled_uri
        return {
            "connection_uri_sealed": self._seal(credentials.connection_uri),
            "pooled_uri_sealed": None if pooled is None else self._seal(pooled),
        }

    def _seal(self, uri: CheckedURI) -> bytes:
        sealed = b"sealed-%d" % len(self.vault)
        self.vault[sealed] = uri
        return sealed

    def _owns(self, work: Work, lease: Lease) -> bool:
        return work.lease_token == lease.token or not self.fenced

    def _fence(self, lease: Lease) -> None:
        if not self._owns(self.work[lease.app_id], lease):
            raise LeaseLost(lease.app_id)

    def _update(self, app_id: str, **columns: Any) -> None:
        self.told += 1
        self.rows[app_id] = self.rows[app_id].model_copy(update=columns | {"updated_at": self._clock.date})

    def _tell(self, app_id: str, events: tuple[Event, ...]) -> None:
        self.told += len(events)
        self.events += [(app_id, str(event.type), str(event.reason), event.message) for event in events]

    def _wrote(self, lease: Lease) -> None:
        self.on_write(lease)
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self.on_change()
