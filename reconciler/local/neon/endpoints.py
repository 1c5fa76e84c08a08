"""Routes of endpoints: the computes of branches."""

from __future__ import annotations

from typing import cast

from reconciler.local.neon.bodies import Compute, EndpointCreate, EndpointSettings, EndpointUpdate, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.configuring import configure
from reconciler.local.neon.documents import endpoint_document, endpoint_state
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import bad_request, conflict, over_limit, unprocessable
from reconciler.local.neon.state import Branch, Endpoint, Json, Operation, Project, Work
from reconciler.local.neon.world import World, endpoints_of, find_branch, find_endpoint, read_write


def size_of(asked: Compute, defaults: Json) -> tuple[float, float, int]:
    """Return the smallest size, the largest, and the patience of a compute: as asked, else by default."""
    low = asked.autoscaling_limit_min_cu or cast("float", defaults["autoscaling_limit_min_cu"])
    high = asked.autoscaling_limit_max_cu or cast("float", defaults["autoscaling_limit_max_cu"])
    patience = asked.suspend_timeout_seconds
    if not low <= high <= low + 8:
        raise unprocessable("autoscaling_limit_max_cu must be between the minimum and the minimum plus 8")
    return low, high, cast("int", defaults["suspend_timeout_seconds"]) if patience is None else patience


def new_endpoint(world: World, project: Project, branch: Branch, kind: str, asked: Compute, now: float) -> Endpoint:
    """Put a new compute on a branch; a second one that writes is refused."""
    if kind == "read_write" and read_write(project, branch) is not None:
        raise conflict("read_write endpoint already exists on the branch")
    low, high, patience = size_of(asked, project.default_endpoint_settings)
    settings = getattr(asked, "settings", None)
    endpoint = Endpoint(
        id=world.new_id("ep-", lambda taken: taken in project.endpoints),
        branch_id=branch.id,
        type=kind,
        min_cu=low,
        max_cu=high,
        suspend_timeout_seconds=patience,
        settings=_settings(settings),
        created_at=now,
        updated_at=now,
    )
    project.endpoints[endpoint.id] = endpoint
    return endpoint


def _settings(asked: EndpointSettings | None) -> Json:
    return {} if asked is None else asked.model_dump(exclude_none=True)


def list_endpoints(call: Call) -> Response:
    """Answer ``GET …/endpoints``."""
    project = call.world.project(call.path["project"])
    return _listed(call, project, list(project.endpoints.values()))


def list_branch_endpoints(call: Call) -> Response:
    """Answer ``GET …/branches/{id}/endpoints``."""
    project = call.world.project(call.path["project"])
    return _listed(call, project, endpoints_of(project, find_branch(project, call.path["branch"])))


def _listed(call: Call, project: Project, endpoints: list[Endpoint]) -> Response:
    rendered = [endpoint_document(call.world, project, endpoint, call.now) for endpoint in endpoints]
    return Response(200, {"endpoints": rendered})


def check_active(
    world: World, project: Project, branch: Branch, now: float, *, but: Endpoint | None = None, more: int = 1
) -> None:
    """Refuse more active computes than there may be at once; those of the default branch are not counted.

    Raises:
        Problem: 422 with the code of the limit.
    """
    others = [each for each in project.endpoints.values() if not project.branches[each.branch_id].default]
    active = sum(each is not but and endpoint_state(each, now) != "idle" for each in others)
    if not branch.default and more and active + more > world.options.limits.active_computes:
        raise over_limit("active endpoints limit exceeded", "ACTIVE_ENDPOINTS_LIMIT_EXCEEDED")


def create_endpoint(call: Call) -> Response:
    """Answer ``POST …/endpoints``."""
    project = call.world.free_project(call.path["project"])
    asked = parse(EndpointCreate, call.request.body, "endpoint")
    if asked.settings is not None and asked.settings.pg_settings is None:
        raise bad_request("settings must not be nil")
    if asked.region_id not in {None, project.region_id}:
        raise unprocessable("an endpoint must be in the region of its project")
    branch = find_branch(project, asked.branch_id)
    check_active(call.world, project, branch, call.now)
    endpoint = new_endpoint(call.world, project, branch, asked.type, asked, call.now)
    endpoint.name = asked.name
    endpoint.disabled = asked.disabled is True
    operation = call.world.start(project, call.now, "start_compute", branch, endpoint)
    return _answered(call, project, endpoint, [operation], 201)


def read_endpoint(call: Call) -> Response:
    """Answer ``GET …/endpoints/{id}``."""
    project = call.world.project(call.path["project"])
    endpoint = find_endpoint(project, call.path["endpoint"])
    return Response(200, {"endpoint": endpoint_document(call.world, project, endpoint, call.now)})


