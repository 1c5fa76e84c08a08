"""Routes of projects: create, read, change, delete, recover."""

from __future__ import annotations

from reconciler.local.neon.account import DEFAULT_REGION, REGIONS, organization_of
from reconciler.local.neon.bodies import Compute, EndpointDefaults, ProjectCreate, ProjectUpdate, Settings, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.documents import (
    branch_document,
    connection_details,
    database_document,
    endpoint_document,
    project_document,
    role_document,
)
from reconciler.local.neon.endpoints import new_endpoint, size_of
from reconciler.local.neon.messages import Response
from reconciler.local.neon.names import check_database_name, check_role_name
from reconciler.local.neon.problems import (
    bad_request,
    locked,
    not_found,
    unprocessable,
)
from reconciler.local.neon.state import Branch, Database, Json, Project, Role
from reconciler.local.neon.system import settle_quota
from reconciler.local.neon.world import World, endpoints_of, read_write

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
_LONGEST_HISTORY = {"free": 21_600, "launch": 604_800, "scale": 2_592_000}
_PROVISIONERS = ("k8s-pod", "k8s-neonvm", "serverless-platform")


def create_project(call: Call) -> Response:
    """Answer ``POST /projects``."""
    world, now = call.world, call.now
    asked = parse(ProjectCreate, call.request.body, "project")
    org_id = organization_of(call, asked.org_id)
    project = _new_project(world, asked, org_id, now)
    limit = world.options.project_limit
    if limit is not None and sum(each.org_id == org_id for each in world.projects.values()) >= limit:
        raise unprocessable("projects limit exceeded", "PROJECTS_LIMIT_EXCEEDED")
    branch = _first_branch(world, asked, now)
    project.branches[branch.id] = branch
    endpoint = new_endpoint(world, project, branch, "read_write", Compute(), now)
    world.add(project)
    operations = [
        world.start(project, now, "create_timeline", branch),
        world.start(project, now, "start_compute", branch, endpoint, carried_out=True),
    ]
    database = next(iter(branch.databases.values()))
    role = branch.roles[database.owner_name]
    return with_operations(
        project,
        {
            "project": project_document(world, project),
            "connection_uris": [connection_details(world, branch, database)],
            "roles": [role_document(branch, role, password=role.password)],
            "databases": [database_document(branch, database)],
            "branch": branch_document(project, branch),
            "endpoints": [endpoint_document(world, project, endpoint, now)],
        },
        operations,
        201,
    )


def _new_project(world: World, asked: ProjectCreate, org_id: str, now: float) -> Project:
    region = DEFAULT_REGION if asked.region_id is None else asked.region_id
    if region not in REGIONS:
        raise bad_request(f"region {region!r} is not supported")
    if asked.provisioner not in {None, *_PROVISIONERS}:
        raise unprocessable(f"provisioner {asked.provisioner!r} is not supported")
    history = _history(world, org_id, asked.history_retention_seconds, _DEFAULT_HISTORY_SECONDS)
    project_id = world.new_id("", lambda taken: taken in world.projects)
    given = Compute.model_validate(asked.model_dump(include=set(Compute.model_fields)))
    defaults = _ENDPOINT_SETTINGS | _said(given) | _said(asked.default_endpoint_settings)
    size_of(Compute(), defaults)
    return Project(
        id=project_id,
        name=project_id if asked.name is None else asked.name,
        region_id=region,
        pg_version=_DEFAULT_PG_VERSION if asked.pg_version is None else asked.pg_version,
        provisioner=asked.provisioner or "k8s-neonvm",
        store_passwords=asked.store_passwords is not False,
        history_retention_seconds=history,
        settings=_SETTINGS | _said(asked.settings),
        default_endpoint_settings=defaults,
        org_id=org_id,
        created_at=now,
        updated_at=now,
    )


def _history(world: World, org_id: str, asked: int | None, otherwise: int) -> int:
    """Return how many seconds of history are kept: as asked, which the plan may refuse, or as the plan allows."""
    plan = world.keys.organization(org_id).plan
    longest = _LONGEST_HISTORY.get(plan, max(_LONGEST_HISTORY.values()))
    if asked is not None and asked > longest:
        raise unprocessable(f"history_retention_seconds is at most {longest} on the {plan} plan")
    return min(otherwise, longest) if asked is None else asked


