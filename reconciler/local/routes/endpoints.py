"""Routes of endpoints: the computes of branches."""

from __future__ import annotations

from typing import cast

from reconciler.local.errors import (
    bad_request,
    conflict,
    over_limit,
    unprocessable,
)
from reconciler.local.operations.apply_config import apply_config
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.schemas.requests import (
    Compute,
    EndpointCreate,
    EndpointSettings,
    EndpointUpdate,
    parse,
)
from reconciler.local.schemas.responses import endpoint_document
from reconciler.local.state.account_state import (
    AccountState,
    endpoints_of,
    find_branch,
    find_endpoint,
    read_write,
)
from reconciler.local.state.computes import endpoint_state
from reconciler.local.state.models import (
    Branch,
    Endpoint,
    Json,
    Operation,
    OperationPayload,
    Project,
)


def size_of(request: Compute, defaults: Json) -> tuple[float, float, int]:
    """Return minimum and maximum size, in compute units, and suspend timeout, in seconds: as requested, else default.

    Raises:
        ApiError: 422 for a maximum that does not fit the minimum.
    """
    low = request.autoscaling_limit_min_cu or cast("float", defaults["autoscaling_limit_min_cu"])
    high = request.autoscaling_limit_max_cu or cast("float", defaults["autoscaling_limit_max_cu"])
    suspend_seconds = request.suspend_timeout_seconds
    if not low <= high <= low + 8:
        raise unprocessable("autoscaling_limit_max_cu must be between the minimum and the minimum plus 8")
    return low, high, cast("int", defaults["suspend_timeout_seconds"]) if suspend_seconds is None else suspend_seconds


def new_endpoint(
    account: AccountState, project: Project, branch: Branch, kind: str, request: Compute, now: float
) -> Endpoint:
    """Add a compute to a branch.

    Raises:
        ApiError: 409 for a second read-write compute, 422 for an impossible size.
    """
    if kind == "read_write" and read_write(project, branch) is not None:
        raise conflict("read_write endpoint already exists on the branch")
    low, high, suspend_seconds = size_of(request, project.default_endpoint_settings)
    settings = getattr(request, "settings", None)
    endpoint = Endpoint(
        id=account.new_id("ep-", lambda taken: taken in project.endpoints),
        branch_id=branch.id,
        type=kind,
        min_cu=low,
        max_cu=high,
        suspend_timeout_seconds=suspend_seconds,
        settings=_settings(settings),
        created_at=now,
        updated_at=now,
    )
    project.endpoints[endpoint.id] = endpoint
    return endpoint


def _settings(request: EndpointSettings | None) -> Json:
    return {} if request is None else request.model_dump(exclude_none=True)


def list_endpoints(context: RequestContext) -> Response:
    """Handle ``GET …/endpoints``."""
    project = context.account.project(context.path["project"])
    return _listed(context, project, list(project.endpoints.values()))


def list_branch_endpoints(context: RequestContext) -> Response:
    """Handle ``GET …/branches/{id}/endpoints``."""
    project = context.account.project(context.path["project"])
    return _listed(context, project, endpoints_of(project, find_branch(project, context.path["branch"])))


def _listed(context: RequestContext, project: Project, endpoints: list[Endpoint]) -> Response:
    rendered = [endpoint_document(context.account, project, endpoint, context.now) for endpoint in endpoints]
    return Response(200, {"endpoints": rendered})


def check_active(
    account: AccountState,
    project: Project,
    branch: Branch,
    now: float,
    *,
    excluded: Endpoint | None = None,
    added: int = 1,
) -> None:
    """Reject more concurrently active computes than the limit; those of the default branch do not count.

    Raises:
        ApiError: 422 with the code of the limit.
    """
    others = [endpoint for endpoint in project.endpoints.values() if not project.branches[endpoint.branch_id].default]
    active = sum(endpoint is not excluded and endpoint_state(endpoint, now) != "idle" for endpoint in others)
    if not branch.default and added and active + added > account.options.limits.active_computes:
        raise over_limit("active endpoints limit exceeded", "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED")


def create_endpoint(context: RequestContext) -> Response:
    """Handle ``POST …/endpoints``."""
    project = context.account.free_project(context.path["project"])
    request = parse(EndpointCreate, context.request.body, "endpoint")
    if request.settings is not None and request.settings.pg_settings is None:
        raise bad_request("settings must not be nil")
    if request.region_id not in {None, project.region_id}:
        raise unprocessable("an endpoint must be in the region of its project")
    branch = find_branch(project, request.branch_id)
    check_active(context.account, project, branch, context.now)
    endpoint = new_endpoint(context.account, project, branch, request.type, request, context.now)
    endpoint.name = request.name
    endpoint.disabled = request.disabled is True
    operation = context.account.start(project, context.now, "start_compute", branch, endpoint)
    return _endpoint_response(context, project, endpoint, [operation], 201)


