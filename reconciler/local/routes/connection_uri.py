"""The route of connection URIs."""

from __future__ import annotations

from reconciler.local.errors import not_found, passwords_not_stored
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext
from reconciler.local.schemas.responses import connection_uri
from reconciler.local.state.account_state import find_branch, find_endpoint, read_write
from reconciler.local.state.models import Branch, Endpoint, Project

# A real replica rejects writes. Here the server is the same, so the sessions start read-only.
_READ_ONLY = "&options=-c%20default_transaction_read_only%3Don"


def read_connection_uri(context: RequestContext) -> Response:
    """Handle ``GET /projects/{id}/connection_uri``, with the API names of role and database."""
    project = context.account.project(context.path["project"])
    database, role_name = context.required("database_name"), context.required("role_name")
    branch, endpoint = _where(context, project)
    if database not in branch.databases:
        raise not_found("database")
    role = branch.roles.get(role_name)
    if role is None:
        raise not_found("role")
    pooled = context.flag("pooled")
    if not project.store_passwords:
        raise passwords_not_stored()
    if role.no_login:
        raise not_found("password")
    uri = connection_uri(context.account, branch, database, role, pooled=pooled)
    return Response(200, {"uri": uri if endpoint.type == "read_write" else uri + _READ_ONLY})


def _where(context: RequestContext, project: Project) -> tuple[Branch, Endpoint]:
    """Return the branch and its compute: the one in the query, else the branch's read-write compute."""
    branch_id, endpoint_id = context.request.query.get("branch_id"), context.request.query.get("endpoint_id")
    if endpoint_id is None:
        branch = project.default_branch if branch_id is None else find_branch(project, branch_id)
        endpoint = read_write(project, branch)
        if endpoint is None:
            raise not_found("endpoint")
        return branch, endpoint
    endpoint = find_endpoint(project, endpoint_id)
    branch = find_branch(project, endpoint.branch_id if branch_id is None else branch_id)
    if endpoint.branch_id != branch.id:
        raise not_found("endpoint")
    return branch, endpoint
