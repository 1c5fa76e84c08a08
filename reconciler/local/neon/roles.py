"""Routes of roles."""

from __future__ import annotations

from reconciler.local.neon.bodies import RoleCreate, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.configuring import configure
from reconciler.local.neon.documents import role_document
from reconciler.local.neon.messages import Response
from reconciler.local.neon.names import check_role_name
from reconciler.local.neon.problems import conflict, not_found, over_limit, passwords_not_stored, unprocessable
from reconciler.local.neon.state import Branch, Json, Role, Work
from reconciler.local.neon.timeline import remember
from reconciler.local.neon.world import find_branch


def list_roles(call: Call) -> Response:
    """Answer ``GET …/roles``, without passwords."""
    branch = find_branch(call.world.project(call.path["project"]), call.path["branch"])
    return Response(200, {"roles": [role_document(branch, role) for role in branch.roles.values()]})


def read_role(call: Call) -> Response:
    """Answer ``GET …/roles/{name}``, without its password."""
    branch = find_branch(call.world.project(call.path["project"]), call.path["branch"])
    return Response(200, {"role": role_document(branch, _find(branch, call))})


def reveal_password(call: Call) -> Response:
    """Answer ``GET …/roles/{name}/reveal_password``: the password that works, also while a reset is under way."""
    project = call.world.project(call.path["project"])
    role = _find(find_branch(project, call.path["branch"]), call)
    if not project.store_passwords:
        raise passwords_not_stored()
    if role.no_login:
        raise not_found("password")
    return Response(200, {"password": role.password})


def create_role(call: Call) -> Response:
    """Answer ``POST …/roles``. Connections to the branch's computes are dropped."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(RoleCreate, call.request.body, "role")
    check_role_name(asked.name)
    if asked.name in branch.roles:
        raise conflict(f"role {asked.name!r} already exists")
    if len(branch.roles) >= world.options.limits.roles:
        raise over_limit("roles limit exceeded", "ROLES_LIMIT_EXCEEDED")
    role = Role(
        name=asked.name, password=world.password(), no_login=asked.no_login is True, created_at=now, updated_at=now
    )
    remember(project, branch, now)
    branch.roles[role.name] = role
    operations = configure(world, project, branch, now, work=Work(ends_sessions=True))
    return with_operations(project, _shown(branch, role, role.password), operations, 201)


def delete_role(call: Call) -> Response:
    """Answer ``DELETE …/roles/{name}``; 204 when there is none. A role that owns a database stays."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    role = branch.roles.get(call.path["role"])
    if role is None:
        return Response(204)
    if any(database.owner_name == role.name for database in branch.databases.values()):
        raise unprocessable("role owns a database and cannot be deleted")
    remember(project, branch, call.now)
    del branch.roles[role.name]
    operations = configure(call.world, project, branch, call.now, dropped_role=role.name)
    return with_operations(project, {"role": role_document(branch, role)}, operations)


def reset_password(call: Call) -> Response:
    """Answer ``POST …/roles/{name}/reset_password``.

    The old one works until the last operation is finished, and the new one from then on. Connections are dropped.
    """
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    role = _find(branch, call)
    if role.no_login:
        raise unprocessable("role cannot log in and has no password")
    password = world.password()
    branch.roles[role.name] = role.model_copy(update={"next_password": password})
    operations = configure(world, project, branch, now, work=Work(ends_sessions=True, late=True))
    return with_operations(project, _shown(branch, role, password), operations)


def _find(branch: Branch, call: Call) -> Role:
    role = branch.roles.get(call.path["role"])
    if role is None:
        raise not_found("role")
    return role


def _shown(branch: Branch, role: Role, password: str) -> Json:
    return {"role": role_document(branch, role, password=None if role.no_login else password)}
