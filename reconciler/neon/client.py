"""Neon's API, one method per call. Every request passes a gate, which applies the rate limit.

The client retries only requests that Neon did not execute or that change nothing (``retry``). For all others the
reconciler observes the state before it decides.
"""

from __future__ import annotations

import asyncio
import copy
import random
import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
from pydantic import SecretStr

from reconciler.errors import NeonAPIError, NeonOutcomeUnknown
from reconciler.neon import codec
from reconciler.neon.protocol import CompletedRequest, NeonCall, NeonRequest
from reconciler.neon.retry import RETRY_WINDOW_SECONDS, NoGate, RequestGate, retry_delay
from reconciler.neon.transport import MAX_BODY_BYTES, NeonTransport, error_of
from specs.neon import (
    AuthDetails,
    Branch,
    BranchCreate,
    BranchList,
    CreateBranchResponse,
    CreateProjectResponse,
    Endpoint,
    EndpointCreate,
    EndpointResponse,
    Operation,
    Organization,
    Project,
    ProjectCreate,
    ProjectListing,
    ProjectPage,
    ProjectUpdate,
    RecoverProjectResponse,
    UnreadableProject,
    UpdateBranchResponse,
    UpdateProjectResponse,
)

T = TypeVar("T")

MAX_PAGES: Final = 10_000
"""Pages of one list, before the list counts as endless."""


