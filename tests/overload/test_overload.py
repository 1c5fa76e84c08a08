"""Overload and recovery: every shape keeps all rules, and does not without its safeguard."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.core import conditions
from reconciler.core.backoff import CAP_SECONDS
from reconciler.runtime.guards.circuit_breaker import CircuitBreaker
from reconciler.runtime.rate_limiter import Permit, RateLimiter
from tests.overload.catalog import LargeCatalog
from tests.overload.tier import SMALL, run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("shape", SMALL)
def test_shape(shape: str) -> None:
    """Nothing is sent beyond the limits, nobody is starved, load falls to normal, and then all is silent."""
    assert run(shape, seed=1).failure is None


def _deaf(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CircuitBreaker, "record_failure", lambda *_: None)


def _impatient(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conditions, "slow_backoff", lambda _attempts, jitter: CAP_SECONDS * (0.5 + 0.5 * jitter))


def _first_come_at_the_claim(patch: pytest.MonkeyPatch) -> None:
    def in_turn(self: LargeCatalog, planned: Any) -> list[str]:
        now = self._clock.now
        due = [app_id for app_id in planned if self.work[app_id].due_at <= now]
        return sorted(due, key=lambda app_id: self.work[app_id].priority_at)

    patch.setattr(LargeCatalog, "_in_turn", in_turn)


def _first_come_at_the_budget(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RateLimiter, "_round_robin", lambda _, waiting: list(waiting))


def _unlimited(patch: pytest.MonkeyPatch) -> None:
    async def ticket(*_: Any, **__: Any) -> Permit:
        return Permit(float("inf"))

    patch.setattr(RateLimiter, "acquire", ticket)


@pytest.mark.parametrize(
    ("off", "shape", "seen"),
    [
        (_deaf, "outage", "to a Neon that is down"),
        (_impatient, "poison", "a minute for each bad app"),
        (_first_come_at_the_claim, "hot-owner", "another owner's app still waits|the others are ready after"),
        (_first_come_at_the_budget, "hot-owner", "another owner's app still waits|the others are ready after"),
        (_unlimited, "restart", "beyond Neon's limits"),
    ],
    ids=["door", "back-off", "claim", "budget", "limit"],
)
def test_without_its_safeguard_the_rule_is_broken(
    off: Callable[[pytest.MonkeyPatch], None], shape: str, seen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each shape shows is shown by it, and the command to see it again is told."""
    off(monkeypatch)
    failure = run(shape, seed=1).failure or ""
    assert any(words in failure for words in seen.split("|")), failure
    assert f"python -m tests.overload --shape {shape} --seed 1 --size small" in failure


def test_one_seed_one_run() -> None:
    """The same figures in two processes with different hashes."""
    said = [
        subprocess.run(
            [sys.executable, "-m", "tests.overload", "--shape", "crash", "--size", "small"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1] != ""
