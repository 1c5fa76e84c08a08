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

from reconciler.catalog.control_plane_store import Binding, ControlPlaneStore
from reconciler.errors import (
    InvalidNeonId,
    MutationsSuspended,
    NeonAPIError,
    NeonNotFound,
    NeonUnauthorized,
    ReconcileError,
)
from reconciler.logging import log_extra
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.circuit_breaker import CircuitBreaker
from reconciler.runtime.guards.split_brain import SplitBrainDetector
from specs.names import app_id_from_bytes
from specs.settings import is_loopback

LOOPBACK_API = "http://localhost"
UNUSED_CATALOG_CHECK_SECONDS = 5.0
"""How long a comparison with Neon is good for a catalog that has begun no create: the first one must follow soon."""
VISIBILITY_SAMPLES = 3
"""How many other projects are looked for before a key counts as blind."""


log = logging.getLogger(__name__)


class OrganizationGuard:
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
        fleet: ControlPlaneStore,
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
        self._circuit_breaker = CircuitBreaker(clock, random.random)
        self._split_brain = SplitBrainDetector(client, fleet, control_plane_id)
        self._verified = False
        self._verified_until: float | None = None
        self._settings_adopted = False
        self._lock = asyncio.Lock()

    async def verify(self, *, fresh: bool = False, exclude_app_id: str | None = None) -> str:
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
        if self._verified_until is not None and self._clock() >= self._verified_until:
            self._circuit_breaker.reset()
        org_id = self._circuit_breaker.check(fresh=fresh)
        if org_id is None:
            async with self._lock:
                # Another pass may have asked meanwhile.
                org_id = self._circuit_breaker.check(fresh=fresh) or await self._verify_now()
        if fresh:
            await self._verify_visibility(org_id, exclude_app_id)
        return org_id

    def record_failure(self, error: NeonAPIError) -> None:
        """Take in a failure that a request met in mid-life."""
        self._circuit_breaker.record_failure(error)

    def invalidate(self) -> None:
        """The catalog's server is not the one that was looked over: look before the next pass."""
        self._verified = False
        self._circuit_breaker.reset()

    async def organization(self) -> str:
        """The organization's id, whatever is in doubt; asked anew. Raises as ``confirm`` does."""
        pinned = await self._fleet.binding()
        # What is pinned stays: a mistyped organization is not kept unless Neon knows it.
        org_id = await self._organization()
        kept = pinned or await self._fleet.bind(Binding(org_id, self._neon_api_url, self._control_plane_id))
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

    async def _verify_now(self) -> str:
        try:
            org_id = await self._resolve()
        except ReconcileError as error:
            self._circuit_breaker.trip(error)
            raise
        self._circuit_breaker.record_success(org_id)
        return org_id

    async def _resolve(self) -> str:
        if not self._settings_adopted:
            # At a process's start only: one that runs on with the former setting must not take it back.
            if await self._fleet.set_control_plane_id(self._control_plane_id):
                log.warning(
                    "The catalog has no projects. Its CONTROL_PLANE_ID is now %s.",
                    self._control_plane_id,
                    extra=log_extra("catalog.control_plane_id_set"),
                )
            self._settings_adopted = True
        standing = await self._split_brain.require_trusted()
        org_id = await self.organization()
        if not self._verified or standing.is_unused:
            await self._split_brain.verify(org_id)
            self._verified = True
        self._verified_until = self._clock() + UNUSED_CATALOG_CHECK_SECONDS if standing.is_unused else None
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

    async def _verify_visibility(self, org_id: str, exclude_app_id: str | None) -> None:
        """Raise NeonUnauthorized where the key sees none of some projects that the catalog records."""
        start = app_id_from_bytes(secrets.token_bytes(15))
        others = await self._fleet.sample_recorded_projects(start, exclude_app_id or "", VISIBILITY_SAMPLES)
        for project_id in others:
            if await self._can_see(org_id, project_id):
                return
        if others:
            raise NeonUnauthorized(
                method="GET",
                route="/projects/{project_id}",
                status=404,
                detail="the key sees none of the other projects that were looked for, so what it does not see is "
                "not taken for gone",
            )

    async def _can_see(self, org_id: str, project_id: str) -> bool:
        try:
            await self._client.get_project(project_id)
        except InvalidNeonId:
            return False
        except NeonNotFound:
            deleted = await self._client.list_all_projects(org_id=org_id, search=project_id, recoverable=True)
            return project_id in deleted.seen_ids
        return True
