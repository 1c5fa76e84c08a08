"""A session of pytest that stays open: its tests are collected once, and run in many children."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.killers import TESTS, Killer, measured, simulated, tested

ROOT = Path(__file__).resolve().parents[2]


class _Loop:
    """Takes the place of pytest's own loop over its tests."""

    def __init__(self, use: Callable[[tuple[Killer, ...]], None]) -> None:
        self._use = use

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the killers, and hand them over."""
        fast, slow = [], []
        for killer in measured(tested(session.items)):
            (slow if killer.seconds > _SLOW_SECONDS else fast).append(killer)
        runs = measured(simulated())
        stories = len(runs) // 4
        self._use((*fast, *runs[:stories], *sorted(slow, key=lambda each: each.seconds), *runs[stories:]))
        return True


_SLOW_SECONDS = 0.05


def with_killers(use: Callable[[tuple[Killer, ...]], None]) -> None:
    """Call with all killers, each seen to be silent about the program as it is.

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
    files = [str(path) for pattern in TESTS for path in sorted(ROOT.glob(pattern))]
    options = ["-q", "-s", "--no-header", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    code = pytest.main([*options, *files], plugins=[_Loop(use)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise RuntimeError(f"pytest ended with {code}")
