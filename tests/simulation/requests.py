"""Requests to Neon under faults. What was sent takes effect whatever becomes of the sender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core import effects as e
from reconciler.errors import NeonNotSent
from reconciler.neon.protocol import NeonCall
from specs.settings import SEND_MARGIN_SECONDS
from tests.simulation.faults import ANSWERS, LATENESS, UNREAD, Kind
from tests.simulation.neon import Answered, call_of, unknown
from tests.simulation.people import settle_copies
from tests.simulation.world import SETTLE, TIMEOUT, Meeting

if TYPE_CHECKING:
    from tests.simulation.tasks import Task

WINDOW_SECONDS = {Kind.UNAUTHORIZED: (5.0, 120.0), Kind.STALE: (5.0, 60.0), Kind.PARTIAL: (5.0, 120.0)}
STUCK_SECONDS = (20.0, 150.0)
_UNANSWERED = (Kind.LOST_BEFORE, Kind.LOST_AFTER, *LATENESS)


def send(task: Task, met: Meeting) -> None:
    """Send the request of a step, and go on with what comes of it."""
    world, chance, step = task.world, task.world.chance, met.taken.step
    call: NeonCall[Any] = call_of(step, task.org_id)
    request = call.request
    met.taken.asked = True
    there, back = chance.uniform(0.02, 0.3), chance.uniform(0.02, 0.3)
    if met.strikes(Kind.NOT_SENT):
        error = NeonNotSent(method=request.method, route=request.route, detail="no connection")
        task.after(there, lambda: task.learnt(step, Answered(error=error)), None)
        return
    world.mutations += request.mutates
    unanswered = met.strikes(*_UNANSWERED)
    if unanswered:
        given_up = unknown(request, "time-out")
        task.after(TIMEOUT, lambda: task.learnt(step, given_up), None)
    if met.kind == Kind.LOST_BEFORE:
        return
    if met.kind in LATENESS:
        there = _lateness(task, met.kind)
    org_id = task.org_id
    world.in_flight += 1

    def arrive() -> None:
        world.in_flight -= 1
        met.taken.completed = True
        answered = _arrived(task, met, call, org_id)
        if unanswered:
            return
        task.after(back, lambda: task.learnt(step, answered), None)
        task.daemon.ended_after(met)

    world.clock.after(there, arrive)


def _lateness(task: Task, kind: Kind) -> float:
    if kind == Kind.LATE:
        seconds = SETTLE - SEND_MARGIN_SECONDS - 0.1
    else:
        seconds = SETTLE * task.world.chance.uniform(1.3, 8)
        task.world.beyond.add(task.lease.app_id)
    task.world.busy(task.world.clock.now + seconds)
    return seconds


def _arrived(task: Task, met: Meeting, call: NeonCall[Any], org_id: str | None) -> Answered:
    neon, kind = task.world.neon, met.kind
    if kind is not None and kind in ANSWERS and met.strikes(kind):
        if ANSWERS[kind][1]:
            _take_effect(task, met, call, org_id)
        return neon.refusal(call, kind)
    answered = _take_effect(task, met, call, org_id)
    if kind is not None and answered.error is None and kind in UNREAD and met.strikes(kind):
        return neon.unread(call, kind)
    return answered


def _take_effect(task: Task, met: Meeting, call: NeonCall[Any], org_id: str | None) -> Answered:
    world, request = task.world, call.request
    fated = _fate(task, met)
    answered = world.neon.answer(met.taken.step, org_id, new_words=met.strikes(Kind.NEW_WORDS))
    met.taken.done = answered.error is None
    if fated and world.neon.has_fate_left():
        met.takes_back()
    if request.mutates:
        world.note("neon", f"{request.method} {request.path} {answered.error or 'done'}")
    if answered.error is None and met.strikes(Kind.DUPLICATED):
        _arrive_again(task, met, org_id)
    return answered


def _fate(task: Task, met: Meeting) -> bool:
    """What becomes of the operation that a change starts, if it starts one."""
    neon, clock = task.world.neon, task.world.clock
    if met.strikes(Kind.OPERATION_FAILS):
        neon.machine.inject_outcomes("fail")
        return True
    if met.strikes(Kind.OPERATION_STUCK):
        neon.machine.inject_outcomes("hang")
        seconds = task.world.chance.uniform(*STUCK_SECONDS)
        task.world.busy(clock.now + seconds)
        clock.after(seconds, neon.release)
        return True
    return False


def _arrive_again(task: Task, met: Meeting, org_id: str | None) -> None:
    """The network delivers the request once more, a little later; nobody hears the answer."""
    world, step = task.world, met.taken.step
    seconds = world.chance.uniform(0.01, SETTLE - 5.0)
    world.in_flight += 1
    world.busy(world.clock.now + seconds)

    def arrive() -> None:
        world.in_flight -= 1
        answered = world.neon.answer(step, org_id)
        world.note("neon", f"again: {answered.error or 'done'}")
        if isinstance(step, e.CreateProject) and answered.error is None:
            world.duplicated.add(task.lease.app_id)
            settle_copies(world, task.lease.app_id)

    world.clock.after(seconds, arrive)
