"""Routes of roles."""

from __future__ import annotations

from reconciler.local.neon.bodies import RoleCreate, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.documents import role_document
from reconciler.local.neon.messages import Response
from reconciler.local.neon.names import check_role_name
from reconciler.local.neon.problems import conflict, not_found, passwords_not_stored, unprocessable
from reconciler.local.neon.state import Branch, Project, Role
from reconciler.local.neon.world import find_branch, read_write


def list_roles(call: Call) -> Response:
    """Answer ``GET …/roles``, without passwords."""
    branch = find_branch(call.world.project(call.path["project"]), call.path["branch"])
    return Response(200, {"roles": [role_document(branch, role) for role in branch.roles.values()]})


def read_role(call: Call) -> Response:
    """Answer ``GET …/roles/{name}``, without its password."""
    branch = find_branch(call.world.project(call.path["project"]), call.path["branch"])
    return Response(200, {"role": role_document(branch, _find(branch, call))})


def reveal_password(call: Call) -> Response:
    """Answer ``GET …/roles/{name}/reveal_password``."""
    project = call.world.project(call.path["project"])
    role = _find(find_branch(project, call.path["branch"]), call)
    if not project.store_passwords:
        raise passwords_not_stored()
    return Response(200, {"password": role.password})


def create_role(call: Call) -> Response:
    """Answer ``POST …/roles``."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(RoleCreate, call.request.body, "role")
    check_role_name(asked.name)
    if asked.no_login:
        raise unprocessable("local Neon makes no roles without login")
    if asked.name in branch.roles:
        raise conflict(f"role {asked.name!r} already exists")
    role = Role(name=asked.name, password=call.world.password(), created_at=call.now, updated_at=call.now)
    branch.roles[role.name] = role
    return _applied(call, project, branch, role, password=role.password, status=201)


def delete_role(call: Call) -> Response:
    """Answer ``DELETE …/roles/{name}``; 204 when there is none. A role that owns a database stays."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    role = branch.roles.get(call.path["role"])
    if role is None:
        return Response(204)
    if any(database.owner_name == role.name for database in branch.databases.values()):
        raise unprocessable("role owns a database and cannot be deleted")
    del branch.roles[role.name]
    endpoint = read_write(project, branch)
    operation = call.world.start(project, call.now, "apply_config", branch, endpoint, dropped_role=role.name)
    return with_operations(project, {"role": role_document(branch, role)}, [operation])


def reset_password(call: Call) -> Response:
    """Answer ``POST …/roles/{name}/reset_password``; the old one works until the operation is finished."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    role = _find(branch, call)
    role.next_password = call.world.password()
    return _applied(call, project, branch, role, password=role.next_password, status=200)


def _find(branch: Branch, call: Call) -> Role:
    role = branch.roles.get(call.path["role"])
    if role is None:
        raise not_found("role")
    return role


def _applied(call: Call, project: Project, branch: Branch, role: Role, *, password: str, status: int) -> Response:
    operation = call.world.start(project, call.now, "apply_config", branch, read_write(project, branch))
    body = {"role": role_document(branch, role, password=password)}
    return with_operations(project, dict(body), [operation], status)
