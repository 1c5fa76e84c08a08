"""The client's retries: which requests, and after what delay. Pure.

The client retries a request that Neon did not execute: 503 and 423 (Neon OpenAPI document, description of GeneralError)
and 429 (Neon API reference, Key concepts). It also retries a GET without a response, or with one of an intermediary,
since a GET changes nothing. A request of unknown outcome is an error, and the reconciler observes before it acts.
"""

from __future__ import annotations

from typing import Final, Protocol

from reconciler.errors import (
    NeonAPIError,
    NeonIntermediaryError,
    NeonNotSent,
    NeonOutcomeUnknown,
    NeonRetryable,
)
from reconciler.neon.protocol import RETRYABLE_STATUSES, NeonRequest

RETRY_WINDOW_SECONDS: Final = 10.0
"""How long after its first attempt a request is retried; then the reconciler requeues the app."""

MAX_RETRIES: Final = 4
_FIRST_SECONDS = 0.25


class RequestGate(Protocol):
    """Delays requests to keep within a rate limit."""

    async def acquire(self, request: NeonRequest) -> None:
        """Wait until the request may be sent; raises a ReconcileError if it may not."""

    def retry_window(self, request: NeonRequest) -> float:
        """Return the seconds from now in which the request may be retried."""

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Handle a 429; ``retry_after`` is Neon's ``Retry-After`` in seconds, or None."""


class NoGate:
    """A gate without delays."""

    async def acquire(self, request: NeonRequest) -> None:
        """Return immediately."""

    def retry_window(self, request: NeonRequest) -> float:  # noqa: ARG002 - every request has the same
        """Return ``RETRY_WINDOW_SECONDS``."""
        return RETRY_WINDOW_SECONDS

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Do nothing."""


def retry_delay(error: NeonAPIError, request: NeonRequest, *, retries: int, jitter: float, left: float) -> float | None:
    """Return the seconds before the next attempt, or None for no further attempt.

    Args:
        error: the error of the last attempt.
        request: the request.
        retries: the number of retries so far.
        jitter: a number in [0, 1) for full jitter below a doubling ceiling.
        left: the seconds in which a retry is allowed. A ``Retry-After`` is never shortened to fit.
    """
    no_response = error.status is None and isinstance(error, NeonNotSent | NeonOutcomeUnknown)
    lost = not request.mutates and (no_response or isinstance(error, NeonIntermediaryError))
    if retries >= MAX_RETRIES or not (lost or _is_safe(error)):
        return None
    pause = max(_FIRST_SECONDS * 2.0**retries * jitter, error.retry_after or 0.0)
    return pause if pause <= left else None


def _is_safe(error: NeonAPIError) -> bool:
    """Whether Neon itself reported that it executed nothing."""
    return isinstance(error, NeonRetryable) and error.status in RETRYABLE_STATUSES
