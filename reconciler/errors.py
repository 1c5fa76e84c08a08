"""The errors of the reconciler, by their consequence for the next step.

ReconcileError
├── NeonAPIError                    a failed request to Neon
│   ├── NeonRejected                nothing was executed, and a retry will not help
│   │   ├── NeonUnauthorized        401, 403, or a 404 about the key
│   │   ├── NeonNotFound            404, 410: absent, or not visible to this key
│   │   ├── NeonConflict            409
│   │   ├── NeonLimitReached        by a plan's limit
│   │   │   └── NeonProjectLimitReached   of projects
│   │   ├── NeonQuotaExceeded       a consumption quota is used up
│   │   ├── NeonPasswordsNotStored  412
│   │   └── NeonInvalidRequest      every other 4xx
│   │       └── NeonBranchProtected       422 while a branch is protected
│   ├── NeonRetryable               nothing was executed, and the request may be retried
│   │   ├── NeonNotSent             no connection was made, so no byte left
│   │   ├── NeonLocked              423
│   │   ├── NeonRateLimited         429
│   │   └── NeonUnavailable         503
│   └── NeonOutcomeUnknown          it may have taken effect: observe before the next request
│       └── NeonIntermediaryError  an intermediary responded instead of Neon
├── InvalidNeonId                   an id that Neon cannot have issued; nothing was sent
├── AppDatabaseUnreachable          an app's database did not accept the connection
├── CatalogUnavailable              the catalog did not respond
│   └── CatalogUnverified           its server is not the verified one
├── RateLimitExhausted              no token is left for this priority now
├── LeaseLost                       another worker may hold the lease: discard everything
├── ProjectsUnexamined              a new catalog creates nothing before it has examined Neon's projects
└── MutationsSuspended              the control plane may send no mutation; the message is the reason
"""

from __future__ import annotations


class ReconcileError(Exception):
    """Base of every deliberate error of this program."""


class NeonAPIError(ReconcileError):
    """A request to Neon that did not succeed.

    The message never contains credentials: it consists of method, route template, status and Neon's own message.

    Attributes:
        method: HTTP method.
        route: path template, such as ``/projects/{project_id}``.
        status: HTTP status, or None without a response.
        code: Neon's error code; usually the empty string.
        detail: Neon's message, shortened, or the failure of the connection.
        request_id: the ``X-Request-ID`` of the request.
        retry_after: the seconds of ``Retry-After``, or None.
    """

    def __init__(
        self,
        *,
        method: str,
        route: str,
        detail: str,
        status: int | None = None,
        code: str = "",
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.method = method
        self.route = route
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after
        outcome = "no response" if status is None else f"{status}"
        suffix = f" {code}" if code else ""
        super().__init__(f"{method} {route}: {outcome}{suffix}: {detail}")


class NeonRejected(NeonAPIError):
    """Nothing was executed, and Neon would reject the same request again."""


class NeonUnauthorized(NeonRejected):
    """The key is missing, wrong, revoked, or lacks the permission."""


class NeonNotFound(NeonRejected):
    """Absent, deleted, or not visible to this key; alone it proves none of them."""


class NeonConflict(NeonRejected):
    """An object of that name exists already."""


class NeonLimitReached(NeonRejected):
    """A limit of the account's plan is reached."""


class NeonProjectLimitReached(NeonLimitReached):
    """The account's plan allows no more projects."""


class NeonQuotaExceeded(NeonRejected):
    """The account or the project has used up its consumption quota of this period."""


class NeonPasswordsNotStored(NeonRejected):
    """The project was created with ``store_passwords: false``."""


class NeonInvalidRequest(NeonRejected):
    """Neon did not accept the request's content."""


class NeonBranchProtected(NeonInvalidRequest):
    """A protected branch prevents it."""


class NeonRetryable(NeonAPIError):
    """Nothing was executed; the request may be retried later."""


class NeonNotSent(NeonRetryable):
    """No connection was made, so the request was not sent."""


class NeonLocked(NeonRetryable):
    """Another operation is running on the project."""


class NeonRateLimited(NeonRetryable):
    """The account's request limit is exceeded."""


class NeonUnavailable(NeonRetryable):
    """Neon is temporarily unavailable."""


class NeonOutcomeUnknown(NeonAPIError):
    """The request may have taken effect."""


class NeonIntermediaryError(NeonOutcomeUnknown):
    """A response in another format than Neon's: a proxy, gateway or captive portal sent it.

    It describes neither the key nor the project. The request may have reached Neon before.
    """


class InvalidNeonId(ReconcileError, ValueError):
    """An id that Neon cannot have issued. It could change the route, so nothing was sent."""


class AppDatabaseUnreachable(ReconcileError):
    """An app's database did not accept a connection with the recorded credentials."""


class CatalogUnavailable(ReconcileError):
    """The catalog did not respond, or the connection was lost."""


class CatalogUnverified(CatalogUnavailable):
    """The catalog's server has restarted or changed since the catalog was compared with Neon."""


class RateLimitExhausted(ReconcileError):
    """All processes together have used up Neon's request limit, and other priorities come first; nothing was sent."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"Neon's request limit has no token for the priority {kind} now")


class LeaseLost(ReconcileError):
    """The lease has expired, or another worker has it; nothing was written."""


class ProjectsUnexamined(ReconcileError):
    """A catalog without creates has not examined all projects that another catalog may have created; nothing was sent.

    Args:
        left: the number of unexamined projects.
    """

    def __init__(self, left: int) -> None:
        super().__init__(
            f"{left} projects at Neon are left to examine before the first create of this catalog; no action required"
        )


class MutationsSuspended(ReconcileError):
    """No mutation of this control plane is allowed."""
