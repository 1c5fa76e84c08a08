"""What must hold after every step, and where everything must be able to end."""

from __future__ import annotations

from collections import Counter

from tests.model.state import ALIVE, DELETED, FREE, GONE, NONE, OPEN, PRESENT, RECORDED, Project, State

READY, LOST, SERVED = "ready", "lost", "served"


class Broken(Exception):
    """A rule that must never break is broken."""


def check_recorded(state: State, project: int, *, sealed_same: bool) -> None:
    """Whether this project may become the app's."""
    if state.row.project not in (NONE, project):
        raise Broken("the recorded project is replaced")
    found = state.projects[project]
    if found.foreign and (found.nonce == NONE or _twin(state, project)):
        raise Broken("a project that a person made is recorded")
    if found.nonce != NONE and found.nonce not in range(len(state.intents)):
        raise Broken("a project is recorded that no intent of the app made")
    if not sealed_same:
        raise Broken("the URI of another project is sealed")


def _twin(state: State, number: int) -> bool:
    """Whether what a project was copied from is there by name; without it nothing can tell that it is a copy."""
    nonce = state.projects[number].nonce
    return any(p.nonce == nonce and p.life == ALIVE and p.named and not p.foreign for p in state.projects)


def check_row(state: State) -> None:
    """What a row may hold."""
    if state.row.deleted and state.row.sealed:
        raise Broken("a deleted app keeps its credentials")
    if state.row.deleted and not state.row.asked:
        raise Broken("an app is deleted that nobody asked to delete")


def check_opened(state: State) -> None:
    """Whether an intent to create may be opened."""
    if state.row.asked:
        raise Broken("an intent is opened for an app whose delete was acknowledged before")


def check_create(state: State, nonce: int) -> None:
    """Whether a create may be sent now."""
    if nonce not in range(len(state.intents)) or state.intents[nonce].state != OPEN:
        raise Broken("a create is sent without a committed intent")
    if state.intents[nonce].settled:
        raise Broken("a create is sent too long after its intent")


def check_delete(state: State, number: int, *, named: bool, marked: bool) -> None:
    """Whether a DELETE of a project may be sent now by a pass that has seen its name, or its mark."""
    row, project = state.row, state.projects[number]
    if number == row.project:
        if not row.asked:
            raise Broken("the recorded project is deleted, and nobody asked")
        if not named and not marked:
            raise Broken("a DELETE of the recorded project is sent, which is not proven ours")
        return
    if row.project == NONE and not row.deleted:
        raise Broken("a DELETE is sent before it is known which project is the app's")
    # A copy whose original is gone has all that proves a surplus.
    copy = project.foreign and (project.nonce == NONE or _twin(state, number))
    if copy or not named or not marked:
        raise Broken("a DELETE of an unproven surplus is sent")
    if project.nonce != NONE and state.intents[project.nonce].state == RECORDED:
        raise Broken("a DELETE is sent of what may be a copy of the recorded project, or that project")


def check_projects(projects: tuple[Project, ...]) -> None:
    """At most one living project came of creates that arrived once and in time."""
    living = [p for p in projects if p.life == ALIVE and not p.foreign and not p.excused]
    if len(living) > 1:
        raise Broken("two projects of the app are alive")


def is_goal(state: State, what_is_said: str, *, swept: bool) -> bool:
    """Whether all is as it shall be and nothing is under way.

    Args:
        state: the state.
        what_is_said: the status of the row.
        swept: a sweep finds nothing to do.
    """
    row, work = state.row, state.work
    still = work.holder == FREE and not work.due and not work.surplus and not state.requests
    if not still or not swept or state.passes != (None, None):
        return False
    if row.deleted:
        return all(_may_outlive(state, number) for number in range(len(state.projects)))
    if row.asked or row.project == NONE:
        return False
    recorded = state.projects[row.project]
    others = all(_may_outlive(state, number) for number in range(len(state.projects)) if number != row.project)
    if recorded.life == GONE:
        return what_is_said == LOST and others
    served = recorded.life == ALIVE and recorded.named and row.connected and row.sealed and row.missing == PRESENT
    return served and what_is_said == READY and others


def _may_outlive(state: State, number: int) -> bool:
    """Whether a project that is not the app's may stay.

    A person's may, one that a person brought back or took the name of; and one that came late or twice, if it is
    reported and cannot be told from the recorded one or from a copy.
    """
    project = state.projects[number]
    if project.life in (DELETED, GONE) or project.foreign or project.brought:
        return True
    if not project.excused or not project.named:
        return project.excused
    alike = project.nonce == NONE or state.intents[project.nonce].state == RECORDED or number in doubles(state)
    return project.reported and alike


def doubles(state: State) -> list[int]:
    """Living projects that share name and nonce with another."""
    alive = [(number, p) for number, p in enumerate(state.projects) if p.life == ALIVE and p.named and p.nonce != NONE]
    times = Counter(p.nonce for _, p in alive)
    return [number for number, p in alive if times[p.nonce] > 1]