class NeonClient:
    """Sends calls to Neon.

    Args:
        base_url: the API's address; https, or http on loopback only.
        api_key: sent as ``Authorization: Bearer``.
        timeout_seconds: the total time of a request, from connecting to the last byte of the response.
        transport: replaces the network.
        proxy: the egress proxy, or None.
        max_body_bytes: the maximum size of a response.
        request_ids: returns each ``X-Request-ID``; random by default.
        on_request: called after every request, in the sender's context; it must not raise.
        gate: every attempt of a request passes it; without delays by default.

    Raises:
        ValueError: the address or the key is not valid. The message contains neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr | str,
        *,
        timeout_seconds: float = 20.0,
        transport: httpx.AsyncBaseTransport | None = None,
        proxy: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        request_ids: Callable[[], str] | None = None,
        on_request: Callable[[CompletedRequest], None] | None = None,
        gate: RequestGate | None = None,
    ) -> None:
        self._gate: RequestGate = gate or NoGate()
        self._transport = NeonTransport(
            base_url,
            api_key,
            timeout_seconds=timeout_seconds,
            transport=transport,
            proxy=proxy,
            max_body_bytes=max_body_bytes,
            request_ids=request_ids,
            on_request=on_request,
        )

    def __repr__(self) -> str:
        return f"NeonClient({self._transport.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. The client cannot be used again."""
        await self._transport.aclose()

    def with_gate(self, gate: RequestGate) -> NeonClient:
        """Return a client with the same connections and another gate."""
        other = copy.copy(self)
        other._gate = gate  # noqa: SLF001 - the same class
        return other

    async def send(self, call: NeonCall[T]) -> T:
        """Send a request, retry it if Neon did not execute it, and return the model of the response.

        Raises:
            NeonNotSent: no connection was made.
            NeonOutcomeUnknown: the response is missing, incomplete or unreadable.
            NeonAPIError: Neon rejected the request.
            ReconcileError: the gate did not allow the request.
            asyncio.CancelledError: the outcome is unknown.
        """
        started, retries, request = time.monotonic(), 0, call.request
        while True:
            await self._gate.acquire(request)
            try:
                return await self._transport.send(call)
            except NeonAPIError as error:
                if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                    await self._gate.on_rate_limited(error.retry_after)
                left = min(started + RETRY_WINDOW_SECONDS - time.monotonic(), self._gate.retry_window(request))
                jitter = random.random()  # noqa: S311 - it spreads requests and protects nothing
                delay = retry_delay(error, request, retries=retries, jitter=jitter, left=left)
                if delay is None:
                    raise
            retries += 1
            await asyncio.sleep(delay)

    # Projects

    async def create_project(self, spec: ProjectCreate) -> CreateProjectResponse:
        """Create a project. The caller has committed an intent, since a second request creates a second project."""
        return await self.send(codec.create_project(spec))

    async def get_project(self, project_id: str) -> Project:
        """Read one project. `NeonNotFound` alone does not prove that it is deleted."""
        return await self.send(codec.get_project(project_id))

    async def update_project(self, project_id: str, spec: ProjectUpdate) -> UpdateProjectResponse:
        """Set the fields of the spec that are not None."""
        return await self.send(codec.update_project(project_id, spec))

    async def delete_project(self, project_id: str) -> Project:
        """Delete a project, recoverably for 7 days (Neon API reference, Projects)."""
        return await self.send(codec.delete_project(project_id))

    async def recover_project(self, project_id: str) -> RecoverProjectResponse:
        """Recover a deleted project with its connection strings unchanged."""
        return await self.send(codec.recover_project(project_id))

    async def list_projects(
        self,
        *,
        org_id: str | None = None,
        search: str | None = None,
        cursor: str | None = None,
        limit: int = codec.PROJECTS_PER_PAGE,
        recoverable: bool = False,
    ) -> ProjectPage:
        """List one page of projects."""
        return await self.send(
            codec.list_projects(org_id=org_id, search=search, cursor=cursor, limit=limit, recoverable=recoverable)
        )

    async def list_all_projects(
        self, *, org_id: str | None, search: str | None = None, recoverable: bool = False
    ) -> ProjectListing:
        """List all pages, up to an empty one. A search ends at a page that is neither full nor incomplete.

        Raises:
            NeonOutcomeUnknown: the pages repeat or do not end.
        """
        projects: dict[str, Project] = {}
        unavailable: dict[str, None] = {}
        repeated: dict[str, None] = {}
        unreadable: dict[UnreadableProject, None] = {}
        cursors: set[str | None] = {None}
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            call = codec.list_projects(org_id=org_id, search=search, cursor=cursor, recoverable=recoverable)
            page = await self.send(call)
            unavailable |= dict.fromkeys(page.unavailable_project_ids)
            unreadable |= dict.fromkeys(page.unreadable)
            for project in page.projects:
                if project.id in projects:
                    repeated[project.id] = None
                projects.setdefault(project.id, project)
            if _is_last(page, searching=search is not None):
                return ProjectListing(
                    projects=tuple(projects.values()),
                    unavailable_project_ids=tuple(unavailable),
                    repeated_project_ids=tuple(repeated),
                    unreadable=tuple(unreadable),
                )
            cursor = page.cursor
            if cursor in cursors:
                raise _pagination_error(call.request)
            cursors.add(cursor)
        raise _pagination_error(codec.list_projects(org_id=org_id).request)

    # Inside a project

    async def create_branch(self, project_id: str, spec: BranchCreate) -> CreateBranchResponse:
        """Create a branch, with a compute if the spec has one."""
        return await self.send(codec.create_branch(project_id, spec))

    async def update_branch(self, project_id: str, branch_id: str, *, protected: bool) -> UpdateBranchResponse:
        """Set or clear a branch's protection."""
        return await self.send(codec.update_branch(project_id, branch_id, protected=protected))

    async def list_branches(self, project_id: str) -> BranchList:
        """List all branches of a project with their annotations; ``next`` is always None.

        Raises:
            NeonOutcomeUnknown: the pages repeat or do not end.
        """
        branches: dict[str, Branch] = {}
        annotations: dict[str, dict[str, str]] = {}
        cursors: set[str | None] = set()
        cursor: str | None = None
        unreadable = 0
        for _ in range(MAX_PAGES):
            call = codec.list_branches(project_id, cursor)
            page = await self.send(call)
            branches |= {branch.id: branch for branch in page.branches}
            annotations |= page.annotations
            unreadable += page.unreadable
            cursors.add(cursor)
            cursor = page.next
            if cursor is None:
                return BranchList(branches=tuple(branches.values()), annotations=annotations, unreadable=unreadable)
            if cursor in cursors:
                raise _pagination_error(call.request)
        raise _pagination_error(codec.list_branches(project_id).request)

    async def list_endpoints(self, project_id: str) -> tuple[Endpoint, ...]:
        """List all computes of a project."""
        return await self.send(codec.list_endpoints(project_id))

    async def create_endpoint(self, project_id: str, spec: EndpointCreate) -> EndpointResponse:
        """Create a compute for a branch without one."""
        return await self.send(codec.create_endpoint(project_id, spec))

    async def list_operations(self, project_id: str, limit: int = 100) -> tuple[Operation, ...]:
        """List the latest operations of a project, newest first."""
        return await self.send(codec.list_operations(project_id, limit))

    async def get_connection_string(
        self,
        project_id: str,
        *,
        database_name: str,
        role_name: str,
        branch_id: str | None = None,
        endpoint_id: str | None = None,
        pooled: bool = False,
    ) -> SecretStr:
        """Read the URI of a role and database, by default on the default branch. It resets no password."""
        return await self.send(
            codec.get_connection_uri(
                project_id,
                database_name,
                role_name,
                branch_id=branch_id,
                endpoint_id=endpoint_id,
                pooled=pooled,
            )
        )

    @staticmethod
    def build_connection_string(connection_uri: str, pooler_host: str | None) -> str:
        """Return the URI with its host replaced by the pooler's; see `codec.build_connection_string`."""
        return codec.build_connection_string(connection_uri, pooler_host)

    # The key

    async def list_organizations(self) -> tuple[Organization, ...]:
        """List the key's organizations."""
        return await self.send(codec.list_organizations())

    async def get_auth(self) -> AuthDetails:
        """Read the key's account. It succeeds for every valid key."""
        return await self.send(codec.get_auth())


def _is_last(page: ProjectPage, *, searching: bool) -> bool:
    """Whether no project can follow. For a search, a page that is not full proves it only if it is complete."""
    number = len(page.projects) + len(page.unreadable)
    if number == 0 or page.cursor is None:
        return True
    return searching and number < codec.PROJECTS_PER_PAGE and not page.unavailable_project_ids


def _pagination_error(request: NeonRequest) -> NeonAPIError:
    return error_of(request, NeonOutcomeUnknown, "the pages of the list do not end")
