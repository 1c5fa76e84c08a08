"""The checks before every route: the key, the rate limits, the scope of the key, and the quota."""

from __future__ import annotations

from reconciler.local.auth.models import KeyScope
from reconciler.local.errors import (
    ApiError,
    not_found,
    outside_of_key,
    too_many_requests,
)
from reconciler.local.protocol import Request
from reconciler.local.rate_limit import RateLimiter
from reconciler.local.routes.routing import (
    BRANCH,
    DATABASE,
    ENDPOINT,
    PROJECT,
    ROLE,
    RouteMatch,
    match_route,
)
from reconciler.local.state.account_state import AccountState
from reconciler.local.state.models import Project
from reconciler.local.usage.metering import meter
from reconciler.local.usage.quotas import QUOTA_LABELS

_FOR_ANY_KEY = {"/auth", "/users/me", "/users/me/organizations", "/regions"}
# A project key has the permissions of a member, who may change the project and not delete it.
_FOR_OWNERS = {("DELETE", PROJECT), ("POST", PROJECT + "/recover")}
# Requests that need a running compute. A change of an endpoint does not: it is applied at its next start.
_STARTS = {
    ("POST", ENDPOINT + "/start"),
    ("POST", ENDPOINT + "/restart"),
    ("POST", PROJECT + "/endpoints"),
    ("POST", BRANCH + "/roles"),
    ("DELETE", ROLE),
    ("POST", ROLE + "/reset_password"),
    ("POST", BRANCH + "/databases"),
    ("PATCH", DATABASE),
    ("DELETE", DATABASE),
}


def authorize(
    account: AccountState, rate_limiter: RateLimiter, request: Request, now: float
) -> tuple[RouteMatch, KeyScope]:
    """Authorize a request, and return its route and the scope of its key.

    Raises:
        ApiError: 401 for an invalid key, 404 for an unknown path or one outside the key's scope, 405 for a method that
            the path does not have, 423 for a request that a suspended project rejects, 429 over a rate limit.
    """
    scope = account.keys.scope(request.key, now)
    match = match_route(request.method, request.path)
    if not rate_limiter.allow(scope.account_id, request.method, match.template, now):
        raise too_many_requests(account.options.retry_after)
    _check_scope(scope, request.method, match)
    project = account.projects.get(match.names.get("project", ""))
    if project is not None:
        if project.org_id not in scope.organizations:
            raise not_found("project")
        meter(project, now)
        _check_quota(project, request, match.template)
    return match, scope


def _check_scope(scope: KeyScope, method: str, match: RouteMatch) -> None:
    if scope.project_id is None or match.template in _FOR_ANY_KEY:
        return
    named = match.names.get("project")
    if named != scope.project_id or (method, match.template) in _FOR_OWNERS:
        raise outside_of_key(scope.project_id)


def _check_quota(project: Project, request: Request, template: str) -> None:
    if project.suspended is None or project.deleted_at is not None:
        return
    body = request.body if isinstance(request.body, dict) else {}
    branch_with_compute = (request.method, template) == ("POST", PROJECT + "/branches") and bool(body.get("endpoints"))
    if branch_with_compute or (request.method, template) in _STARTS:
        label = QUOTA_LABELS[project.suspended]
        raise ApiError(
            423, f"Your account or project has exceeded the {label} quota. Upgrade your plan to increase limits."
        )
