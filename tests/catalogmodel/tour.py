"""One run by hand that meets everything at least once; the runs by chance need not."""

from __future__ import annotations

from typing import Any

from reconciler.core.rate_limit import Priority
from specs.status import AppStatus
from tests.catalogmodel.passes import BOTH, Passes
from tests.catalogmodel.people import People
from tests.catalogmodel.plane import ThePlane

Step = tuple[str, dict[str, Any]]


def _ask(owner: str, name: str, *, version: int = 17, key: str | None = None, most: int = 9, a_day: int = 99) -> Step:
    return "ask", {"owner": owner, "name": name, "version": version, "key": key, "most": most, "a_day": a_day}


def _project(which: int, project: str) -> Step:
    return "record_project", {"which": which, "project": project, "held": BOTH, "seq": 0}


# Bob's app, asked for last, is the newest; the newest lease is that of the app with the greatest id.
STEPS: tuple[Step, ...] = (
    _ask("alice", "notes", key="key-1"),
    _ask("alice", "notes", key="key-1"),
    _ask("alice", "shop", key="key-1"),
    _ask("alice", "notes", version=16),
    _ask("alice", "shop", most=1),
    _ask("alice", "shop", a_day=1),
    _ask("alice", "notes", key="key-2"),
    _ask("bob", "shop"),
    ("look", {"which": 0, "owner": "bob"}),
    ("look", {"which": 0, "owner": "alice"}),
    ("browse", {"owner": "alice", "status": None, "name": None, "limit": 1}),
    ("pin", {"org": "org-1"}),
    ("claim", {"worker": "worker-1", "limit": 3}),
    ("claim", {"worker": "worker-2", "limit": 3}),
    ("next_due", {}),
    ("pass_time", {"seconds": 60.0}),
    ("claim", {"worker": "worker-2", "limit": 3}),
    _project(2, "project-0"),
    _project(3, "project-0"),
    ("renew", {"first": 2, "second": 3}),
    ("pass_time", {"seconds": 0.5}),
    ("renew", {"first": 2, "second": 3}),
    ("open_intent", {"which": 0, "again": None}),
    ("settle_intent", {"which": 0, "seq": 0, "how": "rejected"}),
    ("settle_intent", {"which": 0, "seq": 0, "how": "rejected"}),
    ("open_intent", {"which": 0, "again": 0}),
    ("settle_intent", {"which": 0, "seq": 0, "how": "open"}),
    _project(0, "project-1"),
    _project(0, "project-1"),
    ("open_intent", {"which": 0, "again": None}),
    ("open_intent", {"which": 1, "again": None}),
    _project(1, "project-1"),
    _project(1, "project-2"),
    ("record", {"which": 0, "status": AppStatus.READY, "generation": 1, "columns": {"connected_at": 0.0}}),
    ("name_surplus", {"found": [(0, "project-3"), (0, "project-4"), (1, "project-5")]}),
    ("wake", {"which": [0, 0], "missing": True}),
    ("drop_surplus", {"which": 0, "project": "project-3", "report": True}),
    ("permit", {"which": 0, "swept": True, "times": 11}),
    ("stop", {"reason": "all is gone"}),
    ("pass_time", {"seconds": 0.5}),
    ("permit", {"which": 0, "swept": False, "times": 1}),
    ("open_intent", {"which": 0, "again": None}),
    ("override_stop", {}),
    ("permit", {"which": 0, "swept": False, "times": 1}),
    ("stop", {"reason": "half is gone"}),
    ("lift_stop", {}),
    ("release", {"which": 1, "after": None, "failed": False, "background": False}),
    ("pass_time", {"seconds": 60.0}),
    ("claim", {"worker": "worker-2", "limit": 3}),
    ("renew", {"first": 0, "second": 2}),
    ("renew", {"first": 1, "second": 3}),
    ("release", {"which": 2, "after": 30.0, "failed": True, "background": False}),
    ("record_credentials", {"which": 0, "held": BOTH}),
    ("release", {"which": 0, "after": None, "failed": False, "background": True}),
    ("pass_time", {"seconds": 60.0}),
    ("wake", {"which": [0, 1], "missing": False}),
    ("claim", {"worker": "worker-1", "limit": 3}),
    *(("record_credentials", {"which": which, "held": BOTH}) for which in range(5)),
    *(("permit", {"which": which, "swept": False, "times": 1}) for which in range(5)),
    *(("drop_surplus", {"which": which, "project": "project-4", "report": False}) for which in range(5)),
    *(("record", {"which": each, "status": AppStatus.READY, "generation": 0, "columns": {}}) for each in range(5)),
    ("read", {"which": 0, "besides": 1, "limit": 2}),
    ("report_orphan", {"project": "project-0", "which": 0}),
    ("forget_orphans", {"seen": {"project-0"}}),
    ("claim_job", {"worker": "worker-1", "name": "resync", "period": 60.0}),
    ("renew_job", {"which": 0}),
    ("claim_job", {"worker": "worker-2", "name": "resync", "period": 60.0}),
    ("finish_job", {"which": 0, "position": "m", "whole": True}),
    ("claim_job", {"worker": "worker-2", "name": "resync", "period": 60.0}),
    ("give_back_jobs", {"worker": "worker-1"}),
    ("lease_requests", {"wanted": {Priority.USER: 1}}),
    ("close_budget", {"seconds": 0.5}),
    ("give_back", {"worker": "worker-1"}),
    ("delete", {"which": 0, "owner": "bob"}),
    ("delete", {"which": 1, "owner": "bob"}),
    ("claim", {"worker": "worker-1", "limit": 3}),
    *(("record_deleted", {"which": which, "ends": 0.0}) for which in range(2)),
    ("pass_time", {"seconds": 0.5}),
    ("bury", {}),
    # Bob's one app before the second of Alice, which was asked for first; then Carol, who has nothing under a lease.
    *(_ask("alice", name) for name in ("shop", "blog")),
    ("pass_time", {"seconds": 0.5}),
    _ask("bob", "notes"),
    ("claim", {"worker": "worker-1", "limit": 2}),
    ("pass_time", {"seconds": 0.5}),
    _ask("carol", "notes"),
    ("claim", {"worker": "worker-2", "limit": 1}),
    # A day later the keys are forgotten, at first in what they match; the creates of the day before count no more.
    ("pass_time", {"seconds": 86_400.0}),
    _ask("alice", "blog", key="key-2"),
    ("pass_time", {"seconds": 86_400.0}),
    _ask("alice", "blog", key="key-2"),
    ("pass_time", {"seconds": 90_000.0}),
    ("expire_keys", {}),
    _ask("alice", "notes", a_day=1),
    _ask("alice", "more", a_day=1),
)


class Guided(People, Passes, ThePlane):
    """The rules, in the order of the tour."""

    def follow(self) -> None:
        """Take every step, and compare after each."""
        for name, given in STEPS:
            getattr(self, name)(**given)
            self.agree()
