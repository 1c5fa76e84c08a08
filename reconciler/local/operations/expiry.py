"""Automatic deletion of branches and snapshots with an ``expires_at``."""

from __future__ import annotations

from reconciler.local.errors import bad_request, unprocessable
from reconciler.local.postgres.branch_copy import removal_payload
from reconciler.local.state.account_state import AccountState, endpoints_of
from reconciler.local.state.history import parse_timestamp
from reconciler.local.state.models import Branch, Operation, Project

_MAX_SECONDS = 30 * 86400


def read_expiry(text: str, now: float) -> float:
    """Parse the ``expires_at`` of a branch (Neon documentation, Branch expiration).

    Raises:
        ApiError: 400 for a malformed time, 422 for one that is not within the next 30 days.
    """
    moment = float(int(parse_timestamp(text, "expires_at")))
    if not now < moment <= now + _MAX_SECONDS:
        raise unprocessable("expires_at must be in the future, and at most 30 days away")
    return moment


def read_snapshot_expiry(text: str | None, now: float) -> float | None:
    """Parse the ``expires_at`` of a snapshot; None is never.

    Raises:
        ApiError: 400 for a malformed time, or one that is not in the future.
    """
    if text is None:
        return None
    moment = parse_timestamp(text, "expires_at")
    if moment <= now:
        raise bad_request("expires_at must be in the future")
    return moment


def begin_expiry(account: AccountState, now: float) -> list[Project]:
    """Start the due deletions, one at a time in each project, where no operation is running."""
    started_projects = []
    for project_id in list(account.expiring):
        project = account.projects.get(project_id)
        if project is None or not _times(project):
            account.expiring.pop(project_id)
        elif project.deleted_at is None and project.id not in account.active and min(_times(project)) <= now:
            _delete_first(account, project)
            started_projects.append(project)
    return started_projects


def expiry_times(account: AccountState) -> list[float]:
    """Return the next expiry of each project on which no operation is running."""
    projects = [
        account.projects[project_id]
        for project_id in account.expiring
        if project_id in account.projects and project_id not in account.active
    ]
    return [min(times) for project in projects if project.deleted_at is None and (times := _times(project))]


def _times(project: Project) -> list[float]:
    branches = [branch.expires_at for branch in project.branches.values() if not branch.deleting]
    snapshots = [snapshot.expires_at for snapshot in project.snapshots.values()]
    return [moment for moment in branches + snapshots if moment is not None]


def _delete_first(account: AccountState, project: Project) -> None:
    due = min(_times(project))
    for branch in project.branches.values():
        if branch.expires_at == due and not branch.deleting:
            remove_branch(account, project, branch, due)
            return
    for snapshot in project.snapshots.values():
        if snapshot.expires_at == due:
            remove_snapshot(account, project, snapshot.id, due)
            return


def remove_branch(account: AccountState, project: Project, branch: Branch, now: float) -> list[Operation]:
    """Delete a branch and its computes, and return the operations."""
    branch.deleting, branch.updated_at = True, now
    for endpoint in endpoints_of(project, branch):
        del project.endpoints[endpoint.id]
    return [
        account.start(project, now, "suspend_compute", branch, carried_out=True),
        account.start(project, now, "delete_timeline", branch),
    ]


def remove_snapshot(account: AccountState, project: Project, snapshot_id: str, now: float) -> list[Operation]:
    """Delete a snapshot, and return the operation."""
    snapshot = project.snapshots.pop(snapshot_id)
    operation = account.start(project, now, "delete_timeline")
    operation.payload = removal_payload(snapshot.storage_key, snapshot)
    return [operation]
