"""Which organization the key works for, whether this is the catalog for it, and whether the key sees what is there.

Asked once and remembered. A refusal closes the door for every pass at once, also one that a request in mid-life met,
and is remembered for a while, so that a wrong key, or a Neon that is down, costs a request now and then and not one for
every app. The door opens by itself when Neon answers and accepts the key again.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable

from reconciler.catalog.fleet import FleetCatalog, Pins
from reconciler.errors import (
    InvalidNeonId,
    MutationsSuspended,
    NeonAPIError,
    NeonNotFound,
    NeonUnauthorized,
    ReconcileError,
)
from reconciler.neon.client import NeonClient
from reconciler.shell.door import Door
from reconciler.shell.identity import Lookout
from specs.names import app_id_from_bytes
from specs.settings import is_loopback

LOOPBACK_API = "http://localhost"
UNUSED_LOOK_SECONDS = 5.0
"""How long a comparison with Neon is good for a catalog that has begun no create: the first one must follow soon."""
WITNESSES = 3
"""How many other projects are looked for before a key counts as blind."""


log = logging.getLogger(__name__)


class Access:
    """The door to Neon for every pass.

    Args:
        client: asks Neon.
        fleet: keeps the pins.
        org_id: ``NEON_ORG_ID``, or None for the key's single organization.
        neon_api_url, control_plane_id: pinned along with the organization.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        client: NeonClient,
        fleet: FleetCatalog,
        *,
        org_id: str | None,
        neon_api_url: str,
        control_plane_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._fleet = fleet
        self._configured = org_id
        # On this machine the port is no part of who is meant.
        self._neon_api_url = LOOPBACK_API if is_loopback(neon_api_url) else neon_api_url
        self._control_plane_id = control_plane_id
        self._clock = clock
        self._door = Door(clock, random.random)
        self._lookout = Lookout(client, fleet, control_plane_id)
        self._looked = False
        self._looks_until: float | None = None
        self._took_settings = False
        self._one_at_a_time = asyncio.Lock()

    async def confirm(self, *, fresh: bool = False, besides: str | None = None) -> str:
        """The organization's id.

        Args:
            fresh: ask Neon again, and have the key show that it sees what the catalog records: what a key that is
                meant for one project does not see is no absence (Neon docs, Manage API keys).
            besides: the app that is in question, and so proves nothing about the key.

        Raises:
            MutationsSuspended: this catalog works with another organization, API or plane, or the key with several, or
                the catalog is quarantined.
            NeonAPIError: Neon did not say, or refused the key.
            ProjectsUnexamined: the catalog has begun no create, and projects are left to examine.
            CatalogUnavailable: the pins cannot be read.
        """
        if self._looks_until is not None and self._clock() >= self._looks_until:
            self._door.forget()
        org_id = self._door.known(fresh=fresh)
        if org_id is None:
            async with self._one_at_a_time:
                # Another pass may have asked meanwhile.
                org_id = self._door.known(fresh=fresh) or await self._open()
        if fresh:
            await self._see_others(org_id, besides)
        return org_id

    def heard(self, error: NeonAPIError) -> None:
        """Take in a failure that a request met in mid-life."""
        self._door.heard(error)

    def unseen(self) -> None:
        """The catalog's server is not the one that was looked over: look before the next pass."""
        self._looked = False
        self._door.forget()

    async def organization(self) -> str:
        """The organization's id, whatever is in doubt; asked anew. Raises as ``confirm`` does."""
        pinned = await self._fleet.pins()
        # What is pinned stays: a mistyped organization is not kept unless Neon knows it.
        org_id = await self._organization()
        kept = pinned or await self._fleet.pin(Pins(org_id, self._neon_api_url, self._control_plane_id))
        for name, here, there in (
            ("NEON_ORG_ID", org_id, kept.org_id),
            ("NEON_API_URL", self._neon_api_url, kept.neon_api_url),
            ("CONTROL_PLANE_ID", self._control_plane_id, kept.control_plane_id),
        ):
            if here != there:
                raise MutationsSuspended(
                    f"This catalog works with {name} {there}, the daemon was started with {here}; nothing is changed."
                )
        return org_id

    async def _open(self) -> str:
        try:
            org_id = await self._ask()
        except ReconcileError as error:
            self._door.close(error)
            raise
        self._door.open(org_id)
        return org_id

    async def _ask(self) -> str:
        if not self._took_settings:
            # At a process's start only: one that runs on with the former setting must not take it back.
            if await self._fleet.take_plane(self._control_plane_id):
                log.warning("the catalog has no projects and takes the CONTROL_PLANE_ID %s", self._control_plane_id)
            self._took_settings = True
        standing = await self._lookout.stand()
        org_id = await self.organization()
        if not self._looked or standing.unused:
            await self._lookout.look(org_id)
            self._looked = True
        self._looks_until = self._clock() + UNUSED_LOOK_SECONDS if standing.unused else None
        return org_id

    async def _organization(self) -> str:
        try:
            visible = [organization.id for organization in await self._client.list_organizations()]
        except NeonNotFound:
            # Not every kind of key may ask; a 404 that is about the key itself is NeonUnauthorized.
            if self._configured is None:
                raise
            return self._configured
        if self._configured is not None:
            if self._configured in visible:
                return self._configured
            raise NeonUnauthorized(
                method="GET",
                route="/users/me/organizations",
                status=200,
                detail=f"the key does not see the organization {self._configured}",
            )
        if len(visible) != 1:
            raise MutationsSuspended(
                f"NEON_ORG_ID must be set: the key sees {len(visible)} organizations. Nothing is changed."
            )
        return visible[0]

    async def _see_others(self, org_id: str, besides: str | None) -> None:
        """Raise NeonUnauthorized where the key sees none of some projects that the catalog records."""
        start = app_id_from_bytes(secrets.token_bytes(15))
        others = await self._fleet.witnesses(start, besides or "", WITNESSES)
        for project_id in others:
            if await self._sees(org_id, project_id):
                return
        if others:
            raise NeonUnauthorized(
                method="GET",
                route="/projects/{project_id}",
                status=404,
                detail="the key sees none of the other projects that were looked for, so what it does not see is "
                "not taken for gone",
            )

    async def _sees(self, org_id: str, project_id: str) -> bool:
        try:
            await self._client.get_project(project_id)
        except InvalidNeonId:
            return False
        except NeonNotFound:
            deleted = await self._client.list_all_projects(org_id=org_id, search=project_id, recoverable=True)
            return project_id in deleted.seen_ids
        return True
