"""A circuit breaker over all requests to Neon, for the key and for Neon itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from reconciler.core.backoff import CAP_SECONDS, full_jitter
from reconciler.errors import (
    NeonAPIError,
    NeonNotSent,
    NeonOutcomeUnknown,
    NeonUnauthorized,
    NeonUnavailable,
    ProjectsUnexamined,
    ReconcileError,
)

RECHECK_SECONDS = 30.0
"""How long a verified key stays verified after failures that may concern one project or one request only."""
MIN_OPEN_SECONDS = 1.0
_INCONCLUSIVE_ERRORS = (NeonUnauthorized, NeonNotSent, NeonUnavailable, NeonOutcomeUnknown)


@dataclass(frozen=True, slots=True)
class _OpenState:
    error: ReconcileError
    until: float
    attempts: int


class CircuitBreaker:
    """Closed while the organization is verified; open for a while after a failed verification.

    Args:
        clock: monotonic seconds.
        jitter: returns a number in [0, 1), which spreads the verifications of several processes.
    """

    def __init__(self, clock: Callable[[], float], jitter: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = jitter
        self._org_id: str | None = None
        self._confirmed_at = 0.0
        self._open_state: _OpenState | None = None

    def check(self, *, fresh: bool) -> str | None:
        """Return the verified organization, or None if a verification is due.

        Raises:
            ReconcileError: the error that opened the circuit breaker.
        """
        if self._org_id is not None and not fresh:
            return self._org_id
        if self._open_state is not None and self._clock() < self._open_state.until:
            raise self._open_state.error
        return None

    def record_success(self, org_id: str) -> None:
        """Close: Neon accepts the key for this organization."""
        self._org_id, self._confirmed_at = org_id, self._clock()

    def trip(self, error: ReconcileError) -> None:
        """Open, and delay the next verification."""
        now, last = self._clock(), self._open_state
        # The delay also grows for a key that works only for a moment.
        attempts = last.attempts + 1 if last is not None and now < last.until + CAP_SECONDS else 0
        if isinstance(error, ProjectsUnexamined):
            attempts = 0  # Neon responded, so the next batch needs no longer delay
        retry_after = 0.0
        if isinstance(error, NeonAPIError):
            # The delay applies to all reconciles here, for a minute at most, and not to each of them again.
            retry_after, error.retry_after = min(CAP_SECONDS, error.retry_after or 0.0), None
        delay = full_jitter(attempts, self._jitter(), max(MIN_OPEN_SECONDS, retry_after))
        self._org_id, self._open_state = None, _OpenState(error, now + delay, attempts)

    def reset(self) -> None:
        """Verify again before the next reconcile."""
        self._org_id = None

    def record_failure(self, error: NeonAPIError) -> None:
        """Record the failure of a request while the circuit breaker was closed.

        A 401 concerns the key, and opens it. Another rejection of the key, or a lost response, may concern one project
        or one request only: the next reconcile verifies the key, at most every ``RECHECK_SECONDS``. If that fails, the
        circuit breaker opens.
        """
        if self._org_id is None:
            return
        if isinstance(error, NeonUnauthorized) and error.status == HTTPStatus.UNAUTHORIZED:
            self.trip(error)
        elif isinstance(error, _INCONCLUSIVE_ERRORS) and self._clock() - self._confirmed_at > RECHECK_SECONDS:
            self._org_id = None
