"""A control plane over a Neon that lies: real core, driver, rounds, catalog and client; only the transport deceives.

The judge knows what is true. After each pass it notes every wrong act: a project made, taken, recovered or deleted that
should not have been, an app called deleted or lost whose project lives, a stop without a reason, another project's URI.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from reconciler.catalog.apps import AppStore
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.database import Database
from reconciler.catalog.rows import app_from_row
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkQueue
from reconciler.core.context import ControlPlane, Result
from reconciler.errors import LeaseLost
from reconciler.local.options import LocalNeonOptions
from reconciler.local.protocol import Request, Response
from reconciler.local.simulator import LocalNeon
from reconciler.local.state.models import Project
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.handlers.session import Dependencies
from reconciler.runtime.jobs.job import JobDependencies
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.reconciler import Reconciler
from reconciler.telemetry.recorder import Recorder
from specs.metadata import AppMetadata
from specs.status import AppStatus, ConditionType, find_condition
from specs.uri import MorphikURI
from tests.catalogs import SEALER, create
from tests.plenty import plenty

ORG, PLANE_ID = "org-ours-00000001", "morphik"
LEASE, SETTLE = 60.0, 400.0
BASE = "/api/v2"
PASSES = 40
OUT_OF_SCOPE = "not allowed to perform actions outside the project this key is scoped to"

Json = dict[str, Any]
Lie = Callable[[Request, Response], Response]
"""What becomes of an answer on its way; the same answer where the lie is about others."""


class Stage:
    """One plane and one Neon.

    Attributes:
        lies: what becomes of the answers that the plane gets, in order.
        lose: routes, as ``METHOD /path``, whose next answer is lost although the request took effect.
        drop: the same, and the request never arrives.
        met: how often a lie changed an answer.
        own: by app, the projects that the plane's requests made.
        strangers: projects that people made, which must be neither taken nor deleted.
        kept: others that must not be deleted, whatever is asked for.
        wanted: the apps whose deletion was asked for.
        creates: how many projects an app may be given.
        may_recover: whether a project is to be recovered.
        wrong: the wrong acts so far.
        calls: the plane's requests, as ``METHOD /path``.
    """

    def __init__(self, database: Database, url: str) -> None:
        self.lies: list[Lie] = []
        self.lose: set[str] = set()
        self.met = 0
        self.own: dict[str, list[str]] = {}
        self.strangers: set[str] = set()
        self.wrong: list[str] = []
        self.calls: list[str] = []
        self.machine = LocalNeon(LocalNeonOptions(org_id=ORG), seed=1)
        # Older than the settle time, so that age protects nothing here.
        self.neon_now = time.time() - SETTLE - 100
        self.drop: set[str] = set()
        self.kept: set[str] = set()
        self.wanted: set[str] = set()
        self.creates = 1
        self.may_recover = False
        self._seen_calls = 0
        self.client = NeonClient("http://localhost/api/v2", "k", transport=httpx.MockTransport(self._carry))
        self._looking = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        self._apps = AppStore(database)
        self._fleet = ControlPlaneStore(database, owner="d", lease_seconds=LEASE)
        self._records = StatusStore(database, SEALER, lease_seconds=LEASE)
        self._work = WorkQueue(database, owner="d", lease_seconds=LEASE)
        self.start()

    def start(self) -> None:
        """Begin a life of the daemon."""
        [own] = self._sql("SELECT catalog_id::text AS catalog_id FROM catalog_identity")
        plane = ControlPlane(PLANE_ID, own["catalog_id"], SETTLE, (".neon.tech", "127.0.0.1", "localhost"))
        access = OrganizationGuard(
            self.client, self._fleet, org_id=ORG, neon_api_url="http://localhost", control_plane_id=PLANE_ID
        )
        world = Dependencies(self.client, plenty(), access, self._records, self._probe, LEASE - 21, Recorder())
        self._driver = Reconciler(world, plane)
        self._rounds = JobRunner(
            JobDependencies(self.client, access, self._fleet, self._driver, plane, 1e-6, Recorder()),
            lease_seconds=LEASE,
        )

    async def close(self) -> None:
        """Nothing is asked any more."""
        self._looking.close()
        await self.client.aclose()

    # The plane

    async def ask(self, name: str = "shop") -> str:
        """POST at our API; the app's id."""
        made = await create(self._apps, name)
        self.own[made.app.app_id] = []
        return made.app.app_id

    async def delete(self, app_id: str) -> None:
        """DELETE at our API."""
        self.wanted.add(app_id)
        await self._apps.request_delete("alice", app_id, None)

    async def passes(self, number: int = 3) -> None:
        """So many passes over every app, each as late as it has to be for the next to be worth it."""
        for _ in range(number):
            self._sql("UPDATE app_work SET due_at = now() WHERE lease_expires_at IS NULL")
            for claimed in await self._work.claim(100):
                try:
                    outcome = await self._driver.run(claimed)
                except LeaseLost:
                    outcome = Result(0.1)
                await self._work.release(claimed.lease, outcome)
                self._judge()

    async def until(self, app_id: str, status: AppStatus) -> None:
        """Passes until an app has a status."""
        for _ in range(PASSES):
            if self.row(app_id).status == status:
                return
            await self.passes(1)
            self.age()
        said = [f"{c.reason}: {c.message}" for c in self.row(app_id).conditions]
        raise AssertionError(f"not {status} but {self.row(app_id).status}: {said}; wrong: {self.wrong}")

    async def sweep(self) -> None:
        """One round over the fleet, and what it wakes."""
        self._sql("UPDATE periodic_jobs SET started_at = NULL")
        await self._rounds.run("resync")
        self._judge()
        await self.passes(2)

    async def long(self) -> None:
        """So long that everything that time alone may conclude is concluded: passes, sweeps, and the settle time."""
        for _ in range(4):
            await self.passes(2)
            self.age()
            await self.sweep()

    def age(self, seconds: float = 2 * SETTLE) -> None:
        """Let time pass for the catalog."""
        ago = f"- interval '{seconds} seconds'"
        self._sql(f"UPDATE create_intents SET sent_at = sent_at {ago}, first_absent_at = first_absent_at {ago}")
        columns = ("created_at", "project_recorded_at", "missing_since")
        self._sql("UPDATE app_metadata SET " + ", ".join(f"{each} = {each} {ago}" for each in columns))

    def miss(self) -> None:
        """As if a sweep had just missed every project while the fleet as a whole is there."""
        self._sql("UPDATE app_work SET confirmed_missing = true")

    def name_surplus(self, app_id: str, project_id: str) -> None:
        """As if a sweep had named a project as a candidate for a surplus of an app."""
        self._sql(f"UPDATE app_work SET duplicate_ids = array['{project_id}'] WHERE app_id = '{app_id}'")

    def row(self, app_id: str) -> AppMetadata:
        """An app's row."""
        [row] = self._sql(f"SELECT * FROM app_metadata WHERE app_id = '{app_id}'")
        return app_from_row(row)

    def reason(self, app_id: str, kind: ConditionType = ConditionType.SYNCED) -> str | None:
        """What a condition of an app says."""
        said = find_condition(self.row(app_id).conditions, kind)
        return None if said is None else said.reason

    def orphans(self) -> set[str]:
        """The projects that were reported."""
        return {row["project_id"] for row in self._sql("SELECT project_id FROM orphan_projects")}

    def stopped(self) -> bool:
        """Whether everything is stopped."""
        return bool(self._sql("SELECT 1 FROM catalog_identity WHERE mutation_stop_reason IS NOT NULL"))

    def _sql(self, statement: str) -> list[Json]:
        cursor = self._looking.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    async def _probe(self, _uri: object) -> None:
        """Every database answers: who is asked is judged by what is published."""

    # Neon

    async def _carry(self, asked: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        body = json.loads(asked.content) if asked.content else None
        path = asked.url.path.removeprefix(BASE)
        request = Request(asked.method, path, dict(asked.url.params), body)
        self.calls.append(f"{asked.method} {path}")
        if self.calls[-1] in self.drop:
            self.drop.discard(self.calls[-1])
            raise httpx.ReadTimeout("lost")
        answer = self._handle(request)
        if (asked.method, path, answer.status) == ("POST", "/projects", 201):
            project = self.machine._account.projects[body_of(answer)["project"]["id"]]
            self.own[project.default_branch.annotation["morphik_app_id"]].append(project.id)
        if f"{asked.method} {path}" in self.lose:
            self.lose.discard(f"{asked.method} {path}")
            raise httpx.ReadTimeout("lost")
        for lie in self.lies:
            told = lie(request, answer)
            self.met += told is not answer
            answer = told
        return httpx.Response(answer.status, json=answer.body)

    def _handle(self, request: Request) -> Response:
        self.neon_now += 1
        return self.machine.handle(request, self.neon_now)

    def person(self, method: str, path: str, body: object = None) -> Json:
        """What a person does at Neon."""
        self.neon_now += 5
        answer = self._handle(Request(method, path, {}, body))
        assert answer.status < 300, answer
        return body_of(answer)

    def copy(
        self, app_id: str, *, name: str | None = None, mark: dict[str, str] | None = None, earlier: float = 0
    ) -> str:
        """A person makes a project of that name (the app's) and mark (the whole of the app's); its id.

        ``earlier`` is by how much Neon's clock steps back for it.
        """
        given = {"name": name or self.row(app_id).project_name}
        self.neon_now -= earlier
        made = self.person("POST", "/projects", {"project": given})["project"]["id"]
        project = self.machine._account.projects[made]
        project.default_branch.annotation = self.mark(app_id) if mark is None else mark
        self.neon_now += earlier
        self.strangers.add(made)
        return str(made)

    def mark(self, app_id: str) -> dict[str, str]:
        """The annotations of the latest create of an app."""
        statement = f"SELECT create_seq, nonce FROM create_intents WHERE app_id = '{app_id}' ORDER BY create_seq DESC"
        intent = self._sql(statement)[0]
        return {
            "morphik_plane": PLANE_ID,
            "morphik_app_id": app_id,
            "morphik_incarnation": "1",
            "morphik_nonce": intent["nonce"],
            "morphik_create_seq": str(intent["create_seq"]),
        }

    def project(self, project_id: str) -> Project:
        """A project as it is."""
        return self.machine._account.projects[project_id]

    def lives(self, project_id: str) -> bool:
        """Whether a project is there and not deleted."""
        project = self.machine._account.projects.get(project_id)
        return project is not None and project.deleted_at is None

    def document(self, project_id: str) -> Json:
        """A project as Neon describes it now."""
        return dict(self.person("GET", f"/projects/{project_id}")["project"])

    # The judge

    def _judge(self) -> None:
        calls, self._seen_calls = self.calls[self._seen_calls :], len(self.calls)
        self._note("recovered", (call for call in calls if call.endswith("/recover") and not self.may_recover))
        for app_id, made in self.own.items():
            self._judge_app(app_id, made, calls)
        self._note_deletes(self.strangers | self.kept, calls)

    def _judge_app(self, app_id: str, made: list[str], calls: list[str]) -> None:
        row = self.row(app_id)
        living = [each for each in made if self.lives(each)]
        if len(made) > self.creates:
            self._note("created twice", [app_id])
        if row.project_id in self.strangers:
            self._note("adopted", [str(row.project_id)])
        if row.deleted_at is not None and row.project_id in living:
            self._note("called deleted", [app_id])
        if row.status == AppStatus.LOST and row.project_id in living:
            self._note("called lost", [app_id])
        if app_id not in self.wanted:
            self._note_deletes(set(made) - self.kept, calls)
        if row.can_expose_uri:
            self._judge_uri(row, made)

    def _judge_uri(self, row: AppMetadata, made: list[str]) -> None:
        opened = SEALER.decrypt_uri(row, "connection_uri")
        assert opened is not None
        password = MorphikURI.from_postgresql(opened.get_secret_value()).password
        roles = [role for each in made for role in self.project(each).default_branch.roles.values()]
        if password not in {role.password for role in roles}:
            self._note("published another's URI", [row.app_id])

    def _note_deletes(self, project_ids: set[str], calls: list[str]) -> None:
        sent = {f"DELETE /projects/{each}" for each in project_ids}
        self._note("deleted", (call for call in calls if call in sent))

    def _note(self, what: str, about: Iterable[str]) -> None:
        self.wrong += [f"{what}: {each}" for each in about]


def body_of(answer: Response) -> Json:
    """The object in an answer's body."""
    assert isinstance(answer.body, dict)
    return answer.body
