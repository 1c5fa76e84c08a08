"""A session of pytest that stays open: its tests are collected once, and run in many children."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.killers import TESTS, Depth, Killer, measured, simulated, tested
from tests.simulation.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]


class _Loop:
    """Takes the place of pytest's own loop over its tests."""

    def __init__(self, use: Callable[[tuple[Killer, ...]], None], depth: Depth) -> None:
        self._use = use
        self._depth = depth

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the killers, and hand them over."""
        fast: list[Killer] = []
        slow: list[Killer] = []
        for killer in measured(tested(session.items)):
            (slow if killer.seconds > _SLOW_SECONDS else fast).append(killer)
        runs = measured(simulated(self._depth))
        stories = self._depth.seeds * len(SCENARIOS)
        self._use((*fast, *runs[:stories], *sorted(slow, key=lambda each: each.seconds), *runs[stories:]))
        return True


_SLOW_SECONDS = 0.05


def with_killers(use: Callable[[tuple[Killer, ...]], None], modules: Collection[str], depth: Depth) -> None:
    """Call with the killers of some modules, each seen to be silent about the program as it is.

    Raises:
        RuntimeError: pytest could not collect its tests.
    """
    # The same examples each time, none kept, and a failure is not made smaller: that it fails is enough.
    settings.register_profile(
        "mutation",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutation")
    logging.disable(logging.CRITICAL)
    files = [str(path) for pattern in _patterns(modules) for path in sorted(ROOT.glob(pattern))]
    options = ["-q", "-s", "--no-header", "--disable-plugin-autoload", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*options, *files], plugins=[_Loop(use, depth)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest ended with {code}")


def _patterns(modules: Collection[str]) -> list[str]:
    """The tests of these modules; the budget has its own, which are long and call nothing else."""
    return [pattern for pattern, only in TESTS.items() if only is None or only in modules]
