"""What may notice a mutant: tests of the core, stories of the simulator, and the small model; the fastest first."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType

import pytest
from _pytest.runner import runtestprotocol

from tests.model.explore import explore
from tests.mutation.mutants import CORE, Mutant, module_of
from tests.simulation.matrix import by_chance, exhaustive
from tests.simulation.run import Failure, Run, run
from tests.simulation.scenarios import SCENARIOS

TESTS = {
    "tests/unit/test_core_*.py": None,
    "tests/unit/test_together.py": None,
    "tests/properties/test_fixed_point.py": None,
    "tests/properties/test_budget.py": "rate_limit",
}
"""Files, each with the one module that it is about, or None."""


@dataclass(frozen=True)
class Depth:
    """How much is tried.

    Attributes:
        seeds: of the stories without faults.
        chance: runs in which chance decides.
        every: which of the runs with a single fault are taken; none when 0.
    """

    seeds: int
    chance: int
    every: int


TESTS_ONLY = Depth(seeds=0, chance=0, every=0)
QUICK = Depth(seeds=1, chance=40, every=401)
WHOLE = Depth(seeds=2, chance=150, every=29)


@dataclass(frozen=True)
class Killer:
    """One look at the program.

    Attributes:
        name: what it is called.
        fails: whether it notices something.
        calls: the functions of the core that it calls, as (module, name).
        seconds: how long it took in the program as it is.
    """

    name: str
    fails: Callable[[], bool]
    calls: frozenset[tuple[str, str]] = frozenset()
    seconds: float = 0.0

    def may_notice(self, mutant: Mutant) -> bool:
        """Whether it calls what is changed."""
        if mutant.function:
            return (mutant.module, mutant.function) in self.calls
        return not mutant.users.isdisjoint(module for module, _ in self.calls)


def measured(killers: Iterator[Killer]) -> tuple[Killer, ...]:
    """The killers, each with what it calls.

    Raises:
        AssertionError: one fails in the program as it is.
    """
    return tuple(_measured(each) for each in killers)


def simulated(depth: Depth) -> Iterator[Killer]:
    """Stories without faults, stories under chance, some single faults, and the small model."""
    for seed in range(depth.seeds):
        yield from (_of_run(Run(seed, scenario)) for scenario in SCENARIOS)
    yield from map(_of_run, by_chance(range(depth.chance)))
    if depth.every:
        yield Killer("tests.model", _model_fails)
        yield from map(_of_run, islice(exhaustive(1), 0, None, depth.every))


def tested(items: list[pytest.Item]) -> Iterator[Killer]:
    """The collected tests."""
    return (Killer(item.nodeid, partial(_test_fails, item)) for item in items)


def _of_run(of: Run) -> Killer:
    return Killer(of.command, partial(_run_fails, of))


def _run_fails(of: Run) -> bool:
    try:
        run(of, rounds_of_silence=1.1)
    except Failure:
        return True
    return False


def _model_fails() -> bool:
    try:
        return bool(explore(1).failure)
    except Exception:  # noqa: BLE001 - whatever it is, the mutant was noticed
        return True


def _test_fails(item: pytest.Item) -> bool:
    return any(report.failed for report in runtestprotocol(item, log=False))


def _measured(killer: Killer) -> Killer:
    met: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            met.add(frame.f_code)

    began = time.process_time()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        failed = killer.fails()
    finally:
        sys.setprofile(before)
    assert not failed, f"{killer.name} fails without any change"
    core = str(CORE)
    names = [(code.co_filename, code.co_qualname.partition(".<locals>")[0]) for code in met]
    calls = frozenset((module_of(Path(path)), name) for path, name in names if path.startswith(core))
    return Killer(killer.name, killer.fails, calls, time.process_time() - began)
