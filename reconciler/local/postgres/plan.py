"""The Postgres command of an operation, derived from the desired state of its project."""

from __future__ import annotations

from reconciler.local.postgres.branch_copy import BranchOrSnapshot, branches_and_snapshots
from reconciler.local.postgres.commands import (
    Command,
    DatabaseSpec,
    EnsureDatabases,
    RemoveDatabases,
    RemoveRole,
    RoleSpec,
    database_name,
    role_name,
)
from reconciler.local.state.account_state import read_write
from reconciler.local.state.models import (
    Branch,
    Operation,
    OperationPayload,
    Project,
)


def plan_command(project: Project, operation: Operation) -> Command:
    """Return the command of an operation."""
    payload = operation.payload or OperationPayload()
    if project.purging:
        return _removal(operation, branches_and_snapshots(project))
    if payload.removes:
        return RemoveDatabases(operation.id, tuple(payload.removed_databases), tuple(payload.removed_roles))
    snapshot = project.snapshots.get(payload.snapshot_id or "")
    if snapshot is not None:
        return _ensure_databases(project, snapshot, operation, payload)
    branch = project.branches.get(operation.branch_id or "")
    if branch is None:
        return _removal(operation, [])
    if branch.deleting:
        return _removal(operation, [branch])
    if operation.dropped_role is not None:
        return RemoveRole(operation.id, role_name(branch.storage_key, operation.dropped_role))
    if operation.dropped_database is not None:
        return RemoveDatabases(operation.id, (database_name(branch.storage_key, operation.dropped_database),), ())
    return _ensure_databases(project, branch, operation, payload)


def _removal(operation: Operation, removed: list[BranchOrSnapshot]) -> RemoveDatabases:
    return RemoveDatabases(
        operation.id,
        tuple(database_name(source.storage_key, name) for source in removed for name in source.databases),
        tuple(role_name(source.storage_key, name) for source in removed for name in source.roles),
    )


def _ensure_databases(
    project: Project, target: BranchOrSnapshot, operation: Operation, payload: OperationPayload
) -> EnsureDatabases:
    source = project.branches.get(payload.source_branch_id or "")
    return EnsureDatabases(
        operation.id,
        tuple(
            RoleSpec(role_name(target.storage_key, name), role.next_password or role.password, not role.no_login)
            for name, role in target.roles.items()
        ),
        tuple(_database_spec(target, name, payload) for name in target.databases),
        open=isinstance(target, Branch) and _is_open(project, target),
        source_open=source is not None and _is_open(project, source),
        renamed_databases=tuple(payload.renamed_databases),
        renamed_roles=tuple(payload.renamed_roles),
        ends_sessions=payload.ends_sessions,
    )


def _database_spec(target: BranchOrSnapshot, name: str, payload: OperationPayload) -> DatabaseSpec:
    copy = payload.database_copies.get(name)
    spec = DatabaseSpec(
        database_name(target.storage_key, name), role_name(target.storage_key, target.databases[name].owner_name)
    )
    if copy is None:
        return spec
    return DatabaseSpec(spec.name, spec.owner, copy.source, tuple(copy.ownership_map), payload.schema_only)


def _is_open(project: Project, branch: Branch) -> bool:
    endpoint = read_write(project, branch)
    reachable = project.deleted_at is None and project.suspended is None
    return reachable and endpoint is not None and not endpoint.disabled
