"""Routes of snapshots: take, list, rename, delete, restore."""

from __future__ import annotations

from reconciler.local.errors import (
    bad_request,
    not_found,
    over_limit,
    unprocessable,
)
from reconciler.local.operations.expiry import read_snapshot_expiry, remove_snapshot
from reconciler.local.postgres.branch_copy import check_databases_exist, database_copies, renames
from reconciler.local.protocol import Response
from reconciler.local.routes.branches.rules import (
    check_branch_limits,
    check_name_is_free,
    inherited_databases,
    present_branches,
)
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.schemas.requests import (
    FinalizeRestore,
    SnapshotRestore,
    SnapshotUpdate,
    parse,
)
from reconciler.local.schemas.responses import branch_document, endpoint_document, snapshot_document
from reconciler.local.state.account_state import AccountState, endpoints_of, find_branch
from reconciler.local.state.history import BranchState, state_at
from reconciler.local.state.models import (
    Branch,
    Operation,
    OperationPayload,
    Project,
    Snapshot,
)

_OLD = " (old)"


def list_snapshots(context: RequestContext) -> Response:
    """Handle ``GET …/snapshots``."""
    project = context.account.project(context.path["project"])
    return Response(
        200, {"snapshots": [snapshot_document(project, snapshot) for snapshot in project.snapshots.values()]}
    )


def create_snapshot(context: RequestContext) -> Response:
    """Handle ``POST …/branches/{id}/snapshot``; the parameters are in the query."""
    account, now, query = context.account, context.now, context.request.query
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    if context.request.body not in (None, {}):
        raise bad_request("a snapshot is described in the query, not in a body")
    point = state_at(project, branch, now, timestamp=query.get("timestamp"), lsn=query.get("lsn"))
    expires_at = read_snapshot_expiry(query.get("expires_at"), now)
    if branch.parent_id is not None:
        raise unprocessable("snapshots can be created from root branches only")
    if len(project.snapshots) >= account.options.limits.snapshots:
        raise over_limit("snapshots limit exceeded", "")
    check_databases_exist(branch, point, physical=account.options.physical)
    snapshot_id = account.new_id("snap-", lambda taken: taken in project.snapshots)
    snapshot = Snapshot(
        id=snapshot_id,
        name=query.get("name") or snapshot_id,
        source_branch_id=branch.id,
        taken_at=point.moment,
        expires_at=expires_at,
        roles=dict(point.roles),
        databases=inherited_databases(account, point),
        created_at=now,
    )
    project.snapshots[snapshot.id] = snapshot
    if expires_at is not None:
        account.expiring[project.id] = None
    operation = account.start(project, now, "create_timeline", branch)
    operation.payload = OperationPayload(
        snapshot_id=snapshot.id,
        source_branch_id=branch.id,
        database_copies=database_copies(branch, branch.databases.values(), point, snapshot),
    )
    return with_operations(project, {"snapshot": snapshot_document(project, snapshot)}, [operation])


def update_snapshot(context: RequestContext) -> Response:
    """Handle ``PATCH …/snapshots/{id}``."""
    project = context.account.free_project(context.path["project"])
    snapshot = _find(project, context)
    request = parse(SnapshotUpdate, context.request.body, "snapshot")
    snapshot.name = request.name or snapshot.name
    context.account.mark_dirty(project, context.now)
    return Response(200, {"snapshot": snapshot_document(project, snapshot)})


def delete_snapshot(context: RequestContext) -> Response:
    """Handle ``DELETE …/snapshots/{id}``. Branches that were restored from it stay."""
    project = context.account.free_project(context.path["project"])
    snapshot = _find(project, context)
    return with_operations(project, {}, remove_snapshot(context.account, project, snapshot.id, context.now), 202)


