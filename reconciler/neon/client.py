"""Neon's API over HTTP: one connection pool, a total deadline for each request, and no retries inside.

Whether a request is sent again is decided above, after looking at what is there; nothing here hides a second send.
An error says whether the request cannot have left (`NeonNotSent`), was answered, or may have taken effect
(`NeonOutcomeUnknown`). None holds the key: it is in no message, no repr and no exception's context.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx
from pydantic import SecretStr

from reconciler.errors import NeonAPIError, NeonNotSent, NeonOutcomeUnknown
from reconciler.neon import codec
from reconciler.neon.wire import SAFE_STATUSES, NeonCall, NeonExchange, NeonRequest, decode
from specs.neon import (
    AuthDetails,
    Branch,
    BranchChanged,
    BranchCreate,
    BranchList,
    CreatedBranch,
    CreatedProject,
    Endpoint,
    EndpointChanged,
    EndpointCreate,
    Operation,
    Organization,
    Project,
    ProjectChanged,
    ProjectCreate,
    ProjectListing,
    ProjectPage,
    ProjectUpdate,
    RecoveredProject,
)

T = TypeVar("T")

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""The longest answer that is read; a full page of projects is below 1 MiB."""

MAX_PAGES: Final = 10_000
"""Pages of one list before it counts as endless."""

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)


class _TooLong(Exception):
    """The body is longer than what is read."""


@dataclass(slots=True)
class _Answer:
    """What has arrived so far; it outlives the exception that ended the reading."""

    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    whole: bool = False


