"""The effects of an operation on its project."""

from __future__ import annotations

from reconciler.local.state.history import record_history
from reconciler.local.state.models import Operation, Project


def apply(project: Project, operation: Operation, moment: float) -> None:
    """Apply the effect of an operation that finished at ``moment``, in seconds since the epoch."""
    _apply_to_branch(project, operation, moment)
    _apply_to_endpoint(project, operation, moment)
    if operation.action == "apply_config":
        _apply_passwords(project, operation, moment)


def rollback(project: Project, operation: Operation) -> None:
    """Undo the effect of starting an operation that failed: a branch that was not deleted is present again."""
    branch = project.branches.get(operation.branch_id or "")
    if operation.action == "delete_timeline" and branch is not None:
        branch.deleting = False


def _apply_to_branch(project: Project, operation: Operation, moment: float) -> None:
    branch = project.branches.get(operation.branch_id or "")
    if branch is None:
        return
    if operation.action == "delete_timeline" and branch.deleting:
        del project.branches[branch.id]
    elif operation.action in {"create_timeline", "create_branch"} and (branch.resetting or not branch.ready):
        branch.ready, branch.resetting = True, False
        branch.state_changed_at = branch.updated_at = moment


def _apply_to_endpoint(project: Project, operation: Operation, moment: float) -> None:
    endpoint = project.endpoints.get(operation.endpoint_id or "")
    if endpoint is None:
        return
    if operation.action in {"start_compute", "apply_config", "suspend_compute"}:
        endpoint.starting, endpoint.updated_at = False, moment
        if operation.action == "suspend_compute" or endpoint.disabled:
            endpoint.last_active = None
        elif operation.starts_compute and operation.status == "finished" and project.suspended is None:
            # A skipped operation starts nothing, and a compute suspended by a quota does not start.
            endpoint.last_active = moment


def _apply_passwords(project: Project, operation: Operation, moment: float) -> None:
    branch = project.branches.get(operation.branch_id or "")
    reset = [] if branch is None else [role for role in branch.roles.values() if role.next_password is not None]
    if branch is None or not reset:
        return
    record_history(project, branch, moment)
    for role in reset:
        values = {"password": role.next_password, "next_password": None, "updated_at": moment}
        branch.roles[role.name] = role.model_copy(update=values)
