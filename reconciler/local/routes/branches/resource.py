"""Routes of one branch: read, change, delete, make the default."""

from __future__ import annotations

from typing import Literal

from reconciler.local.errors import unprocessable
from reconciler.local.operations.expiry import read_expiry, remove_branch
from reconciler.local.protocol import Response
from reconciler.local.routes.branches.rules import check_name_is_free, check_protection
from reconciler.local.routes.context import RequestContext, with_operations
from reconciler.local.schemas.requests import BranchUpdate, parse
from reconciler.local.schemas.responses import annotation_document, branch_document
from reconciler.local.state.account_state import find_branch
from reconciler.local.state.models import Branch, Operation, Project


def read_branch(context: RequestContext) -> Response:
    """Handle ``GET …/branches/{id}``."""
    project = context.account.project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    return Response(200, {"branch": branch_document(project, branch), "annotation": annotation_document(branch)})


def update_branch(context: RequestContext) -> Response:
    """Handle ``PATCH …/branches/{id}``; a null ``expires_at`` clears it."""
    account, now = context.account, context.now
    project = account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    request = parse(BranchUpdate, context.request.body, "branch")
    if request.name is not None:
        check_name_is_free(project, request.name, but=branch)
    changed = branch.model_copy(update={"name": request.name or branch.name})
    if request.protected is not None:
        changed.protected = request.protected
    if "expires_at" in request.model_fields_set:
        changed.expires_at = None if request.expires_at is None else read_expiry(request.expires_at, now)
        changed.ttl_interval_seconds = None if changed.expires_at is None else int(changed.expires_at - now)
    _check_expiry(project, changed)
    if (changed.protected and not branch.protected) or request.expires_at is not None:
        check_protection(account, project, changed)
    changed.updated_at = now
    project.branches[branch.id] = changed
    if changed.expires_at is not None:
        account.expiring[project.id] = None
    account.mark_dirty(project, now)
    return _branch_response(project, changed, [])


def _check_expiry(project: Project, branch: Branch) -> None:
    if branch.expires_at is None:
        return
    if branch.default:
        raise unprocessable("the default branch cannot expire")
    if _has_children(project, branch):
        raise unprocessable("a branch that has children cannot expire")


def delete_branch(context: RequestContext) -> Response:
    """Handle ``DELETE …/branches/{id}``; 204 when it does not exist."""
    project = context.account.free_project(context.path["project"])
    context.flag("hard_delete")
    branch = project.branches.get(context.path["branch"])
    if branch is None or branch.deleting:
        return Response(204)
    reason = _undeletable(project, branch)
    if reason is not None:
        raise unprocessable(f"{reason} branch cannot be deleted")
    return _branch_response(project, branch, remove_branch(context.account, project, branch, context.now))


def _undeletable(project: Project, branch: Branch) -> Literal["default", "root", "protected", "parent"] | None:
    if branch.default:
        return "default"
    if branch.parent_id is None and not branch.removable:
        return "root"
    if branch.protected:
        return "protected"
    return "parent" if _has_children(project, branch) else None


def _has_children(project: Project, branch: Branch) -> bool:
    return any(other.parent_id == branch.id for other in project.branches.values())


def set_default(context: RequestContext) -> Response:
    """Handle ``POST …/branches/{id}/set_as_default``."""
    project = context.account.free_project(context.path["project"])
    branch = find_branch(project, context.path["branch"])
    if branch.expires_at is not None:
        raise unprocessable("a branch that expires cannot be the default branch")
    for other in project.branches.values():
        other.default = other is branch
    branch.updated_at = context.now
    context.account.mark_dirty(project, context.now)
    return _branch_response(project, branch, [])


def _branch_response(project: Project, branch: Branch, operations: list[Operation]) -> Response:
    return with_operations(project, {"branch": branch_document(project, branch)}, operations)
