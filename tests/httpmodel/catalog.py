"""The time that everybody shares, and the catalog behind everybody's back."""

from __future__ import annotations

from typing import Any

from tests.simulation.clock import START, Clock
from tests.stillclock import StillClock

CATALOG_ID = "00000000-0000-4000-8000-000000000001"
# All that a pass may write, without the leases, which every claim changes.
_WRITTEN = """
SELECT (SELECT jsonb_agg(to_jsonb(a) ORDER BY a.app_id) FROM app_metadata a) AS apps,
       (SELECT jsonb_agg(to_jsonb(i) ORDER BY i.create_seq) FROM create_intents i) AS intents,
       (SELECT jsonb_agg(to_jsonb(e) ORDER BY e.event_id) FROM app_events e) AS events,
       (SELECT jsonb_agg(to_jsonb(o) ORDER BY o.project_id) FROM orphan_projects o) AS orphans,
       (SELECT last_create_seq FROM catalog_identity) AS creates
"""


class SharedClock(Clock):
    """Virtual time, in which the catalog lives too.

    Args:
        still: the catalog, whose clock moves with this one only.
    """

    def __init__(self, still: StillClock) -> None:
        super().__init__()
        self.still = still

    def pass_by(self, seconds: float) -> None:
        """Let so much time pass, for everybody."""
        self.now += seconds
        self.still.set(self.now)

    def begin_again(self) -> None:
        """An empty catalog, at the start of time."""
        self.now = START
        self.still.set(START)
        self.still.empty()
        self.still.rows(f"UPDATE catalog_identity SET catalog_id = '{CATALOG_ID}'")

    def written(self) -> dict[str, Any]:
        """All that the catalog holds, but who works on what."""
        return self.still.rows(_WRITTEN)[0]
