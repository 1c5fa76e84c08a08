"""Neon over a state: what it answers, truly or not, and what a change does when it arrives."""

from __future__ import annotations

from typing import Any, cast

from tests.model.passes import CREATE, DELETE, DONE, RECOVER, UPDATE, Answer
from tests.model.rules import check_projects
from tests.model.state import (
    ALIVE,
    DELETED,
    GONE,
    KNOWN,
    NEW,
    NONE,
    TURNED,
    Project,
    Request,
    Seen,
    State,
    replaced,
)

# How a list can be.
WHOLE, LAGGING, PARTIAL, BLIND = "whole", "lagging", "partial", "blind"
NOT_FOUND: Answer = ("error", "NeonNotFound")
UNKNOWN: Answer = ("error", "NeonOutcomeUnknown")
UNAVAILABLE: Answer = ("error", "NeonUnavailable")
UNAUTHORIZED: Answer = ("error", "NeonUnauthorized")
READS = ("VerifyAccess", "ListProjects", "GetProject", "ListBranches", "ListOperations", "ProbeDatabase")


def read(state: State, kind: str, arg: Any, *, blind: bool) -> Answer:
    """The true answer to a read, or that to a key which sees nothing."""
    if kind == "VerifyAccess":
        return UNAUTHORIZED if blind else DONE
    if kind == "ListProjects":
        return listed(state, arg, BLIND if blind else WHOLE)
    project = state.projects[arg]
    alive = project.life == ALIVE
    if kind == "ProbeDatabase":
        return DONE if alive else ("error", "AppDatabaseUnreachable")
    if blind or not alive:
        return NOT_FOUND
    if kind == "GetProject":
        return ("project", seen(arg, project))
    return ("branches", project.nonce) if kind == "ListBranches" else DONE


def seen(number: int, project: Project) -> Seen:
    """What a fresh look at a project shows."""
    return Seen(number, project.named, project.lagging == NEW, project.life == DELETED, project.foreign)


def listed(state: State, arg: tuple[int, bool], how: str) -> Answer:
    """A list of projects by the app's name (``NONE``) or a project's id, of those alive or of those recoverable."""
    searched, recoverable = arg
    found = [
        Seen(number, project.named, False, recoverable, project.foreign)
        for number, project in enumerate(state.projects)
        if (project.named if searched == NONE else number == searched)
        and in_list(project, recoverable=recoverable, how=how)
    ]
    if how == PARTIAL:
        return ("listed", False, ())
    return ("listed", True, tuple(found))


def in_list(project: Project, *, recoverable: bool, how: str) -> bool:
    """Whether a list shows a project."""
    if how == BLIND:
        return False
    life = project.life
    if how == LAGGING and project.lagging:
        if project.lagging == NEW or life == GONE:
            return False
        life = ALIVE if life == DELETED else DELETED
    return life == (DELETED if recoverable else ALIVE)


def arrive(state: State, request: Request) -> tuple[State, Answer]:
    """A change takes effect."""
    if request.verb == CREATE:
        made = Project(request.target, True, ALIVE, NEW, False, request.excused, False, False)
        projects = (*state.projects, made)
        check_projects(projects)
        return state._replace(projects=projects), ("created", seen(len(projects) - 1, made))
    project = state.projects[request.target]
    if request.verb == DELETE and project.life == ALIVE:
        after = project._replace(life=DELETED, lagging=TURNED, brought=False, reported=False)
    elif request.verb == RECOVER and project.life == DELETED:
        after = project._replace(life=ALIVE, lagging=TURNED, excused=project.excused or request.excused)
    elif request.verb == UPDATE and project.life == ALIVE:
        after = project._replace(named=True)
    else:
        return state, NOT_FOUND
    return with_project(state, request.target, after), ("project", seen(request.target, after))


def with_project(state: State, number: int, project: Project) -> State:
    """The state with a project changed; what is gone for ever has no more properties."""
    if project.life == GONE:
        project = Project(project.nonce, False, GONE, KNOWN, project.foreign, project.excused, False, False)
    projects = cast("Any", replaced(state.projects, number, project))
    check_projects(projects)
    return state._replace(projects=projects)