def update_endpoint(call: Call) -> Response:
    """Answer ``PATCH …/endpoints/{id}``. One that is idle is woken for it; a disabled one is suspended and stays so."""
    project = call.world.free_project(call.path["project"])
    endpoint = find_endpoint(project, call.path["endpoint"])
    asked = parse(EndpointUpdate, call.request.body, "endpoint")
    if asked.branch_id not in {None, endpoint.branch_id}:
        raise unprocessable("an endpoint cannot be moved to another branch")
    current: Json = {
        "autoscaling_limit_min_cu": endpoint.min_cu,
        "autoscaling_limit_max_cu": endpoint.max_cu,
        "suspend_timeout_seconds": endpoint.suspend_timeout_seconds,
    }
    endpoint.min_cu, endpoint.max_cu, endpoint.suspend_timeout_seconds = size_of(asked, current)
    endpoint.settings = endpoint.settings | _settings(asked.settings)
    endpoint.name = endpoint.name if asked.name is None else asked.name
    if asked.passwordless_access is not None:
        endpoint.passwordless_access = asked.passwordless_access
    endpoint.disabled = endpoint.disabled if asked.disabled is None else asked.disabled
    if endpoint.disabled:
        return _suspended(call, project, endpoint)
    endpoint.updated_at = call.now
    branch, work = project.branches[endpoint.branch_id], _ending(endpoint)
    return _answered(
        call, project, endpoint, configure(call.world, project, branch, call.now, work=work, endpoint=endpoint)
    )


def start_endpoint(call: Call) -> Response:
    """Answer ``POST …/endpoints/{id}/start``."""
    project = call.world.free_project(call.path["project"])
    endpoint = _startable(call, project)
    return _answered(call, project, endpoint, [_start(call, project, endpoint, "start_compute")])


def restart_endpoint(call: Call) -> Response:
    """Answer ``POST …/endpoints/{id}/restart``: it is suspended, which ends its connections, and started."""
    project = call.world.free_project(call.path["project"])
    endpoint = _startable(call, project)
    suspended = _start(call, project, endpoint, "suspend_compute", _ending(endpoint))
    return _answered(call, project, endpoint, [suspended, _start(call, project, endpoint, "start_compute")])


def suspend_endpoint(call: Call) -> Response:
    """Answer ``POST …/endpoints/{id}/suspend``; nothing is started for one that is idle already."""
    project = call.world.free_project(call.path["project"])
    endpoint = find_endpoint(project, call.path["endpoint"])
    if endpoint_state(endpoint, call.now) == "idle":
        return _answered(call, project, endpoint, [])
    return _suspended(call, project, endpoint)


def delete_endpoint(call: Call) -> Response:
    """Answer ``DELETE …/endpoints/{id}``; 204 when there is none. A protected branch keeps its computes."""
    project = call.world.free_project(call.path["project"])
    endpoint = project.endpoints.get(call.path["endpoint"])
    if endpoint is None:
        return Response(204)
    branch = project.branches[endpoint.branch_id]
    if branch.protected:
        raise unprocessable("computes of a protected branch cannot be deleted")
    del project.endpoints[endpoint.id]
    operation = call.world.start(project, call.now, "suspend_compute", branch, endpoint)
    operation.work = _ending(endpoint)
    return _answered(call, project, endpoint, [operation])


def _startable(call: Call, project: Project) -> Endpoint:
    endpoint = find_endpoint(project, call.path["endpoint"])
    if endpoint.disabled:
        raise unprocessable("endpoint is disabled")
    check_active(call.world, project, project.branches[endpoint.branch_id], call.now, but=endpoint)
    return endpoint


def _ending(endpoint: Endpoint) -> Work:
    """End the connections to a compute. Those to one that only reads cannot be told from the others, and stay."""
    return Work(ends_sessions=endpoint.type == "read_write")


def _suspended(call: Call, project: Project, endpoint: Endpoint) -> Response:
    operation = _start(call, project, endpoint, "suspend_compute", _ending(endpoint))
    return _answered(call, project, endpoint, [operation])


def _start(call: Call, project: Project, endpoint: Endpoint, action: str, work: Work | None = None) -> Operation:
    endpoint.updated_at = call.now
    operation = call.world.start(project, call.now, action, project.branches[endpoint.branch_id], endpoint)
    operation.work = work
    return operation


def _answered(
    call: Call, project: Project, endpoint: Endpoint, operations: list[Operation], status: int = 200
) -> Response:
    document = endpoint_document(call.world, project, endpoint, call.now)
    return with_operations(project, {"endpoint": document}, operations, status)
