"""A tenant of local Neon who wants to be superuser, or to take all sessions, and what local Neon does all the same."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import AsyncConnection, sql

from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.bootstrap import MAX_SESSIONS_PER_ROLE
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import LocalNeonServer
from reconciler.local.simulator import LocalNeon
from tests.integration.local_neon_calls import changed, names, paths
from tests.integration.test_local_neon_postgres import Api, Json, query, refused, uri_of

KEY = "napi_of_this_test"
OPTIONS = LocalNeonOptions(api_key=KEY, physical=True, operation_seconds=(0.01, 0.05))
ADDRESS = "http://127.0.0.1/api/v2"
MAX_CONNECTIONS = 150

# ``probe`` acts on whoever runs it, through the ways that a function has to more than its caller's rights.
PLANTS = """
CREATE SCHEMA planted;
CREATE TABLE planted.seen (who text);
CREATE FUNCTION planted.act() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO planted.seen VALUES (current_user);
  BEGIN SET LOCAL ROLE postgres; EXCEPTION WHEN OTHERS THEN NULL; END;
  BEGIN CREATE ROLE superuser_was_here SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END;
  BEGIN ALTER ROLE {user} SUPERUSER; EXCEPTION WHEN OTHERS THEN NULL; END;
END $$;
CREATE FUNCTION planted.probe() RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM planted.act(); RETURN true; END $$;
CREATE FUNCTION planted.of(anyelement) RETURNS bool IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM planted.act(); RETURN true; END $$;
CREATE FUNCTION planted.number(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN PERFORM planted.act(); RETURN $1; END $$;
CREATE FUNCTION planted.fired() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM planted.act(); RETURN NULL; END $$;

CREATE FUNCTION public.is(oid, regclass) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT planted.probe()';
CREATE OPERATOR public.= (FUNCTION = public.is, LEFTARG = oid, RIGHTARG = regclass);
CREATE FUNCTION public.is_not(name, text) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT planted.probe()';
CREATE OPERATOR public.<> (FUNCTION = public.is_not, LEFTARG = name, RIGHTARG = text);
CREATE FUNCTION public.lo_unlink(oid) RETURNS int LANGUAGE sql AS 'SELECT planted.act(); SELECT 1';
CREATE DOMAIN public.regclass AS pg_catalog.regclass CHECK (planted.probe());
CREATE TYPE public.wrapped AS (inside int);
CREATE FUNCTION public.unwrapped(public.wrapped) RETURNS bool IMMUTABLE LANGUAGE sql AS 'SELECT planted.probe()';
CREATE CAST (public.wrapped AS bool) WITH FUNCTION public.unwrapped(public.wrapped) AS IMPLICIT;

CREATE TABLE public.t (
  n int DEFAULT planted.number(1) CHECK (planted.of(n)),
  twice int GENERATED ALWAYS AS (planted.number(n)) STORED
);
INSERT INTO public.t VALUES (1);
CREATE INDEX ON public.t (planted.number(n)) WHERE planted.of(n);
ALTER TABLE public.t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY planted ON public.t USING (planted.probe());
CREATE TRIGGER always BEFORE TRUNCATE ON public.t EXECUTE FUNCTION planted.fired();
CREATE TRIGGER replica AFTER TRUNCATE ON public.t EXECUTE FUNCTION planted.fired();
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON public.t EXECUTE FUNCTION planted.fired();
ALTER TABLE public.t ENABLE ALWAYS TRIGGER always, ENABLE REPLICA TRIGGER replica, ENABLE ALWAYS TRIGGER changed;
CREATE RULE planted AS ON DELETE TO public.t DO ALSO SELECT planted.act();
CREATE TABLE public.parted (n int) PARTITION BY RANGE ((n + planted.number(1)));
CREATE TABLE public.part PARTITION OF public.parted FOR VALUES FROM (0) TO (9);
CREATE MATERIALIZED VIEW public.m AS SELECT n, planted.of(n) FROM public.t;
CREATE INDEX ON public.m (planted.number(n));
CREATE VIEW public.v AS SELECT planted.probe();
SELECT lo_create(0);
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO PUBLIC;
GRANT USAGE ON SCHEMA planted TO PUBLIC;
"""
OF_ANOTHER_ROLE = """
CREATE TABLE public.of_leaver (n int CHECK (planted.of(n)));
CREATE INDEX ON public.of_leaver (planted.number(n));
CREATE TRIGGER always AFTER TRUNCATE ON public.of_leaver EXECUTE FUNCTION planted.fired();
ALTER TABLE public.of_leaver ENABLE ALWAYS TRIGGER always;
"""
SETTINGS = {
    "search_path": "public, planted, pg_catalog",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "statement_timeout": "1",
    "transaction_timeout": "1",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "local_preload_libraries": "absent",
}


@pytest.fixture
def home() -> Iterator[Path]:
    # Not pytest's own folder: that one is private, and root's Postgres could not reach it.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "postgres"


def _run(home: Path, scenario: Callable[[Api, EmbeddedPostgres], Awaitable[None]]) -> None:
    async def whole() -> None:
        postgres = EmbeddedPostgres(home, durable=False, max_connections=MAX_CONNECTIONS)
        async with LocalNeonServer(LocalNeon(OPTIONS, 1), postgres) as server, _client(server) as client:
            client.headers["Authorization"] = f"Bearer {KEY}"
            await scenario(Api(client), postgres)

    asyncio.run(whole())


@asynccontextmanager
async def _client(server: LocalNeonServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server.app), base_url=ADDRESS) as client:
        yield client


async def _planted(api: Api) -> tuple[Json, str]:
    """A project with all plants, and the role that owns them."""
    made = await api.project("hostile")
    project, branch = paths(made)
    await changed(api, made, "POST", f"{branch}/roles", {"role": {"name": "leaver"}}, 201)
    asked = await api.call("GET", f"{project}/connection_uri?database_name=neondb&role_name=leaver")
    uri, leaver = uri_of(made), names(asked["uri"])["user"]
    user, database = names(uri)["user"], names(uri)["dbname"]
    await query(uri, f"GRANT CREATE ON SCHEMA public TO {leaver}")
    await query(uri, PLANTS.format(user=user))
    await query(asked["uri"], OF_ANOTHER_ROLE)
    assert await query(uri, "SELECT DISTINCT who FROM planted.seen") == [(user,)]
    assert await refused(uri, "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION planted.fired()")
    for name, value in SETTINGS.items():
        await query(uri, f"ALTER DATABASE {database} SET {name} = '{value}'", options=_tame())
    await query(uri, f"ALTER DATABASE {database} SET role = '{user}'", options=_tame())
    return made, user


def _tame() -> str:
    pinned = (
        "local_preload_libraries=",
        "default_transaction_read_only=off",
        "statement_timeout=0",
        "transaction_timeout=0",
    )
    return " ".join(f"-c {each}" for each in pinned)


def test_a_hostile_tenant_is_no_superuser_after_every_control_operation(home: Path) -> None:
    async def scenario(api: Api, postgres: EmbeddedPostgres) -> None:
        made, user = await _planted(api)
        project, branch = paths(made)
        then = datetime.fromtimestamp(time.time(), UTC).isoformat()
        await asyncio.sleep(0.05)
        of_parent, copies = {"parent_id": made["branch"]["id"]}, []
        for fields in ({}, {"init_source": "schema-only"}):
            body = {"branch": {**of_parent, **fields}, "endpoints": [{"type": "read_write"}]}
            copies.append((await changed(api, made, "POST", f"{project}/branches", body, 201))["branch"]["id"])
        await _emptied(api, project, copies[1])
        taken = (await changed(api, made, "POST", f"{branch}/snapshot"))["snapshot"]["id"]
        await changed(api, made, "POST", f"{project}/snapshots/{taken}/restore")
        # Before the restore: a copy has none of the settings that its source was given.
        await changed(api, made, "DELETE", f"{branch}/roles/leaver")
        past = {"source_branch_id": made["branch"]["id"], "source_timestamp": then, "preserve_under_name": "kept"}
        await changed(api, made, "POST", f"{branch}/restore", past)
        await changed(api, made, "POST", f"{branch}/roles", {"role": {"name": "later"}}, 201)
        await changed(api, made, "POST", f"{branch}/roles/neondb_owner/reset_password")
        body = {"database": {"name": "second", "owner_name": "neondb_owner"}}
        await changed(api, made, "POST", f"{branch}/databases", body, 201)
        renamed = {"database": {"name": "renamed", "owner_name": "later"}}
        await changed(api, made, "PATCH", f"{branch}/databases/neondb", renamed)
        for role in ("leaver", "neondb_owner"):
            await changed(api, made, "PATCH", f"{branch}/databases/second", {"database": {"owner_name": "later"}})
            await changed(api, made, "DELETE", f"{branch}/roles/{role}")
        await changed(api, made, "DELETE", f"{project}/branches/{copies[0]}")
        await _unharmed(postgres, user)

    _run(home, scenario)


async def _emptied(api: Api, project: str, branch: str) -> None:
    """A schema-only branch has no rows, and its triggers fire for whom they did."""
    asked = f"{project}/connection_uri?database_name=neondb&role_name=neondb_owner&branch_id={branch}"
    uri = (await api.call("GET", asked))["uri"]
    assert await query(uri, "SELECT count(*) FROM planted.seen") == [(0,)]
    states = "SELECT tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    assert await query(uri, states) == [("always", "A"), ("always", "A"), ("changed", "A"), ("replica", "R")]
    assert await query(uri, "SELECT count(*) FROM pg_largeobject_metadata") == [(0,)]


async def _unharmed(postgres: EmbeddedPostgres, user: str) -> None:
    """One superuser, who owns all that is shared; and no superuser has run the tenant's functions anywhere."""
    async with await AsyncConnection.connect(postgres.dsn(), autocommit=True) as connection:
        found = await connection.execute("SELECT rolname FROM pg_roles WHERE rolsuper")
        assert await found.fetchall() == [("postgres",)]
        found = await connection.execute(
            "SELECT count(*) FROM pg_auth_members JOIN pg_roles ON pg_roles.oid = roleid"
            " WHERE rolname ~ '^pg_' AND pg_get_userbyid(member) NOT IN ('neon_superuser', 'pg_monitor', 'postgres')"
        )
        assert await found.fetchall() == [(0,)]
        found = await connection.execute("SELECT datname, pg_get_userbyid(datdba) FROM pg_database ORDER BY 1")
        databases = await found.fetchall()
        for name, _owner in databases:
            await connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
    assert {owner for name, owner in databases if not name.startswith("nd_")} == {"postgres"}
    assert all(owner.startswith("nr_") for name, owner in databases if name.startswith("nd_"))
    saw = "SELECT count(*) FROM planted.seen WHERE who = 'postgres'"
    looked = 0
    for name, _owner in databases:
        options = "-c search_path=pg_catalog -c role=none " + _tame()
        async with await AsyncConnection.connect(postgres.dsn(name), autocommit=True, options=options) as inside:
            with contextlib.suppress(psycopg.errors.UndefinedTable):
                assert await (await inside.execute(saw)).fetchall() == [(0,)]
                looked += 1
    assert looked >= 4


def test_one_tenant_takes_a_roles_sessions_and_leaves_others_and_the_control_theirs(home: Path) -> None:
    async def scenario(api: Api, _postgres: EmbeddedPostgres) -> None:
        greedy, other = await api.project("greedy"), await api.project("other")
        _, branch = paths(greedy)
        await changed(api, greedy, "POST", f"{branch}/roles", {"role": {"name": "leaver"}}, 201)
        uri = uri_of(greedy)
        await query(uri, "CREATE ROLE more")
        assert await refused(uri, f"ALTER ROLE {names(uri)['user']} CONNECTION LIMIT -1")
        async with AsyncExitStack() as stack:
            assert await _taken(stack, uri) == MAX_SESSIONS_PER_ROLE
            assert await query(uri_of(other), "SELECT 1") == [(1,)]
            third = await api.project("third")
            await _taken(stack, uri_of(other))
            assert await refused(uri_of(third))
            await changed(api, greedy, "DELETE", f"{branch}/roles/leaver")
            await changed(api, greedy, "POST", f"{branch}/roles/neondb_owner/reset_password")

    _run(home, scenario)


async def _taken(stack: AsyncExitStack, uri: str) -> int:
    """Open sessions until one is refused; how many were opened."""
    for number in range(MAX_CONNECTIONS + 1):
        try:
            session = await AsyncConnection.connect(uri)
        except psycopg.OperationalError:
            return number
        stack.push_async_callback(session.close)
    raise AssertionError("no session was refused")


@pytest.mark.parametrize("path", ["/api/v2/projects", "/elsewhere", "/"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1"}, None),
        ({"Host": "LocalHost"}, None),
        ({"Host": "[::1]:80"}, None),
        ({"Host": "localhost", "Origin": "http://localhost"}, None),
        ({"Host": "attacker.example"}, 421),
        ({"Host": "attacker.example:80"}, 421),
        ({"Host": "127.0.0.1.attacker.example"}, 421),
        ({"Host": "127.0.0.1:8081"}, None),
        ({"Host": "127.0.0.1:80.attacker.example"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost", "Origin": "http://attacker.example"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
    ],
)
def test_only_requests_that_name_this_machine_reach_a_route(
    path: str, headers: dict[str, str], status: int | None
) -> None:
    server = LocalNeonServer(LocalNeon(OPTIONS, 1), EmbeddedPostgres(Path("never-started")))

    async def answered(method: str) -> int:
        async with _client(server) as client:
            given = {"Authorization": "Bearer wrong", **headers}
            return (await client.request(method, f"http://127.0.0.1{path}", headers=given)).status_code

    async def scenario() -> None:
        # Neon's document, by which all answers are judged, has no other methods on its paths.
        for method in ("GET", "POST") if path.startswith("/api") else ("GET", "POST", "OPTIONS", "HEAD"):
            assert await answered(method) == status if status else await answered(method) in {401, 404, 405, 500}

    asyncio.run(scenario())
