"""Routes of one branch: read, change, delete, make the default."""

from __future__ import annotations

from typing import Literal

from reconciler.local.neon.bodies import BranchUpdate, parse
from reconciler.local.neon.branching import check_name_is_free, check_protection
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.documents import annotation_document, branch_document
from reconciler.local.neon.expiry import read_expiry, remove_branch
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import unprocessable
from reconciler.local.neon.state import Branch, Operation, Project
from reconciler.local.neon.world import find_branch


def read_branch(call: Call) -> Response:
    """Answer ``GET …/branches/{id}``."""
    project = call.world.project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    return Response(200, {"branch": branch_document(project, branch), "annotation": annotation_document(branch)})


def update_branch(call: Call) -> Response:
    """Answer ``PATCH …/branches/{id}``; a null ``expires_at`` clears it."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(BranchUpdate, call.request.body, "branch")
    if asked.name is not None:
        check_name_is_free(project, asked.name, but=branch)
    changed = branch.model_copy(update={"name": asked.name or branch.name})
    if asked.protected is not None:
        changed.protected = asked.protected
    if "expires_at" in asked.model_fields_set:
        changed.expires_at = None if asked.expires_at is None else read_expiry(asked.expires_at, now)
        changed.ttl_interval_seconds = None if changed.expires_at is None else int(changed.expires_at - now)
    _check_expiry(project, changed)
    if (changed.protected and not branch.protected) or asked.expires_at is not None:
        check_protection(world, project, changed)
    changed.updated_at = now
    project.branches[branch.id] = changed
    if changed.expires_at is not None:
        world.expiring[project.id] = None
    world.touch(project, now)
    return _answered(project, changed, [])


def _check_expiry(project: Project, branch: Branch) -> None:
    if branch.expires_at is None:
        return
    if branch.default:
        raise unprocessable("the default branch cannot expire")
    if _has_children(project, branch):
        raise unprocessable("a branch that has children cannot expire")


def delete_branch(call: Call) -> Response:
    """Answer ``DELETE …/branches/{id}``; 204 when there is none."""
    project = call.world.free_project(call.path["project"])
    call.flag("hard_delete")
    branch = project.branches.get(call.path["branch"])
    if branch is None or branch.deleting:
        return Response(204)
    reason = _undeletable(project, branch)
    if reason is not None:
        raise unprocessable(f"{reason} branch cannot be deleted")
    return _answered(project, branch, remove_branch(call.world, project, branch, call.now))


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


def set_default(call: Call) -> Response:
    """Answer ``POST …/branches/{id}/set_as_default``."""
    project = call.world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    if branch.expires_at is not None:
        raise unprocessable("a branch that expires cannot be the default branch")
    for other in project.branches.values():
        other.default = other is branch
    branch.updated_at = call.now
    call.world.touch(project, call.now)
    return _answered(project, branch, [])


def _answered(project: Project, branch: Branch, operations: list[Operation]) -> Response:
    return with_operations(project, {"branch": branch_document(project, branch)}, operations)
