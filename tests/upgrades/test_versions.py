"""Version N and this one together: daemons, APIs and schema in both orders, and back, while owners and kills go on.

A seed decides who is asked, who is killed and when; ``UPGRADES_SEEDS=3,4`` names others than the one that always runs,
and ``UPGRADES_TURNS=5`` makes each stretch longer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.catalogs import execute
from tests.processes.running import settings, staged, until
from tests.upgrades.crowd import Crowd
from tests.upgrades.plane import Plane
from tests.upgrades.schemas import CARRIED, NEXT, newer_program
from tests.upgrades.versions import NotThere, Versions, give_up, unpack

SEEDS = [int(seed) for seed in os.environ.get("UPGRADES_SEEDS", "1").split(",")]
TURNS = int(os.environ.get("UPGRADES_TURNS", "1"))
HOLDERS = "SELECT lease_holder FROM app_work UNION SELECT lease_holder FROM periodic_jobs"


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of version N; without it a test is skipped, or fails where it must not be."""
    try:
        return unpack(tmp_path_factory.mktemp("old"))
    except NotThere as reason:
        give_up(str(reason))


@pytest.fixture(params=SEEDS)
def plane(request: pytest.FixtureRequest, empty_database_url: str, old: Path) -> Iterator[Plane]:
    """Version N with its schema, at work."""
    chosen = f"UPGRADES_SEEDS={request.param} UPGRADES_TURNS={TURNS}"
    print(f"again: {chosen} python -m pytest 'tests/upgrades/test_versions.py::{request.node.name}'")  # noqa: T201
    with staged(settings(empty_database_url)) as stage:
        stage.environment["PYTHONPATH"] = newer_program(stage.folder)
        stage.local_neon().said("local Neon serves")
        chance = Random(f"upgrades {request.param}")
        made = Plane(stage, Versions(stage, old), chance, Crowd(chance), TURNS)
        assert made.versions.start("old", "migrate").code() == 0
        made.start("old")
        made.live()
        yield made


def test_there_and_back_and_there_again(plane: Plane) -> None:
    """Schema first: N over this schema, both, this version alone. All of it back. Then the processes first."""
    further = [migration for migration in (*CARRIED, NEXT) if migration not in plane.versions.carried()]
    plane.migrate()
    plane.live()
    plane.start("new")
    plane.live()
    plane.stop("old")
    plane.live()
    plane.check()

    plane.start("old")
    plane.live()
    plane.check()
    plane.stop("new")
    plane.live()
    plane.migrate_back(further[0])
    plane.live()

    plane.start("new")
    plane.live()
    _waits(plane)
    plane.migrate()
    until(lambda: plane.readiness("new") == 200, "this version is ready")
    plane.live()
    plane.check()


def _waits(plane: Plane) -> None:
    """The processes of this version are not ready, say why, and hold nothing."""
    assert plane.readiness("new") == 503
    daemon = plane.working["new"]
    daemon.said("its schema is not current; run morphik-apps migrate")
    holders = [str(row["lease_holder"]) for row in execute(plane.stage.catalog_url, HOLDERS)]
    assert not [holder for holder in holders if f":{daemon.pid}:" in holder]
