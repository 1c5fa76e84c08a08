"""A fixed block of schedules through the real driver, the same trace every time, and safeguards switched off."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.driven.faults import Fault
from tests.driven.parts import parts
from tests.driven.run import Failure, run, shrunk
from tests.driven.safeguards import MUTANTS, Mutant, runs_to_find
from tests.driven.tier import schedules_at_once
from tests.simulation import invariants
from tests.virtual.ambient import Ambient

ROOT = Path(__file__).parents[2]
SEEDS = 1500
STATEMENTS = {
    "schema", "binding", "read_identity", "unrecorded", "record_verified", "report_orphan", "forget_orphans",
    "bind", "set_control_plane_id", "clock", "resync_rows", "known_orphans", "purge_tombstones", "expire_keys",
    "claim_job", "renew_job", "finish_job", "release_jobs", "deep_resync_rows", "count_connected", "sample_projects",
    "stop", "clear_stop", "stop_overridden", "wake", "enqueue_duplicates", "dismiss_duplicate",
    "claim", "claimed", "next_due", "renew", "release", "release_all",
    "authorize_mutation", "open_intent", "update_intent", "record", "record_project",
    "lease_budget", "close_budget",
}  # fmt: skip
REQUESTS = {
    "GET /users/me/organizations", "GET /projects", "GET /projects/*", "GET /projects/*/branches",
    "GET /projects/*/endpoints", "GET /projects/*/operations", "GET /projects/*/connection_uri",
    "POST /projects", "PATCH /projects/*", "DELETE /projects/*", "POST /projects/*/recover",
    "POST /projects/*/endpoints", "PATCH /projects/*/branches/*",
}  # fmt: skip


@pytest.fixture
def ambient() -> Iterator[Ambient]:
    """Daemons are made of the parts of a run."""
    with parts() as placed:
        yield placed


def test_schedules() -> None:
    """Every run keeps all rules, and together they meet every fault, every statement and every request."""
    total = schedules_at_once(range(SEEDS))
    assert total.failures[:3] == []
    assert total.runs == SEEDS
    assert {fault for fault in Fault if total.fired[fault] < 20} == set()
    assert total.statements.keys() == STATEMENTS
    assert total.requests.keys() == REQUESTS


def test_same_seed_same_trace(ambient: Ambient) -> None:
    """One seed is one run, whatever the hash seed of the interpreter is, and whatever ran before."""
    command = [sys.executable, "-m", "tests.driven", "--seed", "7", "--hash"]
    seen = {
        subprocess.run(
            command,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "4711")
    }
    run(6, ambient)
    assert seen == {f"{run(7, ambient).world.trace_hash()}\n"}


def test_other_seed_other_trace(ambient: Ambient) -> None:
    """Seeds do differ."""
    assert len({run(seed, ambient).world.trace_hash() for seed in range(10)}) == 10


def test_failure_names_the_command(ambient: Ambient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure can be replayed with one line, without the faults that it does not need."""
    with pytest.raises(Failure) as failed:
        _without(monkeypatch, ambient)
    assert str(failed.value).endswith("\nreplay: python -m tests.driven --seed 3")
    assert str(shrunk(failed.value, ambient)).endswith("\nreplay: python -m tests.driven --seed 3 --only none")


def _without(monkeypatch: pytest.MonkeyPatch, ambient: Ambient) -> None:
    monkeypatch.setattr(invariants, "SEND_MARGIN_SECONDS", -1.0)
    run(3, ambient)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[each.name for each in MUTANTS])
def test_missing_safeguard_is_found(mutant: Mutant, ambient: Ambient) -> None:
    """Some run breaks the rule that the safeguard is there for."""
    print(f"{mutant.name}: run {runs_to_find(mutant, ambient)}")  # noqa: T201
