"""Routes of databases."""

from __future__ import annotations

from reconciler.local.neon.bodies import DatabaseCreate, DatabaseUpdate, parse
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.commands import database_name
from reconciler.local.neon.configuring import configure
from reconciler.local.neon.documents import database_document
from reconciler.local.neon.messages import Response
from reconciler.local.neon.names import check_database_name
from reconciler.local.neon.problems import conflict, not_found, over_limit
from reconciler.local.neon.state import Branch, Database, Operation, Project, Work
from reconciler.local.neon.timeline import remember
from reconciler.local.neon.world import find_branch


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
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(DatabaseCreate, call.request.body, "database")
    _check_name(branch, asked.name)
    _check_owner(branch, asked.owner_name)
    if len(branch.databases) >= world.options.limits.databases:
        raise over_limit("databases limit exceeded", "DATABASES_LIMIT_EXCEEDED")
    database = Database(
        id=world.database_id(), name=asked.name, owner_name=asked.owner_name, created_at=now, updated_at=now
    )
    remember(project, branch, now)
    branch.databases[database.name] = database
    return _answered(project, branch, database, configure(world, project, branch, now), 201)


def update_database(call: Call) -> Response:
    """Answer ``PATCH …/databases/{name}``, which gives it another owner or another name."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    database = _find(branch, call)
    asked = parse(DatabaseUpdate, call.request.body, "database")
    work = None
    name, owner = asked.name or database.name, asked.owner_name or database.owner_name
    if name != database.name:
        _check_name(branch, name)
        work = Work(databases=[(database_name(branch.place, database.name), database_name(branch.place, name))])
    _check_owner(branch, owner)
    changed = database.model_copy(update={"name": name, "owner_name": owner, "updated_at": now})
    remember(project, branch, now)
    branch.databases = {each.name: each for each in (changed if old is database else old for old in _all(branch))}
    return _answered(project, branch, changed, configure(world, project, branch, now, work=work))


def delete_database(call: Call) -> Response:
    """Answer ``DELETE …/databases/{name}``; 204 when there is none. Its connections are ended."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    database = branch.databases.get(call.path["database"])
    if database is None:
        return Response(204)
    remember(project, branch, call.now)
    del branch.databases[database.name]
    operations = configure(call.world, project, branch, call.now, dropped_database=database.name)
    return _answered(project, branch, database, operations)


def _all(branch: Branch) -> list[Database]:
    return list(branch.databases.values())


def _find(branch: Branch, call: Call) -> Database:
    database = branch.databases.get(call.path["database"])
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


def _answered(
    project: Project, branch: Branch, database: Database, operations: list[Operation], status: int = 200
) -> Response:
    return with_operations(project, {"database": database_document(branch, database)}, operations, status)
