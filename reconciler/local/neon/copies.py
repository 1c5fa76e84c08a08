"""Which databases and roles of the shared cluster an operation copies, renames and removes."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.local.neon.commands import database_name, role_name
from reconciler.local.neon.problems import unprocessable
from reconciler.local.neon.state import Branch, Copy, Database, Project, Snapshot, Work
from reconciler.local.neon.timeline import Point

Holder = Branch | Snapshot


def copies(
    source: Holder, now_there: Iterable[Database], point: Point, target: Holder, *, place: str | None = None
) -> dict[str, Copy]:
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
    where = place or source.place
    names = {database.id: database.name for database in now_there}
    found = {}
    for name, database in point.databases.items():
        if database.id not in names:
            continue
        owner = role_name(target.place, target.databases[name].owner_name)
        pairs = [
            (role_name(where, role), role_name(target.place, role) if role in target.roles else owner)
            for role in source.roles
        ]
        found[name] = Copy(source=database_name(where, names[database.id]), handover=pairs)
    return found


def check_still_there(source: Branch, point: Point, *, physical: bool) -> None:
    """Refuse a point at which there was a database that is gone: of that one there is nothing left to copy.

    Raises:
        Problem: 422. Only where there are real databases.
    """
    kept = {database.id for database in source.databases.values()}
    gone = [database.name for database in point.databases.values() if database.id not in kept]
    if physical and gone:
        raise unprocessable(f"local Neon keeps no data of a database that was deleted since: {', '.join(sorted(gone))}")


def relocation(branch: Holder, before: str, after: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Say how the databases and the roles of a branch are renamed when they move from one place to another."""
    databases = [(database_name(before, name), database_name(after, name)) for name in branch.databases]
    return databases, [(role_name(before, name), role_name(after, name)) for name in branch.roles]


def removal(place: str, holder: Holder) -> Work:
    """Say what is removed with all that a branch or a snapshot holds, which is at ``place``."""
    return Work(
        removed_databases=[database_name(place, name) for name in holder.databases],
        removed_roles=[role_name(place, name) for name in holder.roles],
    )


def holders(project: Project) -> list[Holder]:
    """Return all that holds databases: branches and snapshots."""
    return [*project.branches.values(), *project.snapshots.values()]
