"""The route that restores a branch from its own history, or from another branch."""

from __future__ import annotations

from reconciler.local.errors import bad_request, unprocessable
from reconciler.local.postgres.branch_copy import (
    check_databases_exist,
    database_copies,
    removal_payload,
    renames,
)
from reconciler.local.protocol import Response
from reconciler.local.routes.branches.rules import (
    check_branch_limits,
    check_name_is_free,
    inherited_databases,
    present_branches,
)
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.schemas.requests import BranchRestore, parse
from reconciler.local.schemas.responses import branch_document, restrictions
from reconciler.local.state.account_state import AccountState, endpoints_of, find_branch
from reconciler.local.state.history import BranchState, state_at
from reconciler.local.state.models import (
    Branch,
    Operation,
    OperationPayload,
    Project,
    Role,
)


def restore_branch(context: RequestContext) -> Response:
    """Handle ``POST …/branches/{id}/restore``. The branch keeps its id, its computes and its connection strings.

    ``preserve_under_name`` preserves the former branch under that name; otherwise it is deleted.
    """
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    request = parse(BranchRestore, context.request.body, None)
    source = find_branch(project, request.source_branch_id)
    point = state_at(project, source, now, timestamp=request.source_timestamp, lsn=request.source_lsn)
    _check(project, branch, source, request)
    check_databases_exist(source, point, physical=account.options.physical)
    former = _preserve_branch(account, project, branch, now)
    former.name = request.preserve_under_name or former.name
    former.removable = source is branch
    if request.preserve_under_name:
        check_branch_limits(account, project, former)
        project.branches[former.id] = former
        for child in project.branches.values():
            if child.parent_id == branch.id:
                child.parent_id = former.id
    payload = _overwrite(account, project, branch, source, point, former, now)
    operations = _operations(account, project, branch, payload, now)
    if not request.preserve_under_name:
        operations.append(account.start(project, now, "delete_timeline"))
        operations[-1].payload = removal_payload(former.storage_key, former)
    account.mark_dirty(project, now)
    return with_operations(project, {"branch": branch_document(project, branch)}, operations)


def _check(project: Project, branch: Branch, source: Branch, request: BranchRestore) -> None:
    restricted = dict(restrictions(branch))
    if "restore" in restricted:
        raise unprocessable(restricted["restore"])
    if source is branch and request.source_timestamp is None and request.source_lsn is None:
        raise bad_request("source_timestamp or source_lsn is required to restore a branch from itself")
    children = any(other.parent_id == branch.id for other in present_branches(project))
    if request.preserve_under_name:
        check_name_is_free(project, request.preserve_under_name)
    elif source is branch or children:
        raise bad_request("preserve_under_name is required for a branch with children, or restored from itself")


def _preserve_branch(account: AccountState, project: Project, branch: Branch, now: float) -> Branch:
    """Return the current state of a branch as a new branch without computes."""
    fresh = account.new_id("br-", lambda taken: taken in project.branches)
    return branch.model_copy(
        update={
            "id": fresh,
            "storage_override": None,
            "default": False,
            "protected": False,
            "expires_at": None,
            "ttl_interval_seconds": None,
            "annotation": {},
            "history_since": branch.created_at if branch.history_since is None else branch.history_since,
            "created_at": now,
            "updated_at": now,
        }
    )


def _overwrite(
    account: AccountState,
    project: Project,
    branch: Branch,
    source: Branch,
    point: BranchState,
    former: Branch,
    now: float,
) -> OperationPayload:
    """Set a branch to the state of its source at a point in time, and return the payload for the cluster."""
    databases, roles = renames(former, branch.storage_key, former.storage_key)
    from_own_history = source is branch
    there = list(source.databases.values())
    branch.roles = _roles(branch, source, point)
    branch.databases = dict(point.databases) if from_own_history else inherited_databases(account, point)
    branch.history, branch.history_since = [], now
    branch.resetting, branch.last_reset_at, branch.updated_at = True, now, now
    branch.state_changed_at = now
    if branch.parent_id is not None:
        _reparent(branch, source, former, point, is_preserved=former.id in project.branches)
    if branch.ttl_interval_seconds is not None:
        branch.expires_at = float(int(now) + branch.ttl_interval_seconds)
    return OperationPayload(
        source_branch_id=None if from_own_history else source.id,
        database_copies=database_copies(former if from_own_history else source, there, point, branch),
        renamed_databases=databases,
        renamed_roles=roles,
    )


def _reparent(branch: Branch, source: Branch, former: Branch, point: BranchState, *, is_preserved: bool) -> None:
    """Set the new parent of a restored child: its former self where that is preserved, else its source."""
    branch.parent_id = former.id if is_preserved else source.id
    branch.parent_timestamp = point.moment


def _roles(branch: Branch, source: Branch, point: BranchState) -> dict[str, Role]:
    """Return the restored roles; from a protected source, roles of the same name keep the branch's passwords."""
    if source is branch or not source.protected:
        return dict(point.roles)
    current_roles = branch.roles
    return {
        name: role.model_copy(update={"password": current_roles[name].password}) if name in current_roles else role
        for name, role in point.roles.items()
    }


def _operations(
    account: AccountState, project: Project, branch: Branch, payload: OperationPayload, now: float
) -> list[Operation]:
    """Stop the computes, copy, and start them again."""
    computes = [endpoint for endpoint in endpoints_of(project, branch) if not endpoint.disabled]
    operations = [
        account.start(project, now, "suspend_compute", branch, endpoint, carried_out=True) for endpoint in computes
    ]
    copied = account.start(project, now, "create_branch", branch)
    copied.payload = payload
    started = [
        account.start(project, now, "start_compute", branch, endpoint, carried_out=True) for endpoint in computes
    ]
    return [*operations, copied, *started]
