"""Verifies the key's organization, the catalog's binding to it, and the visibility of the recorded projects.

A successful verification is cached. A failure, also of a later request, trips the circuit breaker for all reconciles: a
wrong key or an unavailable Neon then costs one request from time to time, and not one per app. The circuit breaker
resets automatically when Neon responds and accepts the key again.
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
"""How long a verification is valid for a catalog without creates: its first create must follow soon."""
VISIBILITY_SAMPLES = 3
"""The number of recorded projects that are read before a key counts as unable to see projects."""


log = logging.getLogger(__name__)


class OrganizationGuard:
    """Guards all requests of reconciles to Neon.

    Args:
        client: Neon.
        fleet: the catalog, which stores the binding.
        org_id: ``NEON_ORG_ID``, or None for the key's single organization.
        neon_api_url, control_plane_id: bound together with the organization.
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
        # On loopback the port does not identify a server.
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
        """Return the organization's id.

        Args:
            fresh: ignore the cache, and verify that the key sees recorded projects: a project that is invisible to a
                key for one project is not absent (Neon docs, Manage API keys).
            exclude_app_id: the app in question, which proves nothing about the key.

        Raises:
            MutationsSuspended: the catalog is bound to another organization, API or control plane, the key has several
                organizations, or the catalog is quarantined.
            NeonAPIError: the request failed, or Neon rejected the key.
            ProjectsUnexamined: the catalog has no creates, and projects are left to examine.
            CatalogUnavailable: the binding cannot be read.
        """
        if self._verified_until is not None and self._clock() >= self._verified_until:
            self._circuit_breaker.reset()
        org_id = self._circuit_breaker.check(fresh=fresh)
        if org_id is None:
            async with self._lock:
                # Another reconcile may have verified it before this one had the lock.
                org_id = self._circuit_breaker.check(fresh=fresh) or await self._verify_now()
        if fresh:
            await self._verify_visibility(org_id, exclude_app_id)
        return org_id

    def record_failure(self, error: NeonAPIError) -> None:
        """Record the failure of a later request."""
        self._circuit_breaker.record_failure(error)

    def invalidate(self) -> None:
        """Verify again before the next reconcile: the catalog's server is not the verified one."""
        self._verified = False
        self._circuit_breaker.reset()

    async def organization(self) -> str:
        """Read the organization's id, also for a quarantined catalog. Raises as ``verify`` does."""
        recorded = await self._fleet.binding()
        # A binding is permanent, so Neon must know the organization before it is bound.
        org_id = await self._organization()
        binding = recorded or await self._fleet.bind(Binding(org_id, self._neon_api_url, self._control_plane_id))
        for name, configured, bound in (
            ("NEON_ORG_ID", org_id, binding.org_id),
            ("NEON_API_URL", self._neon_api_url, binding.neon_api_url),
            ("CONTROL_PLANE_ID", self._control_plane_id, binding.control_plane_id),
        ):
            if configured != bound:
                raise MutationsSuspended(
                    f"The catalog is bound to {name} {bound}, and the setting is {configured}. Mutations are suspended."
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
            # Only at the start of a process: one with the former setting must not revert it.
            if await self._fleet.set_control_plane_id(self._control_plane_id):
                log.warning(
                    "The catalog has no projects. Its CONTROL_PLANE_ID is now %s.",
                    self._control_plane_id,
                    extra=log_extra("catalog.control_plane_id_set"),
                )
            self._settings_adopted = True
        identity = await self._split_brain.require_trusted()
        org_id = await self.organization()
        if not self._verified or identity.is_unused:
            await self._split_brain.verify(org_id)
            self._verified = True
        self._verified_until = self._clock() + UNUSED_CATALOG_CHECK_SECONDS if identity.is_unused else None
        return org_id

    async def _organization(self) -> str:
        try:
            visible = [organization.id for organization in await self._client.list_organizations()]
        except NeonNotFound:
            # Neon does not allow this request for every kind of key; a 404 about the key itself is NeonUnauthorized.
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
                f"NEON_ORG_ID must be set: the key sees {len(visible)} organizations. Mutations are suspended."
            )
        return visible[0]

    async def _verify_visibility(self, org_id: str, exclude_app_id: str | None) -> None:
        """Raise NeonUnauthorized if the key sees none of a sample of recorded projects."""
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
                detail="the key sees none of a sample of recorded projects, so an invisible project is not confirmed "
                "as missing",
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
