"""People: what they do behind the loop's back, each a fault, and what an operator does when the app asks for one."""

from __future__ import annotations

from tests.model.neon import with_project
from tests.model.passes import Program
from tests.model.rules import doubles
from tests.model.state import ALIVE, DELETED, GONE, NEW, NONE, TURNED, Project, State

Acted = tuple[str, State]
MOST_PROJECTS = 5


def behind_our_back(state: State) -> list[Acted]:
    """What people do in Neon's console."""
    out: list[Acted] = []
    if not any(project.foreign for project in state.projects) and len(state.projects) < MOST_PROJECTS:
        namesake = Project(NONE, True, ALIVE, NEW, True, False, False, False)
        out.append(("a person makes a project of that name", state._replace(projects=(*state.projects, namesake))))
    for number, project in enumerate(state.projects):
        if project.life == ALIVE and not (project.foreign and project.nonce == NONE):
            _at_a_living(state, number, project, out)
        elif project.life == DELETED:
            back = project._replace(life=ALIVE, lagging=TURNED, brought=True)
            if _allowed_back(state, number):
                out.append((f"a person recovers project {number}", with_project(state, number, back)))
            gone = project._replace(life=GONE)
            out.append((f"project {number} goes for ever", with_project(state, number, gone)))
    return out


def _allowed_back(state: State, number: int) -> bool:
    """People bring back the app's own project only."""
    return state.row.project == number


def _at_a_living(state: State, number: int, project: Project, out: list[Acted]) -> None:
    deleted = project._replace(life=DELETED, lagging=TURNED, reported=False, brought=False)
    out.append((f"a person deletes project {number}", with_project(state, number, deleted)))
    # What nobody has recorded yet is found by its name and mark: who takes one of them away takes the project away.
    excused = project.excused or state.row.project != number
    if project.named:
        renamed = project._replace(named=False, excused=excused)
        out.append((f"a person renames project {number}", with_project(state, number, renamed)))
    if project.nonce != NONE:
        stripped = project._replace(nonce=NONE, excused=excused)
        out.append((f"project {number} loses its annotations", with_project(state, number, stripped)))
        if project.named and len(state.projects) < MOST_PROJECTS:
            copy = Project(project.nonce, True, ALIVE, NEW, True, False, False, False)
            out.append((f"a person copies project {number}", state._replace(projects=(*state.projects, copy))))


def when_asked(state: State, program: Program) -> list[Acted]:
    """What an operator does about what the app says: the copies go, and the app's own project gets its name again."""
    if not program.asks_a_person(state.row.said):
        return []
    out: list[Acted] = []
    several = doubles(state)
    if several:
        last = max(several, key=lambda number: (state.projects[number].foreign, number))
        deleted = state.projects[last]._replace(life=DELETED, lagging=TURNED, reported=False, brought=False)
        out.append((f"an operator deletes the copy, project {last}", with_project(state, last, deleted)))
    own = state.row.project
    if own != NONE and state.projects[own].life == ALIVE and not state.projects[own].named:
        named = state.projects[own]._replace(named=True)
        out.append((f"an operator gives project {own} its name again", with_project(state, own, named)))
    return out
