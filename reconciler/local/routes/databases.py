"""Routes of databases."""

from __future__ import annotations

from reconciler.local.errors import conflict, not_found, over_limit
from reconciler.local.operations.apply_config import apply_config
from reconciler.local.postgres.commands import database_name
from reconciler.local.protocol import Response
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.schemas.names import check_database_name
from reconciler.local.schemas.requests import DatabaseCreate, DatabaseUpdate, parse
from reconciler.local.schemas.responses import database_document
from reconciler.local.state.account_state import find_branch
from reconciler.local.state.history import record_history
from reconciler.local.state.models import (
    Branch,
    Database,
    Operation,
    OperationPayload,
    Project,
)


def list_databases(context: RequestContext) -> Response:
    """Handle ``GET …/databases``."""
    branch = find_branch(context.account.project(context.path["project"]), context.path["branch"])
    listed = [database_document(branch, database) for database in branch.databases.values()]
    return Response(200, {"databases": listed})


def read_database(context: RequestContext) -> Response:
    """Handle ``GET …/databases/{name}``."""
    branch = find_branch(context.account.project(context.path["project"]), context.path["branch"])
    return Response(200, {"database": database_document(branch, _find(branch, context))})


def create_database(context: RequestContext) -> Response:
    """Handle ``POST …/databases``."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    request = parse(DatabaseCreate, context.request.body, "database")
    _check_name(branch, request.name)
    _check_owner(branch, request.owner_name)
    if len(branch.databases) >= account.options.limits.databases:
        raise over_limit("databases limit exceeded", "DATABASES_LIMIT_EXCEEDED")
    database = Database(
        id=account.database_id(), name=request.name, owner_name=request.owner_name, created_at=now, updated_at=now
    )
    record_history(project, branch, now)
    branch.databases[database.name] = database
    return _database_response(project, branch, database, apply_config(account, project, branch, now), 201)


def update_database(context: RequestContext) -> Response:
    """Handle ``PATCH …/databases/{name}``, which changes its owner or its name."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    database = _find(branch, context)
    request = parse(DatabaseUpdate, context.request.body, "database")
    payload = None
    name, owner = request.name or database.name, request.owner_name or database.owner_name
    if name != database.name:
        _check_name(branch, name)
        payload = OperationPayload(
            renamed_databases=[
                (database_name(branch.storage_key, database.name), database_name(branch.storage_key, name))
            ]
        )
    _check_owner(branch, owner)
    changed = database.model_copy(update={"name": name, "owner_name": owner, "updated_at": now})
    record_history(project, branch, now)
    branch.databases = {new.name: new for new in (changed if old is database else old for old in _all(branch))}
    return _database_response(project, branch, changed, apply_config(account, project, branch, now, payload=payload))


def delete_database(context: RequestContext) -> Response:
    """Handle ``DELETE …/databases/{name}``; 204 when it does not exist. Its connections are ended."""
    project = context.account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    database = branch.databases.get(context.path["database"])
    if database is None:
        return Response(204)
    record_history(project, branch, context.now)
    del branch.databases[database.name]
    operations = apply_config(context.account, project, branch, context.now, dropped_database=database.name)
    return _database_response(project, branch, database, operations)


def _all(branch: Branch) -> list[Database]:
    return list(branch.databases.values())


def _find(branch: Branch, context: RequestContext) -> Database:
    database = branch.databases.get(context.path["database"])
    if database is None:
        raise not_found("database")
    return database


def _check_name(branch: Branch, name: str) -> None:
    check_database_name(name)
    if name in branch.databases:
        raise conflict(f"database {name!r} already exists")


def _check_owner(branch: Branch, name: str) -> None:
    if name not in branch.roles:
        raise not_found("role")


def _database_response(
    project: Project, branch: Branch, database: Database, operations: list[Operation], status: int = 200
) -> Response:
    return with_operations(project, {"database": database_document(branch, database)}, operations, status)
