"""The dependencies of effect handlers, and the state that the handlers of one reconcile share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkItem
from reconciler.core.context import ControlPlane
from reconciler.core.host_allow_list import CheckedURI
from reconciler.core.rate_limit import Priority, priority_of
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.rate_limiter import PriorityGate, RateLimiter
from reconciler.telemetry.recorder import Recorder
from specs.metadata import AppMetadata

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The dependencies that all reconciles of a daemon share.

    Attributes:
        client: Neon.
        rate_limiter: the request limit that all processes share.
        organization: verifies the key and its organization.
        status_store: the reconciler's tables in the catalog.
        probe: connects to an app's database; raises AppDatabaseUnreachable.
        send_within_seconds: the maximum time from the authorization of a mutation other than a create to its request.
        recorder: logs, metrics and events.
    """

    client: NeonClient
    rate_limiter: RateLimiter
    organization: OrganizationGuard
    status_store: StatusStore
    probe: Callable[[CheckedURI], Awaitable[None]]
    send_within_seconds: float
    recorder: Recorder


class ReadSession:
    """A reconcile that only reads.

    Attributes:
        client: Neon, with requests at this session's priority.
        org_id: the verified organization; None before ``VerifyAccess``.
    """

    def __init__(
        self, dependencies: Dependencies, control_plane: ControlPlane, app: AppMetadata, priority: Priority
    ) -> None:
        self.dependencies = dependencies
        self.control_plane = control_plane
        self.app = app
        self.gate = PriorityGate(dependencies.rate_limiter, priority, app.owner_id)
        self.client = dependencies.client.with_gate(self.gate)
        self.org_id: str | None = None


class Session(ReadSession):
    """A reconcile under a lease. Each mutation needs an authorization of its own."""

    def __init__(self, dependencies: Dependencies, control_plane: ControlPlane, item: WorkItem) -> None:
        super().__init__(dependencies, control_plane, item.app, priority_of(item.app))
        self.lease = item.lease
        self.recorder = dependencies.recorder.for_app(item.app)
        self._authorized = False

    async def authorize(self, authorize: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Execute an authorizing statement and allow one mutation.

        The permit is taken before the statement, and the seconds count from the start of the statement: a process that
        was suspended in between sends nothing.
        """
        await self.gate.reserve()
        started = time.monotonic()
        result = await authorize()
        self._authorized = True
        self.gate.set_mutation_deadline(started + seconds)
        return result

    def use_authorization(self, mutation: str) -> None:
        """Use up the authorization. Raises RuntimeError without one, which is a defect of the core."""
        if not self._authorized:
            raise RuntimeError(f"{mutation} without an authorization")
        self._authorized = False