def _said(body: Settings | EndpointDefaults | Compute | None) -> Json:
    return {} if body is None else body.model_dump(exclude_none=True)


def _first_branch(world: World, asked: ProjectCreate, now: float) -> Branch:
    first = asked.branch
    name = (first.database_name if first is not None else None) or "neondb"
    owner = (first.role_name if first is not None else None) or f"{name}_owner"
    check_database_name(name)
    check_role_name(owner)
    stamps = {"created_at": now, "updated_at": now}
    return Branch(
        id=world.new_id("br-", lambda _: False),
        name=(first.name if first is not None else None) or "main",
        default=True,
        annotation=(first.annotations if first is not None else None) or {},
        roles={owner: Role(name=owner, password=world.password(), **stamps)},
        databases={name: Database(id=world.database_id(), name=name, owner_name=owner, **stamps)},
        state_changed_at=now,
        **stamps,
    )


def read_project(call: Call) -> Response:
    """Answer ``GET /projects/{id}``."""
    project = call.world.project(call.path["project"])
    return Response(200, {"project": project_document(call.world, project)})


def update_project(call: Call) -> Response:
    """Answer ``PATCH /projects/{id}``. What ``settings`` names is replaced as a whole; what it does not name stays."""
    project = call.world.free_project(call.path["project"])
    asked = parse(ProjectUpdate, call.request.body, "project")
    settings = _said(asked.settings)
    replicates = project.settings.get("enable_logical_replication") is True
    if replicates and settings.get("enable_logical_replication") is False:
        raise unprocessable("logical replication cannot be disabled once it is enabled")
    kept = project.history_retention_seconds
    history = _history(call.world, project.org_id, asked.history_retention_seconds, kept)
    defaults = project.default_endpoint_settings | _said(asked.default_endpoint_settings)
    size_of(Compute(), defaults)
    project.name = project.name if asked.name is None else asked.name
    project.settings = project.settings | settings
    project.default_endpoint_settings = defaults
    project.history_retention_seconds = history
    call.world.touch(project, call.now)
    operations = settle_quota(call.world, project, call.now)
    if asked.settings is not None and not operations:
        suspends = settings.get("enable_logical_replication") is True and not replicates
        operations = [
            call.world.start(
                project,
                call.now,
                "suspend_compute" if suspends else "apply_config",
                project.branches[endpoint.branch_id],
                endpoint,
            )
            for endpoint in project.endpoints.values()
        ]
    return with_operations(project, {"project": project_document(call.world, project)}, operations)


def delete_project(call: Call) -> Response:
    """Answer ``DELETE /projects/{id}``: gone for everybody, and recoverable for some days."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    if any(branch.protected for branch in project.branches.values()):
        raise unprocessable("project has protected branches and cannot be deleted")
    project.deleted_at = now
    world.deleted[project.id] = None
    for branch in project.branches.values():
        world.start(project, now, "suspend_compute", branch, read_write(project, branch))
    world.touch(project, now)
    return Response(200, {"project": project_document(world, project)})


def recover_project(call: Call) -> Response:
    """Answer ``POST /projects/{id}/recover``: everything as it was, with the same URIs."""
    world, now = call.world, call.now
    project = world.projects.get(call.path["project"])
    if project is None or project.purging:
        raise not_found("project")
    if project.deleted_at is None:
        raise unprocessable("project is not deleted")
    if project.id in world.active:
        raise locked()
    project.deleted_at, project.recovered_at = None, now
    world.deleted.pop(project.id, None)
    for branch in project.branches.values():
        for endpoint in endpoints_of(project, branch):
            endpoint.starting = True
        world.start(project, now, "start_compute", branch, read_write(project, branch))
    world.touch(project, now)
    body: Json = {
        "project": project_document(world, project),
        "branches": [branch_document(project, branch) for branch in project.branches.values()],
    }
    return Response(200, body)
