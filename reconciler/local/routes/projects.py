"""Routes of projects: create, read, change, delete, recover."""

from __future__ import annotations

from reconciler.local.errors import (
    bad_request,
    locked,
    not_found,
    unprocessable,
)
from reconciler.local.operations.background_jobs import apply_quota
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.routes.current_user import DEFAULT_REGION, REGIONS, organization_of
from reconciler.local.routes.endpoints import new_endpoint, size_of
from reconciler.local.schemas.names import check_database_name, check_role_name
from reconciler.local.schemas.requests import (
    Compute,
    EndpointDefaults,
    ProjectCreate,
    ProjectUpdate,
    Settings,
    parse,
)
from reconciler.local.schemas.responses import (
    branch_document,
    connection_details,
    database_document,
    endpoint_document,
    project_document,
    role_document,
)
from reconciler.local.state.account_state import AccountState, endpoints_of, read_write
from reconciler.local.state.models import (
    Branch,
    Database,
    Json,
    Project,
    Role,
)

_SETTINGS: Json = {
    "allowed_ips": {"ips": [], "protected_branches_only": False},
    "enable_logical_replication": False,
    "maintenance_window": {"weekdays": [3], "start_time": "09:00", "end_time": "10:00"},
    "block_public_connections": False,
    "block_vpc_connections": False,
    "hipaa": False,
}
_ENDPOINT_SETTINGS: Json = {
    "autoscaling_limit_min_cu": 1.0,
    "autoscaling_limit_max_cu": 1.0,
    "suspend_timeout_seconds": 0,
}
_DEFAULT_PG_VERSION = 17
_DEFAULT_HISTORY_SECONDS = 86_400
_MAX_HISTORY_SECONDS = {"free": 21_600, "launch": 604_800, "scale": 2_592_000}
_PROVISIONERS = ("k8s-pod", "k8s-neonvm", "serverless-platform")


def create_project(context: RequestContext) -> Response:
    """Handle ``POST /projects``."""
    account, now = context.account, context.now
    request = parse(ProjectCreate, context.request.body, "project")
    org_id = organization_of(context, request.org_id)
    project = _new_project(account, request, org_id, now)
    limit = account.options.project_limit
    if limit is not None and sum(other.org_id == org_id for other in account.projects.values()) >= limit:
        raise unprocessable("projects limit exceeded", "PROJECTS_LIMIT_EXCEEDED")
    branch = _first_branch(account, request, now)
    project.branches[branch.id] = branch
    endpoint = new_endpoint(account, project, branch, "read_write", Compute(), now)
    account.add(project)
    operations = [
        account.start(project, now, "create_timeline", branch),
        account.start(project, now, "start_compute", branch, endpoint, carried_out=True),
    ]
    database = next(iter(branch.databases.values()))
    role = branch.roles[database.owner_name]
    return with_operations(
        project,
        {
            "project": project_document(account, project),
            "connection_uris": [connection_details(account, branch, database)],
            "roles": [role_document(branch, role, password=role.password)],
            "databases": [database_document(branch, database)],
            "branch": branch_document(project, branch),
            "endpoints": [endpoint_document(account, project, endpoint, now)],
        },
        operations,
        201,
    )


def _new_project(account: AccountState, request: ProjectCreate, org_id: str, now: float) -> Project:
    region = DEFAULT_REGION if request.region_id is None else request.region_id
    if region not in REGIONS:
        raise bad_request(f"region {region!r} is not supported")
    if request.provisioner not in {None, *_PROVISIONERS}:
        raise unprocessable(f"provisioner {request.provisioner!r} is not supported")
    history = _history(account, org_id, request.history_retention_seconds, _DEFAULT_HISTORY_SECONDS)
    project_id = account.new_id("", lambda taken: taken in account.projects)
    compute = Compute.model_validate(request.model_dump(include=set(Compute.model_fields)))
    defaults = _ENDPOINT_SETTINGS | _explicit_fields(compute) | _explicit_fields(request.default_endpoint_settings)
    size_of(Compute(), defaults)
    return Project(
        id=project_id,
        name=project_id if request.name is None else request.name,
        region_id=region,
        pg_version=_DEFAULT_PG_VERSION if request.pg_version is None else request.pg_version,
        provisioner=request.provisioner or "k8s-neonvm",
        store_passwords=request.store_passwords is not False,
        history_retention_seconds=history,
        settings=_SETTINGS | _explicit_fields(request.settings),
        default_endpoint_settings=defaults,
        org_id=org_id,
        created_at=now,
        updated_at=now,
    )


