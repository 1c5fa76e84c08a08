"""All that can happen in a state.

``FAIR``: it will happen if nothing else does, and needs no luck. ``CHANCE``: it may happen or never. ``FAULT``: it is
one of the faults that are counted: of processes, of the network, of Neon's answers, and of people.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag
from typing import NamedTuple, cast

from tests.model import catalog as c
from tests.model import neon as n
from tests.model.passes import CREATE, DELETE, END, RECOVER, VERBS, Answer, Claim, Program, Step
from tests.model.people import behind_our_back, when_asked
from tests.model.rules import Broken, check_create, check_delete
from tests.model.safeguards import ALL, Safeguards
from tests.model.state import DEAD, FREE, GOOD, NAMES, NEWEST, NONE, OVERTAKEN, STALE, UNASKED, Pass, Request, State
from tests.model.sweeps import Sweeps
from tests.model.timing import time_passes

FAIR, CHANCE, FAULT = 0, 1, 2


class Faults(IntFlag):
    """The kinds of faults.

    A process dies; one stands still; a change is refused, lost, late, doubled or unanswered; a read lies or fails; a
    statement of the catalog fails; a person acts behind our back.
    """

    NONE = 0
    CRASHES = 1
    PAUSES = 2
    CHANGES = 4
    READS = 8
    CATALOG = 16
    PEOPLE = 32
    ALL = 63


# As plain numbers, which is what is quick.
CRASHES, PAUSES, CHANGES, READS, CATALOG, PEOPLE = (int(each) for each in Faults if each and each != Faults.ALL)
NOT_SENT: Answer = ("error", "NeonNotSent")
NO_CATALOG: Answer = ("error", "CatalogUnavailable")
# What comes twice makes a difference for these.
_TWICE = (CREATE, DELETE, RECOVER)
_LISTS = {n.LAGGING: "a list that lags", n.PARTIAL: "a partial list", n.BLIND: "a key that sees nothing"}


class Move(NamedTuple):
    """One thing that can happen."""

    kind: int
    label: str
    state: State


class Actions:
    """The moves of a state.

    Attributes:
        trying: the label of the move that is being worked out.
    """

    def __init__(self, program: Program, safe: Safeguards = ALL) -> None:
        self.program = program
        self.safe = safe
        self.sweeps = Sweeps(program, safe)
        self.trying = ""
        self._faults = 0
        self._out: list[Move] = []

    def moves(self, state: State, faults: int = Faults.ALL) -> list[Move]:
        """All that can happen next, in a fixed order, with the faults of some kinds.

        Raises:
            Broken: one of it breaks a rule.
        """
        self._out = out = []
        self._faults = int(faults)
        if c.claimable(state):
            node = self.program.begin(Claim(state.row, state.intents, state.work.confirmed, state.work.surplus))
            out.append(Move(FAIR, "a daemon claims", c.claim(state, node)))
        for which in (NEWEST, OVERTAKEN):
            found = state.passes[which]
            if found is not None:
                self._pass(state, which, found)
        for index, request in enumerate(state.requests):
            self._request(state, index, request)
        for label, late, after in time_passes(state, self.program, self.safe):
            if not late or faults & CHANGES:
                out.append(Move(FAULT if late else FAIR, label, after))
        self._others(state)
        return out

    def _try(self, kind: int, label: str, act: Callable[[], State]) -> None:
        self.trying = label
        self._out.append(Move(kind, label, act()))

    # People and sweeps

    def _others(self, state: State) -> None:
        out = self._out
        if not state.row.asked:
            out.append(Move(CHANCE, "the owner deletes the app", c.ask_for_deletion(state, self.safe)))
        out.append(Move(FAIR, "a sweep", self.sweeps.sweep(state, n.WHOLE)))
        out.extend(Move(FAIR, label, after) for label, after in when_asked(state, self.program))
        if self._faults & READS:
            for how, text in _LISTS.items():
                out.append(Move(FAULT, f"a sweep with {text}", self.sweeps.sweep(state, how)))
        if self._faults & PEOPLE:
            self.trying = "people"
            out.extend(Move(FAULT, label, after) for label, after in behind_our_back(state))

    # Passes

    def _pass(self, state: State, which: int, found: Pass) -> None:
        name = NAMES[which]
        if not found.waiting:
            self._step(state, which, found, self.program.steps[found.node])
        if self._faults & CRASHES:
            self._out.append(Move(FAULT, f"{name} crashes", _crashed(state, which)))
        if self._faults & PAUSES and not found.paused:
            permit = STALE if found.permit == GOOD else found.permit
            stands = found._replace(paused=True, permit=permit)
            self._out.append(Move(FAULT, f"{name} stands still", c.with_pass(state, which, stands)))

    def _step(self, state: State, which: int, found: Pass, step: Step) -> None:
        name, kind = NAMES[which], step.kind
        if kind == END:
            self._try(FAIR, f"{name} releases", lambda: c.release(state, which, again=step.arg))
        elif kind in VERBS:
            self._send(state, which, found, step)
        elif kind in n.READS:
            self._read(state, which, found, step)
        else:
            self._write(state, which, step)

    def _read(self, state: State, which: int, found: Pass, step: Step) -> None:
        name, kind = NAMES[which], step.kind
        truth = n.read(state, kind, step.arg, blind=found.blind)
        self._go_on(FAIR, f"{name}: {kind}", state, which, found, truth)
        if not self._faults & READS:
            return
        if kind == "ListProjects":
            for how, text in _LISTS.items():
                told = found._replace(blind=True) if how == n.BLIND else found
                self._go_on(FAULT, f"{name}: {kind}, {text}", state, which, told, n.listed(state, step.arg, how))
        elif kind in ("GetProject", "ListBranches"):
            blinded = found._replace(blind=True)
            self._go_on(FAULT, f"{name}: {kind}, a key that sees nothing", state, which, blinded, n.NOT_FOUND)
            self._go_on(FAULT, f"{name}: {kind}, a lone 404", state, which, found, n.NOT_FOUND)
        self._go_on(FAULT, f"{name}: {kind}, no answer", state, which, found, n.UNKNOWN)

    def _go_on(self, kind: int, label: str, state: State, which: int, found: Pass, answer: Answer) -> None:
        node = self.program.after(found.node, answer)
        after = Pass(node, found.permit, False, found.blind, False)
        self._out.append(Move(kind, label, c.with_pass(state, which, after)))

    def _write(self, state: State, which: int, step: Step) -> None:
        name = NAMES[which]
        label = self.trying = f"{name}: {step.kind}"
        written, answer = c.write(state, which, step.kind, step.arg, self.safe)
        self._go_on(FAIR, label, written, which, cast("Pass", written.passes[which]), answer)
        if not self._faults & CATALOG:
            return
        found = cast("Pass", state.passes[which])
        self._go_on(FAULT, f"{label}, not written", state, which, found, NO_CATALOG)
        self._go_on(FAULT, f"{label}, written, no answer", written, which, found, NO_CATALOG)

    # Changes of Neon

    def _send(self, state: State, which: int, found: Pass, step: Step) -> None:
        name, kind = NAMES[which], step.kind
        label = self.trying = f"{name} sends {kind}"
        if found.permit == UNASKED:
            raise Broken("a change is sent without a permission")
        unasked = found._replace(permit=UNASKED)
        if found.permit == STALE and self.safe.dated:
            refused = NOT_SENT if kind == CREATE else c.LOST
            self._go_on(FAIR, f"{label}, too late", state, which, unasked, refused)
            return
        if kind == CREATE:
            check_create(state, step.arg)
        elif kind == DELETE:
            check_delete(state, step.arg, named=step.shown[0], marked=step.shown[1])
        elif step.arg != state.row.project:
            raise Broken("a change is sent for a project that is not the recorded one")
        if self._faults & CHANGES:
            self._go_on(FAULT, f"{label}, refused with 503", state, which, unasked, n.UNAVAILABLE)
        waiting = unasked._replace(waiting=True, paused=False)
        requests = (*state.requests, Request(kind, step.arg, which, False))
        sent = c.with_pass(state, which, waiting)._replace(requests=requests)
        self._out.append(Move(FAIR, label, sent))

    def _request(self, state: State, index: int, request: Request) -> None:
        rest = state._replace(requests=(*state.requests[:index], *state.requests[index + 1 :]))
        label = self.trying = f"{request.verb} of {request.target} arrives"
        arrived, answer = n.arrive(rest, request)
        which = request.sender
        if which == NONE:
            self._out.append(Move(FAIR, f"{label}, late", arrived))
            self._out.append(Move(CHANCE, f"{request.verb} of {request.target} is lost, late", rest))
            return
        found = cast("Pass", state.passes[which])
        self._go_on(FAIR, label, arrived, which, found, answer)
        if self._faults & CHANGES:
            self._misfortunes(rest, arrived, request, answer)

    def _misfortunes(self, rest: State, arrived: State, request: Request, answer: Answer) -> None:
        """What can become of a request whose sender waits."""
        which, label = request.sender, f"{request.verb} of {request.target} arrives"
        found = cast("Pass", rest.passes[which])
        self._go_on(FAULT, f"{label}, no answer", arrived, which, found, n.UNKNOWN)
        self._go_on(FAULT, f"{request.verb} of {request.target} is lost", rest, which, found, n.UNKNOWN)
        kept = (*rest.requests, request._replace(sender=NONE))
        late = rest._replace(requests=kept)
        self._go_on(FAULT, f"{request.verb} of {request.target} is given up", late, which, found, n.UNKNOWN)
        if request.verb in _TWICE:
            twice = arrived._replace(requests=(*rest.requests, request._replace(sender=NONE, excused=True)))
            self._go_on(FAULT, f"{label}, and once more", twice, which, found, answer)


def _crashed(state: State, which: int) -> State:
    requests = tuple(each._replace(sender=NONE) if each.sender == which else each for each in state.requests)
    work = state.work
    if which == NEWEST:
        left = FREE if work.lapsed else DEAD
        work = work._replace(holder=left, lapsed=False, due=True, woken=False)
    return c.with_pass(state._replace(work=work, requests=requests), which, None)
