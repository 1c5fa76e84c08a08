"""When the client itself sends a request again, and after what pause. Pure.

Only where Neon's answer says that nothing was done: 503 and 423 (Neon OpenAPI document, description of GeneralError)
and 429 (Neon API reference, Key concepts); and a GET that the network swallowed or an intermediary answered, since it
changes nothing. What may have happened goes back to the loop, which looks before it acts.
"""

from __future__ import annotations

from typing import Final, Protocol

from reconciler.errors import (
    NeonAPIError,
    NeonIntermediaryAnswered,
    NeonNotSent,
    NeonOutcomeUnknown,
    NeonRetryable,
)
from reconciler.neon.protocol import RETRYABLE_STATUSES, NeonRequest

RETRY_WINDOW_SECONDS: Final = 10.0
"""How long after its first send a request is sent again; what lasts longer is the loop's."""

MAX_RETRIES: Final = 4
_FIRST_SECONDS = 0.25


class RequestGate(Protocol):
    """Lets requests pass, at the pace that their sender keeps."""

    async def acquire(self, request: NeonRequest) -> None:
        """Wait until the request may be sent; raises a ReconcileError where it may not."""

    def retry_window(self, request: NeonRequest) -> float:
        """For how many seconds from now the request may be sent again."""

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Neon answered 429, and asked for so many seconds, or did not say."""


class NoGate:
    """Lets every request pass at once."""

    async def acquire(self, request: NeonRequest) -> None:
        """Nothing holds it back."""

    def retry_window(self, request: NeonRequest) -> float:  # noqa: ARG002 - every request has the same
        """``RETRY_WINDOW_SECONDS``."""
        return RETRY_WINDOW_SECONDS

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Nobody else is held back."""


def retry_delay(error: NeonAPIError, request: NeonRequest, *, retries: int, jitter: float, left: float) -> float | None:
    """Seconds to wait before the request is sent again, or None to leave it to the loop.

    Args:
        error: what came of it.
        request: what was sent.
        resends: how often it was sent again so far.
        jitter: a number in [0, 1); the pause is drawn from all of a ceiling that doubles.
        left: seconds in which it may be sent again. A ``Retry-After`` is never shortened to fit.
    """
    unanswered = error.status is None and isinstance(error, NeonNotSent | NeonOutcomeUnknown)
    lost = not request.mutates and (unanswered or isinstance(error, NeonIntermediaryAnswered))
    if retries >= MAX_RETRIES or not (lost or _is_safe(error)):
        return None
    pause = max(_FIRST_SECONDS * 2.0**retries * jitter, error.retry_after or 0.0)
    return pause if pause <= left else None


def _is_safe(error: NeonAPIError) -> bool:
    """Whether Neon itself answered that nothing was done."""
    return isinstance(error, NeonRetryable) and error.status in RETRYABLE_STATUSES
