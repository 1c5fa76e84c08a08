"""What an operation means for the cluster, by what the project should now be."""

from __future__ import annotations

from reconciler.local.neon.commands import (
    Command,
    Ensure,
    Login,
    Remove,
    RemoveRole,
    Store,
    database_name,
    role_name,
)
from reconciler.local.neon.copies import Holder, holders
from reconciler.local.neon.state import Branch, Operation, Project, Work
from reconciler.local.neon.world import read_write


def command_of(project: Project, operation: Operation) -> Command:
    """Return the command of an operation."""
    work = operation.work or Work()
    if project.purging:
        return _removal(operation, holders(project))
    if work.removes:
        return Remove(operation.id, tuple(work.removed_databases), tuple(work.removed_roles))
    snapshot = project.snapshots.get(work.snapshot_id or "")
    if snapshot is not None:
        return _ensure(project, snapshot, operation, work)
    branch = project.branches.get(operation.branch_id or "")
    if branch is None:
        return _removal(operation, [])
    if branch.deleting:
        return _removal(operation, [branch])
    if operation.dropped_role is not None:
        return RemoveRole(operation.id, role_name(branch.place, operation.dropped_role))
    if operation.dropped_database is not None:
        return Remove(operation.id, (database_name(branch.place, operation.dropped_database),), ())
    return _ensure(project, branch, operation, work)


def _removal(operation: Operation, gone: list[Holder]) -> Remove:
    return Remove(
        operation.id,
        tuple(database_name(each.place, name) for each in gone for name in each.databases),
        tuple(role_name(each.place, name) for each in gone for name in each.roles),
    )


def _ensure(project: Project, holder: Holder, operation: Operation, work: Work) -> Ensure:
    source = project.branches.get(work.source_branch_id or "")
    return Ensure(
        operation.id,
        tuple(
            Login(role_name(holder.place, name), role.next_password or role.password, not role.no_login)
            for name, role in holder.roles.items()
        ),
        tuple(_store(holder, name, work) for name in holder.databases),
        open=isinstance(holder, Branch) and _is_open(project, holder),
        source_open=source is not None and _is_open(project, source),
        renamed_databases=tuple(work.databases),
        renamed_roles=tuple(work.roles),
        ends_sessions=work.ends_sessions,
    )


def _store(holder: Holder, name: str, work: Work) -> Store:
    copy = work.copies.get(name)
    store = Store(database_name(holder.place, name), role_name(holder.place, holder.databases[name].owner_name))
    if copy is None:
        return store
    return Store(store.name, store.owner, copy.source, tuple(copy.handover), work.schema_only)


def _is_open(project: Project, branch: Branch) -> bool:
    endpoint = read_write(project, branch)
    reachable = project.deleted_at is None and project.suspended is None
    return reachable and endpoint is not None and not endpoint.disabled
