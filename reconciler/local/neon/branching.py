"""The route that makes a branch, and what there is to check of any new one."""

from __future__ import annotations

from reconciler.local.neon.bodies import BranchCreate, BranchFields, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.copies import check_still_there, copies
from reconciler.local.neon.documents import (
    branch_document,
    connection_details,
    database_document,
    endpoint_document,
    role_document,
)
from reconciler.local.neon.endpoints import check_active, new_endpoint, size_of
from reconciler.local.neon.expiry import read_expiry
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import bad_request, conflict, over_limit, unprocessable
from reconciler.local.neon.state import Branch, Database, Json, Project, Role, Work
from reconciler.local.neon.timeline import Point, point_in
from reconciler.local.neon.world import World, endpoints_of, find_branch, read_write


def create_branch(call: Call) -> Response:
    """Answer ``POST …/branches``: a copy of another branch, as it is or as it was, with the same roles."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    asked = parse(BranchCreate, call.request.body, None)
    fields = asked.branch or BranchFields()
    parent = project.default_branch if fields.parent_id is None else find_branch(project, fields.parent_id)
    branch, work = _new_branch(call, project, parent, fields)
    branch.annotation = asked.annotation_value or {}
    kinds = [endpoint.type for endpoint in asked.endpoints or []]
    if kinds.count("read_write") > 1:
        raise conflict("read_write endpoint already exists on the branch")
    for endpoint in asked.endpoints or []:
        size_of(endpoint, project.default_endpoint_settings)
    check_active(world, project, branch, now, more=len(kinds))
    project.branches[branch.id] = branch
    if branch.expires_at is not None:
        world.expiring[project.id] = None
    operations = [world.start(project, now, "create_branch", branch)]
    operations[0].work = work
    for endpoint in asked.endpoints or []:
        made = new_endpoint(world, project, branch, endpoint.type, endpoint, now)
        operations.append(world.start(project, now, "start_compute", branch, made, carried_out=True))
    body: Json = {
        "branch": branch_document(project, branch),
        "endpoints": [endpoint_document(world, project, each, now) for each in endpoints_of(project, branch)],
        "roles": [role_document(branch, role) for role in branch.roles.values()],
        "databases": [database_document(branch, database) for database in branch.databases.values()],
    }
    if read_write(project, branch) is not None and project.store_passwords:
        owned = [each for each in branch.databases.values() if not branch.roles[each.owner_name].no_login]
        body["connection_uris"] = [connection_details(world, branch, database) for database in owned]
    return with_operations(project, body, operations, 201)


def _new_branch(call: Call, project: Project, parent: Branch, fields: BranchFields) -> tuple[Branch, Work]:
    world, now = call.world, call.now
    _check(project, parent, fields)
    point = point_in(project, parent, now, timestamp=fields.parent_timestamp, lsn=fields.parent_lsn)
    check_still_there(parent, point, physical=world.options.physical)
    schema_only = fields.init_source == "schema-only"
    branch_id = world.new_id("br-", lambda taken: taken in project.branches)
    branch = Branch(
        id=branch_id,
        name=branch_id if fields.name is None else fields.name,
        parent_id=None if schema_only else parent.id,
        parent_timestamp=None if schema_only else point.moment,
        init_source=fields.init_source or "parent-data",
        protected=fields.protected is True,
        expires_at=None if fields.expires_at is None else read_expiry(fields.expires_at, now),
        roles=inherited_roles(world, parent, point),
        databases=inherited_databases(world, point),
        state_changed_at=now,
        created_at=now,
        updated_at=now,
    )
    if branch.expires_at is not None:
        branch.ttl_interval_seconds = int(branch.expires_at - now)
    check_room(world, project, branch)
    check_protection(world, project, branch)
    sources = copies(parent, parent.databases.values(), point, branch)
    return branch, Work(source_branch_id=parent.id, copies=sources, schema_only=schema_only)


def _check(project: Project, parent: Branch, fields: BranchFields) -> None:
    if fields.init_source not in {None, "parent-data", "schema-only"}:
        raise bad_request("init_source must be parent-data or schema-only")
    if fields.archived:
        raise unprocessable("a new branch cannot be archived")
    if parent.expires_at is not None and fields.init_source != "schema-only":
        raise unprocessable("a branch that expires cannot have children")
    if fields.name is not None:
        check_name_is_free(project, fields.name)


def inherited_roles(world: World, source: Branch, point: Point) -> dict[str, Role]:
    """Return the roles that a copy has: those of its source, with new passwords where the source is protected."""
    if not source.protected:
        return dict(point.roles)
    return {name: role.model_copy(update={"password": world.password()}) for name, role in point.roles.items()}


def inherited_databases(world: World, point: Point) -> dict[str, Database]:
    """Return the databases that a copy has, as objects of their own."""
    return {name: each.model_copy(update={"id": world.database_id()}) for name, each in point.databases.items()}


def present_branches(project: Project) -> list[Branch]:
    """Return the branches that are not being deleted."""
    return [branch for branch in project.branches.values() if not branch.deleting]


def check_name_is_free(project: Project, name: str, but: Branch | None = None) -> None:
    """Refuse a name that another branch has.

    Raises:
        Problem: 409.
    """
    if any(other.name == name and other is not but for other in present_branches(project)):
        raise conflict(f"branch {name!r} already exists")


def check_room(world: World, project: Project, fresh: Branch) -> None:
    """Refuse a branch for which there is no room.

    Raises:
        Problem: 422 with the code of the limit.
    """
    there, limits = present_branches(project), world.options.limits
    if len(there) >= limits.branches:
        raise over_limit("branches limit exceeded", "BRANCHES_LIMIT_EXCEEDED")
    if fresh.parent_id is None and sum(each.parent_id is None for each in there) >= limits.root_branches:
        raise over_limit("root branches limit exceeded", "ROOT_BRANCHES_LIMIT_EXCEEDED")


def check_protection(world: World, project: Project, branch: Branch) -> None:
    """Refuse to protect a branch that expires, or one more than may be protected.

    Raises:
        Problem: 422.
    """
    if not branch.protected:
        return
    if branch.expires_at is not None:
        raise unprocessable("a protected branch cannot expire")
    others = sum(each.protected for each in present_branches(project) if each is not branch)
    if others >= world.options.limits.protected_branches:
        raise over_limit("protected branches limit exceeded", "BRANCHES_PROTECTED_LIMIT_EXCEEDED")