def _history(account: AccountState, org_id: str, request: int | None, default: int) -> int:
    """Return the seconds of history: as requested if the plan permits it, else the default, limited by the plan.

    Raises:
        ApiError: 422 for more than the plan permits.
    """
    plan = account.keys.organization(org_id).plan
    maximum = _MAX_HISTORY_SECONDS.get(plan, max(_MAX_HISTORY_SECONDS.values()))
    if request is not None and request > maximum:
        raise unprocessable(f"history_retention_seconds is at most {maximum} on the {plan} plan")
    return min(default, maximum) if request is None else request


def _explicit_fields(body: Settings | EndpointDefaults | Compute | None) -> Json:
    return {} if body is None else body.model_dump(exclude_none=True)


def _first_branch(account: AccountState, request: ProjectCreate, now: float) -> Branch:
    first = request.branch
    name = (first.database_name if first is not None else None) or "neondb"
    owner = (first.role_name if first is not None else None) or f"{name}_owner"
    check_database_name(name)
    check_role_name(owner)
    stamps = {"created_at": now, "updated_at": now}
    return Branch(
        id=account.new_id("br-", lambda _: False),
        name=(first.name if first is not None else None) or "main",
        default=True,
        annotation=(first.annotations if first is not None else None) or {},
        roles={owner: Role(name=owner, password=account.password(), **stamps)},
        databases={name: Database(id=account.database_id(), name=name, owner_name=owner, **stamps)},
        state_changed_at=now,
        **stamps,
    )


def read_project(context: RequestContext) -> Response:
    """Handle ``GET /projects/{id}``."""
    project = context.account.project(context.path["project"])
    return Response(200, {"project": project_document(context.account, project)})


def update_project(context: RequestContext) -> Response:
    """Handle ``PATCH /projects/{id}``. Each setting in the body replaces the old one as a whole; the others stay."""
    project = context.account.free_project(context.path["project"])
    request = parse(ProjectUpdate, context.request.body, "project")
    settings = _explicit_fields(request.settings)
    replicates = project.settings.get("enable_logical_replication") is True
    if replicates and settings.get("enable_logical_replication") is False:
        raise unprocessable("logical replication cannot be disabled once it is enabled")
    current = project.history_retention_seconds
    history = _history(context.account, project.org_id, request.history_retention_seconds, current)
    defaults = project.default_endpoint_settings | _explicit_fields(request.default_endpoint_settings)
    size_of(Compute(), defaults)
    project.name = project.name if request.name is None else request.name
    project.settings = project.settings | settings
    project.default_endpoint_settings = defaults
    project.history_retention_seconds = history
    context.account.mark_dirty(project, context.now)
    operations = apply_quota(context.account, project, context.now)
    if request.settings is not None and not operations:
        suspends = settings.get("enable_logical_replication") is True and not replicates
        operations = [
            context.account.start(
                project,
                context.now,
                "suspend_compute" if suspends else "apply_config",
                project.branches[endpoint.branch_id],
                endpoint,
            )
            for endpoint in project.endpoints.values()
        ]
    return with_operations(project, {"project": project_document(context.account, project)}, operations)


def delete_project(context: RequestContext) -> Response:
    """Handle ``DELETE /projects/{id}``: the project is no longer visible, and recoverable for some days."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    if any(branch.protected for branch in project.branches.values()):
        raise unprocessable("project has protected branches and cannot be deleted")
    project.deleted_at = now
    account.deleted[project.id] = None
    for branch in project.branches.values():
        account.start(project, now, "suspend_compute", branch, read_write(project, branch))
    account.mark_dirty(project, now)
    return Response(200, {"project": project_document(account, project)})


def recover_project(context: RequestContext) -> Response:
    """Handle ``POST /projects/{id}/recover``: its content and its URIs are unchanged."""
    account, now = context.account, context.now
    project = account.projects.get(context.path["project"])
    if project is None or project.purging:
        raise not_found("project")
    if project.deleted_at is None:
        raise unprocessable("project is not deleted")
    if project.id in account.active:
        raise locked()
    project.deleted_at, project.recovered_at = None, now
    account.deleted.pop(project.id, None)
    for branch in project.branches.values():
        for endpoint in endpoints_of(project, branch):
            endpoint.starting = True
        account.start(project, now, "start_compute", branch, read_write(project, branch))
    account.mark_dirty(project, now)
    body: Json = {
        "project": project_document(account, project),
        "branches": [branch_document(project, branch) for branch in project.branches.values()],
    }
    return Response(200, body)
