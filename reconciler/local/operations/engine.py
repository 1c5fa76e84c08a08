"""The operations of projects: one at a time in each project, each for its duration and until its command completes."""

from __future__ import annotations

from reconciler.local.operations.background_jobs import next_job_time, run_due
from reconciler.local.operations.effects import apply, rollback
from reconciler.local.operations.expiry import begin_expiry, expiry_times
from reconciler.local.postgres.commands import Command
from reconciler.local.postgres.plan import plan_command
from reconciler.local.state.account_state import AccountState
from reconciler.local.state.models import Operation, Project
from reconciler.local.usage.metering import meter

_RETRY_SECONDS = 1.0
_FAILURES = 2


def advance(account: AccountState, now: float, issued: set[str]) -> list[Command]:
    """Advance the time: end and start operations, and return the commands not issued yet."""
    commands: list[Command] = []
    started = True
    while started:
        for project_id in list(account.active):
            commands += _advance_project(account, account.projects[project_id], now, issued)
        for project in _begin_purge(account, now):
            commands += _advance_project(account, project, now, issued)
        while started_projects := begin_expiry(account, now):
            for project in started_projects:
                commands += _advance_project(account, project, now, issued)
        started = run_due(account, now)
    return commands


def next_due(account: AccountState, issued: set[str]) -> float | None:
    """Return when ``advance`` next has work without a further request; None for never."""
    times = [deleted + account.options.recovery_seconds for deleted in _deletion_times(account)]
    times += expiry_times(account)
    for project_id in account.active:
        operation = account.projects[project_id].unfinished()[0]
        if operation.outcome == "hang" and operation.status == "running":
            continue
        if operation.status == "failed":
            times.append(operation.retry_at or 0.0)
        elif operation.finish_by is not None and not _waits_for_command(account, operation):
            times.append(operation.finish_by)
        elif operation.id not in issued:
            times.append(_issue_after(operation))
    job_time = next_job_time(account)
    return min(times if job_time is None else [*times, job_time], default=None)


def complete(account: AccountState, operation_id: str, now: float, error: str | None, issued: set[str]) -> None:
    """Record that the command of an operation completed or failed; a failed one is issued again."""
    issued.discard(operation_id)
    for project_id in account.active:
        for operation in account.projects[project_id].unfinished():
            if operation.id != operation_id:
                continue
            account.changed.add(project_id)
            operation.updated_at = now
            if error is None:
                operation.carried_out = True
            else:
                operation.status, operation.error = "failed", error
                operation.failures_count += 1
                operation.retry_at = now + _RETRY_SECONDS
            return


def resume_hanging(account: AccountState, now: float) -> None:
    """Resume the hanging operations; their duration starts at ``now``."""
    for project_id in account.active:
        for operation in account.projects[project_id].unfinished():
            if operation.outcome == "hang":
                operation.outcome = "finish"
                operation.finish_by = now + operation.seconds if operation.status == "running" else None
                account.mark_dirty(account.projects[project_id])


def _deletion_times(account: AccountState) -> list[float]:
    projects = (account.projects[project_id] for project_id in account.deleted)
    return [project.deleted_at for project in projects if project.deleted_at is not None and not project.purging]


def _begin_purge(account: AccountState, now: float) -> list[Project]:
    """Start to remove the projects whose recovery window is over."""
    started_projects = []
    for project_id in list(account.deleted):
        project = account.projects[project_id]
        if project.deleted_at is None or project.purging or project.id in account.active:
            continue
        recoverable_until = project.deleted_at + account.options.recovery_seconds
        if now >= recoverable_until:
            project.purging = True
            account.start(project, recoverable_until, "delete_timeline")
            started_projects.append(project)
    return started_projects


def _waits_for_command(account: AccountState, operation: Operation) -> bool:
    return account.options.physical and not operation.carried_out and not _will_not_succeed(operation)


def _will_not_succeed(operation: Operation) -> bool:
    """Return whether the current attempt fails or hangs, so that its command is executed later, or never."""
    failing = operation.outcome == "fail" and operation.failures_count < _FAILURES
    return failing or operation.outcome in {"error", "cancel", "hang"}


def _issue_after(operation: Operation) -> float:
    """Return the earliest time at which the command of an operation may be executed."""
    at_end = operation.payload is not None and operation.payload.apply_at_end
    return operation.finish_by or operation.created_at if at_end else operation.created_at


def _advance_project(account: AccountState, project: Project, now: float, issued: set[str]) -> list[Command]:
    moment = now
    while unfinished := project.unfinished():
        operation = unfinished[0]
        if operation.status == "failed" and (operation.retry_at or 0.0) <= now:
            moment = operation.retry_at or now
            operation.status, operation.retry_at, operation.error = "running", None, None
            account.changed.add(project.id)
        if operation.status == "failed":
            return []
        if operation.finish_by is None:
            operation.status, operation.updated_at = "running", moment
            operation.finish_by = moment + operation.seconds
            account.changed.add(project.id)
        if operation.outcome == "hang":
            return []
        if _waits_for_command(account, operation):
            if operation.id in issued or _issue_after(operation) > now:
                return []
            issued.add(operation.id)
            return [plan_command(project, operation)]
        if operation.finish_by > now:
            return []
        moment = max(operation.finish_by, operation.updated_at)
        meter(project, moment)
        _end(account, project, operation, moment)
    account.active.pop(project.id, None)
    account.needs_reschedule.add(project.id)
    if project.purging:
        account.remove(project)
    return []


def _end(account: AccountState, project: Project, operation: Operation, moment: float) -> None:
    """Set an operation to its outcome at the end of its duration."""
    operation.updated_at = moment
    account.mark_dirty(project)
    match operation.outcome:
        case "fail" if operation.failures_count < _FAILURES:
            operation.status, operation.error = "failed", "internal error, the operation will be tried again"
            operation.failures_count += 1
            operation.retry_at, operation.finish_by = moment + _RETRY_SECONDS, None
        case "error":
            operation.status, operation.error = "error", "internal error"
            rollback(project, operation)
        case "cancel" if operation.status == "running":
            operation.status, operation.finish_by = "cancelling", moment + operation.seconds
        case "cancel":
            operation.status = "cancelled"
            rollback(project, operation)
        case outcome:
            operation.status = "skipped" if outcome == "skip" else "finished"
            apply(project, operation, moment)
