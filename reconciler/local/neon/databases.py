"""Routes of databases."""

from __future__ import annotations

from reconciler.local.neon.bodies import DatabaseCreate, DatabaseUpdate, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.documents import database_document
from reconciler.local.neon.messages import Response
from reconciler.local.neon.names import check_database_name
from reconciler.local.neon.problems import conflict, not_found, unprocessable
from reconciler.local.neon.state import Branch, Database, Operation, Project
from reconciler.local.neon.world import find_branch, read_write


def list_databases(call: Call) -> Response:
    """Answer ``GET …/databases``."""
    branch = find_branch(call.world.project(call.path["project"]), call.path["branch"])
    listed = [database_document(branch, database) for database in branch.databases.values()]
    return Response(200, {"databases": listed})


def read_database(call: Call) -> Response:
    """Answer ``GET …/databases/{name}``."""
    branch = find_branch(call.world.project(call.path["project"]), call.path["branch"])
    return Response(200, {"database": database_document(branch, _find(branch, call))})


def create_database(call: Call) -> Response:
    """Answer ``POST …/databases``."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(DatabaseCreate, call.request.body, "database")
    check_database_name(asked.name)
    if asked.name in branch.databases:
        raise conflict(f"database {asked.name!r} already exists")
    _check_owner(branch, asked.owner_name)
    database = Database(
        id=call.world.database_id(),
        name=asked.name,
        owner_name=asked.owner_name,
        created_at=call.now,
        updated_at=call.now,
    )
    branch.databases[database.name] = database
    return _answered(project, branch, database, _applied(call, project, branch), 201)


def update_database(call: Call) -> Response:
    """Answer ``PATCH …/databases/{name}``, which gives it another owner."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    database = _find(branch, call)
    asked = parse(DatabaseUpdate, call.request.body, "database")
    if asked.name not in {None, database.name}:
        raise unprocessable("local Neon does not rename databases")
    if asked.owner_name is not None:
        _check_owner(branch, asked.owner_name)
        database.owner_name = asked.owner_name
    database.updated_at = call.now
    return _answered(project, branch, database, _applied(call, project, branch))


def delete_database(call: Call) -> Response:
    """Answer ``DELETE …/databases/{name}``; 204 when there is none."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    database = branch.databases.pop(call.path["database"], None)
    if database is None:
        return Response(204)
    operation = call.world.start(
        project, call.now, "apply_config", branch, read_write(project, branch), dropped_database=database.name
    )
    return _answered(project, branch, database, operation)


def _find(branch: Branch, call: Call) -> Database:
    database = branch.databases.get(call.path["database"])
    if database is None:
        raise not_found("database")
    return database


def _check_owner(branch: Branch, name: str) -> None:
    if name not in branch.roles:
        raise not_found("role")


def _applied(call: Call, project: Project, branch: Branch) -> Operation:
    return call.world.start(project, call.now, "apply_config", branch, read_write(project, branch))


def _answered(
    project: Project, branch: Branch, database: Database, operation: Operation, status: int = 200
) -> Response:
    return with_operations(project, {"database": database_document(branch, database)}, [operation], status)
