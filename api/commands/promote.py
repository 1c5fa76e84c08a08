"""``catalog promote``: an operator declares a restored catalog authoritative, after a look at what it lacks.

Without ``--yes`` nothing changes. The output holds no credential.
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
    "If this is a copy, or another one works with the same organization, do not promote it: stop its daemons, and give "
    "them a new catalog with a key, or at least a CONTROL_PLANE_ID, of its own."
)


_UNUSED = (
    "This catalog has made no project. If the other catalog is still in use, do not promote this one: both would stop. "
    "Set another CONTROL_PLANE_ID and restart the daemons."
)


class Inspection(NamedTuple):
    """What a look found: the catalog's state, what a claim would do, in which organization, and when it began."""

    identity: CatalogIdentity
    plan: RecoveryPlan
    org_id: str
    at: datetime


async def promote(*, apply: bool) -> str:
    """Look, and with ``act`` also claim; what to print.

    Raises:
        SettingsError, ReconcileError: it cannot be done; nothing was changed.
    """
    plane = ControlPlaneSettings.load()
    sealer = Sealer(EncryptionSettings.load().keys()) if apply else None
    async with _opened() as database, _neon(database) as client:
        fleet = ControlPlaneStore(database, owner="operator", lease_seconds=1)
        loop = ReconcilerSettings.load()
        access = OrganizationGuard(
            client,
            fleet,
            org_id=loop.neon_org_id,
            neon_api_url=loop.neon_api_url,
            control_plane_id=plane.control_plane_id,
        )
        seen = await inspect(client, access, fleet, PromotionStore(database), plane.control_plane_id)
        lines = [*_describe(seen, plane.control_plane_id)]
        if sealer is None:
            advice = _UNUSED if seen.identity.is_unused and seen.plan.foreign_catalogs else _COPY
            lines += [
                "",
                "Nothing was changed. If this catalog is the right one: morphik-apps catalog promote --yes",
                advice,
            ]
        else:
            catalog = PromotionStore(database)
            done = await catalog.promote(seen.plan, seen.identity, sealer, org_id=seen.org_id, at=seen.at)
            lines += ["", *_done(done)]
    return "".join(f"{line}\n" for line in lines)


async def confirm_owner(app_id: str, owner_id: str) -> str:
    """Let a held app go on, as this owner's; what to print. Raises PromotionRejected, CatalogUnavailable."""
    async with _opened() as database:
        hold_reason = await PromotionStore(database).confirm_owner(app_id, owner_id)
    next_step = (
        "its credentials are read now" if hold_reason == "owner" else "its project is recovered by the next sweeps"
    )
    return f"{app_id} is {owner_id!r}'s; {next_step}\n"


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
    """A client that keeps within the budget of all processes."""
    loop = ReconcilerSettings.load()
    terms = BucketConfig.from_limits(
        requests_per_minute=loop.neon_requests_per_minute, burst=loop.neon_burst_per_second
    )
    budget = RateLimiter(RateLimitStore(database, terms), terms)
    proxy = egress_proxy(loop.neon_api_url, loop)
    async with NeonClient(
        loop.neon_api_url, loop.neon_api_key, timeout_seconds=loop.neon_timeout_seconds, proxy=proxy
    ) as client:
        try:
            yield client.with_gate(PriorityGate(budget, Priority.USER))
        finally:
            await budget.aclose()


async def inspect(
    client: NeonClient, access: OrganizationGuard, fleet: ControlPlaneStore, catalog: PromotionStore, plane: str
) -> Inspection:
    """Compare the whole of Neon's list with the catalog, with the annotations of all that no row records.

    Raises:
        PromotionRejected: there is nothing to claim, or the list is not complete.
        MutationsSuspended: the settings are not those that the catalog works with.
        NeonAPIError, CatalogUnavailable: something did not answer.
    """
    if await fleet.binding() is None:
        raise PromotionRejected("this catalog has made nothing at Neon yet, so there is nothing to promote")
    org_id, at = await access.organization(), await fleet.clock()
    listing = await client.list_all_projects(org_id=org_id)
    unread = [item.id for item in listing.unreadable if item.name is None or parse_project_name(item.name) is not None]
    if not listing.is_complete or await fleet.identity.unrecorded([each for each in unread if each is not None]):
        raise PromotionRejected(
            "Neon's list lacks projects at the moment, and a promotion needs all of them; try again"
        )
    rows: list[AppMetadata] = [row async for row in fleet.rows()]
    marks: dict[str, OwnershipAnnotations | None] = {}
    for project in unrecorded_projects(rows, listing):
        try:
            branches = await client.list_branches(project.id)
        except NeonNotFound:
            marks[project.id] = None
            continue
        marks[project.id] = parse_annotations(branches)
        if marks[project.id] is None and branches.unreadable:
            raise PromotionRejected(
                f"Neon's list of the branches of {project.id} cannot be read at the moment; try again"
            )
    nonces = await catalog.nonces([mark.app_id for mark in marks.values() if mark is not None and mark.app_id])
    standing = await fleet.identity.read()
    return Inspection(standing, plan_recovery(standing, plane, rows, listing, marks, nonces), org_id, at)


def _describe(seen: Inspection, plane: str) -> Iterator[str]:
    standing, found = seen.identity, seen.plan
    yield f"catalog {standing.catalog_id} of the plane {plane!r}, in the organization {seen.org_id}"
    yield f"quarantined: {found.quarantine_reason}" if found.quarantine_reason else "not quarantined"
    if standing.recorded_server not in (None, standing.server):
        yield f"its server was: {standing.recorded_server}"
        yield f"its server is:  {standing.server}"
    yield f"its last create: number {standing.last_create_seq}; the last one at Neon: {found.last_create_seq}"
    yield f"apps whose row was lost, which are rebuilt and wait for their owner to be confirmed: {len(found.rebuild)}"
    for lost in found.rebuild:
        named = f"owner {lost.owner_id!r}, name {lost.desired.app_name!r}, project {lost.provenance.project.id}"
        yield f"  {lost.provenance.app_id}  {named}"
    yield f"apps that forgot their create, whose project is adopted: {len(found.intents)}"
    for trace in found.intents:
        yield f"  {trace.app_id}  project {trace.project.id}"
    yield f"apps whose project is gone, perhaps deleted by their owner since, which are held: {len(found.missing)}"
    for row in found.missing:
        yield f"  {row.app_id}  owner {row.owner_id!r}, name {row.app_name!r}, project {row.project_id}"
    yield f"projects of this catalog that are left alone: {len(found.skipped)}"
    for project, why in found.skipped:
        yield f"  {project.id}  {why}"
    for catalog_id, create_seq in sorted(found.foreign_catalogs.items()):
        yield f"another catalog has projects here: {catalog_id}, its last create is number {create_seq}"


def _done(done: PromotionResult) -> Iterator[str]:
    yield "Promoted: this catalog is authoritative. Mutations at Neon resume."
    yield f"rebuilt {len(done.rebuilt)}, remembered {len(done.remembered)}, held {len(done.on_hold)}"
    if done.rebuilt or done.on_hold:
        yield "Each rebuilt or held app waits for: morphik-apps app confirm-owner APP_ID OWNER"
