"""The look that comes before the first change: does Neon's list agree with what this catalog remembers?

Done at a daemon's start, after each start of the catalog's server, and in each sweep. It costs the list, and one call
for each project that is named like ours, that no row records, and that is younger than the last look: at most
``MOST_CALLS``, whatever other control planes of the organization make. The sweeps examine the rest.

A catalog that has begun no create examines projects of every age, in batches of ``MOST_CALLS``, and creates nothing
before it has examined all of them: its first create stops every other catalog under its CONTROL_PLANE_ID. That happens
once; a complete look is kept.
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

# A list that always lacks something, in an organization where something is always going on, is not waited for for ever.
MAX_PARTIAL_LISTS = 3
MAX_CALLS = 20
"""Projects that one comparison examines."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ListingCheck:
    """What a comparison could not answer.

    Attributes:
        lacking: the list, or a project's branches, lack what might tell.
        left: how many projects were not examined.
    """

    is_incomplete: bool
    unexamined: int


class SplitBrainDetector:
    """Compares the catalog's memory with its server and with Neon.

    Args:
        client: asks Neon.
        fleet: the catalog.
        control_plane_id: whose projects are ours.
    """

    def __init__(self, client: NeonClient, fleet: ControlPlaneStore, control_plane_id: str) -> None:
        self._client = client
        self._fleet = fleet
        self._identity = fleet.identity
        self._control_plane_id = control_plane_id
        # An annotation cannot change, and the high-water mark only grows: what was harmless once stays so.
        self._cleared: set[str] = set()
        # Examined without an answer: these are examined again, after the others.
        self._inconclusive: set[str] = set()
        self._catalog_id: str | None = None
        self._partial_lists = 0

    async def require_trusted(self) -> CatalogIdentity:
        """What is known of the catalog.

        Raises:
            MutationsSuspended: a person must say which catalog is the right one, or start this process again.
        """
        standing = await self._identity.read()
        # What this process makes carries the id that it has read at its start.
        self._catalog_id = self._catalog_id or standing.catalog_id
        if standing.catalog_id != self._catalog_id:
            raise MutationsSuspended(
                f"The daemon was started over the catalog {self._catalog_id}, and this is {standing.catalog_id}; "
                "nothing is changed until it is started again."
            )
        if standing.quarantine_reason is not None:
            raise MutationsSuspended(standing.quarantine_reason)
        reason = server_change(standing)
        if reason is not None:
            await self._quarantine(standing, reason)
        return standing

    async def verify(self, org_id: str) -> None:
        """List Neon's projects and compare.

        The third list in a row that lacks something is taken as it is, and counts as no look for what is older: the
        sweeps look again, back to the last complete one.

        Raises:
            MutationsSuspended: as for ``stand``.
            NeonOutcomeUnknown: the list lacks projects that might tell.
            ProjectsUnexamined: the catalog has begun no create, and projects are left to examine.
            CatalogUnverified: the catalog's server changed meanwhile.
        """
        standing, at = await self.require_trusted(), await self._fleet.clock()
        listing = await self._client.list_all_projects(org_id=org_id)
        compared = await self.verify_listing(standing, listing, at)
        if compared.unexamined and standing.is_unused:
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
            await self._record_verified(standing, None)
        else:
            raise NeonOutcomeUnknown(
                method="GET",
                route="/projects",
                status=200,
                detail="the list lacks projects, which might be some that the catalog does not know",
            )

    async def verify_listing(self, standing: CatalogIdentity, listing: ProjectListing, at: datetime) -> ListingCheck:
        """Compare a list that was begun at that time of the catalog's.

        Where more projects are left to examine than one comparison may, the time of the last look stays, so that none
        of them is forgotten.

        Raises:
            MutationsSuspended, CatalogUnverified: as for ``look``.
        """
        possible = [p for p in unverified_projects(standing, listing) if p.id not in self._cleared]
        unrecorded = await self._identity.unrecorded(p.id for p in possible)
        new = [p for p in possible if p.id in unrecorded and p.id not in self._inconclusive]
        again = [p for p in possible if p.id in unrecorded and p.id in self._inconclusive]
        chosen = _sample(new, MAX_CALLS)
        lacking = bool(listing.repeated_project_ids)
        repeated = _sample(again, MAX_CALLS - len(chosen))
        for project in [*chosen, *repeated]:
            try:
                branches = await self._client.list_branches(project.id)
            except NeonNotFound:
                self._inconclusive.add(project.id)
                continue  # gone since the list
            mark = parse_annotations(branches)
            if mark is None and branches.unreadable:
                self._inconclusive.add(project.id)
                lacking = True
                continue
            reason = split_brain_evidence(await self._identity.read(), self._control_plane_id, project, mark)
            if reason is not None:
                await self._quarantine(standing, reason)
            self._cleared.add(project.id)
        lacking = lacking or await self._has_unreadable_owned_project(listing)
        left = len(new) - len(chosen)
        if chosen:
            left += len(again) - len(repeated)
        if not lacking and not (left and standing.is_unused):
            await self._record_verified(standing, at if len(new) + len(again) <= MAX_CALLS else None)
        return ListingCheck(lacking, left)

    async def _has_unreadable_owned_project(self, listing: ProjectListing) -> bool:
        """Whether a project of ours that no row records may be among those that could not be read."""
        if any(item.id is None for item in listing.unreadable):
            return True
        unread = [each.id for each in listing.unreadable if each.id and parse_project_name(each.name or "") is not None]
        return bool(await self._identity.unrecorded([*listing.unavailable_project_ids, *unread]))

    async def _record_verified(self, standing: CatalogIdentity, at: datetime | None) -> None:
        if not await self._identity.record_verified(standing, at):
            raise CatalogUnverified("the catalog's server changed while it was compared with Neon")

    async def _quarantine(self, standing: CatalogIdentity, reason: str) -> None:
        if await self._identity.quarantine(standing, reason):
            log.error(
                "catalog quarantined, mutations suspended: %s",
                reason,
                extra=log_extra("catalog.quarantined", server=standing.server),
            )
        raise MutationsSuspended(reason)


def _sample(projects: Sequence[Project], limit: int) -> list[Project]:
    """At most so many projects of a list that begins with the newest: the newest ones, and some of every age."""
    if len(projects) <= limit:
        return list(projects)
    newest = limit // 2
    rest, more = projects[newest:], limit - newest
    return [*projects[:newest], *(rest[len(rest) * number // more] for number in range(more))]
