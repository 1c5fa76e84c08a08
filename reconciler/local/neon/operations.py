"""How operations run: one at a time in each project, each for its time, and until its command is carried out."""

from __future__ import annotations

from reconciler.local.neon.commands import (
    Command,
    Ensure,
    Login,
    Remove,
    RemoveRole,
    Store,
    database_name,
    role_name,
)
from reconciler.local.neon.metering import meter
from reconciler.local.neon.state import Branch, Operation, Project
from reconciler.local.neon.system import arise, next_alarm
from reconciler.local.neon.world import World, read_write

_RETRY_SECONDS = 1.0
_FAILURES = 2


def advance(world: World, now: float, issued: set[str]) -> list[Command]:
    """Let time pass: finish what is over, start what is next, and return the commands not yet issued."""
    commands: list[Command] = []
    more = True
    while more:
        for project_id in list(world.active):
            commands += _advance_project(world, world.projects[project_id], now, issued)
        for project in _begin_purge(world, now):
            commands += _advance_project(world, project, now, issued)
        more = arise(world, now)
    return commands


def next_due(world: World, issued: set[str]) -> float | None:
    """Say when ``advance`` will have something to do by time alone; None when never."""
    times = [deleted + world.options.recovery_seconds for deleted in _deletion_times(world)]
    for project_id in world.active:
        operation = world.projects[project_id].unfinished()[0]
        if operation.fate == "stick" and operation.status == "running":
            continue
        if operation.status == "failed":
            times.append(operation.retry_at or 0.0)
        elif operation.finish_by is not None and not _waits_for_command(world, operation):
            times.append(operation.finish_by)
        elif operation.id not in issued:
            times.append(operation.created_at)
    alarm = next_alarm(world)
    return min(times if alarm is None else [*times, alarm], default=None)


def complete(world: World, operation_id: str, now: float, error: str | None, issued: set[str]) -> None:
    """Note that an operation's command was carried out, or how it failed; a failed one is issued again."""
    issued.discard(operation_id)
    for project_id in world.active:
        for operation in world.projects[project_id].unfinished():
            if operation.id != operation_id:
                continue
            world.changed.add(project_id)
            operation.updated_at = now
            if error is None:
                operation.carried_out = True
            else:
                operation.status, operation.error = "failed", error
                operation.failures_count += 1
                operation.retry_at = now + _RETRY_SECONDS
            return


def release(world: World, now: float) -> None:
    """Let the operations that are stuck go on, and take their time from now."""
    for project_id in world.active:
        for operation in world.projects[project_id].unfinished():
            if operation.fate == "stick":
                operation.fate = "finish"
                operation.finish_by = now + operation.seconds if operation.status == "running" else None
                world.touch(world.projects[project_id])


def _deletion_times(world: World) -> list[float]:
    projects = (world.projects[project_id] for project_id in world.deleted)
    return [each.deleted_at for each in projects if each.deleted_at is not None and not each.purging]


def _begin_purge(world: World, now: float) -> list[Project]:
    """Start to remove the projects that can no longer be recovered."""
    begun = []
    for project_id in list(world.deleted):
        project = world.projects[project_id]
        if project.deleted_at is None or project.purging or project.id in world.active:
            continue
        over = project.deleted_at + world.options.recovery_seconds
        if now >= over:
            project.purging = True
            world.start(project, over, "delete_timeline")
            begun.append(project)
    return begun


def _waits_for_command(world: World, operation: Operation) -> bool:
    return world.options.physical and not operation.carried_out and not _is_doomed(operation)


def _is_doomed(operation: Operation) -> bool:
    """Whether its present attempt comes to nothing, so that its command is not for now, or never, to be carried out."""
    failing = operation.fate == "fail" and operation.failures_count < _FAILURES
    return failing or operation.fate in {"error", "cancel", "stick"}


def _advance_project(world: World, project: Project, now: float, issued: set[str]) -> list[Command]:
    moment = now
    while unfinished := project.unfinished():
        operation = unfinished[0]
        if operation.status == "failed" and (operation.retry_at or 0.0) <= now:
            moment = operation.retry_at or now
            operation.status, operation.retry_at, operation.error = "running", None, None
            world.changed.add(project.id)
        if operation.status == "failed":
            return []
        if operation.finish_by is None:
            operation.status, operation.updated_at = "running", moment
            operation.finish_by = moment + operation.seconds
            world.changed.add(project.id)
        if operation.fate == "stick":
            return []
        if _waits_for_command(world, operation):
            if operation.id in issued:
                return []
            issued.add(operation.id)
            return [command_of(project, operation)]
        if operation.finish_by > now:
            return []
        moment = max(operation.finish_by, operation.updated_at)
        meter(project, moment)
        _end(world, project, operation, moment)
    world.active.pop(project.id, None)
    world.restless.add(project.id)
    if project.purging:
        world.forget(project)
    return []


