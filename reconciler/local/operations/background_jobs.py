"""Operations that Neon starts automatically: suspension over a quota, availability checks, scaling to zero.

Each project has at most one scheduled time, at which its next job is due. A project with unfinished operations has
none and is rescheduled when they end. Of several missed availability checks only one is run.
"""

from __future__ import annotations

from math import inf

from reconciler.local.state.account_state import AccountState
from reconciler.local.state.computes import active_until
from reconciler.local.state.models import Endpoint, Operation, Project
from reconciler.local.usage.metering import meter, period_end
from reconciler.local.usage.quotas import exceeded, next_exceeded


def run_due(account: AccountState, now: float) -> bool:
    """Start all jobs due by ``now``, and return whether there were any."""
    _reschedule_changed(account)
    due = sorted((moment, project_id) for project_id, moment in account.next_runs.items() if moment <= now)
    for moment, project_id in due:
        _fire(account, account.projects[project_id], moment, now)
        _schedule(account, project_id)
    return bool(due)


def next_job_time(account: AccountState) -> float | None:
    """Return when ``run_due`` has a job to start; None for never."""
    _reschedule_changed(account)
    return min(account.next_runs.values(), default=None)


def apply_quota(account: AccountState, project: Project, now: float) -> list[Operation]:
    """Suspend a project over a quota, resume one that no longer is, and return the operations that this started."""
    meter(project, now)
    exceeded_quota, before = exceeded(project), project.suspended
    if exceeded_quota == before:
        return []
    project.suspended = exceeded_quota
    account.mark_dirty(project, now)
    if exceeded_quota is None:
        lifted = _start_on_computes(account, project, now, "apply_config")
        for operation in lifted:
            operation.starts_compute = False
        return lifted
    return _start_on_computes(account, project, now, "suspend_compute") if before is None else []


def _reschedule_changed(account: AccountState) -> None:
    for project_id in account.needs_reschedule:
        _schedule(account, project_id)
    account.needs_reschedule.clear()


def _schedule(account: AccountState, project_id: str) -> None:
    project = account.projects.get(project_id)
    moment = None if project is None else _next_run(account, project)
    if moment is None:
        account.next_runs.pop(project_id, None)
    else:
        account.next_runs[project_id] = moment


def _next_run(account: AccountState, project: Project) -> float | None:
    if project.deleted_at is not None or project.id in account.active:
        return None
    times = []
    if project.suspended is not None:
        times.append(period_end(project.usage.metered_at or project.created_at))
    elif (exceeded_quota := next_exceeded(project)) is not None:
        times.append(exceeded_quota[1])
    interval = account.options.availability_check_seconds
    if interval is not None:
        times.append((project.checked_at or project.created_at) + interval)
    if account.options.suspend_operations:
        times += [end for endpoint in project.endpoints.values() if (end := active_until(endpoint)) is not None]
    first = min(times, default=inf)
    return None if first == inf else max(first, project.usage.metered_at or project.created_at)


def _fire(account: AccountState, project: Project, moment: float, now: float) -> None:
    meter(project, moment)
    apply_quota(account, project, moment)
    idle = [endpoint for endpoint in project.endpoints.values() if _is_over(endpoint, moment)]
    if account.options.suspend_operations and project.id not in account.active:
        for endpoint in idle:
            account.start(project, moment, "suspend_compute", project.branches[endpoint.branch_id], endpoint)
    interval = account.options.availability_check_seconds
    checked = project.checked_at or project.created_at
    if interval is not None and moment >= checked + interval:
        project.checked_at = checked + interval * max(1, (now - checked) // interval)
        if project.suspended is None:
            _start_on_computes(account, project, moment, "check_availability")


def _is_over(endpoint: Endpoint, moment: float) -> bool:
    end = active_until(endpoint)
    return end is not None and end <= moment


def _start_on_computes(account: AccountState, project: Project, moment: float, action: str) -> list[Operation]:
    return [
        account.start(project, moment, action, project.branches[endpoint.branch_id], endpoint)
        for endpoint in project.endpoints.values()
    ]
