"""Every call of ``NeonClient``, over HTTP against local Neon with its Postgres, and each status that local Neon has."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from api.cli.process import listen, serve
from reconciler.errors import NeonAPIError, NeonLocked, NeonNotFound, NeonPasswordsNotStored, NeonUnauthorized
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.protocol import Request
from reconciler.local.server import PREFIX, LocalNeonServer
from reconciler.local.simulator import LocalNeon
from reconciler.neon import codec, read_only
from reconciler.neon.client import NeonClient
from specs.neon import (
    BranchCreate,
    CreateProjectResponse,
    DefaultBranchSpec,
    EndpointCreate,
    ProjectCreate,
    ProjectUpdate,
)
from tests.conformance.calls import can_be_sent
from tests.conformance.document import Document
from tests.conformance.hooks import overheard
from tests.conformance.recording import LEAST_STATUSES, Recording
from tests.integration.loopback import Once

KEY = "napi_of_one_test"
OPTIONS = LocalNeonOptions(api_key=KEY, physical=True, operation_seconds=(0.01, 0.05))
_LOOKS = 1500


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[str]:
    async with LocalNeonServer(
        LocalNeon(OPTIONS, seed=1), EmbeddedPostgres(folder / "postgres", durable=False)
    ) as server:
        with listen("127.0.0.1", 0) as listener:
            serving = asyncio.create_task(serve(server.app, listener))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}{PREFIX}"
            finally:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)


async def _settled(client: NeonClient, project_id: str) -> None:
    for _ in range(_LOOKS):
        if all(each.status == "finished" for each in await client.list_operations(project_id)):
            return
        await asyncio.sleep(0.02)
    pytest.fail("operations did not finish")


async def _created(client: NeonClient, *, store_passwords: bool = True) -> CreateProjectResponse:
    spec = ProjectCreate(
        name="an-app",
        region_id="aws-us-east-2",
        pg_version=17,
        branch=DefaultBranchSpec(name="main", role_name="app", database_name="app", annotations={"a": "b"}),
        store_passwords=store_passwords,
    )
    made = await client.create_project(spec)
    with pytest.raises(NeonLocked):
        await client.delete_project(made.project.id)
    await _settled(client, made.project.id)
    return made


async def _every_call(client: NeonClient) -> None:
    org_id = (await client.list_organizations())[0].id
    assert (await client.get_auth()).account_id == org_id
    assert [each.id for each in await client.send(read_only.organizations_with_plans())] == [org_id]
    with pytest.raises(NeonUnauthorized):
        await client.send(read_only.regions(org_id))
    assert await client.send(read_only.project_hosts(org_id, 1)) == ()
    made = await _created(client)
    project, main = made.project.id, made.branch.id
    await client.list_all_projects(org_id=org_id)
    await client.list_projects(org_id=org_id, search="an-app", limit=codec.PROJECTS_PER_PAGE)
    await client.update_project(project, ProjectUpdate(name="renamed", history_retention_seconds=3600))
    assert (await client.get_project(project)).name == "renamed"
    later = datetime.now(UTC) + timedelta(days=1)
    branch = BranchCreate(name="below", parent_id=main, expires_at=later, annotations={"c": "d"})
    below = (await client.create_branch(project, branch)).branch.id
    await _settled(client, project)
    await client.create_endpoint(project, EndpointCreate(branch_id=below))
    await _settled(client, project)
    await client.update_branch(project, main, protected=True)
    await client.update_branch(project, main, protected=False)
    assert {each.id for each in (await client.list_branches(project)).branches} == {main, below}
    assert len(await client.list_endpoints(project)) == 2
    for pooled in (False, True):
        await client.get_connection_string(
            project, database_name="app", role_name="app", branch_id=below, pooled=pooled
        )
    await client.delete_project(project)
    with pytest.raises(NeonNotFound):
        await client.get_project(project)
    await client.list_all_projects(org_id=org_id, recoverable=True)
    await _recovered(client, project)
    await _settled(client, project)


async def _recovered(client: NeonClient, project_id: str) -> None:
    """A deleted project answers nothing, so the end of its operations shows only in this."""
    for _ in range(_LOOKS):
        with contextlib.suppress(NeonLocked):
            await client.recover_project(project_id)
            return
        await asyncio.sleep(0.02)
    pytest.fail("the project stayed locked")


async def _refusals(url: str, client: NeonClient) -> None:
    made = await _created(client, store_passwords=False)
    with pytest.raises(NeonPasswordsNotStored):
        await client.get_connection_string(made.project.id, database_name="app", role_name="app")
    async with NeonClient(url, "another") as stranger:
        with pytest.raises(NeonUnauthorized):
            await stranger.get_auth()
    await client.update_branch(made.project.id, made.branch.id, protected=True)
    with pytest.raises(NeonAPIError, match="422"):
        await client.delete_project(made.project.id)
    branches = f"/projects/{made.project.id}/branches"
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as anybody:
        for method, path, body, status in (
            ("GET", "/projects?limit=401", None, HTTPStatus.BAD_REQUEST),
            ("PUT", "/projects", {}, HTTPStatus.METHOD_NOT_ALLOWED),
            ("GET", "/nothing/here", None, HTTPStatus.NOT_FOUND),
            ("POST", branches, {"branch": {"name": "main"}}, HTTPStatus.CONFLICT),
            ("DELETE", f"{branches}/br-not-there", None, HTTPStatus.NO_CONTENT),
        ):
            answer = await anybody.request(method, path, json=body)
            assert answer.status_code == status, answer.text


def _too_fast() -> None:
    simulator = LocalNeon(LocalNeonOptions(requests_per_minute=1, burst=1), seed=1)
    statuses = [simulator.handle(Request("GET", "/auth"), now=0.0).status for _ in range(2)]
    assert statuses == [HTTPStatus.OK, HTTPStatus.TOO_MANY_REQUESTS]


@pytest.fixture(scope="module")
def recording(document: Document) -> Recording:
    """What was judged while every call was sent once and every refusal was met."""
    heard = Recording()

    async def exchange(folder: Path) -> None:
        async with _served(folder) as url, NeonClient(url, KEY, gate=Once()) as client:
            await _every_call(client)
            await _refusals(url, client)

    with overheard(document, heard.add), tempfile.TemporaryDirectory() as folder:
        # Not pytest's own folder: that one is private, and root's Postgres could not reach it.
        Path(folder).chmod(0o711)
        asyncio.run(exchange(Path(folder)))
        _too_fast()
    return heard


def test_every_call_of_the_client_is_one_of_neons(document: Document) -> None:
    sent = can_be_sent(document)
    assert {("POST", "/projects"), ("GET", "/regions")} <= sent  # of two modules
    assert sent <= set(document.routes())


def test_every_request_and_every_answer_is_valid(recording: Recording) -> None:
    assert recording.requests.total() > 0
    assert recording.answers.total() > 0
    assert recording.problems == []


def test_every_call_that_can_be_sent_was_sent_and_answered(recording: Recording, document: Document) -> None:
    assert recording.lacks(can_be_sent(document)) == []


def test_the_client_and_local_neon_agree_on_how_many_there_were(recording: Recording) -> None:
    for method, route in recording.sent:
        answered = sum(count for (*at, _), count in recording.answers.items() if at == [method, route])
        assert answered >= recording.requests[method, route], (method, route)


def test_local_neon_has_many_statuses(recording: Recording) -> None:
    assert len(recording.statuses) >= LEAST_STATUSES
