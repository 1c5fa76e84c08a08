"""The rules by which a run goes on, by whom they belong to."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.catalogmodel.pair import Handle, Pair

WHICH = st.integers(0, 7)
"""Which of the apps or leases there are, the newest first."""
_TURNS = 3


def sometimes(machine: Base) -> bool:
    """Every third step, for rules that would crowd out those of the passes."""
    return machine.steps % _TURNS == 0


class Base(RuleBasedStateMachine):
    """Time, and what was made so far.

    Attributes:
        pair: set by ``machine_of`` for all runs.
        asked: the apps in the order in which they were asked for, buried ones too.
        handles: all leases that anybody ever had.
        steps: how far the run has come.
    """

    pair: Pair

    def __init__(self) -> None:
        super().__init__()
        self.pair.begin()
        self.asked: list[str] = []
        self.handles: list[Handle] = []
        self.steps = 0

    @invariant()
    def agree(self) -> None:
        """The catalog and its twin hold the same."""
        self.steps += 1
        self.pair.agree()

    @rule(seconds=st.sampled_from((0.015625, 0.5, 1.0, 30.0, 60.0, 60.5, 300.0, 3600.0, 3600.5, 864_000.0)))
    def pass_time(self, seconds: float) -> None:
        """Exactly to the end of a lease or an hour, and beyond it."""
        self.pair.advance(seconds)

    def app(self, which: int) -> str:
        """One of the apps."""
        return self.asked[-1 - which % len(self.asked)]

    def handle(self, which: int) -> Handle:
        """One of the leases."""
        return self.handles[-1 - which % len(self.handles)]

    @property
    def has_apps(self) -> bool:
        """Whether any app was asked for."""
        return bool(self.asked)

    @property
    def has_handles(self) -> bool:
        """Whether any lease was taken."""
        return bool(self.handles)
