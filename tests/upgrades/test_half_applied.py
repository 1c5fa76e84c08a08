"""``migrate`` that is killed at any moment leaves the schema of before or that of after, and the next run finishes it.

The migration is the last one that this program carries, on a catalog with apps.
"""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest

from reconciler.catalog.migrate import migrate
from tests.processes.running import plain_environment, staged
from tests.upgrades.schemas import CARRIED, fill, migrate_to, shape_of


def test_every_moment_of_the_last_migration(
    empty_database_url: str, catalog_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before each statement and after the commit, run after run over one catalog."""
    migrate_to(empty_database_url, CARRIED[:-1], tmp_path / "before")
    fill(empty_database_url, 100)
    before = shape_of(empty_database_url)
    with staged(plain_environment()) as stage:
        dying = stage.start_module("tests.upgrades.dying", "migrate", DATABASE_URL=empty_database_url)
        assert dying.code(300) == 0, dying.err
        deaths = [json.loads(line) for line in dying.out.splitlines()]
    with capsys.disabled():
        print(f"\n{CARRIED[-1]}: killed at {len(deaths) - 1} moments")  # noqa: T201
    assert [shape for shape, _ in groupby(death["shape"] for death in deaths)] == [before, shape_of(catalog_url)]
    assert {"COMMIT", "after COMMIT"} <= {death["died_at"] for death in deaths}
    assert migrate(empty_database_url) == []
