"""The project that the walk is about, and the ways to ask Neon and its databases."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
import psycopg

from reconciler.errors import NeonRetryable
from reconciler.neon.client import NeonClient
from reconciler.neon.protocol import RETRYABLE_STATUSES
from specs.names import app_id_from_bytes, format_project_name, role_name
from specs.neon import CreateProjectResponse

Json = dict[str, Any]
T = TypeVar("T")
SETTLED = frozenset({"finished", "skipped", "cancelled", "error"})
_REFUSALS = ("authentication failed", "not permitted to log in", "does not exist", "no pg_hba.conf entry")


class Untold(Exception):
    """The question could not be put; the message says why, without any secret."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to a request without a model."""

    status: int
    headers: Mapping[str, str]
    body: Json = field(repr=False)

    @property
    def message(self) -> str:
        """Neon's own words, where it refused."""
        return str(self.body.get("message", ""))[:200]


@dataclass
class Live:
    """The walk's context.

    Attributes:
        client: the product's client, for the calls that it has.
        http: for the others; below the API's address and with the key.
        org_id: the organization in which the one project is made.
        region: where it is made.
        patience: seconds to wait for operations.
        pause: seconds between moments of history that must be told apart.
        poll: seconds between two looks.
        created: the answer to the create.
        answered_at: when it came, in monotonic seconds.
        done: method and route template of every call that succeeded.
        kept: what one step leaves for another, by name.
    """

    client: NeonClient
    http: httpx.AsyncClient
    org_id: str
    region: str
    patience: float = 300.0
    pause: float = 5.0
    poll: float = 1.0
    app_id: str = field(default_factory=lambda: app_id_from_bytes(secrets.token_bytes(15)))
    created: CreateProjectResponse | None = field(default=None, repr=False)
    answered_at: float = 0.0
    done: set[tuple[str, str]] = field(default_factory=set)
    kept: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The project's name, which no other project has."""
        return format_project_name("live suite", self.app_id)

    @property
    def role(self) -> str:
        """The role that owns the project's database."""
        return role_name(self.app_id, 1, 1)

    @property
    def made(self) -> CreateProjectResponse:
        """The answer to the create; `Untold` where there was none."""
        if self.created is None:
            raise Untold("no project was made")
        return self.created

    @property
    def ids(self) -> dict[str, str]:
        """The ids for route templates: the project and its default branch."""
        return {"project_id": self.made.project.id, "branch_id": self.made.branch.id}

    async def neon(self, ask: Callable[[NeonClient], Awaitable[T]]) -> T:
        """A call of the product's client, sent again while Neon says that nothing was done and it may be."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                return await ask(self.client)
            except NeonRetryable as error:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(error.retry_after or self.poll)

    async def raw(
        self,
        method: str,
        route: str,
        body: Json | None = None,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        ids: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request as it is, sent again where that is safe; the route's project and branch are filled in."""
        path = route.format(**{**self.ids, **(ids or {})}) if "{" in route else route
        deadline = time.monotonic() + self.patience
        while True:
            answer = await self.http.request(method, path, json=body, content=content, headers=headers)
            if answer.status_code not in RETRYABLE_STATUSES or time.monotonic() > deadline:
                break
            await asyncio.sleep(self.poll)
        if answer.is_success:
            self.done.add((method, route))
        try:
            parsed = json.loads(answer.content)
        except ValueError:
            parsed = {}
        return Answer(answer.status_code, answer.headers, parsed if isinstance(parsed, dict) else {})

    async def change(self, method: str, route: str, body: Json | None = None, **ids: str) -> Json:
        """A change that must succeed, and the end of its operations."""
        answer = await self.raw(method, route, body, ids=ids)
        if answer.status >= 300:
            raise Untold(f"{method} {route}: {answer.status} {answer.message}")
        await self.settled()
        return answer.body

    async def settled(self) -> None:
        """Wait until no operation of the project runs."""
        project_id, deadline = self.made.project.id, time.monotonic() + self.patience
        while time.monotonic() < deadline:
            operations = await self.neon(lambda client: client.list_operations(project_id))
            if all(operation.status in SETTLED for operation in operations):
                return
            await asyncio.sleep(self.poll)
        raise Untold("operations were not over in time")

    async def uri(self, database: str, role: str, branch_id: str | None = None) -> str:
        """The connection URI of a role and database."""
        project_id = self.made.project.id
        uri = await self.neon(
            lambda client: client.get_connection_string(
                project_id, database_name=database, role_name=role, branch_id=branch_id
            )
        )
        return uri.get_secret_value()

    async def sql(self, uri: str, statement: str, **options: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, in a connection of its own."""
        given: Any = options
        connection = await psycopg.AsyncConnection.connect(
            uri, autocommit=True, connect_timeout=30, prepare_threshold=None, **given
        )
        async with connection:
            cursor = await connection.execute(statement.encode())
            return await cursor.fetchall() if cursor.description else []

    async def connects(self, uri: str, **options: str) -> bool:
        """Whether the database lets one in; `Untold` where it neither does nor says that it will not."""
        kind = ""
        for _ in range(3):
            try:
                await self.sql(uri, "SELECT 1", **options)
            except psycopg.Error as error:
                kind = type(error).__name__
                if any(said in str(error) for said in _REFUSALS):
                    return False
                await asyncio.sleep(self.poll)
            else:
                return True
        raise Untold(f"the database did not answer ({kind})")
