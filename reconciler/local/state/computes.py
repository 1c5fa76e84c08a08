"""The state of a compute, derived from its last start and its suspend timeout."""

from __future__ import annotations

from reconciler.local.state.models import Endpoint

# Neon documentation, Scale to zero.
_DEFAULT_SUSPEND_SECONDS = 300


def active_until(endpoint: Endpoint) -> float | None:
    """Return when an active compute is suspended unless it is started again; None for one that is not active."""
    if endpoint.starting or endpoint.disabled or endpoint.last_active is None:
        return None
    seconds = endpoint.suspend_timeout_seconds or _DEFAULT_SUSPEND_SECONDS
    return float("inf") if seconds < 0 else endpoint.last_active + seconds


def endpoint_state(endpoint: Endpoint, now: float) -> str:
    """Return Neon's ``EndpointState``: ``init`` while it starts, else ``active`` or ``idle``."""
    if endpoint.starting:
        return "init"
    end = active_until(endpoint)
    return "active" if end is not None and now < end else "idle"
