"""Whether requests may go to Neon at all: what is remembered of the key, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from reconciler.core.backoff import CAP_SECONDS, delay
from reconciler.errors import NeonAPIError, NeonUnauthorized, ReconcileError

DOUBT_SECONDS = 30.0
"""How long an answer about the key outlives refusals that may be about one project alone."""
SHORTEST_SECONDS = 1.0


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
        asked = error.retry_after if isinstance(error, NeonAPIError) else None
        pause = delay(attempts, self._chance(), max(SHORTEST_SECONDS, asked or 0.0))
        self._org_id, self._refusal = None, _Refusal(error, now + pause, attempts)

    def forget(self) -> None:
        """Ask again before the next pass."""
        self._org_id = None

    def heard(self, error: NeonUnauthorized) -> None:
        """Take in a refusal that a request behind the door met.

        A 401 is about the key, and closes the door. Any other may be about one project alone: the key is asked about
        before the next pass, at most every ``DOUBT_SECONDS``.
        """
        if self._org_id is None:
            return
        if error.status == HTTPStatus.UNAUTHORIZED:
            self.close(error)
        elif self._clock() - self._opened_at > DOUBT_SECONDS:
            self._org_id = None
