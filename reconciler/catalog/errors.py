"""Requests that the catalog rejects, each with the data for a response."""

from __future__ import annotations

from reconciler.errors import ReconcileError


class RequestRejected(ReconcileError):
    """Base: the catalog rejected the request, and nothing was written."""


class NameTaken(RequestRejected):
    """A living app of that name exists and is not the same.

    Attributes:
        app_id: the existing app.
        mismatches: the fields in which the request differs from it, sorted.
    """

    def __init__(self, app_id: str, mismatches: tuple[str, ...]) -> None:
        self.app_id = app_id
        self.mismatches = mismatches
        super().__init__(f"app {app_id} has that name already and differs in {', '.join(mismatches)}")


class LimitReached(RequestRejected):
    """The owner has as many living apps as the control plane allows.

    Attributes:
        limit: that number.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"an owner may have at most {limit} apps; delete one first")


class CreateLimitReached(RequestRejected):
    """The owner has created as many apps in 24 hours as the control plane allows.

    Attributes:
        limit: that number.
        retry_after: seconds until a create is possible.
    """

    def __init__(self, limit: int, retry_after: float) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"an owner may create at most {limit} apps in 24 hours")


class KeyLimitReached(RequestRejected):
    """The owner has as many living idempotency keys as the control plane stores.

    Attributes:
        limit: that number.
        retry_after: seconds until the oldest key expires.
    """

    def __init__(self, limit: int, retry_after: float) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"an owner may have at most {limit} idempotency keys of the last 24 hours")


class IdempotencyKeyReused(RequestRejected):
    """The key was sent before with another body."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used with another body; send a new key with a new request")


class InvalidCursor(RequestRejected):
    """The cursor did not come from this list."""

    def __init__(self) -> None:
        super().__init__("the cursor did not come from this list; start again without one")
