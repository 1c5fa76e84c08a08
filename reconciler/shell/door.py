"""Whether requests may go to Neon at all: what is remembered of the key and of Neon itself, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from reconciler.core.backoff import CAP_SECONDS, delay
from reconciler.errors import (
    NeonAPIError,
    NeonNotSent,
    NeonOutcomeUnknown,
    NeonUnauthorized,
    NeonUnavailable,
    ProjectsUnexamined,
    ReconcileError,
)

DOUBT_SECONDS = 30.0
"""How long an answer about the key outlives failures that may be about one project or one request alone."""
SHORTEST_SECONDS = 1.0
_DOUBTFUL = (NeonUnauthorized, NeonNotSent, NeonUnavailable, NeonOutcomeUnknown)


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: ReconcileError
    until: float
    attempts: int


class Door:
    """Open once an organization is confirmed, closed by a refusal until the key is asked about again.

    Args:
        clock: monotonic seconds.
        chance: gives a number in [0, 1), which spreads what several processes ask.
    """

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._clock = clock
        self._chance = chance
        self._org_id: str | None = None
        self._opened_at = 0.0
        self._refusal: _Refusal | None = None

    def known(self, *, fresh: bool) -> str | None:
        """The confirmed organization, or None where it is time to ask.

        Raises:
            ReconcileError: the remembered refusal.
        """
        if self._org_id is not None and not fresh:
            return self._org_id
        if self._refusal is not None and self._clock() < self._refusal.until:
            raise self._refusal.error
        return None

    def open(self, org_id: str) -> None:
        """Neon accepts the key, and it works for this organization."""
        self._org_id, self._opened_at = org_id, self._clock()

    def close(self, error: ReconcileError) -> None:
        """Nobody may pass, and the next question waits."""
        now, last = self._clock(), self._refusal
        # A key that works for a moment only is asked about ever less often too.
        attempts = last.attempts + 1 if last is not None and now < last.until + CAP_SECONDS else 0
        if isinstance(error, ProjectsUnexamined):
            attempts = 0  # Neon answered: the next batch needs no longer pause
        asked = 0.0
        if isinstance(error, NeonAPIError):
            # One answer holds all passes back for a minute at most, and none of them for longer by itself.
            asked, error.retry_after = min(CAP_SECONDS, error.retry_after or 0.0), None
        pause = delay(attempts, self._chance(), max(SHORTEST_SECONDS, asked))
        self._org_id, self._refusal = None, _Refusal(error, now + pause, attempts)

    def forget(self) -> None:
        """Ask again before the next pass."""
        self._org_id = None

    def heard(self, error: NeonAPIError) -> None:
        """Take in a failure that a request behind the door met.

        A 401 is about the key, and closes the door. Another refusal of the key, or no answer, may be about one project
        or one request alone: Neon is asked before the next pass, at most every ``DOUBT_SECONDS``. If it does not answer
        then, it is asked now and then by one pass for all.
        """
        if self._org_id is None:
            return
        if isinstance(error, NeonUnauthorized) and error.status == HTTPStatus.UNAUTHORIZED:
            self.close(error)
        elif isinstance(error, _DOUBTFUL) and self._clock() - self._opened_at > DOUBT_SECONDS:
            self._org_id = None
