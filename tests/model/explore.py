"""Every state that can be reached with so many faults, the rules at every step, and from every state a way to the goal.

States are met in order of the faults that they cost, then of steps, so the path to a state is a shortest one of the
fewest faults. What was reached with fewer faults is not met again with more: it can do all that the other can.
"""

from __future__ import annotations

import gc
import itertools
import time
from array import array
from dataclasses import dataclass, field

from tests.model.actions import FAIR, FAULT, Actions, Faults
from tests.model.neon import WHOLE
from tests.model.passes import Program
from tests.model.rules import Broken, is_goal
from tests.model.safeguards import ALL, Safeguards
from tests.model.state import FREE, NONE, PRESENT, Row, State, Work

TRAP = "trap"


@dataclass
class Explored:
    """What an exploration found.

    Attributes:
        faults: of how many faults.
        states: how many.
        edges: how many moves between them.
        goals: how many of them are goals.
        traps: states from which no goal can be reached by fair moves.
        violations: the rule that was broken; the exploration ends there.
        passes: how many different points within passes were met.
        effects: the names of what passes did.
        seconds: how long it took.
        path: the moves to what was broken, or to the first trap.
    """

    faults: int
    states: int = 0
    edges: int = 0
    goals: int = 0
    traps: int = 0
    passes: int = 0
    effects: frozenset[str] = frozenset()
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)
    path: list[str] = field(default_factory=list)

    @property
    def failure(self) -> str:
        """What is wrong, in words; empty when nothing is."""
        if self.violations:
            return self.violations[0]
        return f"{TRAP}: no way out of {self.traps} states" if self.traps else ""

    def __str__(self) -> str:
        """The counts, and how to see what is wrong."""
        counts = (
            f"faults {self.faults}: {self.states} states, {self.edges} moves, {self.goals} goals, {self.traps} traps, "
            f"{self.passes} points within passes, {self.seconds:.1f} s"
        )
        if not self.failure:
            return counts
        return f'{counts}\n{self.failure}\npython -m tests.model --replay "{"; ".join(self.path)}"'


def initial(program: Program) -> State:
    """An app that was just asked for."""
    row = Row(NONE, False, False, False, False, PRESENT, program.sayings.first)
    return State(row, Work(FREE, False, True, False, False, ()), (), (), (), (None, None))


class Explorer:
    """One exploration."""

    def __init__(self, faults: int, kinds: Faults = Faults.ALL, safe: Safeguards = ALL) -> None:
        self.program = Program()
        self.actions = Actions(self.program, safe)
        self.found = Explored(faults)
        self._kinds = kinds
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        self._parents = array("i")
        self._sources = array("i")
        self._targets = array("i")
        self._kept: dict[object, object] = {}

    def run(self) -> Explored:
        """Explore, and judge."""
        begun = time.perf_counter()
        collecting = gc.isenabled()
        gc.disable()
        try:
            if self._search():
                self._judge()
        finally:
            if collecting:
                gc.enable()
        self.found.states = len(self._states)
        self.found.passes = len(self.program.steps)
        self.found.effects = frozenset(step.kind for step in self.program.steps)
        self.found.seconds = time.perf_counter() - begun
        return self.found

    def _search(self) -> bool:
        """Meet all states; whether no rule was broken."""
        self._add(initial(self.program), -1)
        at = 0
        for faults in range(self.found.faults + 1):
            costly: list[tuple[State, int]] = []
            while at < len(self._states):
                if not self._expand(at, costly, last=faults == self.found.faults):
                    return False
                at += 1
            for state, parent in costly:
                if state not in self._numbers:
                    self._add(state, parent)
        return True

    def _expand(self, number: int, costly: list[tuple[State, int]], *, last: bool) -> bool:
        state = self._states[number]
        try:
            moves = self.actions.moves(state, Faults.NONE if last else self._kinds)
        except Broken as broken:
            last_step = self.actions.trying
            self.found.violations.append(str(broken))
            self.found.path = [*self.path(number), last_step]
            return False
        for kind, _, after in moves:
            if kind == FAULT:
                self.found.edges += 1
                if after not in self._numbers:
                    costly.append((after, number))
                continue
            known = self._numbers.get(after)
            if known is None:
                known = self._add(after, number)
            if known != number:
                self.found.edges += 1
                if kind == FAIR:
                    self._sources.append(number)
                    self._targets.append(known)
        return True

    def _add(self, state: State, parent: int) -> int:
        number = self._numbers[state] = len(self._states)
        self._states.append(state)
        self._parents.append(parent)
        return number

    # Judging

    def _judge(self) -> None:
        count = len(self._states)
        good = bytearray(count)
        todo = [number for number in range(count) if self._is_goal(self._states[number])]
        self.found.goals = len(todo)
        for number in todo:
            good[number] = 1
        begins, sources = self._backwards(count)
        while todo:
            number = todo.pop()
            for source in sources[begins[number] : begins[number + 1]]:
                if not good[source]:
                    good[source] = 1
                    todo.append(source)
        self.found.traps = count - sum(good)
        if self.found.traps:
            self.found.path = self.path(good.index(0))

    def _is_goal(self, state: State) -> bool:
        if state.work.due or state.requests or state.passes != (None, None):
            return False
        status = str(self.program.sayings.said(state.row.said)[0])
        swept = self.actions.sweeps.sweep(state, WHOLE) == state
        return is_goal(state, status, swept=swept)

    def _backwards(self, count: int) -> tuple[array[int], array[int]]:
        """The fair moves by their target: where each begins in the list of sources."""
        begins = array("i", bytes(4 * (count + 2)))
        for target in self._targets:
            begins[target + 2] += 1
        for number in range(2, count + 2):
            begins[number] += begins[number - 1]
        sources = array("i", bytes(4 * len(self._sources)))
        for source, target in zip(self._sources, self._targets, strict=True):
            sources[begins[target + 1]] = source
            begins[target + 1] += 1
        return begins, sources

    def path(self, number: int) -> list[str]:
        """The labels of the moves to a state."""
        way = [number]
        while self._parents[way[-1]] >= 0:
            way.append(self._parents[way[-1]])
        way.reverse()
        labels = []
        for parent, child in itertools.pairwise(way):
            labels.append(self._label(self._states[parent], self._states[child]))
        return labels

    def _label(self, before: State, after: State) -> str:
        """The move between two states; without faults first, as a fault of the first may break a rule."""
        for kinds in (Faults.NONE, self._kinds):
            for move in self.actions.moves(before, kinds):
                if move.state == after:
                    return move.label
        raise LookupError("no such move")


def explore(faults: int, kinds: Faults = Faults.ALL, safe: Safeguards = ALL) -> Explored:
    """Explore everything that so many faults of some kinds can lead to."""
    return Explorer(faults, kinds, safe).run()
