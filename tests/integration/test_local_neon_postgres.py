"""Local Neon with a real Postgres behind it: every URI connects, and to nothing but its own database."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import LocalNeonServer
from reconciler.local.simulator import LocalNeon

Json = dict[str, Any]
OPTIONS = LocalNeonOptions(physical=True, operation_seconds=(0.01, 0.05))


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not pytest's own folder: that one is private, and root's Postgres could not reach it.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "postgres"


class Api:
    """A client of local Neon that waits for operations."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: object = None, status: int = 200) -> Json:
        response = await self._client.request(method, path, json=body)
        assert response.status_code == status, response.text
        answer: Json = response.json() if response.content else {}
        return answer

    async def settled(self, project_id: str) -> None:
        for _ in range(600):
            listed = await self.call("GET", f"/projects/{project_id}/operations")
            if all(operation["status"] == "finished" for operation in listed["operations"]):
                return
            assert all(operation["failures_count"] == 0 for operation in listed["operations"]), listed
            await asyncio.sleep(0.05)
        pytest.fail("operations did not finish")

    async def retried(self, method: str, path: str, body: object = None) -> Json:
        for _ in range(600):
            response = await self._client.request(method, path, json=body)
            if response.status_code != 423:
                assert response.status_code < 300, response.text
                answer: Json = response.json()
                return answer
            await asyncio.sleep(0.05)
        pytest.fail("the project stayed locked")

    async def project(self, name: str, **fields: object) -> Json:
        made = await self.call("POST", "/projects", {"project": {"name": name, **fields}}, 201)
        await self.settled(made["project"]["id"])
        return made


@asynccontextmanager
async def served(home: Path, seed: int) -> AsyncIterator[Api]:
    simulator = LocalNeon(OPTIONS, seed)
    async with LocalNeonServer(simulator, EmbeddedPostgres(home, durable=False)) as server:
        transport = httpx.ASGITransport(server.app)
        headers = {"Authorization": "Bearer any"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1/api/v2", headers=headers
        ) as client:
            yield Api(client)


