"""A stage over a catalog of this version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes.running import Stage, settings, staged


@pytest.fixture
def stage(catalog_url: str) -> Iterator[Stage]:
    """A stage whose environment names a fresh, migrated catalog, and local Neon."""
    with staged(settings(catalog_url)) as made:
        made.local_neon().said("local Neon serves")
        yield made
