"""Turns the reconciler's work into log records and metrics: one record per mutation and per change of an app's status.

No-op reconciles are not logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry

from reconciler.core import effects as e
from reconciler.core.context import StatusUpdate
from reconciler.errors import MutationsSuspended, NeonUnauthorized, ReconcileError
from reconciler.logging import RepeatSuppressor, log_extra
from reconciler.neon.protocol import CompletedRequest
from reconciler.telemetry.reconcile_metrics import ReconcileMetrics
from specs.metadata import AppMetadata
from specs.neon import CreateProjectResponse
from specs.status import AppStatus, Reason, find_condition

LEVELS = {
    AppStatus.READY: logging.INFO,
    AppStatus.DELETED: logging.INFO,
    AppStatus.DEGRADED: logging.WARNING,
    AppStatus.FAILED: logging.ERROR,
    AppStatus.LOST: logging.ERROR,
}
"""The log level of a change to each status; other changes are not logged."""

UNREACHABLE = frozenset({"not_sent", "unavailable", "rate_limited", "unknown", "intermediary"})
_CONTROL_PLANE_REASONS = frozenset({Reason.MUTATIONS_SUSPENDED, Reason.NEON_UNAUTHORIZED})
_request_id: ContextVar[str | None] = ContextVar("neon_request_id", default=None)
log = logging.getLogger(__name__)


class Recorder:
    """Records the work of one daemon.

    Args:
        metrics: of the daemon; None for a registry of its own.
    """

    def __init__(self, metrics: ReconcileMetrics | None = None) -> None:
        self.metrics = ReconcileMetrics(CollectorRegistry()) if metrics is None else metrics
        self._issues = RepeatSuppressor(log)

    def for_app(self, app: AppMetadata) -> ReconcileRecorder:
        """Return the recorder of one reconcile."""
        return ReconcileRecorder(app, self.metrics)

    def on_neon_response(self, completed: CompletedRequest) -> None:
        """Record a completed request to Neon. The client calls this."""
        self.metrics.neon.observe(completed)
        _request_id.set(completed.request_id)
        outcome, request = completed.outcome, completed.request
        if outcome in UNREACHABLE:
            self._issues.report(
                "neon.unavailable",
                logging.WARNING,
                f"Neon is unavailable: {outcome}",
                method=request.method,
                route=request.route,
                status=completed.status,
                neon_request_id=completed.request_id,
            )
        elif outcome == "success":
            self._issues.resolve("neon.unavailable", "Neon is available.")
            self._issues.resolve("neon.key_rejected", "Neon accepts the API key.")

    def on_error(self, error: ReconcileError, *, budget: bool = False) -> None:
        """Record the error of an effect or a job if it concerns the control plane as a whole.

        Args:
            error: the error.
            budget: the budget of automatic deletes may be the reason, which refills automatically.
        """
        match error:
            case NeonUnauthorized():
                self._issues.report(
                    "neon.key_rejected",
                    logging.ERROR,
                    f"Neon rejects the API key. Correct NEON_API_KEY or its permissions: {error}",
                    status=error.status,
                    neon_request_id=error.request_id,
                )
            case MutationsSuspended():
                level = logging.WARNING if budget else logging.ERROR
                self._issues.report(
                    "deletes.budget_exhausted" if budget else "mutations.suspended",
                    level,
                    f"Mutations suspended: {error}",
                )


class ReconcileRecorder:
    """Records one reconcile.

    Args:
        app: as it was claimed.
        metrics: of the daemon.
    """

    def __init__(self, app: AppMetadata, metrics: ReconcileMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._status = app.status
        self._project_id: str | None = None
        self._mutation_request_id: str | None = None
        _request_id.set(None)

    @property
    def request_id(self) -> str | None:
        """Return the ``X-Request-ID`` of the reconcile's last mutation, or of its last read without a mutation."""
        return self._mutation_request_id or _request_id.get()

    @contextmanager
    def mutation(self, effect: e.Mutate[Any]) -> Iterator[None]:
        """Log exactly one record of a mutation, whatever its outcome. ``on_mutated`` adds its response."""
        self._project_id = getattr(effect, "project_id", None)
        outcome, started = "cancelled", time.monotonic()
        _request_id.set(None)
        try:
            yield
            outcome = "success"
            self._count_repair(effect)
        except ReconcileError as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds, self._mutation_request_id = time.monotonic() - started, _request_id.get()
            extra = log_extra(
                "neon.mutation",
                app_id=self._app.app_id,
                project_id=self._project_id,
                effect=type(effect).__name__,
                outcome=outcome,
                neon_request_id=self._mutation_request_id,
                duration_seconds=round(seconds, 3),
            )
            log.info("%s: %s", type(effect).__name__, outcome, extra=extra)

    def on_mutated(self, response: object) -> None:
        """Add the response of a mutation: the id of a created project."""
        if isinstance(response, CreateProjectResponse):
            self._project_id = response.project.id

    def on_recorded(self, effect: e.Effect[Any]) -> None:
        """Record a status update that the catalog has committed."""
        match effect:
            case e.RecordCredentials(_, update):
                if self._app.connected_at is not None:
                    self._metrics.repairs.labels("credentials").inc()
            case e.RecordStatus(update):
                pass
            case e.RecordProject():
                update = effect.update
            case _:
                return
        self._log_operator_messages(update)
        seconds = self._observe_duration(update)
        if update.status == self._status:
            return
        previous, self._status = self._status, update.status
        level = LEVELS.get(update.status)
        if level is not None:
            extra = log_extra(
                "app.status_changed",
                app_id=self._app.app_id,
                project_id=self._app.project_id,
                status=str(update.status),
                was=str(previous),
                reason=", ".join(c.reason for c in update.conditions if c.status != "True") or None,
                after_seconds=seconds,
            )
            log.log(level, "App is %s.", update.status, extra=extra)

    def _log_operator_messages(self, update: StatusUpdate) -> None:
        """Log each new operator message, unless its reason concerns the control plane and is logged there."""
        for condition in update.conditions:
            message = condition.operator_message
            old = find_condition(self._app.conditions, condition.type)
            if (
                message is None
                or condition.reason in _CONTROL_PLANE_REASONS
                or (old and old.operator_message == message)
            ):
                continue
            extra = log_extra(
                "app.operator_action_required",
                app_id=self._app.app_id,
                project_id=self._app.project_id,
                reason=condition.reason,
            )
            log.warning("Operator action required: %s", message, extra=extra)

    def _count_repair(self, effect: e.Mutate[Any]) -> None:
        # A mutation that applies a change of desired state repairs nothing.
        kind = None if self._app.is_updating else effect.repairs
        if isinstance(effect, e.DeleteProject) and effect.project_id != self._app.project_id:
            kind = "duplicate"
        if kind is not None:
            self._metrics.repairs.labels(kind).inc()

    def _observe_duration(self, update: StatusUpdate) -> float | None:
        """Observe and return the seconds to ready or deleted, if the app is that now for the first time."""
        app = self._app
        ready, deleted = update.timestamps.get("connected_at"), update.timestamps.get("deleted_at")
        if deleted is not None and app.deleted_at is None and app.delete_requested_at is not None:
            seconds = _seconds_between(app.delete_requested_at, deleted)
            self._metrics.time_to_deleted.observe(seconds)
            return seconds
        if ready is not None and app.connected_at is None:
            seconds = _seconds_between(app.created_at, ready)
            self._metrics.time_to_ready.observe(seconds)
            return seconds
        return None


def _seconds_between(earlier: datetime, later: datetime) -> float:
    return max(0.0, round((later - earlier).total_seconds(), 3))
