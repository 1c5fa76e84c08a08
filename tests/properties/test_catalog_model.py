"""The simulator's catalog is the real one: whatever is asked of both in any order, both say and hold the same."""

from __future__ import annotations

from tests.catalogmodel import run
from tests.postgres import TestServer


def test_the_twin_is_the_real_catalog(postgres: TestServer) -> None:
    """Every statement that the simulator relies on runs, and every operation that refuses has refused."""
    seen = run(postgres, examples=120, steps=50)
    assert seen.unmet() == []
