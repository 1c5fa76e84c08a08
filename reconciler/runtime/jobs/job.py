"""The dependencies and the protocol of a periodic job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.core.context import ControlPlane
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.reconciler import Reconciler
from reconciler.telemetry.recorder import Recorder


@dataclass(frozen=True, slots=True)
class JobDependencies:
    """The dependencies that all jobs of a daemon share.

    Attributes:
        client: Neon, with requests at the priority of a resync.
        organization: verifies the key and its organization.
        store: the catalog as a whole.
        reconciler: reports whether a reconcile would act on an app.
        control_plane: identifies owned projects.
        period_seconds: the time between two runs of a job.
        recorder: logs and metrics.
    """

    client: NeonClient
    organization: OrganizationGuard
    store: ControlPlaneStore
    reconciler: Reconciler
    control_plane: ControlPlane
    period_seconds: float
    recorder: Recorder


@dataclass(slots=True)
class Checkpoint:
    """The progress of a job, stored when a run ends, however it ends.

    Attributes:
        position: where the next run resumes; empty for the beginning.
        complete: whether this run has reached the end of the fleet.
    """

    position: str
    complete: bool = False


class JobHandler(Protocol):
    """One job."""

    async def run(self, checkpoint: Checkpoint) -> None:
        """Work from the checkpoint and update it. Raises ReconcileError."""