def read_endpoint(context: RequestContext) -> Response:
    """Handle ``GET …/endpoints/{id}``."""
    project = context.account.project(context.path["project"])
    endpoint = find_endpoint(project, context.path["endpoint"])
    return Response(200, {"endpoint": endpoint_document(context.account, project, endpoint, context.now)})


def update_endpoint(context: RequestContext) -> Response:
    """Handle ``PATCH …/endpoints/{id}``. An idle compute is started for it; a disabled one is suspended."""
    project = context.account.free_project(context.path["project"])
    endpoint = find_endpoint(project, context.path["endpoint"])
    request = parse(EndpointUpdate, context.request.body, "endpoint")
    if request.branch_id not in {None, endpoint.branch_id}:
        raise unprocessable("an endpoint cannot be moved to another branch")
    current: Json = {
        "autoscaling_limit_min_cu": endpoint.min_cu,
        "autoscaling_limit_max_cu": endpoint.max_cu,
        "suspend_timeout_seconds": endpoint.suspend_timeout_seconds,
    }
    endpoint.min_cu, endpoint.max_cu, endpoint.suspend_timeout_seconds = size_of(request, current)
    endpoint.settings = endpoint.settings | _settings(request.settings)
    endpoint.name = endpoint.name if request.name is None else request.name
    if request.passwordless_access is not None:
        endpoint.passwordless_access = request.passwordless_access
    endpoint.disabled = endpoint.disabled if request.disabled is None else request.disabled
    if endpoint.disabled:
        return _suspended(context, project, endpoint)
    endpoint.updated_at = context.now
    branch, payload = project.branches[endpoint.branch_id], _ending(endpoint)
    return _endpoint_response(
        context,
        project,
        endpoint,
        apply_config(context.account, project, branch, context.now, payload=payload, endpoint=endpoint),
    )


def start_endpoint(context: RequestContext) -> Response:
    """Handle ``POST …/endpoints/{id}/start``."""
    project = context.account.free_project(context.path["project"])
    endpoint = _startable(context, project)
    return _endpoint_response(context, project, endpoint, [_start(context, project, endpoint, "start_compute")])


def restart_endpoint(context: RequestContext) -> Response:
    """Handle ``POST …/endpoints/{id}/restart``: the compute is suspended, which ends its connections, and started."""
    project = context.account.free_project(context.path["project"])
    endpoint = _startable(context, project)
    suspended = _start(context, project, endpoint, "suspend_compute", _ending(endpoint))
    return _endpoint_response(
        context, project, endpoint, [suspended, _start(context, project, endpoint, "start_compute")]
    )


def suspend_endpoint(context: RequestContext) -> Response:
    """Handle ``POST …/endpoints/{id}/suspend``; no operation for an idle compute."""
    project = context.account.free_project(context.path["project"])
    endpoint = find_endpoint(project, context.path["endpoint"])
    if endpoint_state(endpoint, context.now) == "idle":
        return _endpoint_response(context, project, endpoint, [])
    return _suspended(context, project, endpoint)


def delete_endpoint(context: RequestContext) -> Response:
    """Handle ``DELETE …/endpoints/{id}``; 204 when it does not exist. A protected branch keeps its computes."""
    project = context.account.free_project(context.path["project"])
    endpoint = project.endpoints.get(context.path["endpoint"])
    if endpoint is None:
        return Response(204)
    branch = project.branches[endpoint.branch_id]
    if branch.protected:
        raise unprocessable("computes of a protected branch cannot be deleted")
    del project.endpoints[endpoint.id]
    operation = context.account.start(project, context.now, "suspend_compute", branch, endpoint)
    operation.payload = _ending(endpoint)
    return _endpoint_response(context, project, endpoint, [operation])


def _startable(context: RequestContext, project: Project) -> Endpoint:
    endpoint = find_endpoint(project, context.path["endpoint"])
    if endpoint.disabled:
        raise unprocessable("endpoint is disabled")
    check_active(context.account, project, project.branches[endpoint.branch_id], context.now, excluded=endpoint)
    return endpoint


def _ending(endpoint: Endpoint) -> OperationPayload:
    """Return the payload that ends the connections to a compute; those to a read-only one cannot be identified."""
    return OperationPayload(ends_sessions=endpoint.type == "read_write")


def _suspended(context: RequestContext, project: Project, endpoint: Endpoint) -> Response:
    operation = _start(context, project, endpoint, "suspend_compute", _ending(endpoint))
    return _endpoint_response(context, project, endpoint, [operation])


def _start(
    context: RequestContext, project: Project, endpoint: Endpoint, action: str, payload: OperationPayload | None = None
) -> Operation:
    endpoint.updated_at = context.now
    operation = context.account.start(project, context.now, action, project.branches[endpoint.branch_id], endpoint)
    operation.payload = payload
    return operation


def _endpoint_response(
    context: RequestContext, project: Project, endpoint: Endpoint, operations: list[Operation], status: int = 200
) -> Response:
    document = endpoint_document(context.account, project, endpoint, context.now)
    return with_operations(project, {"endpoint": document}, operations, status)
