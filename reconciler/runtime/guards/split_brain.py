"""Detects a second catalog of the same control plane: it compares Neon's project list with the catalog's identity.

The comparison runs at a daemon's start, after each start of the catalog's server, and in each resync. It costs the
list, and one call for each project with this product's name format that no row records and that is younger than the
last comparison: at most ``MAX_CALLS``, independent of other control planes in the organization. Resyncs examine the
rest.

A catalog without creates examines projects of every age, in batches of ``MAX_CALLS``, and creates nothing before it has
examined all of them: its first create stops every other catalog under its CONTROL_PLANE_ID. This happens once; a
complete comparison is recorded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.core.ownership import parse_annotations
from reconciler.core.recovery.catalog_identity import (
    CatalogIdentity,
    server_change,
    split_brain_evidence,
    unverified_projects,
)
from reconciler.errors import (
    CatalogUnverified,
    MutationsSuspended,
    NeonNotFound,
    NeonOutcomeUnknown,
    ProjectsUnexamined,
)
from reconciler.logging import log_extra
from reconciler.neon.client import NeonClient
from specs.names import parse_project_name
from specs.neon import Project, ProjectListing

# In a busy organization every list may be incomplete, so the wait for a complete one is bounded.
MAX_PARTIAL_LISTS = 3
MAX_CALLS = 20
"""The maximum number of projects that one comparison examines."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListingCheck:
    """The gaps of a comparison.

    Attributes:
        is_incomplete: the list, or a project's branches, were incomplete.
        unexamined: the number of projects that were not examined.
    """

    is_incomplete: bool
    unexamined: int


