"""What rounds, operators and the request budget do to the catalog as a whole."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from reconciler.catalog.control_plane_store import Binding, Job
from reconciler.core.rate_limit import Priority
from specs.metadata import AppMetadata
from specs.names import format_project_name
from specs.neon import Project
from tests.catalogmodel.machine import WHICH, Base, sometimes
from tests.catalogmodel.pair import TERMS, WORKERS
from tests.catalogmodel.passes import PROJECTS, WORKER
from tests.catalogmodel.state import SEALED, plain, twin_row

JOBS = st.sampled_from(("resync", "deep_resync", "expire_idempotency_keys"))
REASONS = st.sampled_from(("all is gone", "half is gone"))


class ThePlane(Base):
    """The rules of the fleet."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    @precondition(lambda self: self.has_apps and sometimes(self))
    @rule(which=st.lists(WHICH, max_size=3), missing=st.booleans())
    def wake(self, which: list[int], missing: bool) -> None:
        """What a sweep found to differ; an app may be named twice, and one may be buried."""
        app_ids = [self.app(each) for each in which]
        self.pair.both(
            "control_plane_store.wake",
            self.pair.fleets[WORKERS[0]].wake(app_ids, missing=missing),
            lambda: self.pair.twin.wake(self._standing(app_ids), missing=missing),
        )

    @precondition(lambda self: self.has_apps and sometimes(self))
    @rule(found=st.lists(st.tuples(WHICH, PROJECTS), max_size=3))
    def name_surplus(self, found: list[tuple[int, str]]) -> None:
        """Candidates for a surplus, several of an app too."""
        pairs = [(self.app(which), project) for which, project in found]
        self.pair.both(
            "name_surplus",
            self.pair.fleets[WORKERS[0]].enqueue_duplicates(pairs),
            lambda: self.pair.twin.name_surplus([each for each in pairs if each[0] in self.pair.twin.rows]),
        )

    @precondition(sometimes)
    @rule(reason=REASONS)
    def stop(self, reason: str) -> None:
        """Everything stops."""
        self.pair.both("stop", self.pair.fleets[WORKERS[0]].stop(reason), lambda: self.pair.twin.stop(reason))

    @precondition(sometimes)
    @rule()
    def lift_stop(self) -> None:
        """The fleet is there again."""
        self.pair.both("lift_stop", self.pair.fleets[WORKERS[0]].clear_stop(), self.pair.twin.lift_stop)

    @precondition(sometimes)
    @rule()
    def override_stop(self) -> None:
        """An operator's word."""
        self.pair.both("override_stop", self.pair.fleets[WORKERS[0]].override_stop(), self.pair.twin.override_stop)

    @precondition(sometimes)
    @rule(org=st.sampled_from(("org-1", "org-2")))
    def pin(self, org: str) -> None:
        """The first change, or a daemon with another organization."""
        pins = Binding(org, "https://neon", "morphik")
        fleet, twin = self.pair.fleets[WORKERS[0]], self.pair.twin
        self.pair.both("pins", fleet.binding(), lambda: twin.pinned)
        self.pair.both("pin", fleet.bind(pins), lambda: twin.keep(pins))

    @precondition(sometimes)
    @rule(project=PROJECTS, which=WHICH)
    def report_orphan(self, project: str, which: int) -> None:
        """A project of ours that no row names, once more or for the first time."""
        app_id = self.app(which) if self.asked else ""
        name = format_project_name("shop", app_id) if app_id else "someone's"
        made_at = self.pair.clock.date
        found = Project(id=project, name=name, region_id="r", pg_version=17, created_at=made_at)
        self.pair.both(
            "report_orphan",
            self.pair.fleets[WORKERS[0]].report_orphan(found),
            lambda: self.pair.twin.report_orphan(project, app_id),
        )

    @precondition(sometimes)
    @rule(seen=st.sets(PROJECTS, max_size=3))
    def forget_orphans(self, seen: set[str]) -> None:
        """A complete list that shows only so much."""
        fleet, twin = self.pair.fleets[WORKERS[0]], self.pair.twin
        self.pair.both("forget_orphans", fleet.forget_orphans(seen), lambda: twin.forget_orphans(seen))
        self.pair.both("reported", fleet.known_orphans(), lambda: set(twin.orphans))

    @precondition(sometimes)
    @rule(which=WHICH, besides=WHICH, limit=st.integers(1, 3))
    def read(self, which: int, besides: int, limit: int) -> None:
        """What rounds read of all apps."""
        fleet, twin = self.pair.fleets[WORKERS[1]], self.pair.twin
        start = self.app(which) if self.asked else ""
        other = self.app(besides) if self.asked else ""
        hidden = dict.fromkeys(SEALED)
        self.pair.both(
            "sweep_rows",
            self._rows(),
            lambda: [row.model_copy(update=hidden | _UNREAD) for row in twin.sweep_rows()],
        )
        self.pair.both(
            "audit_rows",
            fleet.deep_resync_rows(start, limit),
            lambda: twin.audit_rows(start, limit),
            seen=lambda rows: [plain(row) for row in rows],
            modelled=lambda rows: [twin_row(twin, row) for row in rows],
        )
        self.pair.both("count_connected", fleet.count_connected(), twin.count_connected)
        self.pair.both("witnesses", self._witnesses(start, other, limit), lambda: twin.witnesses(start, other, limit))
        self.pair.both("clock", fleet.clock(), lambda: self.pair.clock.date)
        overridden = twin.plane.overridden_until > self.pair.clock.now
        self.pair.both("stop_overridden", fleet.stop_overridden(), lambda: overridden)

    @precondition(sometimes)
    @rule()
    def bury(self) -> None:
        """What is beyond its tombstone goes."""
        before = len(self.pair.twin.rows)
        self.pair.both("bury", self.pair.fleets[WORKERS[0]].purge_tombstones(), self.pair.twin.bury)
        self.pair.met["bury", "buried"] += len(self.pair.twin.rows) < before

    @precondition(sometimes)
    @rule()
    def expire_keys(self) -> None:
        """Idempotency keys go a day after they were given."""
        before = len(self.pair.twin.keys)
        self.pair.both("expire_keys", self._expire_keys(), self.pair.twin.expire_keys)
        self.pair.met["expire_keys", "expired"] += len(self.pair.twin.keys) < before

    @precondition(sometimes)
    @rule(worker=WORKER, name=JOBS, period=st.sampled_from((0.5, 60.0)))
    def claim_job(self, worker: str, name: str, period: float) -> None:
        """A round begins, unless somebody is at it or it is too early."""
        self.pair.both(
            "claim_job",
            self._claim_job(worker, name, period),
            lambda: self.pair.twin.take_job(worker, name, period),
            seen=lambda job: job and (job.token, job.checkpoint),
        )

    @precondition(lambda self: bool(self.jobs) and sometimes(self))
    @rule(which=WHICH)
    def renew_job(self, which: int) -> None:
        """A round that goes on."""
        job = self.jobs[-1 - which % len(self.jobs)]
        fleet, twin = self.pair.fleets[WORKERS[0]], self.pair.twin
        self.pair.both("renew_job", fleet.renew_job(job), lambda: twin.renew_job(job.name, job.token))

    @precondition(lambda self: bool(self.jobs) and sometimes(self))
    @rule(which=WHICH, position=st.sampled_from(("", "m")), whole=st.booleans())
    def finish_job(self, which: int, position: str, whole: bool) -> None:
        """A round that ends here, with the whole fleet seen or not."""
        job = self.jobs[-1 - which % len(self.jobs)]
        self.pair.both(
            "finish_job",
            self.pair.fleets[WORKERS[0]].finish_job(job, position, complete=whole),
            lambda: self.pair.twin.end_job(job.name, job.token, position, whole=whole),
        )

    @precondition(sometimes)
    @rule(worker=WORKER)
    def give_back_jobs(self, worker: str) -> None:
        """A daemon that ends."""
        fleet, twin = self.pair.fleets[worker], self.pair.twin
        self.pair.both("give_back_jobs", fleet.release_jobs(), lambda: twin.give_back_jobs(worker))

    @precondition(sometimes)
    @rule(wanted=st.dictionaries(st.sampled_from(Priority), st.integers(0, 12), max_size=3))
    def lease_requests(self, wanted: dict[Priority, int]) -> None:
        """A slice of the request budget."""
        self.pair.both(
            "rate_limit.lease",
            self.pair.budget.lease(wanted),
            lambda: self.pair.twin.lease_requests(wanted, TERMS),
        )

    @precondition(sometimes)
    @rule(seconds=st.sampled_from((0.5, 30.0)))
    def close_budget(self, seconds: float) -> None:
        """Neon refused a request for there being too many."""
        self.pair.both(
            "rate_limit.close", self.pair.budget.close(seconds), lambda: self.pair.twin.close_budget(seconds)
        )

    async def _expire_keys(self) -> None:
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            after = await self.pair.fleets[WORKERS[0]].expire_keys(after)

    def _standing(self, app_ids: list[str]) -> list[str]:
        return [app_id for app_id in app_ids if app_id in self.pair.twin.rows]

    async def _rows(self) -> list[AppMetadata]:
        return [row async for row in self.pair.fleets[WORKERS[0]].rows()]

    async def _witnesses(self, start: str, besides: str, limit: int) -> list[str]:
        found = await self.pair.fleets[WORKERS[0]].sample_recorded_projects(start, besides, limit)
        return [str(each) for each in found]

    async def _claim_job(self, worker: str, name: str, period: float) -> Job | None:
        job = await self.pair.fleets[worker].claim_job(name, period)
        self.jobs += [] if job is None else [job]
        return job


# Columns that a sweep leaves out of its rows, with what stands there then.
_UNREAD = {
    "schema_version": None,
    "data_key_version": 0,
    "recoverable_until": None,
    "tombstone_until": None,
}