def restore_snapshot(context: RequestContext) -> Response:
    """Handle ``POST …/snapshots/{id}/restore``: a new branch, which replaces another one on request."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    snapshot = _find(project, context)
    request = parse(SnapshotRestore, context.request.body, None)
    target_id = request.target_branch_id or snapshot.source_branch_id
    target = find_branch(project, target_id) if request.finalize_restore or request.target_branch_id else None
    branch = _restored(account, project, snapshot, target_id, now)
    name = request.name or context.request.query.get("name")
    if name is not None:
        check_name_is_free(project, name)
        branch.name = name
    check_branch_limits(account, project, branch)
    project.branches[branch.id] = branch
    payload = OperationPayload()
    operations: list[Operation] = []
    if request.finalize_restore and target is not None:
        payload = _replace(account, project, branch, target, None, now)
        operations = _stopped(account, project, branch, now)
    payload.database_copies = database_copies(
        snapshot, snapshot.databases.values(), BranchState(now, snapshot.roles, snapshot.databases), branch
    )
    operations.append(account.start(project, now, "create_branch", branch))
    operations[-1].payload = payload
    operations += _started(account, project, branch, now)
    body = {
        "branch": branch_document(project, branch),
        "endpoints": [endpoint_document(account, project, endpoint, now) for endpoint in endpoints_of(project, branch)],
    }
    return with_operations(project, dict(body), operations)


def finalize_restore(context: RequestContext) -> Response:
    """Handle ``POST …/branches/{id}/finalize_restore``: the restored branch replaces its target."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    request = parse(FinalizeRestore, context.request.body, None)
    if branch.restore_status != "restored":
        raise unprocessable("the branch is not one that was restored from a snapshot and not finalized")
    target = find_branch(project, branch.restored_as or "")
    if request.name is not None:
        check_name_is_free(project, request.name)
    before = branch.storage_key
    own = endpoints_of(project, branch)
    if own:
        raise unprocessable("the restored branch has computes of its own; delete them first")
    payload = _replace(account, project, branch, target, request.name, now)
    databases, roles = renames(branch, before, branch.storage_key)
    payload.renamed_databases += databases
    payload.renamed_roles += roles
    branch.resetting, branch.state_changed_at = True, now
    operations = _stopped(account, project, branch, now)
    operations.append(account.start(project, now, "create_branch", branch))
    operations[-1].payload = payload
    operations += _started(account, project, branch, now)
    account.mark_dirty(project, now)
    return with_operations(project, {}, operations)


def _find(project: Project, context: RequestContext) -> Snapshot:
    snapshot = project.snapshots.get(context.path["snapshot"])
    if snapshot is None:
        raise not_found("snapshot")
    return snapshot


def _restored(account: AccountState, project: Project, snapshot: Snapshot, target_id: str, now: float) -> Branch:
    branch_id = account.new_id("br-", lambda taken: taken in project.branches)
    point = BranchState(now, snapshot.roles, snapshot.databases)
    return Branch(
        id=branch_id,
        name=branch_id,
        removable=True,
        roles=dict(point.roles),
        databases=inherited_databases(account, point),
        restore_status="restored",
        restored_from=snapshot.id,
        restored_as=target_id,
        state_changed_at=now,
        created_at=now,
        updated_at=now,
    )


def _replace(
    account: AccountState, project: Project, branch: Branch, target: Branch, old_name: str | None, now: float
) -> OperationPayload:
    """Replace a branch by a restored one, which takes over its name, computes, protection and connection strings."""
    name, before = target.name, target.storage_key
    old_key = account.new_id("aside-", lambda _: False)
    databases, roles = renames(target, before, old_key)
    target.name = old_name or _name_for_old(project, target)
    branch.name = name
    branch.default, target.default = target.default, False
    branch.protected, target.protected = target.protected, False
    branch.expires_at, target.expires_at = target.expires_at, None
    branch.ttl_interval_seconds, target.ttl_interval_seconds = target.ttl_interval_seconds, None
    branch.storage_override, target.storage_override = before, old_key
    branch.restore_status, target.removable = "finalized", True
    for endpoint in endpoints_of(project, target):
        endpoint.branch_id, endpoint.updated_at = branch.id, now
    branch.updated_at = target.updated_at = now
    return OperationPayload(renamed_databases=databases, renamed_roles=roles)


def _name_for_old(project: Project, target: Branch) -> str:
    taken = {branch.name for branch in present_branches(project)}
    name, count = target.name + _OLD, 1
    while name in taken:
        count += 1
        name = f"{target.name} (old {count})"
    return name


def _stopped(account: AccountState, project: Project, branch: Branch, now: float) -> list[Operation]:
    computes = endpoints_of(project, branch)
    return [account.start(project, now, "suspend_compute", branch, compute, carried_out=True) for compute in computes]


def _started(account: AccountState, project: Project, branch: Branch, now: float) -> list[Operation]:
    computes = [endpoint for endpoint in endpoints_of(project, branch) if not endpoint.disabled]
    return [account.start(project, now, "start_compute", branch, compute, carried_out=True) for compute in computes]