class SplitBrainDetector:
    """Compares the catalog's identity with its server and with Neon.

    Args:
        client: Neon.
        fleet: the catalog.
        control_plane_id: identifies owned projects.
    """

    def __init__(self, client: NeonClient, fleet: ControlPlaneStore, control_plane_id: str) -> None:
        self._client = client
        self._fleet = fleet
        self._identity = fleet.identity
        self._control_plane_id = control_plane_id
        # Annotations do not change, and the last create number only grows, so a harmless project stays harmless.
        self._cleared: set[str] = set()
        # Projects whose examination was inconclusive; they are examined again after the others.
        self._inconclusive: set[str] = set()
        self._catalog_id: str | None = None
        self._partial_lists = 0

    async def require_trusted(self) -> CatalogIdentity:
        """Return the catalog's identity.

        Raises:
            MutationsSuspended: the catalog is quarantined, or the process must be restarted.
        """
        identity = await self._identity.read()
        # Annotations of this process contain the id that it read at its start.
        self._catalog_id = self._catalog_id or identity.catalog_id
        if identity.catalog_id != self._catalog_id:
            raise MutationsSuspended(
                f"The daemon was started with the catalog {self._catalog_id}, and this is {identity.catalog_id}. "
                "Mutations are suspended until it is restarted."
            )
        if identity.quarantine_reason is not None:
            raise MutationsSuspended(identity.quarantine_reason)
        reason = server_change(identity)
        if reason is not None:
            await self._quarantine(identity, reason)
        return identity

    async def verify(self, org_id: str) -> None:
        """List Neon's projects and compare.

        The third consecutive incomplete list is accepted, without recording the comparison: resyncs compare again, back
        to the last complete one.

        Raises:
            MutationsSuspended: as for ``require_trusted``.
            NeonOutcomeUnknown: the list is incomplete.
            ProjectsUnexamined: the catalog has no creates, and projects are left to examine.
            CatalogUnverified: the catalog's server changed during the comparison.
        """
        identity, at = await self.require_trusted(), await self._fleet.clock()
        listing = await self._client.list_all_projects(org_id=org_id)
        compared = await self.verify_listing(identity, listing, at)
        if compared.unexamined and identity.is_unused:
            log.info(
                "New catalog: %d projects at Neon are unexamined. No app is created before.",
                compared.unexamined,
                extra=log_extra("catalog.examining_projects", unexamined=compared.unexamined),
            )
            raise ProjectsUnexamined(compared.unexamined)
        if not compared.is_incomplete:
            self._partial_lists = 0
            return
        self._partial_lists += 1
        if self._partial_lists >= MAX_PARTIAL_LISTS:
            log.warning(
                "catalog verification used an incomplete project list", extra=log_extra("catalog.verified_incomplete")
            )
            await self._record_verified(identity, None)
        else:
            raise NeonOutcomeUnknown(
                method="GET",
                route="/projects",
                status=200,
                detail="the list is incomplete, and may lack projects that the catalog has not recorded",
            )

    async def verify_listing(self, identity: CatalogIdentity, listing: ProjectListing, at: datetime) -> ListingCheck:
        """Compare a list whose first page was requested at ``at``, by the catalog's clock.

        If more projects are left than one comparison may examine, the time of the last comparison stays unchanged, so
        that none of them is skipped.

        Raises:
            MutationsSuspended, CatalogUnverified: as for ``verify``.
        """
        possible = [p for p in unverified_projects(identity, listing) if p.id not in self._cleared]
        unrecorded = await self._identity.unrecorded(p.id for p in possible)
        new = [p for p in possible if p.id in unrecorded and p.id not in self._inconclusive]
        retried = [p for p in possible if p.id in unrecorded and p.id in self._inconclusive]
        chosen = _sample(new, MAX_CALLS)
        incomplete = bool(listing.repeated_project_ids)
        repeated = _sample(retried, MAX_CALLS - len(chosen))
        for project in [*chosen, *repeated]:
            try:
                branches = await self._client.list_branches(project.id)
            except NeonNotFound:
                self._inconclusive.add(project.id)
                continue  # deleted since the list was read
            annotations = parse_annotations(branches)
            if annotations is None and branches.unreadable:
                self._inconclusive.add(project.id)
                incomplete = True
                continue
            reason = split_brain_evidence(await self._identity.read(), self._control_plane_id, project, annotations)
            if reason is not None:
                await self._quarantine(identity, reason)
            self._cleared.add(project.id)
        incomplete = incomplete or await self._has_unreadable_owned_project(listing)
        unexamined = len(new) - len(chosen)
        if chosen:
            unexamined += len(retried) - len(repeated)
        if not incomplete and not (unexamined and identity.is_unused):
            await self._record_verified(identity, at if len(new) + len(retried) <= MAX_CALLS else None)
        return ListingCheck(incomplete, unexamined)

    async def _has_unreadable_owned_project(self, listing: ProjectListing) -> bool:
        """Whether the unreadable items of a list may include an owned project that no row records."""
        if any(item.id is None for item in listing.unreadable):
            return True
        unread = [item.id for item in listing.unreadable if item.id and parse_project_name(item.name or "") is not None]
        return bool(await self._identity.unrecorded([*listing.unavailable_project_ids, *unread]))

    async def _record_verified(self, identity: CatalogIdentity, at: datetime | None) -> None:
        if not await self._identity.record_verified(identity, at):
            raise CatalogUnverified("the catalog's server changed while it was compared with Neon")

    async def _quarantine(self, identity: CatalogIdentity, reason: str) -> None:
        if await self._identity.quarantine(identity, reason):
            log.error(
                "catalog quarantined, mutations suspended: %s",
                reason,
                extra=log_extra("catalog.quarantined", server=identity.server),
            )
        raise MutationsSuspended(reason)


def _sample(projects: Sequence[Project], limit: int) -> list[Project]:
    """Return at most ``limit`` projects of a list in descending age: the newest ones, and some of every age."""
    if len(projects) <= limit:
        return list(projects)
    newest = limit // 2
    rest, more = projects[newest:], limit - newest
    return [*projects[:newest], *(rest[len(rest) * number // more] for number in range(more))]
