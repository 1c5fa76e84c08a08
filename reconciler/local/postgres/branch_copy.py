"""Which databases and roles of the shared cluster an operation copies, renames and removes."""

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
    """Say where the databases of ``target`` come from, which are those that ``source`` had at a point.

    What a role owns belongs to the role of the same name in the copy. A role that there is not yet at that point hands
    over to the database's owner, as a deleted one does.

    Args:
        source: what is copied.
        now_there: the databases that it has; by their ids, a renamed one is found.
        point: its roles and databases of then.
        target: what is made.
        place: where the source's databases are when they are copied, when that is not where they are now.
    """
    where = storage_key or source.storage_key
    names = {database.id: database.name for database in current_databases}
    found = {}
    for name, database in point.databases.items():
        if database.id not in names:
            continue
        owner = role_name(target.storage_key, target.databases[name].owner_name)
        pairs = [
            (role_name(where, role), role_name(target.storage_key, role) if role in target.roles else owner)
            for role in source.roles
        ]
        found[name] = DatabaseCopy(source=database_name(where, names[database.id]), ownership_map=pairs)
    return found


def check_databases_exist(source: Branch, point: BranchState, *, physical: bool) -> None:
    """Refuse a point at which there was a database that is gone: of that one there is nothing left to copy.

    Raises:
        Problem: 422. Only where there are real databases.
    """
    kept = {database.id for database in source.databases.values()}
    gone = [database.name for database in point.databases.values() if database.id not in kept]
    if physical and gone:
        raise unprocessable(f"local Neon keeps no data of a database that was deleted since: {', '.join(sorted(gone))}")


def renames(branch: BranchOrSnapshot, before: str, after: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Say how the databases and the roles of a branch are renamed when they move from one place to another."""
    databases = [(database_name(before, name), database_name(after, name)) for name in branch.databases]
    return databases, [(role_name(before, name), role_name(after, name)) for name in branch.roles]


def removal_payload(storage_key: str, holder: BranchOrSnapshot) -> OperationPayload:
    """Say what is removed with all that a branch or a snapshot holds, which is at ``place``."""
    return OperationPayload(
        removed_databases=[database_name(storage_key, name) for name in holder.databases],
        removed_roles=[role_name(storage_key, name) for name in holder.roles],
    )


def branches_and_snapshots(project: Project) -> list[BranchOrSnapshot]:
    """Return all that holds databases: branches and snapshots."""
    return [*project.branches.values(), *project.snapshots.values()]
