"""Roles, databases and computes of local Neon, as real connections find them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import psycopg
import pytest

from tests.integration.local_neon_calls import changed, ended, names, paths
from tests.integration.test_local_neon_postgres import (
    Api,
    home,
    query,
    refused,
    run,
    uri_of,
)

Run = Callable[[Callable[[Api], Awaitable[None]]], None]
__all__ = ["home", "run"]


def test_a_renamed_database_keeps_its_data(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("renamed")
        project, branch = paths(made)
        uri = uri_of(made)
        await query(uri, "CREATE TABLE t AS SELECT 1 AS n")
        await changed(api, made, "PATCH", f"{branch}/databases/neondb", {"database": {"name": "other"}})
        assert await refused(uri)
        asked = await api.call("GET", f"{project}/connection_uri?database_name=other&role_name=neondb_owner")
        assert await query(asked["uri"], "SELECT n FROM t") == [(1,)]

    run(scenario)


@pytest.mark.parametrize("change", ["role", "password", "suspend", "restart", "settings"])
def test_connections_are_dropped(run: Run, change: str) -> None:
    async def scenario(api: Api) -> None:
        made, other = await api.project("dropped"), await api.project("untouched")
        project, branch = paths(made)
        compute = f"{project}/endpoints/{made['endpoints'][0]['id']}"
        method, path, body, status = {
            "role": ("POST", f"{branch}/roles", {"role": {"name": "second"}}, 201),
            "password": ("POST", f"{branch}/roles/neondb_owner/reset_password", None, 200),
            "suspend": ("POST", f"{compute}/suspend", None, 200),
            "restart": ("POST", f"{compute}/restart", None, 200),
            "settings": ("PATCH", compute, {"endpoint": {"autoscaling_limit_max_cu": 2}}, 200),
        }[change]
        session = await psycopg.AsyncConnection.connect(uri_of(made), autocommit=True)
        elsewhere = await psycopg.AsyncConnection.connect(uri_of(other), autocommit=True)
        answer = await changed(api, made, method, path, body, status)
        assert await ended(session)
        assert not await ended(elsewhere)
        await session.close()
        await elsewhere.close()
        word = answer["role"]["password"] if change == "password" else names(uri_of(made))["password"]
        assert not await refused(uri_of(made), password=word)

    run(scenario)


def test_the_old_password_works_until_the_operation_is_over(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("overlap")
        _, branch = paths(made)
        project, uri, worked = made["project"]["id"], uri_of(made), 0
        for _ in range(5):
            answer = await api.call("POST", f"{branch}/roles/neondb_owner/reset_password")
            if not await refused(uri):
                listed = (await api.call("GET", f"/projects/{project}/operations"))["operations"]
                worked += listed[0]["status"] != "finished"
            await api.settled(project)
            uri = psycopg.conninfo.make_conninfo(uri, password=answer["role"]["password"])
            assert not await refused(uri)
        assert worked

    run(scenario)


def test_a_role_that_cannot_log_in_owns_and_lets_nobody_in(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("group")
        _, branch = paths(made)
        await changed(api, made, "POST", f"{branch}/roles", {"role": {"name": "g", "no_login": True}}, 201)
        await changed(api, made, "PATCH", f"{branch}/databases/neondb", {"database": {"owner_name": "g"}})
        found = await query(
            uri_of(made),
            "SELECT rolcanlogin, rolcreatedb, pg_has_role(rolname, 'neon_superuser', 'USAGE') FROM pg_roles"
            " JOIN pg_database ON datdba = pg_roles.oid WHERE datname = current_database()",
        )
        assert found == [(False, True, True)]

    run(scenario)


def test_a_database_that_a_deleted_role_touched_keeps_what_it_made_everywhere(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("handing")
        project, branch = paths(made)
        await changed(api, made, "POST", f"{branch}/roles", {"role": {"name": "leaver"}}, 201)
        await changed(api, made, "POST", f"{branch}/roles", {"role": {"name": "other"}}, 201)
        body = {"database": {"name": "second", "owner_name": "other"}}
        await changed(api, made, "POST", f"{branch}/databases", body, 201)
        uris = {}
        for database, owner in (("neondb", "neondb_owner"), ("second", "other")):
            for role in ("leaver", owner):
                asked = f"{project}/connection_uri?database_name={database}&role_name={role}"
                uris[database, role] = (await api.call("GET", asked))["uri"]
            user = names(uris[database, "leaver"])["user"]
            await query(uris[database, owner], f"GRANT CREATE ON SCHEMA public TO {user}")
            await query(uris[database, "leaver"], "CREATE TABLE made AS SELECT 1 AS n")
        await changed(api, made, "DELETE", f"{branch}/roles/leaver")
        for database, owner in (("neondb", "neondb_owner"), ("second", "other")):
            assert await refused(uris[database, "leaver"])
            owned = "SELECT n, (SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'made') FROM made"
            assert await query(uris[database, owner], owned) == [(1, True)]

    run(scenario)


def test_an_owner_changed_by_sql_does_not_stay(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("owner")
        _, branch = paths(made)
        uri = uri_of(made)
        await query(uri, "CREATE ROLE usurper")
        await query(uri, f"GRANT usurper TO CURRENT_USER; ALTER DATABASE {names(uri)['dbname']} OWNER TO usurper")
        await changed(api, made, "POST", f"{branch}/roles", {"role": {"name": "second"}}, 201)
        owner = "SELECT pg_get_userbyid(datdba) = current_user FROM pg_database WHERE datname = current_database()"
        assert await query(uri, owner) == [(True,)]
        await query(uri, "DROP ROLE usurper")

    run(scenario)


def test_the_uri_of_a_replica_refuses_writes(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("replica")
        project, _ = paths(made)
        await query(uri_of(made), "CREATE TABLE t AS SELECT 1 AS n")
        body = {"endpoint": {"branch_id": made["branch"]["id"], "type": "read_only"}}
        replica = await changed(api, made, "POST", f"{project}/endpoints", body, 201)
        asked = f"database_name=neondb&role_name=neondb_owner&endpoint_id={replica['endpoint']['id']}"
        uri = (await api.call("GET", f"{project}/connection_uri?{asked}"))["uri"]
        assert await query(uri, "SELECT n FROM t") == [(1,)]
        assert await refused(uri, "UPDATE t SET n = 2")

    run(scenario)


def test_a_deleted_database_ends_its_connections(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("forced")
        project, branch = paths(made)
        body = {"database": {"name": "more", "owner_name": "neondb_owner"}}
        await changed(api, made, "POST", f"{branch}/databases", body, 201)
        asked = await api.call("GET", f"{project}/connection_uri?database_name=more&role_name=neondb_owner")
        session = await psycopg.AsyncConnection.connect(asked["uri"], autocommit=True)
        await changed(api, made, "DELETE", f"{branch}/databases/more")
        assert await ended(session)
        await session.close()
        assert not await refused(uri_of(made))

    run(scenario)
