"""Whether requests may go to Neon at all: what is remembered of the key and of Neon itself, and for how long."""

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
"""How long an answer about the key outlives failures that may be about one project or one request alone."""
MIN_OPEN_SECONDS = 1.0
_INCONCLUSIVE_ERRORS = (NeonUnauthorized, NeonNotSent, NeonUnavailable, NeonOutcomeUnknown)


@dataclass(frozen=True, slots=True)
class _OpenState:
    error: ReconcileError
    until: float
    attempts: int


class CircuitBreaker:
    """Open once an organization is confirmed, closed by a refusal until the key is asked about again.

    Args:
        clock: monotonic seconds.
        chance: gives a number in [0, 1), which spreads what several processes ask.
    """

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._clock = clock
        self._jitter = chance
        self._org_id: str | None = None
        self._confirmed_at = 0.0
        self._open_state: _OpenState | None = None

    def check(self, *, fresh: bool) -> str | None:
        """The confirmed organization, or None where it is time to ask.

        Raises:
            ReconcileError: the remembered refusal.
        """
        if self._org_id is not None and not fresh:
            return self._org_id
        if self._open_state is not None and self._clock() < self._open_state.until:
            raise self._open_state.error
        return None

    def record_success(self, org_id: str) -> None:
        """Neon accepts the key, and it works for this organization."""
        self._org_id, self._confirmed_at = org_id, self._clock()

    def trip(self, error: ReconcileError) -> None:
        """Nobody may pass, and the next question waits."""
        now, last = self._clock(), self._open_state
        # A key that works for a moment only is asked about ever less often too.
        attempts = last.attempts + 1 if last is not None and now < last.until + CAP_SECONDS else 0
        if isinstance(error, ProjectsUnexamined):
            attempts = 0  # Neon answered: the next batch needs no longer pause
        asked = 0.0
        if isinstance(error, NeonAPIError):
            # One answer holds all passes back for a minute at most, and none of them for longer by itself.
            asked, error.retry_after = min(CAP_SECONDS, error.retry_after or 0.0), None
        pause = full_jitter(attempts, self._jitter(), max(MIN_OPEN_SECONDS, asked))
        self._org_id, self._open_state = None, _OpenState(error, now + pause, attempts)

    def reset(self) -> None:
        """Ask again before the next pass."""
        self._org_id = None

    def record_failure(self, error: NeonAPIError) -> None:
        """Take in a failure that a request behind the door met.

        A 401 is about the key, and closes the door. Another refusal of the key, or no answer, may be about one project
        or one request alone: Neon is asked before the next pass, at most every ``DOUBT_SECONDS``. If it does not answer
        then, it is asked now and then by one pass for all.
        """
        if self._org_id is None:
            return
        if isinstance(error, NeonUnauthorized) and error.status == HTTPStatus.UNAUTHORIZED:
            self.trip(error)
        elif isinstance(error, _INCONCLUSIVE_ERRORS) and self._clock() - self._confirmed_at > RECHECK_SECONDS:
            self._org_id = None