@pytest.fixture
def run(home: Path, request: pytest.FixtureRequest) -> Callable[[Callable[[Api], Awaitable[None]]], None]:
    def runner(scenario: Callable[[Api], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with served(home, seed=zlib.crc32(request.node.name.encode())) as api:
                await scenario(api)

        asyncio.run(whole())

    return runner


def uri_of(made: Json) -> str:
    uri: str = made["connection_uris"][0]["connection_uri"]
    return uri


async def query(uri: str, statement: str, **options: Any) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True, **options) as connection:
        cursor = await connection.execute(statement)
        return await cursor.fetchall() if cursor.description else []


async def refused(uri: str, statement: str = "SELECT 1", **options: str) -> bool:
    try:
        await query(uri, statement, **options)
    except psycopg.Error:
        return True
    return False


Run = Callable[[Callable[[Api], Awaitable[None]]], None]


def test_a_uri_connects_directly_and_pooled_and_owns_its_database(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("first")
        uri, details = uri_of(made), made["connection_uris"][0]["connection_parameters"]
        await query(uri, "CREATE TABLE t AS SELECT 42 AS n")
        pooled = uri.replace(f"@{details['host']}:", f"@{details['pooler_host']}:")
        assert await query(pooled, "SELECT n FROM t") == [(42,)]
        names = "database_name=neondb&role_name=neondb_owner"
        asked = await api.call("GET", f"/projects/{made['project']['id']}/connection_uri?{names}&pooled=true")
        assert asked["uri"] == pooled
        owner = await query(
            uri, "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()"
        )
        assert owner == [(True,)]
        await query(uri, "CREATE EXTENSION vector")
        await query(uri, "CREATE SCHEMA other; CREATE ROLE made_by_sql; CREATE TABLE other.t (n int)")

    run(scenario)


def test_the_role_has_neons_attributes(run: Run) -> None:
    async def scenario(api: Api) -> None:
        rows = await query(
            uri_of(await api.project("rights")),
            "SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,"
            " pg_has_role('neon_superuser', 'USAGE'), pg_has_role('neon_superuser', 'SET')"
            " FROM pg_roles WHERE rolname = current_user",
        )
        assert rows == [(False, True, True, True, True, True, True, False)]

    run(scenario)


def test_credentials_reach_no_other_database(run: Run) -> None:
    async def scenario(api: Api) -> None:
        mine, theirs = await api.project("mine"), await api.project("theirs")
        uri = uri_of(mine)
        other = psycopg.conninfo.conninfo_to_dict(uri_of(theirs))
        for database in (other["dbname"], "postgres", "template1", "template0", "local_neon", "local_neon_template"):
            assert await refused(uri, dbname=str(database)), database
        assert await refused(uri, user=str(other["user"]))
        for mode in ("true", "database"):
            assert await refused(uri, "IDENTIFY_SYSTEM", replication=mode), mode
        for statement in (
            f"CREATE DATABASE stolen TEMPLATE {other['dbname']}",
            "CREATE DATABASE stolen TEMPLATE local_neon",
            f"ALTER ROLE {other['user']} PASSWORD 'mine'",
            f"GRANT {other['user']} TO CURRENT_USER",
            f"SET ROLE {other['user']}",
            "SET ROLE neon_superuser",
            "CREATE ROLE friend IN ROLE neon_superuser",
            "GRANT neon_superuser TO CURRENT_USER WITH ADMIN OPTION",
            f"ALTER DATABASE {other['dbname']} OWNER TO CURRENT_USER",
            f"DROP DATABASE {other['dbname']}",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT pg_read_file('pg_hba.conf')",
            "SELECT pg_create_physical_replication_slot('s')",
            "ALTER SYSTEM SET max_wal_senders = 5",
            "CREATE SUBSCRIPTION s CONNECTION 'dbname=postgres' PUBLICATION p",
        ):
            assert await refused(uri, statement), statement

    run(scenario)


def test_others_sessions_are_neither_read_nor_ended(run: Run) -> None:
    async def scenario(api: Api) -> None:
        mine, theirs = await api.project("mine"), await api.project("theirs")
        async with await psycopg.AsyncConnection.connect(uri_of(theirs), autocommit=True) as session:
            await session.execute("SELECT 'a secret'")
            pid = session.info.backend_pid
            seen = await query(uri_of(mine), f"SELECT query FROM pg_stat_activity WHERE pid = {pid}")
            assert "a secret" not in str(seen)
            assert await refused(uri_of(mine), f"SELECT pg_terminate_backend({pid})")
            await session.execute("SELECT 1")

    run(scenario)


def test_what_an_app_makes_by_sql_opens_nothing(run: Run) -> None:
    async def scenario(api: Api) -> None:
        mine, theirs = uri_of(await api.project("mine")), uri_of(await api.project("theirs"))
        name = psycopg.conninfo.conninfo_to_dict(theirs)["dbname"]
        await query(theirs, "CREATE TABLE secret AS SELECT 1 AS n")
        async with await psycopg.AsyncConnection.connect(theirs, autocommit=True) as session:
            await session.execute("CREATE DATABASE further")
        await query(mine, "CREATE ROLE intruder LOGIN CREATEDB REPLICATION PASSWORD 'known'")
        assert await refused(mine, dbname="further")
        for database in ("further", str(name), "postgres", "local_neon"):
            assert await refused(mine, dbname=database, user="intruder", password="known"), database
        await query(theirs, "DROP DATABASE further")
        await query(mine, "DROP ROLE intruder")

    run(scenario)


def test_deletion_ends_sessions_and_recovery_brings_the_data_back(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("short")
        project_id, uri = made["project"]["id"], uri_of(made)
        await query(uri, "CREATE TABLE t AS SELECT 42 AS n")
        session = await psycopg.AsyncConnection.connect(uri, autocommit=True)
        await api.call("DELETE", f"/projects/{project_id}")
        for _ in range(200):
            if await refused(uri):
                break
            await asyncio.sleep(0.02)
        assert await refused(uri)
        with pytest.raises(psycopg.OperationalError):
            await session.execute("SELECT 1")
        await session.close()
        await api.retried("POST", f"/projects/{project_id}/recover")
        await api.settled(project_id)
        assert await query(uri, "SELECT n FROM t") == [(42,)]

    run(scenario)


def test_a_disabled_compute_lets_nobody_in(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("frozen")
        project_id, uri = made["project"]["id"], uri_of(made)
        path = f"/projects/{project_id}/endpoints/{made['endpoints'][0]['id']}"
        for disabled in (True, False):
            await api.call("PATCH", path, {"endpoint": {"disabled": disabled}})
            await api.settled(project_id)
            assert await refused(uri) is disabled

    run(scenario)


def test_a_branch_is_a_copy_of_its_own(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("tree")
        project_id, uri = made["project"]["id"], uri_of(made)
        await query(uri, "CREATE TABLE t AS SELECT 1 AS n")
        body = {"branch": {"name": "copy"}, "endpoints": [{"type": "read_write"}]}
        branch = await api.call("POST", f"/projects/{project_id}/branches", body, 201)
        await api.settled(project_id)
        copied = uri_of(branch)
        await query(copied, "ALTER TABLE t ADD COLUMN m int; UPDATE t SET n = 2")
        assert await query(uri, "SELECT * FROM t") == [(1,)]
        assert await query(copied, "SELECT n FROM t") == [(2,)]
        assert await refused(uri, dbname=str(psycopg.conninfo.conninfo_to_dict(copied)["dbname"]))
        await api.call("DELETE", f"/projects/{project_id}/branches/{branch['branch']['id']}")
        await api.settled(project_id)
        assert await refused(copied)
        assert await query(uri, "SELECT n FROM t") == [(1,)]

    run(scenario)


def test_roles_rotate_without_losing_what_the_old_one_made(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("rotating", branch={"database_name": "app", "role_name": "app_1"})
        project_id, old = made["project"]["id"], uri_of(made)
        below = f"/projects/{project_id}/branches/{made['branch']['id']}"
        await query(old, "CREATE TABLE t AS SELECT 1 AS n; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 2 AS n")
        await query(old, "CREATE DATABASE further")
        await api.call("POST", f"{below}/roles", {"role": {"name": "app_2"}}, 201)
        await api.settled(project_id)
        await api.call("PATCH", f"{below}/databases/app", {"database": {"owner_name": "app_2"}})
        await api.settled(project_id)
        asked = await api.call("GET", f"/projects/{project_id}/connection_uri?database_name=app&role_name=app_2")
        assert await query(asked["uri"], "SELECT t.n + u.n FROM t, s.t AS u") == [(3,)]
        await api.call("DELETE", f"{below}/roles/app_1")
        await api.settled(project_id)
        assert await refused(old)
        await query(asked["uri"], "ALTER TABLE s.t ADD COLUMN m int; DROP TABLE t")
        await query(asked["uri"], "DROP DATABASE further")

    run(scenario)


def test_a_reset_password_replaces_the_old_one(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("reset")
        project_id, uri = made["project"]["id"], uri_of(made)
        role = f"/projects/{project_id}/branches/{made['branch']['id']}/roles/neondb_owner"
        answer = await api.call("POST", f"{role}/reset_password")
        await api.settled(project_id)
        assert await refused(uri)
        assert not await refused(uri, password=answer["role"]["password"])

    run(scenario)


def test_a_restart_keeps_projects_and_finishes_what_was_under_way(home: Path) -> None:
    async def scenario() -> None:
        async with served(home, seed=1) as api:
            kept = await api.project("kept")
            await query(uri_of(kept), "CREATE TABLE t AS SELECT 42 AS n")
            begun = await api.call("POST", "/projects", {"project": {"name": "begun"}}, 201)
        async with served(home, seed=2) as api:
            await api.settled(begun["project"]["id"])
            assert await query(uri_of(begun), "SELECT 1") == [(1,)]
            assert await query(uri_of(kept), "SELECT n FROM t") == [(42,)]
            again = await api.call("GET", f"/projects/{kept['project']['id']}")
            assert again["project"]["name"] == "kept"

    asyncio.run(scenario())


def test_sixty_projects_at_once(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await asyncio.gather(*(api.project(f"many-{number}") for number in range(60)))
        uris = {uri_of(each) for each in made}
        assert len(uris) == 60
        assert await query(uri_of(made[-1]), "SELECT 1") == [(1,)]

    run(scenario)


def test_what_is_no_json_or_too_much_is_refused(home: Path) -> None:
    async def scenario() -> None:
        simulator = LocalNeon(OPTIONS, 3)
        async with LocalNeonServer(simulator, EmbeddedPostgres(home, durable=False)) as server:
            transport = httpx.ASGITransport(server.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                headers = {"Authorization": "Bearer k", "X-Request-ID": "mine"}
                for content in (
                    b"<html>",
                    b"[" * 2_000_000,
                    b"[" * 100_000,
                    b'{"project": {"name": "\\u0000"}}',
                    b'"\\ud800"',
                ):
                    answer = await client.post("/api/v2/projects", content=content, headers=headers)
                    assert answer.status_code == 400
                    assert answer.json()["request_id"] == "mine"
                    assert answer.headers["X-Request-ID"] == "mine"
                assert (await client.get("/api/v2/projects")).status_code == 401
                assert (await client.get("/elsewhere")).status_code == 404

    asyncio.run(scenario())
