"""Routes of roles."""

from __future__ import annotations

from reconciler.local.errors import (
    conflict,
    not_found,
    over_limit,
    passwords_not_stored,
    unprocessable,
)
from reconciler.local.operations.apply_config import apply_config
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.schemas.names import check_role_name
from reconciler.local.schemas.requests import RoleCreate, parse
from reconciler.local.schemas.responses import role_document
from reconciler.local.state.account_state import find_branch
from reconciler.local.state.history import record_history
from reconciler.local.state.models import (
    Branch,
    Json,
    OperationPayload,
    Role,
)


def list_roles(context: RequestContext) -> Response:
    """Handle ``GET …/roles``, without passwords."""
    branch = find_branch(context.account.project(context.path["project"]), context.path["branch"])
    return Response(200, {"roles": [role_document(branch, role) for role in branch.roles.values()]})


def read_role(context: RequestContext) -> Response:
    """Handle ``GET …/roles/{name}``, without its password."""
    branch = find_branch(context.account.project(context.path["project"]), context.path["branch"])
    return Response(200, {"role": role_document(branch, _find(branch, context))})


def reveal_password(context: RequestContext) -> Response:
    """Handle ``GET …/roles/{name}/reveal_password``: the current password, also during a reset."""
    project = context.account.project(context.path["project"])
    role = _find(find_branch(project, context.path["branch"]), context)
    if not project.store_passwords:
        raise passwords_not_stored()
    if role.no_login:
        raise not_found("password")
    return Response(200, {"password": role.password})


def create_role(context: RequestContext) -> Response:
    """Handle ``POST …/roles``. Connections to the branch's computes are dropped."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    request = parse(RoleCreate, context.request.body, "role")
    check_role_name(request.name)
    if request.name in branch.roles:
        raise conflict(f"role {request.name!r} already exists")
    if len(branch.roles) >= account.options.limits.roles:
        raise over_limit("roles limit exceeded", "ROLES_LIMIT_EXCEEDED")
    role = Role(
        name=request.name,
        password=account.password(),
        no_login=request.no_login is True,
        created_at=now,
        updated_at=now,
    )
    record_history(project, branch, now)
    branch.roles[role.name] = role
    operations = apply_config(account, project, branch, now, payload=OperationPayload(ends_sessions=True))
    return with_operations(project, _role_response(branch, role, role.password), operations, 201)


def delete_role(context: RequestContext) -> Response:
    """Handle ``DELETE …/roles/{name}``; 204 when it does not exist. A role that owns a database cannot be deleted."""
    project = context.account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    role = branch.roles.get(context.path["role"])
    if role is None:
        return Response(204)
    if any(database.owner_name == role.name for database in branch.databases.values()):
        raise unprocessable("role owns a database and cannot be deleted")
    record_history(project, branch, context.now)
    del branch.roles[role.name]
    operations = apply_config(context.account, project, branch, context.now, dropped_role=role.name)
    return with_operations(project, {"role": role_document(branch, role)}, operations)


def reset_password(context: RequestContext) -> Response:
    """Handle ``POST …/roles/{name}/reset_password``.

    The old password is valid until the last operation is finished, the new one from then on. Connections are dropped.
    """
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    role = _find(branch, context)
    if role.no_login:
        raise unprocessable("role cannot log in and has no password")
    password = account.password()
    branch.roles[role.name] = role.model_copy(update={"next_password": password})
    operations = apply_config(
        account, project, branch, now, payload=OperationPayload(ends_sessions=True, apply_at_end=True)
    )
    return with_operations(project, _role_response(branch, role, password), operations)


def _find(branch: Branch, context: RequestContext) -> Role:
    role = branch.roles.get(context.path["role"])
    if role is None:
        raise not_found("role")
    return role


def _role_response(branch: Branch, role: Role, password: str) -> Json:
    return {"role": role_document(branch, role, password=None if role.no_login else password)}
