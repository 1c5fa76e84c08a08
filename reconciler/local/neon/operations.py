"""How operations run: one at a time in each project, each for its time, and until its command is carried out."""

from __future__ import annotations

from reconciler.local.neon.commands import Command
from reconciler.local.neon.expiry import begin_expiry, expiry_times
from reconciler.local.neon.metering import meter
from reconciler.local.neon.outcomes import settle, undo
from reconciler.local.neon.physical import command_of
from reconciler.local.neon.state import Operation, Project
from reconciler.local.neon.system import arise, next_alarm
from reconciler.local.neon.world import World

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
        while begun := begin_expiry(world, now):
            for project in begun:
                commands += _advance_project(world, project, now, issued)
        more = arise(world, now)
    return commands


def next_due(world: World, issued: set[str]) -> float | None:
    """Say when ``advance`` will have something to do by time alone; None when never."""
    times = [deleted + world.options.recovery_seconds for deleted in _deletion_times(world)]
    times += expiry_times(world)
    for project_id in world.active:
        operation = world.projects[project_id].unfinished()[0]
        if operation.fate == "stick" and operation.status == "running":
            continue
        if operation.status == "failed":
            times.append(operation.retry_at or 0.0)
        elif operation.finish_by is not None and not _waits_for_command(world, operation):
            times.append(operation.finish_by)
        elif operation.id not in issued:
            times.append(_issued_from(operation))
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
    """Whether its present attempt comes to nothing, so that its command is carried out later, or never."""
    failing = operation.fate == "fail" and operation.failures_count < _FAILURES
    return failing or operation.fate in {"error", "cancel", "stick"}


def _issued_from(operation: Operation) -> float:
    """Say from when on the command of an operation may be carried out."""
    late = operation.work is not None and operation.work.late
    return operation.finish_by or operation.created_at if late else operation.created_at


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
            if operation.id in issued or _issued_from(operation) > now:
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
            undo(project, operation)
        case "cancel" if operation.status == "running":
            operation.status, operation.finish_by = "cancelling", moment + operation.seconds
        case "cancel":
            operation.status = "cancelled"
            undo(project, operation)
        case fate:
            operation.status = "skipped" if fate == "skip" else "finished"
            settle(project, operation, moment)
