"""The route that puts a branch back to what it, or another branch, was at a time."""

from __future__ import annotations

from reconciler.local.neon.bodies import BranchRestore, parse
from reconciler.local.neon.branching import (
    check_name_is_free,
    check_room,
    inherited_databases,
    present_branches,
)
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.copies import check_still_there, copies, relocation, removal
from reconciler.local.neon.documents import branch_document, restrictions
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import bad_request, unprocessable
from reconciler.local.neon.state import Branch, Operation, Project, Role, Work
from reconciler.local.neon.timeline import Point, point_in
from reconciler.local.neon.world import World, endpoints_of, find_branch


def restore_branch(call: Call) -> Response:
    """Answer ``POST …/branches/{id}/restore``. The branch keeps its id, its computes and its connection strings.

    What it was is kept as another branch where ``preserve_under_name`` says so, and is gone otherwise.
    """
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(BranchRestore, call.request.body, None)
    source = find_branch(project, asked.source_branch_id)
    point = point_in(project, source, now, timestamp=asked.source_timestamp, lsn=asked.source_lsn)
    _check(project, branch, source, asked)
    check_still_there(source, point, physical=world.options.physical)
    aside = _set_aside(world, project, branch, now)
    aside.name = asked.preserve_under_name or aside.name
    aside.removable = source is branch
    if asked.preserve_under_name:
        check_room(world, project, aside)
        project.branches[aside.id] = aside
        for child in project.branches.values():
            if child.parent_id == branch.id:
                child.parent_id = aside.id
    work = _overwrite(world, project, branch, source, point, aside, now)
    operations = _operations(world, project, branch, work, now)
    if not asked.preserve_under_name:
        operations.append(world.start(project, now, "delete_timeline"))
        operations[-1].work = removal(aside.place, aside)
    world.touch(project, now)
    return with_operations(project, {"branch": branch_document(project, branch)}, operations)


def _check(project: Project, branch: Branch, source: Branch, asked: BranchRestore) -> None:
    refused = dict(restrictions(branch))
    if "restore" in refused:
        raise unprocessable(refused["restore"])
    if source is branch and asked.source_timestamp is None and asked.source_lsn is None:
        raise bad_request("source_timestamp or source_lsn is required to restore a branch from itself")
    children = any(other.parent_id == branch.id for other in present_branches(project))
    if asked.preserve_under_name:
        check_name_is_free(project, asked.preserve_under_name)
    elif source is branch or children:
        raise bad_request("preserve_under_name is required for a branch with children, or restored from itself")


def _set_aside(world: World, project: Project, branch: Branch, now: float) -> Branch:
    """Return what a branch is now, as a branch of its own without computes."""
    fresh = world.new_id("br-", lambda taken: taken in project.branches)
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
    world: World, project: Project, branch: Branch, source: Branch, point: Point, aside: Branch, now: float
) -> Work:
    """Make a branch what a source was at a point, and say what that means for the cluster."""
    databases, roles = relocation(aside, branch.place, aside.place)
    itself = source is branch
    there = list(source.databases.values())
    branch.roles = _roles(branch, source, point)
    branch.databases = dict(point.databases) if itself else inherited_databases(world, point)
    branch.past, branch.history_since = [], now
    branch.resetting, branch.last_reset_at, branch.updated_at = True, now, now
    branch.state_changed_at = now
    if branch.parent_id is not None:
        _hang(branch, source, aside, point, kept=aside.id in project.branches)
    if branch.ttl_interval_seconds is not None:
        branch.expires_at = float(int(now) + branch.ttl_interval_seconds)
    return Work(
        source_branch_id=None if itself else source.id,
        copies=copies(aside if itself else source, there, point, branch),
        databases=databases,
        roles=roles,
    )


def _hang(branch: Branch, source: Branch, aside: Branch, point: Point, *, kept: bool) -> None:
    """Give a restored child its new parent: what it was, where that is kept, else what it was restored from."""
    branch.parent_id = aside.id if kept else source.id
    branch.parent_timestamp = point.moment


def _roles(branch: Branch, source: Branch, point: Point) -> dict[str, Role]:
    """Return the roles of the point; from a protected source, those of the same name keep the branch's passwords."""
    if source is branch or not source.protected:
        return dict(point.roles)
    mine = branch.roles
    return {
        name: role.model_copy(update={"password": mine[name].password}) if name in mine else role
        for name, role in point.roles.items()
    }


def _operations(world: World, project: Project, branch: Branch, work: Work, now: float) -> list[Operation]:
    """Stop the computes, copy, and start them again."""
    computes = [endpoint for endpoint in endpoints_of(project, branch) if not endpoint.disabled]
    operations = [
        world.start(project, now, "suspend_compute", branch, endpoint, carried_out=True) for endpoint in computes
    ]
    copied = world.start(project, now, "create_branch", branch)
    copied.work = work
    started = [world.start(project, now, "start_compute", branch, endpoint, carried_out=True) for endpoint in computes]
    return [*operations, copied, *started]
