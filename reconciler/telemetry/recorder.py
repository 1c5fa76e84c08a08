"""What is said of the loop's work: a record for each change at Neon, a line for each turn of an app, and the figures.

A pass that changes nothing says nothing.
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
"""The turns of an app that are news, and how urgent."""

UNREACHABLE = frozenset({"not_sent", "unavailable", "rate_limited", "unknown", "intermediary"})
_CONTROL_PLANE_REASONS = frozenset({Reason.MUTATIONS_SUSPENDED, Reason.NEON_UNAUTHORIZED})
_request_id: ContextVar[str | None] = ContextVar("neon_request_id", default=None)
log = logging.getLogger(__name__)


class Recorder:
    """Sees everything that a daemon does.

    Args:
        metrics: what is counted; nobody's when None.
    """

    def __init__(self, metrics: ReconcileMetrics | None = None) -> None:
        self.metrics = ReconcileMetrics(CollectorRegistry()) if metrics is None else metrics
        self._troubles = RepeatSuppressor(log)

    def for_app(self, app: AppMetadata) -> ReconcileRecorder:
        """Who sees one pass over an app."""
        return ReconcileRecorder(app, self.metrics)

    def on_neon_response(self, exchange: CompletedRequest) -> None:
        """A request to Neon has ended; what the client calls."""
        self.metrics.neon.observe(exchange)
        _request_id.set(exchange.request_id)
        outcome, request = exchange.outcome, exchange.request
        if outcome in UNREACHABLE:
            self._troubles.report(
                "neon.unavailable",
                logging.WARNING,
                f"Neon is unavailable: {outcome}",
                method=request.method,
                route=request.route,
                status=exchange.status,
                neon_request_id=exchange.request_id,
            )
        elif outcome == "success":
            self._troubles.resolve("neon.unavailable", "Neon is available.")
            self._troubles.resolve("neon.key_rejected", "Neon accepts the API key.")

    def on_error(self, error: ReconcileError, *, budget: bool = False) -> None:
        """An effect, or a round, has failed; said when it is about the plane as a whole.

        Args:
            error: why.
            budget: the sweeps' budget may be the reason, which ends by itself.
        """
        match error:
            case NeonUnauthorized():
                self._troubles.report(
                    "neon.key_rejected",
                    logging.ERROR,
                    f"Neon rejects the API key. Correct NEON_API_KEY or its permissions: {error}",
                    status=error.status,
                    neon_request_id=error.request_id,
                )
            case MutationsSuspended():
                level = logging.WARNING if budget else logging.ERROR
                self._troubles.report(
                    "deletes.budget_exhausted" if budget else "mutations.suspended",
                    level,
                    f"Mutations suspended: {error}",
                )


class ReconcileRecorder:
    """Sees one pass.

    Args:
        app: as it was claimed.
        metrics: what is counted.
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
        """The ``X-Request-ID`` of the pass's last change at Neon, or of its last look where it changed nothing."""
        return self._mutation_request_id or _request_id.get()

    @contextmanager
    def mutation(self, effect: e.Mutate[Any]) -> Iterator[None]:
        """Around one request that changes Neon: exactly one record, however it ends. ``changed`` tells its answer."""
        self._project_id = getattr(effect, "project_id", None)
        outcome, began = "broken off", time.monotonic()
        _request_id.set(None)
        try:
            yield
            outcome = "success"
            self._count_repair(effect)
        except ReconcileError as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds, self._mutation_request_id = time.monotonic() - began, _request_id.get()
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

    def on_mutated(self, answer: object) -> None:
        """What Neon answered to a change; names the project that it made."""
        if isinstance(answer, CreateProjectResponse):
            self._project_id = answer.project.id

    def on_recorded(self, effect: e.Effect[Any]) -> None:
        """The catalog has taken what the pass says of its app."""
        match effect:
            case e.RecordCredentials(_, said):
                if self._app.connected_at is not None:
                    self._metrics.repairs.labels("credentials").inc()
            case e.RecordStatus(said):
                pass
            case e.RecordProject():
                said = effect.update
            case _:
                return
        self._log_operator_messages(said)
        seconds = self._observe_duration(said)
        if said.status == self._status:
            return
        was, self._status = self._status, said.status
        level = LEVELS.get(said.status)
        if level is not None:
            extra = log_extra(
                "app.status_changed",
                app_id=self._app.app_id,
                project_id=self._app.project_id,
                status=str(said.status),
                was=str(was),
                reason=", ".join(c.reason for c in said.conditions if c.status != "True") or None,
                after_seconds=seconds,
            )
            log.log(level, "App is %s.", said.status, extra=extra)

    def _log_operator_messages(self, said: StatusUpdate) -> None:
        """A record for each new text that only operators may read, unless it is the plane's and has a record there."""
        for condition in said.conditions:
            detail = condition.operator_message
            old = find_condition(self._app.conditions, condition.type)
            if detail is None or condition.reason in _CONTROL_PLANE_REASONS or (old and old.operator_message == detail):
                continue
            extra = log_extra(
                "app.operator_action_required",
                app_id=self._app.app_id,
                project_id=self._app.project_id,
                reason=condition.reason,
            )
            log.warning("Operator action required: %s", detail, extra=extra)

    def _count_repair(self, effect: e.Mutate[Any]) -> None:
        # A mutation that applies a change of desired state repairs nothing.
        kind = None if self._app.is_updating else effect.repairs
        if isinstance(effect, e.DeleteProject) and effect.project_id != self._app.project_id:
            kind = "duplicate"
        if kind is not None:
            self._metrics.repairs.labels(kind).inc()

    def _observe_duration(self, said: StatusUpdate) -> float | None:
        """Seconds to ready or deleted, where that is now, for the first time."""
        app = self._app
        ready, deleted = said.timestamps.get("connected_at"), said.timestamps.get("deleted_at")
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
