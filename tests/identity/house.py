"""A control plane over a real catalog and local Neon: the one can be taken away, and another put in its place."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Self, TypeVar

import httpx

from reconciler.catalog.apps import AppStore
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.database import SKIP_CHECK_SECONDS, Database
from reconciler.catalog.rows import app_from_row
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkQueue
from reconciler.core.context import ControlPlane, Result
from reconciler.core.ownership import CATALOG, CONTROL_PLANE_ID, CREATE_SEQ
from reconciler.errors import CatalogUnavailable, LeaseLost
from reconciler.local.options import LocalNeonOptions
from reconciler.local.protocol import Request
from reconciler.local.simulator import LocalNeon
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.handlers.session import Dependencies
from reconciler.runtime.jobs.job import JobDependencies
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.reconciler import Reconciler
from reconciler.telemetry.recorder import Recorder
from specs.metadata import AppMetadata
from specs.names import app_id_from_bytes, format_project_name
from specs.status import AppStatus, ConditionType, find_condition
from tests.catalogs import SEALER, create, execute
from tests.plenty import plenty

ORG, PLANE_ID = "org-ours-00000001", "morphik"
LEASE, SETTLE = 60.0, 22.0
PASSES = 60
HOSTS = (".neon.tech", "127.0.0.1", "localhost")
Seen = TypeVar("Seen")


class Neon:
    """Local Neon behind a transport that keeps what was sent.

    Attributes:
        changes: the requests that were not GET, as ``METHOD /path``.
        reads: the paths of the GETs.
        lose: routes whose next answer is lost, although the request took effect.
        falsify: makes another answer of each, given method, path and the answer.
    """

    def __init__(self) -> None:
        self.machine = LocalNeon(LocalNeonOptions(org_id=ORG), seed=1)
        self.changes: list[str] = []
        self.reads: list[str] = []
        self.lose: set[str] = set()
        self.falsify: Callable[[str, str, httpx.Response], httpx.Response] = lambda _method, _path, answer: answer
        self._now = time.time()

    def client(self) -> NeonClient:
        """A client of it."""
        return NeonClient("http://localhost/api/v2", "k", transport=httpx.MockTransport(self._carry))

    async def _carry(self, asked: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        body = json.loads(asked.content) if asked.content else None
        path = asked.url.path.removeprefix("/api/v2")
        if asked.method != "GET":
            self.changes.append(f"{asked.method} {path}")
        else:
            self.reads.append(path)
        answer = self._handle(Request(asked.method, path, dict(asked.url.params), body))
        if f"{asked.method} {path}" in self.lose:
            self.lose.discard(f"{asked.method} {path}")
            raise httpx.ReadTimeout("lost")
        return self.falsify(asked.method, path, httpx.Response(answer.status, json=answer.body))

    def _handle(self, request: Request) -> Any:
        self._now = max(self._now + 1, time.time())
        return self.machine.handle(request, self._now)

    def person(self, method: str, path: str) -> None:
        """What a person does in Neon's console."""
        answer = self._handle(Request(method, path, {}, None))
        assert answer.status < 300, answer

    def neighbor(self, number: int, plane: str = "another") -> None:
        """A new project of another catalog in the same organization, named in the form of ours."""
        name = format_project_name("theirs", app_id_from_bytes(number.to_bytes(15, "big")))
        marks = {CONTROL_PLANE_ID: plane, CATALOG: "catalog-2", CREATE_SEQ: str(number)}
        branch = {"name": "main", "role_name": "r", "database_name": "d", "annotations": marks}
        body = {"name": name, "org_id": ORG, "region_id": "aws-us-east-2", "pg_version": 17, "branch": branch}
        answer = self._handle(Request("POST", "/projects", {}, {"project": body}))
        assert answer.status < 300, answer

    def living(self) -> set[str]:
        """The projects that are there."""
        return {each.id for each in self.machine._account.projects.values() if each.deleted_at is None}

    def of(self, app_id: str) -> list[str]:
        """The living projects that carry an app's name."""
        projects = self.machine._account.projects
        return [each for each in sorted(self.living()) if projects[each].name.endswith(app_id)]