def _end(world: World, project: Project, operation: Operation, moment: float) -> None:
    """Do what an operation's fate wants when its time is over."""
    operation.updated_at = moment
    world.touch(project)
    match operation.fate:
        case "fail" if operation.failures_count < _FAILURES:
            operation.status, operation.error = "failed", "internal error, the operation will be tried again"
            operation.failures_count += 1
            operation.retry_at, operation.finish_by = moment + _RETRY_SECONDS, None
        case "error":
            operation.status, operation.error = "error", "internal error"
            _undo(project, operation)
        case "cancel" if operation.status == "running":
            operation.status, operation.finish_by = "cancelling", moment + operation.seconds
        case "cancel":
            operation.status = "cancelled"
            _undo(project, operation)
        case fate:
            operation.status = "skipped" if fate == "skip" else "finished"
            _take_effect(project, operation, moment)


def _undo(project: Project, operation: Operation) -> None:
    """Leave things as they are without the operation: a branch that was not deleted is there again."""
    branch = project.branches.get(operation.branch_id or "")
    if operation.action == "delete_timeline" and branch is not None:
        branch.deleting = False


def _take_effect(project: Project, operation: Operation, moment: float) -> None:
    branch = project.branches.get(operation.branch_id or "")
    endpoint = project.endpoints.get(operation.endpoint_id or "")
    if operation.action == "delete_timeline" and branch is not None and branch.deleting:
        del project.branches[branch.id]
    elif operation.action in {"create_timeline", "create_branch"} and branch is not None:
        branch.ready, branch.state_changed_at, branch.updated_at = True, moment, moment
    elif operation.action == "start_compute" and endpoint is not None:
        # What was skipped was not started, and what a quota suspends does not start.
        started = operation.status == "finished" and project.suspended is None
        endpoint.starting, endpoint.updated_at = False, moment
        endpoint.last_active = moment if started else endpoint.last_active
    elif operation.action == "suspend_compute" and endpoint is not None:
        endpoint.starting, endpoint.last_active, endpoint.updated_at = False, None, moment
    if operation.action == "apply_config" and branch is not None:
        for role in branch.roles.values():
            if role.next_password is not None:
                role.password, role.next_password, role.updated_at = role.next_password, None, moment


def command_of(project: Project, operation: Operation) -> Command:
    """Say what an operation means for the cluster, by what the project should now be."""
    branch = project.branches.get(operation.branch_id or "")
    if project.purging or branch is None:
        gone = list(project.branches.values()) if project.purging else []
        return _removal(operation, gone)
    if branch.deleting:
        return _removal(operation, [branch])
    if operation.dropped_role is not None:
        return RemoveRole(operation.id, role_name(branch.id, operation.dropped_role))
    if operation.dropped_database is not None:
        return Remove(operation.id, (database_name(branch.id, operation.dropped_database),), ())
    return _ensure(project, branch, operation)


def _removal(operation: Operation, branches: list[Branch]) -> Remove:
    return Remove(
        operation.id,
        tuple(database_name(branch.id, name) for branch in branches for name in branch.databases),
        tuple(role_name(branch.id, name) for branch in branches for name in branch.roles),
    )


def _ensure(project: Project, branch: Branch, operation: Operation) -> Ensure:
    parent = project.branches.get(branch.parent_id or "") if operation.action == "create_branch" else None
    stores = tuple(
        Store(
            database_name(branch.id, name),
            role_name(branch.id, database.owner_name),
            database_name(parent.id, name) if parent is not None and name in parent.databases else None,
        )
        for name, database in branch.databases.items()
    )
    handover = tuple(
        (role_name(parent.id, name), role_name(branch.id, name))
        for name in (branch.roles if parent is not None else ())
        if parent is not None and name in parent.roles
    )
    return Ensure(
        operation.id,
        tuple(
            Login(role_name(branch.id, name), role.next_password or role.password)
            for name, role in branch.roles.items()
        ),
        stores,
        _is_open(project, branch),
        parent is not None and _is_open(project, parent),
        handover,
    )


def _is_open(project: Project, branch: Branch) -> bool:
    endpoint = read_write(project, branch)
    reachable = project.deleted_at is None and project.suspended is None
    return reachable and endpoint is not None and not endpoint.disabled