class NeonClient:
    """Sends calls to Neon.

    Args:
        base_url: the API's address; https, or http on this machine only.
        api_key: sent as ``Authorization: Bearer``.
        timeout_seconds: total time of one request, from connecting to the last byte of the answer.
        transport: carries the requests instead of the network.
        max_body_bytes: the longest answer that is read.
        request_ids: makes each ``X-Request-ID``; random by default.
        on_request: called after every request, in the sender's context; it must not raise.

    Raises:
        ValueError: the address or the key cannot be used; the message holds neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr | str,
        *,
        timeout_seconds: float = 20.0,
        transport: httpx.AsyncBaseTransport | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        request_ids: Callable[[], str] | None = None,
        on_request: Callable[[NeonExchange], None] | None = None,
    ) -> None:
        self._base_url = _checked_base_url(base_url)
        self._timeout = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._request_ids = request_ids or (lambda: uuid.uuid4().hex)
        self._on_request = on_request
        self._http = httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {_checked_key(api_key)}",
                "Accept": "application/json",
                "User-Agent": "morphik-apps",
            },
            # Connecting gives up first, so that a dead address is known as "not sent" before the deadline.
            timeout=httpx.Timeout(timeout_seconds, connect=timeout_seconds / 2, pool=timeout_seconds / 2),
            limits=_CONNECTIONS,
            transport=transport,
            follow_redirects=False,
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"NeonClient({self._base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes all connections; the client cannot be used again."""
        await self._http.aclose()

    async def send(self, call: NeonCall[T]) -> T:
        """Sends one request once, and returns what its answer means.

        Raises:
            NeonNotSent: no connection could be made.
            NeonOutcomeUnknown: no whole answer came, or one that says nothing.
            NeonAPIError: Neon refused.
            asyncio.CancelledError: passes through; the outcome then is unknown too.
        """
        request_id = self._request_ids()
        answer = _Answer()
        failure: tuple[type[NeonAPIError], str] | None = None
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(call.request, request_id, answer)
        except _NOT_SENT as problem:
            failure = NeonNotSent, f"no connection ({type(problem).__name__})"
        except TimeoutError:
            failure = NeonOutcomeUnknown, f"no whole answer within {self._timeout:g} s"
        except _TooLong:
            failure = NeonOutcomeUnknown, f"the answer is longer than {self._max_body_bytes} bytes"
        except (httpx.HTTPError, OSError) as problem:
            failure = NeonOutcomeUnknown, f"the connection failed ({type(problem).__name__})"
        finally:
            if self._on_request is not None:
                seconds, kind = time.monotonic() - began, failure[0] if failure else None
                self._on_request(
                    NeonExchange(call.request, request_id, answer.status, seconds, answer.whole, failure=kind)
                )
        # Outside of the handlers: a transport's exception carries the request and with it the key.
        if failure is not None and answer.status not in SAFE_STATUSES:
            raise _error(call.request, *failure, status=answer.status, request_id=request_id)
        status = answer.status or 0
        return decode(call, status, answer.headers, answer.body, request_id, datetime.now(UTC))

    async def _exchange(self, request: NeonRequest, request_id: str, answer: _Answer) -> None:
        headers = {"X-Request-ID": request_id}
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body, separators=(",", ":")).encode()
        async with self._http.stream(
            request.method,
            self._base_url + request.path,
            params=request.params or None,
            headers=headers,
            content=content,
        ) as response:
            answer.headers, answer.status = response.headers, response.status_code
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._max_body_bytes:
                    raise _TooLong
            answer.body, answer.whole = bytes(body), True

    # Projects

    async def create_project(self, spec: ProjectCreate) -> CreatedProject:
        """Makes a project; the caller has committed its intent, since a second send makes a second project."""
        return await self.send(codec.create_project(spec))

    async def get_project(self, project_id: str) -> Project:
        """One project; `NeonNotFound` alone is no proof that it is gone."""
        return await self.send(codec.get_project(project_id))

    async def update_project(self, project_id: str, spec: ProjectUpdate) -> ProjectChanged:
        """Sets what is not None in the spec."""
        return await self.send(codec.update_project(project_id, spec))

    async def delete_project(self, project_id: str) -> Project:
        """Deletes a project, recoverably for 7 days (Neon API reference, Projects)."""
        return await self.send(codec.delete_project(project_id))

    async def recover_project(self, project_id: str) -> RecoveredProject:
        """Brings a deleted project back; its connection strings stay as they were."""
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
        """One page of projects."""
        return await self.send(
            codec.list_projects(org_id=org_id, search=search, cursor=cursor, limit=limit, recoverable=recoverable)
        )

    async def list_all_projects(
        self, *, org_id: str | None, search: str | None = None, recoverable: bool = False
    ) -> ProjectListing:
        """All pages, to the empty one; a search ends at a page that is not full and lacks nothing.

        Raises:
            NeonOutcomeUnknown: the pages go in a circle or do not end.
        """
        projects: dict[str, Project] = {}
        unavailable: dict[str, None] = {}
        repeated: dict[str, None] = {}
        cursors: set[str | None] = {None}
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            call = codec.list_projects(org_id=org_id, search=search, cursor=cursor, recoverable=recoverable)
            page = await self.send(call)
            unavailable |= dict.fromkeys(page.unavailable_project_ids)
            for project in page.projects:
                if project.id in projects:
                    repeated[project.id] = None
                projects.setdefault(project.id, project)
            if _is_last(page, searching=search is not None):
                return ProjectListing(
                    projects=tuple(projects.values()),
                    unavailable_project_ids=tuple(unavailable),
                    repeated_project_ids=tuple(repeated),
                )
            cursor = page.cursor
            if cursor in cursors:
                raise _endless(call.request)
            cursors.add(cursor)
        raise _endless(codec.list_projects(org_id=org_id).request)

    # Inside a project

    async def create_branch(self, project_id: str, spec: BranchCreate) -> CreatedBranch:
        """Makes a branch, with a compute where the spec asks for one."""
        return await self.send(codec.create_branch(project_id, spec))

    async def update_branch(self, project_id: str, branch_id: str, *, protected: bool) -> BranchChanged:
        """Sets or clears a branch's protection."""
        return await self.send(codec.update_branch(project_id, branch_id, protected=protected))

    async def list_branches(self, project_id: str) -> BranchList:
        """All branches of a project with their annotations; ``next`` is always None.

        Raises:
            NeonOutcomeUnknown: the pages go in a circle or do not end.
        """
        branches: dict[str, Branch] = {}
        annotations: dict[str, dict[str, str]] = {}
        cursors: set[str | None] = set()
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            call = codec.list_branches(project_id, cursor)
            page = await self.send(call)
            branches |= {branch.id: branch for branch in page.branches}
            annotations |= page.annotations
            cursors.add(cursor)
            cursor = page.next
            if cursor is None:
                return BranchList(branches=tuple(branches.values()), annotations=annotations)
            if cursor in cursors:
                raise _endless(call.request)
        raise _endless(codec.list_branches(project_id).request)

    async def list_endpoints(self, project_id: str) -> tuple[Endpoint, ...]:
        """All computes of a project."""
        return await self.send(codec.list_endpoints(project_id))

    async def create_endpoint(self, project_id: str, spec: EndpointCreate) -> EndpointChanged:
        """Makes a compute for a branch that has none."""
        return await self.send(codec.create_endpoint(project_id, spec))

    async def list_operations(self, project_id: str, limit: int = 100) -> tuple[Operation, ...]:
        """The latest operations of a project, newest first."""
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
        """The URI of a role and database, on the default branch where none is named; resets no password."""
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
        """The URI with its host replaced by the pooler's; see `codec.build_connection_string`."""
        return codec.build_connection_string(connection_uri, pooler_host)

    # The key

    async def list_organizations(self) -> tuple[Organization, ...]:
        """The organizations that the key may see."""
        return await self.send(codec.list_organizations())

    async def get_auth(self) -> AuthDetails:
        """Whose key this is; every valid key is answered."""
        return await self.send(codec.get_auth())


def _is_last(page: ProjectPage, *, searching: bool) -> bool:
    """Whether no project can follow: a page that is not full proves it for a search only if it lacks nothing."""
    if not page.projects or page.cursor is None:
        return True
    return searching and len(page.projects) < codec.PROJECTS_PER_PAGE and not page.unavailable_project_ids


def _endless(request: NeonRequest) -> NeonAPIError:
    return _error(request, NeonOutcomeUnknown, "the pages of the list do not end")


def _error(
    request: NeonRequest,
    kind: type[NeonAPIError],
    detail: str,
    *,
    status: int | None = None,
    request_id: str | None = None,
) -> NeonAPIError:
    return kind(method=request.method, route=request.route, status=status, detail=detail, request_id=request_id)


def _checked_key(api_key: SecretStr | str) -> str:
    key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the Neon API key is empty or holds characters that no key has")
    return key


def _checked_base_url(base_url: str) -> str:
    url: httpx.URL | None
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeError):
        url = None
    if url is None or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError("the address of the Neon API is not a plain URL")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ValueError("the address of the Neon API must be https; http is for this machine only")
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
