"""The databases and roles of the shared cluster that an operation copies, renames and removes."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.local.errors import unprocessable
from reconciler.local.postgres.commands import database_name, role_name
from reconciler.local.state.history import BranchState
from reconciler.local.state.models import (
    Branch,
    Database,
    DatabaseCopy,
    OperationPayload,
    Project,
    Snapshot,
)

BranchOrSnapshot = Branch | Snapshot


def database_copies(
    source: BranchOrSnapshot,
    current_databases: Iterable[Database],
    point: BranchState,
    target: BranchOrSnapshot,
    *,
    storage_key: str | None = None,
) -> dict[str, DatabaseCopy]:
    """Return the source of each database of ``target``, which has the databases of ``source`` at a point in time.

    The objects of a role belong to the role of the same name in the copy. A role that does not exist at that point
    gives its objects to the database's owner, as a deleted role does.

    Args:
        source: the branch or snapshot that is copied.
        current_databases: its databases now; a database is matched by id, since it may have been renamed.
        point: its roles and databases at that time.
        target: the copy.
        storage_key: the storage key of the source's databases when they are copied; by default the current one.
    """
    source_key = storage_key or source.storage_key
    names = {database.id: database.name for database in current_databases}
    copies = {}
    for name, database in point.databases.items():
        if database.id not in names:
            continue
        owner = role_name(target.storage_key, target.databases[name].owner_name)
        pairs = [
            (role_name(source_key, role), role_name(target.storage_key, role) if role in target.roles else owner)
            for role in source.roles
        ]
        copies[name] = DatabaseCopy(source=database_name(source_key, names[database.id]), ownership_map=pairs)
    return copies


def check_databases_exist(source: Branch, point: BranchState, *, physical: bool) -> None:
    """Reject a point at which the source had a database that was deleted since: its data no longer exists.

    Raises:
        ApiError: 422, only where databases are real.
    """
    existing = {database.id for database in source.databases.values()}
    deleted = [database.name for database in point.databases.values() if database.id not in existing]
    if physical and deleted:
        raise unprocessable(f"local Neon has no data of databases deleted since: {', '.join(sorted(deleted))}")


def renames(branch: BranchOrSnapshot, before: str, after: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Return the renames of the databases and of the roles of a branch, from one storage key to another."""
    databases = [(database_name(before, name), database_name(after, name)) for name in branch.databases]
    return databases, [(role_name(before, name), role_name(after, name)) for name in branch.roles]


def removal_payload(storage_key: str, owner: BranchOrSnapshot) -> OperationPayload:
    """Return the payload that removes all databases and roles of a branch or a snapshot, stored under a key."""
    return OperationPayload(
        removed_databases=[database_name(storage_key, name) for name in owner.databases],
        removed_roles=[role_name(storage_key, name) for name in owner.roles],
    )


def branches_and_snapshots(project: Project) -> list[BranchOrSnapshot]:
    """Return all branches and snapshots of a project."""
    return [*project.branches.values(), *project.snapshots.values()]
