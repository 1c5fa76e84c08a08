"""How the days begin, and how each safeguard is switched off."""

from __future__ import annotations

import pytest

from reconciler.runtime.guards import split_brain
from tests.identity.house import House, Neon

FORGET_SERVER = "UPDATE catalog_identity SET server_identity = NULL, verified_server_start = NULL"
"""The statement that makes a catalog forget on which server it was."""


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the high-water mark."""
    monkeypatch.setattr(split_brain, "split_brain_evidence", lambda *_: None)


async def two_ready(url: str, neon: Neon) -> tuple[str, str]:
    """Two ready apps; their ids."""
    async with House(url, neon) as house:
        return await house.ready("kept"), await house.ready("doomed")
