"""Local Neon as it is served: a quota closes databases, keys outlast a restart, lists of parameters may be repeated."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import LocalNeonServer
from reconciler.local.simulator import LocalNeon
from tests.integration.test_local_neon_postgres import OPTIONS, Api, query, refused, uri_of

ORG = "org-local-00000000"


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not pytest's own folder: that one is private, and root's Postgres could not reach it.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "postgres"


def _run(home: Path, seed: int, scenario: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with LocalNeonServer(LocalNeon(OPTIONS, seed), EmbeddedPostgres(home, durable=False)) as server:
            transport = httpx.ASGITransport(server.app)
            headers = {"Authorization": "Bearer any"}
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1/api/v2", headers=headers
            ) as client:
                await scenario(client)

    asyncio.run(whole())


async def _until(look: Callable[[], Awaitable[bool]], what: str) -> None:
    for _ in range(600):
        if await look():
            return
        await asyncio.sleep(0.05)
    pytest.fail(what)


def test_over_a_quota_databases_refuse_connections_until_it_is_lifted(home: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        api = Api(client)
        made = await api.project("switched-off", settings={"quota": {"active_time_seconds": 1}})
        project_id, uri = made["project"]["id"], uri_of(made)
        start = f"/projects/{project_id}/endpoints/{made['endpoints'][0]['id']}/start"
        await _until(lambda: refused(uri), "the database stayed open")
        await api.settled(project_id)
        locked = await api.call("POST", start, status=423)
        assert "active time quota" in locked["message"]
        lifted = {"project": {"settings": {"quota": {"active_time_seconds": 0}}}}
        await api.retried("PATCH", f"/projects/{project_id}", lifted)
        await api.settled(project_id)
        assert await query(uri, "SELECT 1") == [(1,)]
        await api.retried("POST", start)

    _run(home, 1, scenario)


def test_keys_outlast_a_restart_and_so_does_their_end(home: Path) -> None:
    keys: list[tuple[str, int]] = []
    path = f"/organizations/{ORG}/api_keys"

    async def before(client: httpx.AsyncClient) -> None:
        api = Api(client)
        made = await api.project("kept")
        for fields in ({}, {"project_id": made["project"]["id"]}, {}):
            key = await api.call("POST", path, {"key_name": "k", **fields})
            keys.append((key["key"], key["id"]))
        await api.call("DELETE", f"{path}/{keys[2][1]}")

    async def after(client: httpx.AsyncClient) -> None:
        seen = []
        for key, _ in keys:
            answer = await client.get("/projects", headers={"Authorization": f"Bearer {key}"})
            seen.append(answer.status_code)
        assert seen == [200, 404, 401]
        assert [each["id"] for each in (await client.get(path)).json()] == [keys[0][1], keys[1][1]]

    _run(home, 2, before)
    _run(home, 3, after)


def test_a_parameter_that_is_a_list_may_be_repeated(home: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        now = await client.get("/projects", params={"limit": "1"})
        created = now.json()["projects"][0]["created_at"]
        params = httpx.QueryParams({"org_id": ORG, "from": created, "to": created, "granularity": "daily"})
        for metric in ("compute_unit_seconds", "extra_branches_month"):
            params = params.add("metrics", metric)
        answer = await client.get("/consumption_history/v2/projects", params=params)
        assert answer.status_code == 200, answer.text
        twice = await client.get("/projects", params=httpx.QueryParams("limit=1&limit=2"))
        assert twice.status_code == 400

    async def first(client: httpx.AsyncClient) -> None:
        await Api(client).project("one")
        await scenario(client)

    _run(home, 4, first)
