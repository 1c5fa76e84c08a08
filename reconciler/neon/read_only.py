"""A read-only client of Neon, and the calls that only the doctor uses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict

from reconciler.neon.protocol import NeonCall, NeonRequest, parse_http_date
from specs.neon import NeonId
from specs.neon.lenient import READABLE, LenientText, Text


class MutationBlocked(httpx.TransportError):
    """The transport did not send a request that could change something."""


class ReadOnlyTransport(httpx.AsyncBaseTransport):
    """Sends only GET, and compares the server's clock with this machine's.

    Args:
        inner: sends the requests; the network by default.
        proxy: the egress proxy, or None.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport | None = None, *, proxy: str | None = None) -> None:
        self._inner = httpx.AsyncHTTPTransport(proxy=proxy, trust_env=False) if inner is None else inner
        self.ahead: timedelta | None = None
        """How far the server's clock is ahead by its last ``Date`` header (RFC 9110, 6.6.1), to about a second."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a GET.

        Raises:
            MutationBlocked: the request has another method.
        """
        if request.method != "GET":
            raise MutationBlocked(f"a read-only client does not send {request.method}")
        before = datetime.now(UTC)
        response = await self._inner.handle_async_request(request)
        half = (datetime.now(UTC) - before) / 2
        date = parse_http_date(response.headers.get("date"))
        if date is not None:
            # The header has whole seconds, so the server's time is half a second later on average.
            self.ahead = date + timedelta(seconds=0.5) - (before + half)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class _ResponseModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class OrganizationWithPlan(_ResponseModel):
    """An organization and its plan (Neon OpenAPI document, Organization)."""

    id: NeonId
    plan: LenientText = ""


class ProjectHost(_ResponseModel):
    """The host of a project's databases (Neon OpenAPI document, ProjectListItem)."""

    id: NeonId
    proxy_host: LenientText = ""


class Region(_ResponseModel):
    """A region for new projects (Neon OpenAPI document, RegionResponse)."""

    region_id: Text


class _OrganizationsEnvelope(_ResponseModel):
    organizations: tuple[OrganizationWithPlan, ...]


class _HostsEnvelope(_ResponseModel):
    projects: Annotated[tuple[ProjectHost, ...], READABLE]


class _RegionsEnvelope(_ResponseModel):
    regions: Annotated[tuple[Region, ...], READABLE]


def organizations_with_plans() -> NeonCall[tuple[OrganizationWithPlan, ...]]:
    """Return the call that lists the key's organizations with their plans."""
    request = NeonRequest("GET", "/users/me/organizations", "/users/me/organizations")
    return NeonCall(request, lambda data: _OrganizationsEnvelope.model_validate(data).organizations)


def project_hosts(org_id: str, limit: int) -> NeonCall[tuple[ProjectHost, ...]]:
    """Return the call that lists the hosts of an organization's first projects."""
    request = NeonRequest("GET", "/projects", "/projects", (("org_id", org_id), ("limit", str(limit))))
    return NeonCall(request, lambda data: _HostsEnvelope.model_validate(data).projects)


def regions(org_id: str) -> NeonCall[tuple[str, ...]]:
    """Return the call that lists the ids of the organization's regions. Neon rejects it for some kinds of key."""
    request = NeonRequest("GET", "/regions", "/regions", (("org_id", org_id),))
    return NeonCall(
        request, lambda data: tuple(region.region_id for region in _RegionsEnvelope.model_validate(data).regions)
    )
