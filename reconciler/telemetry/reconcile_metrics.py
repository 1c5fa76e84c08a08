"""The metrics of a daemon's own work. All label values are known, so each series exists from the start."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from reconciler.core.rate_limit import BucketConfig
from reconciler.telemetry.neon_metrics import NeonMetrics
from specs.settings import NEON_BURST_PER_SECOND, NEON_REQUESTS_PER_MINUTE

REPAIRS: Final = ("settings", "recovered", "compute", "credentials", "duplicate")
FINDINGS: Final = ("drifted", "missing", "duplicate", "orphan", "unreadable")
RECONCILE_OUTCOMES: Final = (
    "converged",
    "requeued",
    "failed",
    "lease_lost",
    "catalog_unavailable",
    "internal_error",
    "cancelled",
)

_DEFAULT_CONFIG: Final = BucketConfig.from_limits(
    requests_per_minute=NEON_REQUESTS_PER_MINUTE, burst=NEON_BURST_PER_SECOND
)
_LIFECYCLE_BUCKETS: Final = (1, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 86_400)
_RECONCILE_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 60)


class ReconcileMetrics:
    """The metrics of one daemon.

    Args:
        registry: the registry of one daemon.
        bucket: the shared request limit; None for the limits that Neon documents.

    Attributes:
        time_to_ready, time_to_deleted: seconds of the catalog's clock.
        repairs: by kind, one of ``REPAIRS``.
        findings: by finding, one of ``FINDINGS``.
        resync_age: seconds since this process observed a completed resync.
        reconciles: by outcome, one of ``RECONCILE_OUTCOMES``.
        reconcile_duration: seconds.
        neon: the requests to Neon.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        bucket: BucketConfig | None = None,
    ) -> None:
        self.time_to_ready = Histogram(
            "morphik_apps_time_to_ready_seconds",
            "Time from the create request to the first connection to the app's database, once per app.",
            buckets=_LIFECYCLE_BUCKETS,
            registry=registry,
        )
        self.time_to_deleted = Histogram(
            "morphik_apps_time_to_deleted_seconds",
            "Time from the delete request to Neon confirming the deletion.",
            buckets=_LIFECYCLE_BUCKETS,
            registry=registry,
        )
        self.repairs = Counter(
            "morphik_apps_repairs_total",
            "Repairs of drift by this process: settings (name, history, quota), recovered (a deleted project), compute "
            "(created), credentials (read again), duplicate (a second project of an app, deleted).",
            ("kind",),
            registry=registry,
        )
        self.findings = Counter(
            "morphik_apps_resync_findings_total",
            "Findings of this process's resyncs: apps with drift or without their project, duplicate, new orphan and "
            "unreadable projects. A finding counts in each resync until it is repaired.",
            ("finding",),
            registry=registry,
        )
        self.resync_age = Gauge(
            "morphik_apps_resync_age_seconds",
            "Time since this process observed the fleet's last completed resync by any daemon, by its monotonic clock.",
            registry=registry,
        )
        self.reconciles = Counter(
            "morphik_apps_reconcile_total",
            "Reconciles of this process by outcome: converged, requeued (an operation is running), failed (backoff), "
            "lease_lost, catalog_unavailable, internal_error, cancelled (the process stops).",
            ("outcome",),
            registry=registry,
        )
        self.reconcile_duration = Histogram(
            "morphik_apps_reconcile_duration_seconds",
            "Duration of this process's reconciles.",
            buckets=_RECONCILE_BUCKETS,
            registry=registry,
        )
        self.neon = NeonMetrics(registry, bucket or _DEFAULT_CONFIG)
        for counter, values in (
            (self.repairs, REPAIRS),
            (self.findings, FINDINGS),
            (self.reconciles, RECONCILE_OUTCOMES),
        ):
            for value in values:
                counter.labels(value)
