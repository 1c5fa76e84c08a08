"""What passing time changes. Each age grows by itself; the order of the ages is what the settings promise.

A request in flight whose sender lives is answered or given up before a settle time is over (the time-out is shorter),
and a permission grows old before that. Only a pause of the sender, or a delivery beyond the settle time, is otherwise;
both are faults.
"""

from __future__ import annotations

from typing import Any, cast

from tests.model.catalog import lease_ends
from tests.model.passes import CREATE, RECOVER, Program
from tests.model.safeguards import Safeguards
from tests.model.state import (
    DEAD,
    GOOD,
    KNOWN,
    MISSING,
    NEWEST,
    NONE,
    OPEN,
    SECOND_DUE,
    SEEN_ABSENT,
    SETTLED,
    TWICE_SETTLED,
    Request,
    State,
    replaced,
)

# A label, whether it takes a late delivery, and the state after it.
Passed = tuple[str, bool, State]


def time_passes(state: State, program: Program, safe: Safeguards) -> list[Passed]:
    """All that time can do next."""
    out: list[Passed] = []
    work = state.work
    dead = work.holder == DEAD
    if safe.expiring and (dead or (not work.lapsed and _stands_still(state))):
        out.append(("the lease runs out", False, lease_ends(state)))
    _intents_settle(state, program, out)
    _looks_come_due(state, out)
    _missing_ages(state, program, out)
    return out


def _stands_still(state: State) -> bool:
    found = state.passes[NEWEST]
    return found is not None and found.paused


def _intents_settle(state: State, program: Program, out: list[Passed]) -> None:
    for number, intent in enumerate(state.intents):
        if intent.state == OPEN and not intent.settled:
            settled = cast("Any", replaced(state.intents, number, intent._replace(settled=True)))
            after = _if_delivered(state, CREATE, number, program)
            if after is not None:
                late, requests = after
                text = f"the settle time of intent {number} is over"
                out.append((text, late, state._replace(intents=settled, requests=requests)))


def _looks_come_due(state: State, out: list[Passed]) -> None:
    absent = [intent for intent in state.intents if intent.absent == SEEN_ABSENT]
    lagging = [project for project in state.projects if project.lagging]
    if absent or lagging:
        intents = tuple(
            intent._replace(absent=SECOND_DUE) if intent.absent == SEEN_ABSENT else intent for intent in state.intents
        )
        projects = tuple(project._replace(lagging=KNOWN) for project in state.projects)
        out.append(("a second look is due", False, state._replace(intents=intents, projects=projects)))


def _missing_ages(state: State, program: Program, out: list[Passed]) -> None:
    row = state.row
    if row.missing == MISSING:
        out.append(("a settle time passes", False, state._replace(row=row._replace(missing=SETTLED))))
    elif row.missing == SETTLED:
        after = _if_delivered(state, RECOVER, row.project, program)
        if after is not None:
            late, requests = after
            # No list lags for so long behind what happened before the clock was started.
            known = tuple(project._replace(lagging=KNOWN) for project in state.projects)
            aged = state._replace(row=row._replace(missing=TWICE_SETTLED), projects=known, requests=requests)
            out.append(("another settle time passes", late, aged))


def _if_delivered(state: State, verb: str, target: int, program: Program) -> tuple[bool, tuple[Request, ...]] | None:
    """Whether a settle time can pass: not while it may be sent, or its living sender waits; with what is left late."""
    for found in state.passes:
        if found is None:
            continue
        step = program.steps[found.node]
        about_it = step.kind == verb and step.arg in (target, NONE)
        if about_it and (found.permit == GOOD or (found.waiting and not found.paused)):
            return None
    late, requests = False, []
    for request in state.requests:
        in_time = (request.verb, request.target) == (verb, target) and not request.excused
        late = late or in_time
        requests.append(request._replace(excused=True) if in_time else request)
    return late, tuple(requests)
