"""Routes of snapshots: take, list, rename, delete, restore."""

from __future__ import annotations

from reconciler.local.neon.bodies import FinalizeRestore, SnapshotRestore, SnapshotUpdate, parse
from reconciler.local.neon.branching import (
    check_name_is_free,
    check_room,
    inherited_databases,
    present_branches,
)
from reconciler.local.neon.call import Call, with_operations
from reconciler.local.neon.copies import check_still_there, copies, relocation
from reconciler.local.neon.documents import branch_document, endpoint_document, snapshot_document
from reconciler.local.neon.expiry import read_snapshot_expiry, remove_snapshot
from reconciler.local.neon.messages import Response
from reconciler.local.neon.problems import bad_request, not_found, over_limit, unprocessable
from reconciler.local.neon.state import Branch, Operation, Project, Snapshot, Work
from reconciler.local.neon.timeline import Point, point_in
from reconciler.local.neon.world import World, endpoints_of, find_branch

_OLD = " (old)"


def list_snapshots(call: Call) -> Response:
    """Answer ``GET …/snapshots``."""
    project = call.world.project(call.path["project"])
    return Response(200, {"snapshots": [snapshot_document(project, each) for each in project.snapshots.values()]})


def create_snapshot(call: Call) -> Response:
    """Answer ``POST …/branches/{id}/snapshot``; what is asked for is in the query."""
    world, now, query = call.world, call.now, call.request.query
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    if call.request.body not in (None, {}):
        raise bad_request("a snapshot is described in the query, not in a body")
    point = point_in(project, branch, now, timestamp=query.get("timestamp"), lsn=query.get("lsn"))
    expires_at = read_snapshot_expiry(query.get("expires_at"), now)
    if branch.parent_id is not None:
        raise unprocessable("snapshots can be created from root branches only")
    if len(project.snapshots) >= world.options.limits.snapshots:
        raise over_limit("snapshots limit exceeded", "")
    check_still_there(branch, point, physical=world.options.physical)
    snapshot_id = world.new_id("snap-", lambda taken: taken in project.snapshots)
    snapshot = Snapshot(
        id=snapshot_id,
        name=query.get("name") or snapshot_id,
        source_branch_id=branch.id,
        taken_at=point.moment,
        expires_at=expires_at,
        roles=dict(point.roles),
        databases=inherited_databases(world, point),
        created_at=now,
    )
    project.snapshots[snapshot.id] = snapshot
    if expires_at is not None:
        world.expiring[project.id] = None
    operation = world.start(project, now, "create_timeline", branch)
    operation.work = Work(
        snapshot_id=snapshot.id,
        source_branch_id=branch.id,
        copies=copies(branch, branch.databases.values(), point, snapshot),
    )
    return with_operations(project, {"snapshot": snapshot_document(project, snapshot)}, [operation])


def update_snapshot(call: Call) -> Response:
    """Answer ``PATCH …/snapshots/{id}``."""
    project = call.world.free_project(call.path["project"])
    snapshot = _find(project, call)
    asked = parse(SnapshotUpdate, call.request.body, "snapshot")
    snapshot.name = asked.name or snapshot.name
    call.world.touch(project, call.now)
    return Response(200, {"snapshot": snapshot_document(project, snapshot)})


def delete_snapshot(call: Call) -> Response:
    """Answer ``DELETE …/snapshots/{id}``. Branches that were restored from it stay."""
    project = call.world.free_project(call.path["project"])
    snapshot = _find(project, call)
    return with_operations(project, {}, remove_snapshot(call.world, project, snapshot.id, call.now), 202)


