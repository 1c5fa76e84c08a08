"""Routes of branches."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from reconciler.local.neon.bodies import BranchCreate, BranchFields, BranchUpdate, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.documents import (
    annotation_document,
    branch_document,
    connection_details,
    database_document,
    endpoint_document,
    role_document,
)
from reconciler.local.neon.endpoints import new_endpoint, size_of
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import bad_request, conflict, unprocessable
from reconciler.local.neon.state import Branch, Json, Operation, Project
from reconciler.local.neon.world import World, endpoints_of, find_branch, read_write


def list_branches(call: Call) -> Response:
    """Answer ``GET …/branches``, with the annotations of the branches that have one."""
    project, query = call.world.project(call.path["project"]), call.request.query
    key = query.get("sort_by", "updated_at")
    if key not in {"name", "created_at", "updated_at"}:
        raise bad_request("sort_by must be name, created_at or updated_at")
    order = query.get("sort_order", "desc")
    if order not in {"asc", "desc"}:
        raise bad_request("sort_order must be asc or desc")
    search, limit = query.get("search", ""), call.number("limit", 100, 10_000)
    found = [branch for branch in _present(project) if search in branch.name or search in branch.id]
    found.sort(key=lambda branch: (_sort_value(branch, key), branch.id), reverse=order == "desc")
    start = _behind(found, query.get("cursor"))
    page = found[start : start + limit]
    pagination: Json = {"sort_by": key, "sort_order": order}
    if start + limit < len(found):
        pagination["next"] = page[-1].id
    body: Json = {
        "branches": [branch_document(project, branch) for branch in page],
        "annotations": {branch.id: annotation_document(branch) for branch in page if branch.annotation},
        "pagination": pagination,
    }
    return Response(200, body)


def _present(project: Project) -> list[Branch]:
    return [branch for branch in project.branches.values() if not branch.deleting]


def _sort_value(branch: Branch, key: str) -> str:
    if key == "name":
        return branch.name
    return f"{branch.created_at if key == 'created_at' else branch.updated_at:020.6f}"


def _behind(branches: list[Branch], cursor: str | None) -> int:
    if cursor is None:
        return 0
    for index, branch in enumerate(branches):
        if branch.id == cursor:
            return index + 1
    raise bad_request("cursor is not valid")


def create_branch(call: Call) -> Response:
    """Answer ``POST …/branches``: a copy of its parent's present, with the same roles and passwords."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    asked = parse(BranchCreate, call.request.body, None)
    branch = _new_branch(world, project, asked, now)
    kinds = [endpoint.type for endpoint in asked.endpoints or []]
    if kinds.count("read_write") > 1:
        raise conflict("read_write endpoint already exists on the branch")
    for endpoint in asked.endpoints or []:
        size_of(endpoint, project.default_endpoint_settings)
    project.branches[branch.id] = branch
    operations = [world.start(project, now, "create_branch", branch)]
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
        uris = [connection_details(world, branch, database) for database in branch.databases.values()]
        body["connection_uris"] = uris
    return with_operations(project, body, operations, 201)


def _new_branch(world: World, project: Project, asked: BranchCreate, now: float) -> Branch:
    fields = asked.branch or BranchFields()
    parent = project.default_branch if fields.parent_id is None else find_branch(project, fields.parent_id)
    branch_id = world.new_id("br-", lambda taken: taken in project.branches)
    name = branch_id if fields.name is None else fields.name
    if any(branch.name == name for branch in _present(project)):
        raise conflict(f"branch {name!r} already exists")
    if fields.init_source not in {None, "parent-data"} or fields.archived or fields.parent_lsn is not None:
        raise unprocessable("local Neon makes branches from their parent's data only")
    if fields.parent_timestamp is not None and world.options.physical:
        raise unprocessable("local Neon keeps no history: a branch starts from its parent's present")
    return Branch(
        id=branch_id,
        name=name,
        parent_id=parent.id,
        parent_timestamp=_moment(fields.parent_timestamp, parent, now),
        protected=fields.protected is True,
        expires_at=fields.expires_at,
        annotation=asked.annotation_value or {},
        roles={key: role.model_copy() for key, role in parent.roles.items()},
        databases={
            key: database.model_copy(update={"id": world.database_id()}) for key, database in parent.databases.items()
        },
        state_changed_at=now,
        created_at=now,
        updated_at=now,
    )


def _moment(text: str | None, parent: Branch, now: float) -> float:
    if text is None:
        return now
    try:
        moment = datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise bad_request("branch.parent_timestamp is not a time") from None
    if not parent.created_at <= moment <= now:
        raise unprocessable("parent_timestamp is outside of the parent's history")
    return moment


def read_branch(call: Call) -> Response:
    """Answer ``GET …/branches/{id}``."""
    project = call.world.project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    return Response(200, {"branch": branch_document(project, branch), "annotation": annotation_document(branch)})


def update_branch(call: Call) -> Response:
    """Answer ``PATCH …/branches/{id}``."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(BranchUpdate, call.request.body, "branch")
    if asked.name is not None and any(other.name == asked.name and other is not branch for other in _present(project)):
        raise conflict(f"branch {asked.name!r} already exists")
    branch.name = branch.name if asked.name is None else asked.name
    branch.protected = branch.protected if asked.protected is None else asked.protected
    if "expires_at" in asked.model_fields_set:
        branch.expires_at = asked.expires_at
    branch.updated_at = call.now
    call.world.touch(project, call.now)
    return _answered(project, branch, [])


def delete_branch(call: Call) -> Response:
    """Answer ``DELETE …/branches/{id}``; 204 when there is none."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = project.branches.get(call.path["branch"])
    if branch is None or branch.deleting:
        return Response(204)
    reason = _undeletable(project, branch)
    if reason is not None:
        raise unprocessable(f"{reason} branch cannot be deleted")
    branch.deleting, branch.updated_at = True, now
    for endpoint in endpoints_of(project, branch):
        del project.endpoints[endpoint.id]
    operations = [
        world.start(project, now, "suspend_compute", branch, carried_out=True),
        world.start(project, now, "delete_timeline", branch),
    ]
    return _answered(project, branch, operations)


def _undeletable(project: Project, branch: Branch) -> Literal["default", "root", "protected", "parent"] | None:
    if branch.default:
        return "default"
    if branch.parent_id is None:
        return "root"
    if branch.protected:
        return "protected"
    return "parent" if any(other.parent_id == branch.id for other in project.branches.values()) else None


def set_default(call: Call) -> Response:
    """Answer ``POST …/branches/{id}/set_as_default``."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    for other in project.branches.values():
        other.default = other is branch
    branch.updated_at = call.now
    call.world.touch(project, call.now)
    return _answered(project, branch, [])


def _answered(project: Project, branch: Branch, operations: list[Operation]) -> Response:
    return with_operations(project, {"branch": branch_document(project, branch)}, operations)


def count_branches(call: Call) -> Response:
    """Answer ``GET …/branches/count``."""
    project, search = call.world.project(call.path["project"]), call.request.query.get("search", "")
    return Response(200, {"count": sum(search in branch.name for branch in _present(project))})
