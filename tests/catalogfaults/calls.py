"""What the API, a daemon and the doctor ask of the catalog, each call once, in a catalog where each has a meaning."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import pytest

from reconciler.catalog.apps import AppStore
from reconciler.catalog.control_plane_store import Binding, ControlPlaneStore, Job
from reconciler.catalog.database import Database
from reconciler.catalog.errors import LimitReached
from reconciler.catalog.inspect import CatalogInspector
from reconciler.catalog.limits import MAX_KEYS, OwnerLimits
from reconciler.catalog.promotion import PromotionStore
from reconciler.catalog.rate_limit import RateLimitStore
from reconciler.catalog.revocations import RevocationStore
from reconciler.catalog.stats import read_stats
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkItem, WorkQueue
from reconciler.core.context import Credentials, Result, StatusUpdate
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.rate_limit import BucketConfig, Priority
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from reconciler.core.recovery.promotion import LostRow, ProjectProvenance, RecoveryPlan
from specs.app import DesiredApp
from specs.names import app_id_from_bytes
from specs.neon import Project
from specs.status import AppStatus
from tests.addresses import checked
from tests.catalogs import REGION, SEALER
from tests.stillclock import StillClock

LEASE = 60.0
ORG = "org-1"
TERMS = BucketConfig.from_limits(requests_per_minute=700, burst=40)
_URIS = Credentials(checked("postgresql://r:p@host.neon.tech/app"), None)
_SAID = StatusUpdate(AppStatus.PROVISIONING, (), 1)
_NAMES = ("ready", "creating", "claimed", "deleting", "waiting")
IDS = {name: app_id_from_bytes(b"%-15s" % name.encode()) for name in (*_NAMES, "new")}


class Hands:
    """Everybody's way to one catalog, and what they hold there.

    Attributes:
        held: by app, the lease of the daemon that works on it.
        job: the round that runs.
        standing: the catalog's identity as it is while nobody doubts it.
    """

    standing: CatalogIdentity

    def __init__(self, database: Database, clock: StillClock) -> None:
        self.database = database
        self._clock = clock
        self.apps = AppStore(database)
        self.work = WorkQueue(database, owner="d", lease_seconds=LEASE)
        self.records = StatusStore(database, SEALER, lease_seconds=LEASE)
        self.fleet = ControlPlaneStore(database, owner="d", lease_seconds=LEASE)
        self.budget = RateLimitStore(database, TERMS)
        self.inspector = CatalogInspector(database)
        self.claims = PromotionStore(database)
        self.revocations = RevocationStore(database)
        self.held: dict[str, WorkItem] = {}
        self.job = Job("resync", 0, "")

    async def create(
        self, name: str, key: str | None = None, app_id: str | None = None, max_apps: int = 100, owner: str = "alice"
    ) -> None:
        """POST."""
        await self.apps.create(
            owner,
            _desired(name),
            provided=("app_name", "region"),
            app_id=app_id or IDS[name],
            idempotency_key=key,
            fingerprint=None if key is None else b"body",
            limits=OwnerLimits(max_apps, 100),
            request_id=None,
        )

    async def furnish(self) -> None:
        """Fill the catalog: an app at each point of its way, a stop, an orphan, a round."""
        self._clock.rows("CREATE TABLE yoyo_lock (locked integer, pid integer)")
        for name in _NAMES[:4]:
            await self.create(name)
        await self.apps.request_delete("alice", IDS["deleting"], None)
        named = {app_id: name for name, app_id in IDS.items()}
        self.held = {named[each.app.app_id]: each for each in await self.work.claim(10)}
        for name in ("ready", "creating"):
            await self.records.open_intent(self.held[name].lease, OpenIntent(f"nonce-{name}", None))
        await self.record_project("ready", "project-ready")
        self._clock.rows("UPDATE app_metadata SET connected_at = clock_timestamp() WHERE project_id IS NOT NULL")
        await self.work.release(self.held["ready"].lease, Result(None))
        self._clock.rows(
            "UPDATE app_metadata SET tombstone_until = now() - interval '1 s' WHERE delete_requested_at IS NOT NULL"
        )
        await self.create("waiting")
        self._clock.rows("UPDATE app_metadata SET hold_reason = 'owner' WHERE app_name = 'waiting'")
        self._clock.rows(f"INSERT INTO app_owners (owner_id, app_count, key_count) VALUES ('carol', 0, {MAX_KEYS})")
        await self.fleet.report_orphan(_project("project-lost"))
        await self.fleet.bind(Binding(ORG, "https://neon", "morphik"))
        job = await self.fleet.claim_job("resync", 60)
        assert job is not None
        self.job = job
        self.standing = await self.fleet.identity.read()

    async def create_too_many(self) -> None:
        """POST by an owner who has as many apps as the owner may have."""
        with pytest.raises(LimitReached):
            await self.create("new", max_apps=1)

    async def create_behind_many_keys(self) -> None:
        """POST by an owner whose keys were counted long ago: most have expired since."""
        await self.create("new", "key-new", owner="carol")

    async def claim(self) -> None:
        """A person's claim, in which there is something of each kind to be made good."""
        claim = RecoveryPlan(
            quarantine_reason="commits were lost",
            rebuild=(LostRow(_trace("new", 7), "alice", _desired("new")),),
            intents=(_trace("claimed", 8),),
            missing=(self.held["ready"].app,),
            foreign_catalogs={"another catalog": 3},
            last_create_seq=8,
        )
        at = self.standing.created_at
        await self.claims.promote(claim, self.standing, SEALER, org_id=ORG, at=at)

    async def record_project(self, name: str, project_id: str) -> None:
        """The project of an app that is being created."""
        effect = RecordProject(1, project_id, ORG, _URIS, _SAID)
        await self.records.record_project(self.held[name].lease, self.held[name].app, effect)

    async def rows(self) -> list[str]:
        """What a sweep reads."""
        return [row.app_id async for row in self.fleet.rows()]


