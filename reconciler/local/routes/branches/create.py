"""The route that creates a branch."""

from __future__ import annotations

from reconciler.local.errors import (
    bad_request,
    conflict,
    unprocessable,
)
from reconciler.local.operations.expiry import read_expiry
from reconciler.local.postgres.branch_copy import check_databases_exist, database_copies
from reconciler.local.protocol import Response
from reconciler.local.routes.branches.rules import (
    check_branch_limits,
    check_name_is_free,
    check_protection,
    inherited_databases,
    inherited_roles,
)
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.routes.endpoints import check_active, new_endpoint, size_of
from reconciler.local.schemas.requests import BranchCreate, BranchFields, parse
from reconciler.local.schemas.responses import (
    branch_document,
    connection_details,
    database_document,
    endpoint_document,
    role_document,
)
from reconciler.local.state.account_state import (
    endpoints_of,
    find_branch,
    read_write,
)
from reconciler.local.state.history import state_at
from reconciler.local.state.models import (
    Branch,
    Json,
    OperationPayload,
    Project,
)


def create_branch(context: RequestContext) -> Response:
    """Handle ``POST …/branches``: a copy of another branch, now or at an earlier time, with the same roles."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    request = parse(BranchCreate, context.request.body, None)
    fields = request.branch or BranchFields()
    parent = project.default_branch if fields.parent_id is None else find_branch(project, fields.parent_id)
    branch, payload = _new_branch(context, project, parent, fields)
    branch.annotation = request.annotation_value or {}
    kinds = [endpoint.type for endpoint in request.endpoints or []]
    if kinds.count("read_write") > 1:
        raise conflict("read_write endpoint already exists on the branch")
    for endpoint in request.endpoints or []:
        size_of(endpoint, project.default_endpoint_settings)
    check_active(account, project, branch, now, added=len(kinds))
    project.branches[branch.id] = branch
    if branch.expires_at is not None:
        account.expiring[project.id] = None
    operations = [account.start(project, now, "create_branch", branch)]
    operations[0].payload = payload
    for endpoint in request.endpoints or []:
        compute = new_endpoint(account, project, branch, endpoint.type, endpoint, now)
        operations.append(account.start(project, now, "start_compute", branch, compute, carried_out=True))
    body: Json = {
        "branch": branch_document(project, branch),
        "endpoints": [endpoint_document(account, project, endpoint, now) for endpoint in endpoints_of(project, branch)],
        "roles": [role_document(branch, role) for role in branch.roles.values()],
        "databases": [database_document(branch, database) for database in branch.databases.values()],
    }
    if read_write(project, branch) is not None and project.store_passwords:
        owned = [database for database in branch.databases.values() if not branch.roles[database.owner_name].no_login]
        body["connection_uris"] = [connection_details(account, branch, database) for database in owned]
    return with_operations(project, body, operations, 201)


def _new_branch(
    context: RequestContext, project: Project, parent: Branch, fields: BranchFields
) -> tuple[Branch, OperationPayload]:
    account, now = context.account, context.now
    _check(project, parent, fields)
    point = state_at(project, parent, now, timestamp=fields.parent_timestamp, lsn=fields.parent_lsn)
    check_databases_exist(parent, point, physical=account.options.physical)
    schema_only = fields.init_source == "schema-only"
    branch_id = account.new_id("br-", lambda taken: taken in project.branches)
    branch = Branch(
        id=branch_id,
        name=branch_id if fields.name is None else fields.name,
        parent_id=None if schema_only else parent.id,
        parent_timestamp=None if schema_only else point.moment,
        init_source=fields.init_source or "parent-data",
        protected=fields.protected is True,
        expires_at=None if fields.expires_at is None else read_expiry(fields.expires_at, now),
        roles=inherited_roles(account, parent, point),
        databases=inherited_databases(account, point),
        state_changed_at=now,
        created_at=now,
        updated_at=now,
    )
    if branch.expires_at is not None:
        branch.ttl_interval_seconds = int(branch.expires_at - now)
    check_branch_limits(account, project, branch)
    check_protection(account, project, branch)
    sources = database_copies(parent, parent.databases.values(), point, branch)
    return branch, OperationPayload(source_branch_id=parent.id, database_copies=sources, schema_only=schema_only)


def _check(project: Project, parent: Branch, fields: BranchFields) -> None:
    if fields.init_source not in {None, "parent-data", "schema-only"}:
        raise bad_request("init_source must be parent-data or schema-only")
    if fields.archived:
        raise unprocessable("a new branch cannot be archived")
    if parent.expires_at is not None and fields.init_source != "schema-only":
        raise unprocessable("a branch that expires cannot have children")
    if fields.name is not None:
        check_name_is_free(project, fields.name)
