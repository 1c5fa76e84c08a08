"""The route that puts a branch back to what it, or another branch, was at a time."""

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
    """Answer ``POST …/branches/{id}/restore``. The branch keeps its id, its computes and its connection strings.

    What it was is kept as another branch where ``preserve_under_name`` says so, and is gone otherwise.
    """
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    request = parse(BranchRestore, context.request.body, None)
    source = find_branch(project, request.source_branch_id)
    point = state_at(project, source, now, timestamp=request.source_timestamp, lsn=request.source_lsn)
    _check(project, branch, source, request)
    check_databases_exist(source, point, physical=account.options.physical)
    aside = _preserve_branch(account, project, branch, now)
    aside.name = request.preserve_under_name or aside.name
    aside.removable = source is branch
    if request.preserve_under_name:
        check_branch_limits(account, project, aside)
        project.branches[aside.id] = aside
        for child in project.branches.values():
            if child.parent_id == branch.id:
                child.parent_id = aside.id
    payload = _overwrite(account, project, branch, source, point, aside, now)
    operations = _operations(account, project, branch, payload, now)
    if not request.preserve_under_name:
        operations.append(account.start(project, now, "delete_timeline"))
        operations[-1].payload = removal_payload(aside.storage_key, aside)
    account.mark_dirty(project, now)
    return with_operations(project, {"branch": branch_document(project, branch)}, operations)


def _check(project: Project, branch: Branch, source: Branch, request: BranchRestore) -> None:
    refused = dict(restrictions(branch))
    if "restore" in refused:
        raise unprocessable(refused["restore"])
    if source is branch and request.source_timestamp is None and request.source_lsn is None:
        raise bad_request("source_timestamp or source_lsn is required to restore a branch from itself")
    children = any(other.parent_id == branch.id for other in present_branches(project))
    if request.preserve_under_name:
        check_name_is_free(project, request.preserve_under_name)
    elif source is branch or children:
        raise bad_request("preserve_under_name is required for a branch with children, or restored from itself")


def _preserve_branch(account: AccountState, project: Project, branch: Branch, now: float) -> Branch:
    """Return what a branch is now, as a branch of its own without computes."""
    fresh = account.new_id("br-", lambda taken: taken in project.branches)
    return branch.model_copy(
        update={
            "id": fresh,
            "home": None,
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
    aside: Branch,
    now: float,
) -> OperationPayload:
    """Make a branch what a source was at a point, and say what that means for the cluster."""
    databases, roles = renames(aside, branch.storage_key, aside.storage_key)
    itself = source is branch
    there = list(source.databases.values())
    branch.roles = _roles(branch, source, point)
    branch.databases = dict(point.databases) if itself else inherited_databases(account, point)
    branch.history, branch.history_since = [], now
    branch.resetting, branch.last_reset_at, branch.updated_at = True, now, now
    branch.state_changed_at = now
    if branch.parent_id is not None:
        _reparent(branch, source, aside, point, preserved=aside.id in project.branches)
    if branch.ttl_interval_seconds is not None:
        branch.expires_at = float(int(now) + branch.ttl_interval_seconds)
    return OperationPayload(
        source_branch_id=None if itself else source.id,
        database_copies=database_copies(aside if itself else source, there, point, branch),
        renamed_databases=databases,
        renamed_roles=roles,
    )


def _reparent(branch: Branch, source: Branch, aside: Branch, point: BranchState, *, preserved: bool) -> None:
    """Give a restored child its new parent: what it was, where that is kept, else what it was restored from."""
    branch.parent_id = aside.id if preserved else source.id
    branch.parent_timestamp = point.moment


def _roles(branch: Branch, source: Branch, point: BranchState) -> dict[str, Role]:
    """Return the roles of the point; from a protected source, those of the same name keep the branch's passwords."""
    if source is branch or not source.protected:
        return dict(point.roles)
    mine = branch.roles
    return {
        name: role.model_copy(update={"password": mine[name].password}) if name in mine else role
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