Call: TypeAlias = Callable[[Hands], Awaitable[Any]]


def _desired(name: str) -> DesiredApp:
    return DesiredApp(app_name=name, region=REGION, pg_version=17)


def _trace(name: str, create_seq: int) -> ProjectProvenance:
    return ProjectProvenance(IDS[name], 1, create_seq, f"nonce of {name}", _project(f"project-of-{name}"))


def _project(project_id: str) -> Project:
    return Project.model_validate(
        {"id": project_id, "name": "shop", "region_id": "r", "pg_version": 17, "created_at": "2026-01-01T00:00:00Z"}
    )


CALLS: Mapping[str, Call] = {
    # The API
    "create": lambda h: h.create("new", "key-new"),
    "create what is there": lambda h: h.create("waiting", "key-waiting", IDS["new"]),
    "create too many": lambda h: h.create_too_many(),
    "create behind many keys": lambda h: h.create_behind_many_keys(),
    "get": lambda h: h.apps.get("alice", IDS["ready"]),
    "list": lambda h: h.apps.list("alice", status=None, name=None, limit=2, cursor=None),
    "request_delete": lambda h: h.apps.request_delete("alice", IDS["ready"], None),
    "events": lambda h: h.apps.events("alice", IDS["ready"], limit=2, cursor=None),
    "statuses": lambda h: h.apps.get_many([IDS["ready"]]),
    "notify": lambda h: h.apps.notify(),
    "minimums": lambda h: h.revocations.minimums(["alice"]),
    "revoke_below": lambda h: h.revocations.revoke_below("alice", 7, operator="operator"),
    # A worker
    "claim": lambda h: h.work.claim(10),
    "next_due": lambda h: h.work.next_due(),
    "renew": lambda h: h.work.renew([h.held["creating"].lease]),
    "release": lambda h: h.work.release(h.held["creating"].lease, Result(1.0)),
    "give_back": lambda h: h.work.release_all(),
    # A pass
    "permit": lambda h: h.records.authorize_mutation(h.held["creating"].lease, automatic=False),
    "permit of a sweep": lambda h: h.records.authorize_mutation(h.held["creating"].lease, automatic=True),
    "open_intent": lambda h: h.records.open_intent(h.held["claimed"].lease, OpenIntent("nonce", None)),
    "refuse_intent": lambda h: h.records.mark_intent_rejected(h.held["creating"].lease, 2),
    "note_absence": lambda h: h.records.record_absence(h.held["creating"].lease, 2, confirmed=False),
    "record": lambda h: h.records.record(h.held["creating"].lease, _SAID),
    "record_project": lambda h: h.record_project("creating", "project-new"),
    "drop_surplus": lambda h: h.records.dismiss_duplicate(h.held["creating"].lease, "project-x", report=True),
    # A round
    "catalog_id": lambda h: h.fleet.catalog_id(),
    "pin": lambda h: h.fleet.bind(Binding(ORG, "https://neon", "morphik")),
    "take_plane": lambda h: h.fleet.set_control_plane_id("another"),
    "stop": lambda h: h.fleet.stop("all is gone"),
    "lift_stop": lambda h: h.fleet.clear_stop(),
    "override_stop": lambda h: h.fleet.override_stop(),
    "stop_overridden": lambda h: h.fleet.stop_overridden(),
    "clock": lambda h: h.fleet.clock(),
    "rows": lambda h: h.rows(),
    "audit_rows": lambda h: h.fleet.deep_resync_rows("", 10),
    "count_connected": lambda h: h.fleet.count_connected(),
    "witnesses": lambda h: h.fleet.sample_recorded_projects("", "", 3),
    "wake": lambda h: h.fleet.wake([IDS["ready"]], missing=True),
    "name_surplus": lambda h: h.fleet.enqueue_duplicates([(IDS["ready"], "project-x")]),
    "reported": lambda h: h.fleet.known_orphans(),
    "report_orphan": lambda h: h.fleet.report_orphan(_project("project-new")),
    "forget_orphans": lambda h: h.fleet.forget_orphans([]),
    "round_finished": lambda h: h.fleet.job_finished_at("resync"),
    "claim_job": lambda h: h.fleet.claim_job("deep_resync", 60),
    "renew_job": lambda h: h.fleet.renew_job(h.job),
    "finish_job": lambda h: h.fleet.finish_job(h.job, complete=True),
    "give_back_jobs": lambda h: h.fleet.release_jobs(),
    "bury": lambda h: h.fleet.purge_tombstones(),
    "expire_keys": lambda h: h.fleet.expire_keys(("", "")),
    # Which catalog this is, and a person's claim
    "standing": lambda h: h.fleet.identity.read(),
    "unrecorded": lambda h: h.fleet.identity.unrecorded(["project-ready", "project-x"]),
    "looked": lambda h: h.fleet.identity.record_verified(h.standing, h.standing.created_at),
    "doubt": lambda h: h.fleet.identity.quarantine(h.standing, "commits were lost"),
    "ended_by": lambda h: h.fleet.identity.resume_command(),
    "nonces": lambda h: h.claims.nonces([IDS["creating"]]),
    "claim the catalog": lambda h: h.claim(),
    "confirm": lambda h: h.claims.confirm_owner(IDS["waiting"], "bob"),
    # The budget, the metrics, the doctor
    "lease": lambda h: h.budget.lease({Priority.USER: 1}),
    "close": lambda h: h.budget.close(1.0),
    "read_stats": lambda h: read_stats(h.database),
    "server": lambda h: h.inspector.server(),
    "schema": lambda h: h.inspector.schema(),
    "rights": lambda h: h.inspector.privileges(),
    "identity": lambda h: h.inspector.identity(),
    "wrapping_keys": lambda h: h.inspector.wrapping_keys(),
    "wrapped": lambda h: h.inspector.wrapped("none", 3),
}
"""Every call there is; which statements each needs is found out by making it."""