class House:
    """One daemon over one catalog.

    Args:
        url: the catalog.
        neon: whose projects it works with.
        plane: its CONTROL_PLANE_ID.

    Attributes:
        fleet, work, records, client, access: the daemon's parts.
    """

    def __init__(self, url: str, neon: Neon, plane: str = PLANE_ID) -> None:
        self.url = url
        self._neon = neon
        self._plane = plane
        self._ahead = 0.0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        database = Database(self.url)
        await database.open()
        self._stack.push_async_callback(database.close)
        self._apps = AppStore(database)
        self.fleet = ControlPlaneStore(database, owner="d", lease_seconds=LEASE)
        self.records = StatusStore(database, SEALER, lease_seconds=LEASE)
        self.work = WorkQueue(database, owner="d", lease_seconds=LEASE)
        self._catalog_id = await self.fleet.catalog_id()
        self.client = self._neon.client()
        self.restart()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def restart(self) -> None:
        """Begin a life of the daemon."""
        plane = ControlPlane(self._plane, self._catalog_id, SETTLE, HOSTS)
        self.access = OrganizationGuard(
            self.client,
            self.fleet,
            org_id=ORG,
            neon_api_url="http://localhost",
            control_plane_id=self._plane,
            clock=lambda: time.monotonic() + self._ahead,
        )
        world = Dependencies(self.client, plenty(), self.access, self.records, self._probe, LEASE - 21, Recorder())
        driver = Reconciler(world, plane)
        self._rounds = JobRunner(
            JobDependencies(self.client, self.access, self.fleet, driver, plane, 1e-6, Recorder()), lease_seconds=LEASE
        )
        self._driver = driver

    async def ask(self, name: str = "shop") -> str:
        """POST at our API; the app's id."""
        return (await create(self._apps, name)).app.app_id

    async def delete(self, app_id: str) -> None:
        """DELETE at our API."""
        await self._apps.request_delete(self.row(app_id).owner_id, app_id, None)

    async def ready(self, name: str = "shop") -> str:
        """A new app that is ready; its id."""
        app_id = await self.ask(name)
        await self.until(app_id, AppStatus.READY)
        return app_id

    async def passes(self, number: int = 3) -> None:
        """So many passes over every app."""
        for _ in range(number):
            self.sql("UPDATE app_work SET due_at = now() WHERE lease_expires_at IS NULL")
            for claimed in await self.work.claim(100):
                try:
                    outcome = await self._driver.run(claimed)
                except (LeaseLost, CatalogUnavailable):
                    outcome = Result(0.1)
                await self.work.release(claimed.lease, outcome)

    async def until(self, app_id: str, status: AppStatus) -> None:
        """Passes until an app has a status."""
        for _ in range(PASSES):
            if self.row(app_id).status == status:
                return
            await self.passes(1)
            self.age()
        said = [f"{c.reason}: {c.message}" for c in self.row(app_id).conditions]
        raise AssertionError(f"not {status} but {self.row(app_id).status}: {said}")

    async def sweep(self) -> None:
        """One round over the fleet, and what it wakes."""
        self.sql("UPDATE periodic_jobs SET started_at = NULL")
        await self._rounds.run("resync")
        await self.passes(2)

    @staticmethod
    async def disconnected() -> None:
        """Every connection was cut off: wait until the pool trusts none of them."""
        await asyncio.sleep(SKIP_CHECK_SECONDS + 0.1)

    async def long(self) -> None:
        """So long that everything that time alone may conclude is concluded."""
        for _ in range(3):
            await self.passes(2)
            self.age()
            await self.sweep()

    def age(self, seconds: float = 2 * SETTLE) -> None:
        """Let time pass for the catalog and the daemon."""
        self._ahead += seconds
        ago = f"- interval '{seconds} seconds'"
        self.sql(f"UPDATE create_intents SET sent_at = sent_at {ago}, first_absent_at = first_absent_at {ago}")
        self.sql(f"UPDATE app_metadata SET project_recorded_at = project_recorded_at {ago}, "
                 f"missing_since = missing_since {ago}")  # fmt: skip

    def row(self, app_id: str) -> AppMetadata:
        """An app's row."""
        [row] = self.sql(f"SELECT * FROM app_metadata WHERE app_id = '{app_id}'")
        return app_from_row(row)

    def reason(self, app_id: str, kind: ConditionType = ConditionType.SYNCED) -> str | None:
        """What a condition of an app says."""
        said = find_condition(self.row(app_id).conditions, kind)
        return None if said is None else said.reason

    def doubt(self) -> str | None:
        """Why the catalog is in doubt."""
        [row] = self.sql("SELECT quarantine_reason FROM catalog_identity")
        reason: str | None = row["quarantine_reason"]
        return reason

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """One statement behind everybody's back."""
        return execute(self.url, statement)

    async def _probe(self, _uri: object) -> None:
        """Every database answers."""


def told(story: Callable[[], Awaitable[Seen]]) -> Seen:
    """What a story ends with, in a loop of its own."""

    async def run() -> Seen:
        return await story()

    return asyncio.run(run())
