"""The catalog's statements over a state: the same conditions and effects as the SQL, which this model has in small.

A statement that the fencing token forbids answers as ``LeaseLost`` and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from tests.model.passes import DONE, Answer, Written
from tests.model.rules import Broken, check_opened, check_recorded, check_row
from tests.model.safeguards import Safeguards
from tests.model.state import (
    ABSENT,
    ALIVE,
    DEAD,
    FREE,
    GOOD,
    HELD,
    NEWEST,
    NONE,
    NOT_SEEN,
    OPEN,
    OVERTAKEN,
    RECORDED,
    REFUSED,
    SEEN_ABSENT,
    UNASKED,
    Intent,
    Pass,
    State,
    Work,
    replaced,
)

Outcome: TypeAlias = tuple[State, Answer]
LOST: Answer = ("error", "LeaseLost")


def claim(state: State, node: int) -> State:
    """Take the lease under a new token, and begin a pass; the one that stood still too long is overtaken."""
    work = Work(HELD, False, True, False, state.work.confirmed, state.work.surplus)
    begun = Pass(node, UNASKED, False, False, False)
    before, requests = state.passes[NEWEST], state.requests
    if before is None:
        return state._replace(work=work, passes=(begun, state.passes[OVERTAKEN]))
    requests = tuple(each._replace(sender=OVERTAKEN) if each.sender == NEWEST else each for each in requests)
    return state._replace(work=work, passes=(begun, before), requests=requests)


def claimable(state: State) -> bool:
    """Whether the row is due, nobody holds it, and a which has nothing else to do."""
    work = state.work
    due = work.due if work.holder == FREE else work.lapsed
    return due and None in state.passes


def with_pass(state: State, which: int, found: Pass | None) -> State:
    """The state with the newest or the overtaken pass changed."""
    row, work, intents, projects, requests, passes = state
    passes = (found, passes[1]) if which == NEWEST else (passes[0], found)
    return State(row, work, intents, projects, requests, passes)


def wake(work: Work, safe: Safeguards) -> Work:
    """Count a wake-up; one that meets a lease is seen when that is given back."""
    if work.holder == FREE:
        return work._replace(due=True)
    return work._replace(woken=True) if safe.counted else work


def lease_ends(state: State) -> State:
    """The lease runs out: of a pass that stands still, or of one that died."""
    work = state.work
    if work.holder == DEAD:
        return state._replace(work=work._replace(holder=FREE, due=True, woken=False))
    return state._replace(work=work._replace(lapsed=True))


def ask_for_deletion(state: State, safe: Safeguards) -> State:
    """The owner's DELETE."""
    return state._replace(row=state.row._replace(asked=True), work=wake(state.work, safe))


def release(state: State, which: int, *, again: bool) -> State:
    """End a pass; nothing is written where another has the lease."""
    work = state.work
    if which == NEWEST:
        confirmed = work.confirmed and (again or work.woken)
        work = Work(FREE, False, again or work.woken, False, confirmed, work.surplus)
    return with_pass(state._replace(work=work), which, None)


def write(state: State, which: int, kind: str, arg: Any, safe: Safeguards) -> Outcome:
    """Carry out what a pass writes, under its token."""
    fenced = safe.fenced and (safe.compared or kind != "RecordProject")
    if fenced and which != NEWEST:
        return state, LOST
    if kind not in STATEMENTS:
        raise Broken(f"the model has no statement for {kind}")
    return STATEMENTS[kind](state, which, arg, safe)


def _open_intent(state: State, which: int, again: int, safe: Safeguards) -> Outcome:
    row = state.row
    if row.project != NONE or (row.asked and safe.refused):
        return state, LOST
    check_opened(state)
    fresh = Intent(OPEN, False, NOT_SEEN)
    if again == NONE:
        number = len(state.intents)
        return _permitted(state._replace(intents=(*state.intents, fresh)), which), ("intent", number)
    if state.intents[again].state != REFUSED:
        return state, LOST
    return _permitted(_with_intent(state, again, fresh), which), ("intent", again)


def _permit(state: State, which: int, _swept: bool, _safe: Safeguards) -> Outcome:
    return _permitted(state, which), DONE


def _permitted(state: State, which: int) -> State:
    found = cast("Pass", state.passes[which])
    work = state.work
    if which == NEWEST and work.lapsed:
        state = state._replace(work=work._replace(lapsed=False))
    return with_pass(state, which, found._replace(permit=GOOD))


def _with_intent(state: State, number: int, intent: Intent) -> State:
    return state._replace(intents=cast("tuple[Intent, ...]", replaced(state.intents, number, intent)))


def _refuse_intent(state: State, _which: int, number: int, _safe: Safeguards) -> Outcome:
    if number not in range(len(state.intents)) or state.intents[number].state != OPEN:
        return state, LOST
    return _with_intent(state, number, Intent(REFUSED, True, NOT_SEEN)), DONE


def _note_absence(state: State, _which: int, arg: tuple[int, bool], _safe: Safeguards) -> Outcome:
    number, proven = arg
    intent = state.intents[number]
    if intent.state != OPEN:
        return state, LOST
    if proven:
        return _with_intent(state, number, Intent(ABSENT, True, NOT_SEEN)), DONE
    return _with_intent(state, number, intent._replace(absent=intent.absent or SEEN_ABSENT)), DONE


def _record_project(state: State, _which: int, arg: tuple[int, int, Written, bool], safe: Safeguards) -> Outcome:
    number, project, written, sealed_same = arg
    if safe.compared and state.row.project != NONE:
        return state, LOST
    check_recorded(state, project, sealed_same=sealed_same)
    row = state.row._replace(project=project, sealed=written.sealed, said=written.said)
    state = state._replace(row=row)
    if number in range(len(state.intents)):
        state = _with_intent(state, number, Intent(RECORDED, True, NOT_SEEN))
    return state, DONE


def _record(state: State, _which: int, written: Written, safe: Safeguards) -> Outcome:
    row = state.row
    missing = row.missing if written.missing is None else written.missing
    sealed = (row.sealed or written.sealed) and not (written.deleted and safe.dropped)
    row = row._replace(
        said=written.said,
        missing=missing,
        connected=row.connected or written.connected,
        deleted=row.deleted or written.deleted,
        sealed=sealed,
    )
    state = state._replace(row=row)
    check_row(state)
    return state, DONE


def _record_credentials(state: State, which: int, arg: tuple[Written, bool], safe: Safeguards) -> Outcome:
    written, same = arg
    if not same:
        raise Broken("the URI of another project is published")
    return _record(state, which, written, safe)


def _drop_surplus(state: State, _which: int, arg: tuple[int, bool], _safe: Safeguards) -> Outcome:
    number, report = arg
    left = tuple(each for each in state.work.surplus if each != number)
    state = state._replace(work=state.work._replace(surplus=left))
    project = state.projects[number]
    if report and project.life == ALIVE:
        projects = replaced(state.projects, number, project._replace(reported=True))
        state = state._replace(projects=cast("Any", projects))
    return state, DONE


STATEMENTS: dict[str, Callable[[State, int, Any, Safeguards], Outcome]] = {
    "OpenIntent": _open_intent,
    "AuthorizeMutation": _permit,
    "MarkIntentRejected": _refuse_intent,
    "RecordAbsence": _note_absence,
    "RecordProject": _record_project,
    "RecordCredentials": _record_credentials,
    "RecordStatus": _record,
    "DismissDuplicate": _drop_surplus,
}
