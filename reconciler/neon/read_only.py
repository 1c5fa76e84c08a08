"""A client of Neon that can only read, and what it may ask beside the calls of the loop."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated

import httpx
from pydantic import BaseModel, ConfigDict

from reconciler.neon.protocol import NeonCall, NeonRequest
from specs.neon import NeonId
from specs.neon.lenient import READABLE, LenientText, Text


class MutationBlocked(httpx.TransportError):
    """A request that could change something was about to be sent, and was not."""


class ReadOnlyTransport(httpx.AsyncBaseTransport):
    """Lets GET through and nothing else, and compares the server's clock with this machine's.

    Args:
        inner: carries the requests; the network by default.
        proxy: the proxy on the way to the network; None for none.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport | None = None, *, proxy: str | None = None) -> None:
        self._inner = httpx.AsyncHTTPTransport(proxy=proxy, trust_env=False) if inner is None else inner
        self.ahead: timedelta | None = None
        """How far the server's clock is ahead by its last ``Date`` header (RFC 9110, 6.6.1), to about a second."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a GET.

        Raises:
            MutationBlocked: it is none.
        """
        if request.method != "GET":
            raise MutationBlocked(f"a reading client does not send {request.method}")
        before = datetime.now(UTC)
        response = await self._inner.handle_async_request(request)
        half = (datetime.now(UTC) - before) / 2
        said = _date(response.headers.get("date"))
        if said is not None:
            # The header is cut to whole seconds, so the truth lies half a second later on average.
            self.ahead = said + timedelta(seconds=0.5) - (before + half)
        return response

    async def aclose(self) -> None:
        """Close what carries the requests."""
        await self._inner.aclose()


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


class _ResponseModel(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class OrganizationWithPlan(_ResponseModel):
    """An organization and its plan (Neon OpenAPI document, Organization)."""

    id: NeonId
    plan: LenientText = ""


class ProjectHost(_ResponseModel):
    """Where a project's databases are reached (Neon OpenAPI document, ProjectListItem)."""

    id: NeonId
    proxy_host: LenientText = ""


class Region(_ResponseModel):
    """A region in which projects can be made (Neon OpenAPI document, RegionResponse)."""

    region_id: Text


class _OrganizationsEnvelope(_ResponseModel):
    organizations: tuple[OrganizationWithPlan, ...]


class _HostsEnvelope(_ResponseModel):
    projects: Annotated[tuple[ProjectHost, ...], READABLE]


class _RegionsEnvelope(_ResponseModel):
    regions: Annotated[tuple[Region, ...], READABLE]


def organizations_with_plans() -> NeonCall[tuple[OrganizationWithPlan, ...]]:
    """The organizations that the key may see, with their plans."""
    request = NeonRequest("GET", "/users/me/organizations", "/users/me/organizations")
    return NeonCall(request, lambda data: _OrganizationsEnvelope.model_validate(data).organizations)


def project_hosts(org_id: str, limit: int) -> NeonCall[tuple[ProjectHost, ...]]:
    """The hosts of the first projects of an organization."""
    request = NeonRequest("GET", "/projects", "/projects", (("org_id", org_id), ("limit", str(limit))))
    return NeonCall(request, lambda data: _HostsEnvelope.model_validate(data).projects)


def regions(org_id: str) -> NeonCall[tuple[str, ...]]:
    """The ids of the regions in which the organization may make projects; refused to some kinds of key."""
    request = NeonRequest("GET", "/regions", "/regions", (("org_id", org_id),))
    return NeonCall(
        request, lambda data: tuple(each.region_id for each in _RegionsEnvelope.model_validate(data).regions)
    )
