"""How long to wait after a failed pass."""

from __future__ import annotations

CAP_SECONDS = 60.0
# What only a person can change is asked for ever less often: a thousand apps may wait for one word.
LIMIT_CAP_SECONDS = 600.0
# For so many tries it may be Neon's own trouble, or a person who is at it.
FAST_RETRIES = 10
FIRST_SECONDS = 0.5
FLOOR_SECONDS = 0.1


def full_jitter(attempts: int, jitter: float, at_least: float | None = None) -> float:
    """Full jitter under a doubling cap: seconds until the next try.

    Args:
        attempts: failed passes in a row before this one.
        jitter: a number in [0, 1).
        at_least: seconds that the other side asked for (``Retry-After``); never shortened.
    """
    ceiling = min(CAP_SECONDS, FIRST_SECONDS * 2.0 ** min(attempts, 16))
    return max(FLOOR_SECONDS, ceiling * jitter, at_least or 0.0)


def slow_backoff(attempts: int, jitter: float) -> float:
    """Seconds until the next try of what Neon refuses or a limit forbids: doubling after ten, at least half of it.

    Args:
        attempts: failed passes in a row before this one.
        jitter: a number in [0, 1).
    """
    doublings = min(max(0, attempts - FAST_RETRIES), 16)
    return min(LIMIT_CAP_SECONDS, CAP_SECONDS * 2.0**doublings) * (0.5 + 0.5 * jitter)
