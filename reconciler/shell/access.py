"""Which organization the key works for, and whether this catalog may work with it.

Asked once and remembered; a refusal is remembered for a while too, so that a wrong key costs a request now and then
and not one for every app.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from reconciler.catalog.fleet import FleetCatalog, Pins
from reconciler.core.backoff import delay
from reconciler.errors import MutationStopped, NeonAPIError, NeonNotFound, NeonUnauthorized, ReconcileError
from reconciler.neon.client import NeonClient
from specs.settings import is_loopback

LOOPBACK_API = "http://localhost"


@dataclass(frozen=True, slots=True)
class _Refusal:
    error: ReconcileError
    until: float
    attempts: int


class Access:
    """The door to Neon for every pass.

    Args:
        client: asks Neon.
        fleet: keeps the pins.
        org_id: ``NEON_ORG_ID``, or None for the key's single organization.
        neon_api_url, control_plane_id: pinned along with the organization.
    """

    def __init__(
        self,
        client: NeonClient,
        fleet: FleetCatalog,
        *,
        org_id: str | None,
        neon_api_url: str,
        control_plane_id: str,
    ) -> None:
        self._client = client
        self._fleet = fleet
        self._configured = org_id
        # On this machine the port is no part of who is meant.
        self._neon_api_url = LOOPBACK_API if is_loopback(neon_api_url) else neon_api_url
        self._control_plane_id = control_plane_id
        self._confirmed: str | None = None
        self._refusal: _Refusal | None = None
        self._one_at_a_time = asyncio.Lock()

    async def confirm(self, *, fresh: bool = False) -> str:
        """The organization's id; ``fresh`` asks Neon again.

        Raises:
            MutationStopped: this catalog works with another organization, API or plane, or the key with several.
            NeonAPIError: Neon did not say.
            CatalogUnavailable: the pins cannot be read.
        """
        if self._confirmed is not None and not fresh:
            return self._confirmed
        async with self._one_at_a_time:
            if self._confirmed is not None and not fresh:
                return self._confirmed
            if self._refusal is not None and time.monotonic() < self._refusal.until:
                raise self._refusal.error
            try:
                self._confirmed = await self._ask(fresh=fresh)
            except ReconcileError as error:
                self._confirmed = None
                attempts = self._refusal.attempts + 1 if self._refusal else 0
                asked = error.retry_after if isinstance(error, NeonAPIError) else None
                pause = delay(attempts, random.random(), asked or 1.0)  # noqa: S311 - spreads requests, guards nothing
                self._refusal = _Refusal(error, time.monotonic() + pause, attempts)
                raise
            self._refusal = None
            return self._confirmed

    async def _ask(self, *, fresh: bool) -> str:
        org_id, pinned = self._configured, await self._fleet.pins()
        if org_id is None or pinned is None or fresh:
            # What is pinned stays: a mistyped organization is not kept unless Neon knows it.
            org_id = await self._organization()
        kept = pinned or await self._fleet.pin(Pins(org_id, self._neon_api_url, self._control_plane_id))
        for name, here, there in (
            ("NEON_ORG_ID", org_id, kept.org_id),
            ("NEON_API_URL", self._neon_api_url, kept.neon_api_url),
            ("CONTROL_PLANE_ID", self._control_plane_id, kept.control_plane_id),
        ):
            if here != there:
                raise MutationStopped(
                    f"This catalog works with {name} {there}, the daemon was started with {here}; nothing is changed."
                )
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
            raise MutationStopped(
                f"NEON_ORG_ID must be set: the key sees {len(visible)} organizations. Nothing is changed."
            )
        return visible[0]
