"""``catalog promote``: an operator declares a restored catalog authoritative, after a comparison with Neon.

Without ``--yes`` nothing changes. The output contains no credentials.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

from reconciler.catalog.address import load_catalog_settings
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.promotion import PromotionRejected, PromotionResult, PromotionStore
from reconciler.catalog.rate_limit import RateLimitStore
from reconciler.core.ownership import OwnershipAnnotations, parse_annotations
from reconciler.core.rate_limit import BucketConfig, Priority
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from reconciler.core.recovery.promotion import RecoveryPlan, plan_recovery, unrecorded_projects
from reconciler.egress_proxy import egress_proxy
from reconciler.errors import NeonNotFound
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.rate_limiter import PriorityGate, RateLimiter
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.settings import ControlPlaneSettings, EncryptionSettings, ReconcilerSettings

_COPY = (
    "If this is a copy, or another catalog uses the same organization, do not promote it: stop its daemons, and give "
    "them a new catalog with a key, or at least a CONTROL_PLANE_ID, of its own."
)


_UNUSED = (
    "This catalog has created no project. If the other catalog is in use, do not promote this one: both would stop. "
    "Set another CONTROL_PLANE_ID and restart the daemons."
)


class Inspection(NamedTuple):
    """A comparison of the catalog with Neon: the identity, the plan, the organization, and the start time."""

    identity: CatalogIdentity
    plan: RecoveryPlan
    org_id: str
    at: datetime


async def promote(*, apply: bool) -> str:
    """Compare the catalog with Neon, and promote it if ``apply``. Return the text to print.

    Raises:
        SettingsError, ReconcileError: the command failed; nothing was changed.
    """
    control_plane_id = ControlPlaneSettings.load().control_plane_id
    sealer = Sealer(EncryptionSettings.load().keys()) if apply else None
    async with _opened() as database, _neon(database) as client:
        store = ControlPlaneStore(database, owner="operator", lease_seconds=1)
        promotions = PromotionStore(database)
        loop = ReconcilerSettings.load()
        guard = OrganizationGuard(
            client,
            store,
            org_id=loop.neon_org_id,
            neon_api_url=loop.neon_api_url,
            control_plane_id=control_plane_id,
        )
        inspection = await inspect(client, guard, store, promotions, control_plane_id)
        lines = [*_describe(inspection, control_plane_id)]
        if sealer is None:
            lines += ["", "Nothing was changed. To promote this catalog: morphik-apps catalog promote --yes"]
            unused = inspection.identity.is_unused and inspection.plan.foreign_catalogs
            lines.append(_UNUSED if unused else _COPY)
        else:
            result = await promotions.promote(
                inspection.plan, inspection.identity, sealer, org_id=inspection.org_id, at=inspection.at
            )
            lines += ["", *_describe_result(result)]
    return "".join(f"{line}\n" for line in lines)


async def confirm_owner(app_id: str, owner_id: str) -> str:
    """Confirm the owner of an app on hold. Return the text to print. Raises PromotionRejected, CatalogUnavailable."""
    async with _opened() as database:
        hold_reason = await PromotionStore(database).confirm_owner(app_id, owner_id)
    next_step = (
        "the reconciler reads its credentials now"
        if hold_reason == "owner"
        else "the reconciler recovers its project after the next resyncs"
    )
    return f"{app_id} belongs to {owner_id!r}; {next_step}\n"


@asynccontextmanager
async def _opened() -> AsyncIterator[Database]:
    database = Database(load_catalog_settings().database_url.get_secret_value(), max_size=2)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def _neon(database: Database) -> AsyncIterator[NeonClient]:
    """Yield a client under the request limit that all processes share."""
    loop = ReconcilerSettings.load()
    terms = BucketConfig.from_limits(
        requests_per_minute=loop.neon_requests_per_minute, burst=loop.neon_burst_per_second
    )
    limiter = RateLimiter(RateLimitStore(database, terms), terms)
    proxy = egress_proxy(loop.neon_api_url, loop)
    async with NeonClient(
        loop.neon_api_url, loop.neon_api_key, timeout_seconds=loop.neon_timeout_seconds, proxy=proxy
    ) as client:
        try:
            yield client.with_gate(PriorityGate(limiter, Priority.USER))
        finally:
            await limiter.aclose()


async def inspect(
    client: NeonClient,
    guard: OrganizationGuard,
    store: ControlPlaneStore,
    promotions: PromotionStore,
    control_plane_id: str,
) -> Inspection:
    """Compare Neon's complete project list with the catalog, and read the annotations of unrecorded projects.

    Raises:
        PromotionRejected: the catalog has no projects, or Neon's list is not complete.
        MutationsSuspended: the settings do not match the catalog's binding.
        NeonAPIError, CatalogUnavailable: a request failed.
    """
    if await store.binding() is None:
        raise PromotionRejected("this catalog has created nothing at Neon, so there is nothing to promote")
    org_id, at = await guard.organization(), await store.clock()
    listing = await client.list_all_projects(org_id=org_id)
    unreadable = [
        item.id
        for item in listing.unreadable
        if item.id is not None and (item.name is None or parse_project_name(item.name) is not None)
    ]
    if not listing.is_complete or await store.identity.unrecorded(unreadable):
        raise PromotionRejected("Neon's list is incomplete now, and a promotion needs all projects; retry later")
    rows: list[AppMetadata] = [row async for row in store.rows()]
    annotations: dict[str, OwnershipAnnotations | None] = {}
    for project in unrecorded_projects(rows, listing):
        try:
            branches = await client.list_branches(project.id)
        except NeonNotFound:
            annotations[project.id] = None
            continue
        annotations[project.id] = parse_annotations(branches)
        if annotations[project.id] is None and branches.unreadable:
            raise PromotionRejected(f"Neon's list of the branches of {project.id} is unreadable now; retry later")
    app_ids = [item.app_id for item in annotations.values() if item is not None and item.app_id]
    nonces = await promotions.nonces(app_ids)
    identity = await store.identity.read()
    plan = plan_recovery(identity, control_plane_id, rows, listing, annotations, nonces)
    return Inspection(identity, plan, org_id, at)


def _describe(inspection: Inspection, control_plane_id: str) -> Iterator[str]:
    identity, plan = inspection.identity, inspection.plan
    yield (
        f"catalog {identity.catalog_id} of the control plane {control_plane_id!r}, in the organization "
        f"{inspection.org_id}"
    )
    yield f"quarantined: {plan.quarantine_reason}" if plan.quarantine_reason else "not quarantined"
    if identity.recorded_server not in (None, identity.server):
        yield f"recorded server: {identity.recorded_server}"
        yield f"current server:  {identity.server}"
    yield f"last create of the catalog: {identity.last_create_seq}; last create at Neon: {plan.last_create_seq}"
    yield f"apps without a row, to be rebuilt and put on hold until their owner is confirmed: {len(plan.rebuild)}"
    for lost in plan.rebuild:
        details = f"owner {lost.owner_id!r}, name {lost.desired.app_name!r}, project {lost.provenance.project.id}"
        yield f"  {lost.provenance.app_id}  {details}"
    yield f"apps without their create intent, whose project is adopted: {len(plan.intents)}"
    for provenance in plan.intents:
        yield f"  {provenance.app_id}  project {provenance.project.id}"
    yield f"apps without their project, which their owner may have deleted, to be put on hold: {len(plan.missing)}"
    for row in plan.missing:
        yield f"  {row.app_id}  owner {row.owner_id!r}, name {row.app_name!r}, project {row.project_id}"
    yield f"projects of this catalog that stay unchanged: {len(plan.skipped)}"
    for project, reason in plan.skipped:
        yield f"  {project.id}  {reason}"
    for catalog_id, create_seq in sorted(plan.foreign_catalogs.items()):
        yield f"another catalog has projects here: {catalog_id}, its last create is number {create_seq}"


def _describe_result(result: PromotionResult) -> Iterator[str]:
    yield "Promoted: this catalog is authoritative. Mutations at Neon resume."
    yield f"rebuilt {len(result.rebuilt)}, adopted {len(result.remembered)}, on hold {len(result.on_hold)}"
    if result.rebuilt or result.on_hold:
        yield "Confirm the owner of each app that is rebuilt or on hold: morphik-apps app confirm-owner APP_ID OWNER"
