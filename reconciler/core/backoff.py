"""The delay after a failed reconcile."""

from __future__ import annotations

CAP_SECONDS = 60.0
# Only an operator can remove the cause, and a thousand apps may wait for the same action.
LIMIT_CAP_SECONDS = 600.0
# Until then the cause may be temporary at Neon, or an operator may be removing it.
FAST_RETRIES = 10
FIRST_SECONDS = 0.5
FLOOR_SECONDS = 0.1


def full_jitter(attempts: int, jitter: float, at_least: float | None = None) -> float:
    """Return the seconds until the next attempt: full jitter under a doubling cap.

    Args:
        attempts: consecutive failed reconciles before this one.
        jitter: a number in [0, 1).
        at_least: minimum seconds, from the header ``Retry-After``.
    """
    ceiling = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(attempts, 16))
    return max(FLOOR_SECONDS, ceiling * jitter, at_least or 0.0)


def slow_backoff(attempts: int, jitter: float) -> float:
    """Return the seconds until the next attempt after a rejection or a limit: doubling after ten, at least half of it.

    Args:
        attempts: consecutive failed reconciles before this one.
        jitter: a number in [0, 1).
    """
    doublings = min(max(0, attempts - FAST_RETRIES), 16)
    return min(LIMIT_CAP_SECONDS, CAP_SECONDS * 2.0**doublings) * (0.5 + 0.5 * jitter)
