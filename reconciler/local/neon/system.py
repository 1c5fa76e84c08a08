"""What Neon starts by itself: suspension over a quota, checks of availability, scaling to zero.

Each project has at most one alarm: the moment at which the next of these is due. A project with operations under way
has none; it gets one when they are over. Of several checks that were missed only one is made up for.
"""

from __future__ import annotations

from math import inf

from reconciler.local.neon.metering import active_until, meter, period_end
from reconciler.local.neon.quotas import crossing, exceeded
from reconciler.local.neon.state import Endpoint, Operation, Project
from reconciler.local.neon.world import World


def arise(world: World, now: float) -> bool:
    """Start what is due by now; say whether anything was."""
    _look_again(world)
    due = sorted((moment, project_id) for project_id, moment in world.alarms.items() if moment <= now)
    for moment, project_id in due:
        _ring(world, world.projects[project_id], moment, now)
        _set_alarm(world, project_id)
    return bool(due)


def next_alarm(world: World) -> float | None:
    """Say when ``arise`` will have something to do; None when never."""
    _look_again(world)
    return min(world.alarms.values(), default=None)


def settle_quota(world: World, project: Project, now: float) -> list[Operation]:
    """Suspend a project that is over a quota, let go of one that is over none any more; return what that started."""
    meter(project, now)
    over, before = exceeded(project), project.suspended
    if over == before:
        return []
    project.suspended = over
    world.touch(project, now)
    if over is None:
        lifted = _each_compute(world, project, now, "apply_config")
        for operation in lifted:
            operation.wakes = False
        return lifted
    return _each_compute(world, project, now, "suspend_compute") if before is None else []


def _look_again(world: World) -> None:
    for project_id in world.restless:
        _set_alarm(world, project_id)
    world.restless.clear()


def _set_alarm(world: World, project_id: str) -> None:
    project = world.projects.get(project_id)
    moment = None if project is None else _alarm(world, project)
    if moment is None:
        world.alarms.pop(project_id, None)
    else:
        world.alarms[project_id] = moment


def _alarm(world: World, project: Project) -> float | None:
    if project.deleted_at is not None or project.id in world.active:
        return None
    times = []
    if project.suspended is not None:
        times.append(period_end(project.usage.metered_at or project.created_at))
    elif (over := crossing(project)) is not None:
        times.append(over[1])
    every = world.options.availability_check_seconds
    if every is not None:
        times.append((project.checked_at or project.created_at) + every)
    if world.options.suspend_operations:
        times += [end for endpoint in project.endpoints.values() if (end := active_until(endpoint)) is not None]
    first = min(times, default=inf)
    return None if first == inf else max(first, project.usage.metered_at or project.created_at)


def _ring(world: World, project: Project, moment: float, now: float) -> None:
    meter(project, moment)
    settle_quota(world, project, moment)
    idle = [endpoint for endpoint in project.endpoints.values() if _is_over(endpoint, moment)]
    if world.options.suspend_operations and project.id not in world.active:
        for endpoint in idle:
            world.start(project, moment, "suspend_compute", project.branches[endpoint.branch_id], endpoint)
    every = world.options.availability_check_seconds
    checked = project.checked_at or project.created_at
    if every is not None and moment >= checked + every:
        project.checked_at = checked + every * max(1, (now - checked) // every)
        if project.suspended is None:
            _each_compute(world, project, moment, "check_availability")


def _is_over(endpoint: Endpoint, moment: float) -> bool:
    end = active_until(endpoint)
    return end is not None and end <= moment


def _each_compute(world: World, project: Project, moment: float, action: str) -> list[Operation]:
    return [
        world.start(project, moment, action, project.branches[endpoint.branch_id], endpoint)
        for endpoint in project.endpoints.values()
    ]
