"""What is deleted by itself when its time comes: branches and snapshots with an ``expires_at``."""

from __future__ import annotations

from reconciler.local.neon.copies import removal
from reconciler.local.neon.problems import bad_request, unprocessable
from reconciler.local.neon.state import Branch, Operation, Project
from reconciler.local.neon.timeline import seconds
from reconciler.local.neon.world import World, endpoints_of

_LONGEST_SECONDS = 30 * 86400


def read_expiry(text: str, now: float) -> float:
    """Read when something expires (Neon documentation, Branch expiration).

    Raises:
        Problem: 400 for a wrong form, 422 for what is not within the next 30 days.
    """
    moment = float(int(seconds(text, "expires_at")))
    if not now < moment <= now + _LONGEST_SECONDS:
        raise unprocessable("expires_at must be in the future, and at most 30 days away")
    return moment


def read_snapshot_expiry(text: str | None, now: float) -> float | None:
    """Read when a snapshot expires; None is never.

    Raises:
        Problem: 400 for what is no time in the future.
    """
    if text is None:
        return None
    moment = seconds(text, "expires_at")
    if moment <= now:
        raise bad_request("expires_at must be in the future")
    return moment


def begin_expiry(world: World, now: float) -> list[Project]:
    """Start to delete what is due, one thing a project at a time, where nothing else is running."""
    begun = []
    for project_id in list(world.expiring):
        project = world.projects.get(project_id)
        if project is None or not _times(project):
            world.expiring.pop(project_id)
        elif project.deleted_at is None and project.id not in world.active and min(_times(project)) <= now:
            _delete_first(world, project)
            begun.append(project)
    return begun


def expiry_times(world: World) -> list[float]:
    """Say when something expires, in the projects on which nothing is running."""
    projects = [world.projects[each] for each in world.expiring if each in world.projects and each not in world.active]
    return [min(times) for each in projects if each.deleted_at is None and (times := _times(each))]


def _times(project: Project) -> list[float]:
    branches = [each.expires_at for each in project.branches.values() if not each.deleting]
    snapshots = [each.expires_at for each in project.snapshots.values()]
    return [moment for moment in branches + snapshots if moment is not None]


def _delete_first(world: World, project: Project) -> None:
    due = min(_times(project))
    for branch in project.branches.values():
        if branch.expires_at == due and not branch.deleting:
            remove_branch(world, project, branch, due)
            return
    for snapshot in project.snapshots.values():
        if snapshot.expires_at == due:
            remove_snapshot(world, project, snapshot.id, due)
            return


def remove_branch(world: World, project: Project, branch: Branch, now: float) -> list[Operation]:
    """Delete a branch and its computes, and return the operations."""
    branch.deleting, branch.updated_at = True, now
    for endpoint in endpoints_of(project, branch):
        del project.endpoints[endpoint.id]
    return [
        world.start(project, now, "suspend_compute", branch, carried_out=True),
        world.start(project, now, "delete_timeline", branch),
    ]


def remove_snapshot(world: World, project: Project, snapshot_id: str, now: float) -> list[Operation]:
    """Delete a snapshot, and return the operation."""
    snapshot = project.snapshots.pop(snapshot_id)
    operation = world.start(project, now, "delete_timeline")
    operation.work = removal(snapshot.place, snapshot)
    return [operation]
