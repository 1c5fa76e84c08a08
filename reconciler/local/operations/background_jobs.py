"""What Neon starts by itself: suspension over a quota, checks of availability, scaling to zero.

Each project has at most one alarm: the moment at which the next of these is due. A project with operations under way
has none; it gets one when they are over. Of several checks that were missed only one is made up for.
"""

from __future__ import annotations

from math import inf

from reconciler.local.state.account_state import AccountState
from reconciler.local.state.computes import active_until
from reconciler.local.state.models import Endpoint, Operation, Project
from reconciler.local.usage.metering import meter, period_end
from reconciler.local.usage.quotas import exceeded, next_exceeded


def run_due(account: AccountState, now: float) -> bool:
    """Start what is due by now; say whether anything was."""
    _reschedule_changed(account)
    due = sorted((moment, project_id) for project_id, moment in account.next_runs.items() if moment <= now)
    for moment, project_id in due:
        _fire(account, account.projects[project_id], moment, now)
        _schedule(account, project_id)
    return bool(due)


def next_job_time(account: AccountState) -> float | None:
    """Say when ``arise`` will have something to do; None when never."""
    _reschedule_changed(account)
    return min(account.next_runs.values(), default=None)


def apply_quota(account: AccountState, project: Project, now: float) -> list[Operation]:
    """Suspend a project that is over a quota, let go of one that is over none any more; return what that started."""
    meter(project, now)
    over, before = exceeded(project), project.suspended
    if over == before:
        return []
    project.suspended = over
    account.mark_dirty(project, now)
    if over is None:
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
    elif (over := next_exceeded(project)) is not None:
        times.append(over[1])
    every = account.options.availability_check_seconds
    if every is not None:
        times.append((project.checked_at or project.created_at) + every)
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
    every = account.options.availability_check_seconds
    checked = project.checked_at or project.created_at
    if every is not None and moment >= checked + every:
        project.checked_at = checked + every * max(1, (now - checked) // every)
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
