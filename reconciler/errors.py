"""What can go wrong, by what it says about the world.

ReconcileError
├── NeonAPIError                    an answer of Neon's API, or its absence
│   ├── NeonRejected                 nothing was done, and sending the same again will not help
│   │   ├── NeonUnauthorized        401, 403, or a 404 that is about the key
│   │   ├── NeonNotFound            404, 410: absent, or not visible to this key
│   │   ├── NeonConflict            409
│   │   ├── NeonLimitReached        by a plan's limit
│   │   │   └── NeonProjectLimitReached   of projects
│   │   ├── NeonQuotaExceeded       consumption is used up
│   │   ├── NeonPasswordsNotStored  412
│   │   └── NeonInvalidRequest      every other 4xx
│   │       └── NeonBranchProtected       422 while a branch is protected
│   ├── NeonRetryable         nothing was done, and the same request may be sent again
│   │   ├── NeonNotSent             no connection was made, so no byte left
│   │   ├── NeonLocked              423
│   │   ├── NeonRateLimited         429
│   │   └── NeonUnavailable         503
│   └── NeonOutcomeUnknown          it may have happened: look before anything else is sent
│       └── NeonIntermediaryAnswered  an intermediary answered in Neon's place
├── InvalidNeonId                   an id that Neon cannot have issued; nothing was sent
├── AppDatabaseUnreachable               an app's database did not accept the connection
├── CatalogUnavailable              the catalog did not answer
│   └── CatalogUnverified               its server is not the one that was looked over: look first
├── RateLimitExhausted                     Neon's request limit leaves nothing for this kind of work now
├── LeaseLost                       another worker may hold this app now: discard everything
├── ProjectsUnexamined              a new catalog creates nothing before it has examined the projects at Neon
└── MutationsSuspended                 the whole plane may change nothing at Neon, and says why
"""

from __future__ import annotations


class ReconcileError(Exception):
    """Base of every error this program raises on purpose."""


class NeonAPIError(ReconcileError):
    """A request to Neon that did not succeed.

    The message never holds a credential: it is built from method, route template, status and Neon's own message.

    Attributes:
        method: HTTP method.
        route: path template, such as ``/projects/{project_id}``.
        status: HTTP status, or None when there was no answer.
        code: Neon's error code; usually the empty string.
        detail: Neon's message, shortened, or what happened to the connection.
        request_id: the ``X-Request-ID`` of the request.
        retry_after: seconds that Neon asked to wait, or None.
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
        answer = "no answer" if status is None else f"{status}"
        named = f" {code}" if code else ""
        super().__init__(f"{method} {route}: {answer}{named}: {detail}")


class NeonRejected(NeonAPIError):
    """Nothing was done, and the same request would be refused again."""


class NeonUnauthorized(NeonRejected):
    """The key is missing, wrong, revoked, or not allowed to do this."""


class NeonNotFound(NeonRejected):
    """Absent, deleted, or not visible to this key: no proof of anything alone."""


class NeonConflict(NeonRejected):
    """Something of that name exists already."""


class NeonLimitReached(NeonRejected):
    """The account's plan allows no more of these."""


class NeonProjectLimitReached(NeonLimitReached):
    """The account's plan allows no more projects."""


class NeonQuotaExceeded(NeonRejected):
    """The account or the project has used up what it may consume in this period."""


class NeonPasswordsNotStored(NeonRejected):
    """The project was made with ``store_passwords: false``."""


class NeonInvalidRequest(NeonRejected):
    """Neon did not accept the request as it was written."""


class NeonBranchProtected(NeonInvalidRequest):
    """A protected branch stands in the way."""


class NeonRetryable(NeonAPIError):
    """Nothing was done; the same request may be sent again, later."""


class NeonNotSent(NeonRetryable):
    """No connection could be made, so the request never left."""


class NeonLocked(NeonRetryable):
    """Another operation is running on the project."""


class NeonRateLimited(NeonRetryable):
    """More requests than the account may send."""


class NeonUnavailable(NeonRetryable):
    """Neon is not serving at the moment."""


class NeonOutcomeUnknown(NeonAPIError):
    """The request may have taken effect."""


class NeonIntermediaryAnswered(NeonOutcomeUnknown):
    """An answer in another form than Neon's: a proxy, gateway or captive portal sent it.

    It describes neither the key nor the project. The request may have reached Neon before.
    """


class InvalidNeonId(ReconcileError, ValueError):
    """An id that Neon cannot have issued. It could change the route, so nothing was sent."""


class AppDatabaseUnreachable(ReconcileError):
    """An app's database did not accept a connection with the recorded credentials."""


class CatalogUnavailable(ReconcileError):
    """The catalog did not answer, or lost the connection."""


class CatalogUnverified(CatalogUnavailable):
    """The catalog's server was started anew, or is another one, since the catalog was compared with Neon."""


class RateLimitExhausted(ReconcileError):
    """All processes together have used what Neon allows, and others go first; nothing was sent."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"the request budget has nothing left for {kind} at the moment")


class LeaseLost(ReconcileError):
    """The lease ran out or another worker took it; nothing was written."""


class ProjectsUnexamined(ReconcileError):
    """A catalog without creates has not examined all projects that another catalog may have made; nothing was sent.

    Args:
        left: how many are left.
    """

    def __init__(self, left: int) -> None:
        super().__init__(
            f"{left} projects at Neon are left to examine before the first create of this catalog; no action required"
        )


class MutationsSuspended(ReconcileError):
    """The plane as a whole must not change anything at Neon."""