def restore_snapshot(call: Call) -> Response:
    """Answer ``POST …/snapshots/{id}/restore``: a new branch, which takes the place of another one if asked to."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    snapshot = _find(project, call)
    asked = parse(SnapshotRestore, call.request.body, None)
    target_id = asked.target_branch_id or snapshot.source_branch_id
    target = find_branch(project, target_id) if asked.finalize_restore or asked.target_branch_id else None
    branch = _restored(world, project, snapshot, target_id, now)
    name = asked.name or call.request.query.get("name")
    if name is not None:
        check_name_is_free(project, name)
        branch.name = name
    check_room(world, project, branch)
    project.branches[branch.id] = branch
    work = Work()
    operations: list[Operation] = []
    if asked.finalize_restore and target is not None:
        work = _replace(world, project, branch, target, None, now)
        operations = _stopped(world, project, branch, now)
    work.copies = copies(snapshot, snapshot.databases.values(), Point(now, snapshot.roles, snapshot.databases), branch)
    operations.append(world.start(project, now, "create_branch", branch))
    operations[-1].work = work
    operations += _started(world, project, branch, now)
    body = {
        "branch": branch_document(project, branch),
        "endpoints": [endpoint_document(world, project, each, now) for each in endpoints_of(project, branch)],
    }
    return with_operations(project, dict(body), operations)


def finalize_restore(call: Call) -> Response:
    """Answer ``POST …/branches/{id}/finalize_restore``: the restored branch takes its target's place."""
    world, now = call.world, call.now
    project = world.free_project(call.path["project"])
    branch = find_branch(project, call.path["branch"])
    asked = parse(FinalizeRestore, call.request.body, None)
    if branch.restore_status != "restored":
        raise unprocessable("the branch is not one that was restored from a snapshot and not finalized")
    target = find_branch(project, branch.restored_as or "")
    if asked.name is not None:
        check_name_is_free(project, asked.name)
    before = branch.place
    own = endpoints_of(project, branch)
    if own:
        raise unprocessable("the restored branch has computes of its own; delete them first")
    work = _replace(world, project, branch, target, asked.name, now)
    databases, roles = relocation(branch, before, branch.place)
    work.databases += databases
    work.roles += roles
    branch.resetting, branch.state_changed_at = True, now
    operations = _stopped(world, project, branch, now)
    operations.append(world.start(project, now, "create_branch", branch))
    operations[-1].work = work
    operations += _started(world, project, branch, now)
    world.touch(project, now)
    return with_operations(project, {}, operations)


def _find(project: Project, call: Call) -> Snapshot:
    snapshot = project.snapshots.get(call.path["snapshot"])
    if snapshot is None:
        raise not_found("snapshot")
    return snapshot


def _restored(world: World, project: Project, snapshot: Snapshot, target_id: str, now: float) -> Branch:
    branch_id = world.new_id("br-", lambda taken: taken in project.branches)
    point = Point(now, snapshot.roles, snapshot.databases)
    return Branch(
        id=branch_id,
        name=branch_id,
        removable=True,
        roles=dict(point.roles),
        databases=inherited_databases(world, point),
        restore_status="restored",
        restored_from=snapshot.id,
        restored_as=target_id,
        state_changed_at=now,
        created_at=now,
        updated_at=now,
    )


def _replace(world: World, project: Project, branch: Branch, target: Branch, old_name: str | None, now: float) -> Work:
    """Put a restored branch where its target is: name, computes, protection, and what connection strings name."""
    name, before = target.name, target.place
    aside = world.new_id("aside-", lambda _: False)
    databases, roles = relocation(target, before, aside)
    target.name = old_name or _name_for_old(project, target)
    branch.name = name
    branch.default, target.default = target.default, False
    branch.protected, target.protected = target.protected, False
    branch.expires_at, target.expires_at = target.expires_at, None
    branch.ttl_interval_seconds, target.ttl_interval_seconds = target.ttl_interval_seconds, None
    branch.home, target.home = before, aside
    branch.restore_status, target.removable = "finalized", True
    for endpoint in endpoints_of(project, target):
        endpoint.branch_id, endpoint.updated_at = branch.id, now
    branch.updated_at = target.updated_at = now
    return Work(databases=databases, roles=roles)


def _name_for_old(project: Project, target: Branch) -> str:
    taken = {branch.name for branch in present_branches(project)}
    name, count = target.name + _OLD, 1
    while name in taken:
        count += 1
        name = f"{target.name} (old {count})"
    return name


def _stopped(world: World, project: Project, branch: Branch, now: float) -> list[Operation]:
    computes = endpoints_of(project, branch)
    return [world.start(project, now, "suspend_compute", branch, each, carried_out=True) for each in computes]


def _started(world: World, project: Project, branch: Branch, now: float) -> list[Operation]:
    computes = [each for each in endpoints_of(project, branch) if not each.disabled]
    return [world.start(project, now, "start_compute", branch, each, carried_out=True) for each in computes]
