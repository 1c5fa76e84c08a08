"""What a daemon measures of its own work. Every label's values are known, so each series is there from the start."""

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
        registry: where they are registered; one daemon for each registry.
        terms: the shared request budget; Neon's documented limits when None.

    Attributes:
        time_to_ready, time_to_deleted: seconds of the catalog's clock.
        repairs: by kind, one of ``REPAIRS``.
        findings: by finding, one of ``FINDINGS``.
        resync_age: seconds since the last resync was seen.
        passes: by outcome, one of ``PASS_OUTCOMES``.
        pass_duration: seconds.
        neon: the requests to Neon.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        terms: BucketConfig | None = None,
    ) -> None:
        self.time_to_ready = Histogram(
            "morphik_apps_time_to_ready_seconds",
            "From the request for an app to the first connection to its database, once for each app.",
            buckets=_LIFECYCLE_BUCKETS,
            registry=registry,
        )
        self.time_to_deleted = Histogram(
            "morphik_apps_time_to_deleted_seconds",
            "From the request for an app's deletion to Neon's word that its project is gone.",
            buckets=_LIFECYCLE_BUCKETS,
            registry=registry,
        )
        self.repairs = Counter(
            "morphik_apps_repairs_total",
            "What this process put right at Neon or in the catalog: settings (name, history, quota), recovered (a "
            "deleted project), compute, credentials (read again), surplus (a second project of an app, deleted).",
            ("kind",),
            registry=registry,
        )
        self.findings = Counter(
            "morphik_apps_resync_findings_total",
            "What this process's sweeps found: apps drifted or missing, surplus and new orphan projects; again in each "
            "sweep until it is put right.",
            ("finding",),
            registry=registry,
        )
        self.resync_age = Gauge(
            "morphik_apps_resync_age_seconds",
            "Since this process saw the fleet's last complete resync, by any daemon; counted by its monotonic clock.",
            registry=registry,
        )
        self.reconciles = Counter(
            "morphik_apps_reconcile_total",
            "Passes of this process over an app, by outcome: settled, again (it waits for something), failed (tried "
            "again later), lease_lost, catalog_unavailable, defect, broken_off (the process stops).",
            ("outcome",),
            registry=registry,
        )
        self.reconcile_duration = Histogram(
            "morphik_apps_reconcile_duration_seconds",
            "How long this process's passes took.",
            buckets=_RECONCILE_BUCKETS,
            registry=registry,
        )
        self.neon = NeonMetrics(registry, terms or _DEFAULT_CONFIG)
        for counter, values in (
            (self.repairs, REPAIRS),
            (self.findings, FINDINGS),
            (self.reconciles, RECONCILE_OUTCOMES),
        ):
            for value in values:
                counter.labels(value)
