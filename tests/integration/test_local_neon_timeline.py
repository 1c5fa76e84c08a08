"""Branches in time and snapshots of local Neon, with the data that real connections find."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from reconciler.local.postgres.commands import Command, EnsureDatabases
from reconciler.local.postgres.executor import PostgresExecutor
from tests.integration.local_neon_calls import changed, ended, names, paths
from tests.integration.test_local_neon_postgres import (
    Api,
    home,
    query,
    refused,
    run,
    served,
    uri_of,
)

Run = Callable[[Callable[[Api], Awaitable[None]]], None]
__all__ = ["home", "run"]


def test_a_finalized_restore_brings_the_data_back_under_the_same_uri(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("agent")
        project, branch = paths(made)
        uri = uri_of(made)
        await query(uri, "CREATE TABLE t AS SELECT 1 AS n; CREATE SCHEMA s; CREATE TABLE s.u (m int)")
        taken = (await changed(api, made, "POST", f"{branch}/snapshot?name=first"))["snapshot"]["id"]
        await query(uri, "UPDATE t SET n = 2")
        session = await psycopg.AsyncConnection.connect(uri, autocommit=True)
        body = {"finalize_restore": True}
        restored = await changed(api, made, "POST", f"{project}/snapshots/{taken}/restore", body)
        assert await ended(session)
        await session.close()
        assert restored["branch"]["id"] != made["branch"]["id"]
        assert await query(uri, "SELECT n FROM t") == [(1,)]
        await query(uri, "ALTER TABLE s.u ADD COLUMN more int; UPDATE t SET n = 3")
        compute = {"endpoint": {"branch_id": made["branch"]["id"], "type": "read_write"}}
        await changed(api, made, "POST", f"{project}/endpoints", compute, 201)
        asked = "database_name=neondb&role_name=neondb_owner"
        old = await api.call("GET", f"{project}/connection_uri?{asked}&branch_id={made['branch']['id']}")
        assert await query(old["uri"], "SELECT n FROM t") == [(2,)]
        await query(old["uri"], "DROP TABLE s.u")
        again = {"finalize_restore": True, "target_branch_id": restored["branch"]["id"]}
        await changed(api, made, "POST", f"{project}/snapshots/{taken}/restore", again)
        assert await query(uri, "SELECT n FROM t") == [(1,)]

    run(scenario)


def test_a_snapshot_is_looked_at_and_then_takes_the_branchs_place(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("careful")
        project, branch = paths(made)
        uri = uri_of(made)
        await query(uri, "CREATE TABLE t AS SELECT 1 AS n")
        taken = (await changed(api, made, "POST", f"{branch}/snapshot"))["snapshot"]["id"]
        await query(uri, "UPDATE t SET n = 2")
        preview = (await changed(api, made, "POST", f"{project}/snapshots/{taken}/restore"))["branch"]["id"]
        await changed(api, made, "DELETE", f"{project}/snapshots/{taken}", status=202)
        compute = {"endpoint": {"branch_id": preview, "type": "read_write"}}
        own = await changed(api, made, "POST", f"{project}/endpoints", compute, 201)
        asked = f"{project}/connection_uri?database_name=neondb&role_name=neondb_owner"
        seen = (await api.call("GET", f"{asked}&branch_id={preview}"))["uri"]
        assert await query(seen, "SELECT n FROM t") == [(1,)]
        assert await query(uri, "SELECT n FROM t") == [(2,)]
        await changed(api, made, "DELETE", f"{project}/endpoints/{own['endpoint']['id']}")
        await changed(api, made, "POST", f"{project}/branches/{preview}/finalize_restore")
        assert await query(uri, "SELECT n FROM t") == [(1,)]
        assert (await api.call("GET", asked))["uri"] == uri
        assert await refused(seen)
        await changed(api, made, "DELETE", branch)
        assert await query(uri, "SELECT n FROM t") == [(1,)]

    run(scenario)


def test_a_point_in_time_has_the_roles_of_then_and_the_data_of_now(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("time")
        project, branch = paths(made)
        uri = uri_of(made)
        await query(uri, "CREATE TABLE t AS SELECT 1 AS n")
        await asyncio.sleep(0.05)
        then = datetime.fromtimestamp(time.time(), UTC).isoformat()
        await asyncio.sleep(0.05)
        await changed(api, made, "POST", f"{branch}/roles", {"role": {"name": "later"}}, 201)
        asked = f"{project}/connection_uri?database_name=neondb&role_name="
        later = (await api.call("GET", f"{asked}later"))["uri"]
        await query(uri, f"GRANT CREATE ON SCHEMA public TO {names(later)['user']}")
        await query(later, "CREATE TABLE of_later AS SELECT 2 AS n")
        body = {
            "source_branch_id": made["branch"]["id"],
            "source_timestamp": then,
            "preserve_under_name": "kept",
        }
        await changed(api, made, "POST", f"{branch}/restore", body)
        assert await refused(later)
        await query(uri, "UPDATE t SET n = 3; ALTER TABLE of_later ADD COLUMN m int; UPDATE of_later SET n = 4")
        listed = (await api.call("GET", f"{project}/branches"))["branches"]
        kept = next(each["id"] for each in listed if each["name"] == "kept")
        compute = {"endpoint": {"branch_id": kept, "type": "read_write"}}
        await changed(api, made, "POST", f"{project}/endpoints", compute, 201)
        was = (await api.call("GET", f"{asked}later&branch_id={kept}"))["uri"]
        assert await query(was, "SELECT t.n, of_later.n FROM t, of_later") == [(1, 2)]
        await query(was, "ALTER TABLE of_later ADD COLUMN own int")

    run(scenario)


def test_a_database_that_is_gone_is_not_restored_as_an_empty_one(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("gone")
        project, branch = paths(made)
        body = {"database": {"name": "more", "owner_name": "neondb_owner"}}
        await changed(api, made, "POST", f"{branch}/databases", body, 201)
        then = datetime.fromtimestamp(time.time(), UTC).isoformat()
        await asyncio.sleep(0.05)
        await changed(api, made, "DELETE", f"{branch}/databases/more")
        answer = await api.call("POST", f"{project}/branches", {"branch": {"parent_timestamp": then}}, 422)
        assert "more" in answer["message"]

    run(scenario)


def test_a_child_is_put_to_its_parents_data(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("reset")
        project, _ = paths(made)
        uri = uri_of(made)
        await query(uri, "CREATE TABLE t AS SELECT 1 AS n")
        asked = {"branch": {"name": "child"}, "endpoints": [{"type": "read_write"}]}
        child = await changed(api, made, "POST", f"{project}/branches", asked, 201)
        copied = uri_of(child)
        await query(copied, "DROP TABLE t; CREATE TABLE own (n int)")
        await query(uri, "UPDATE t SET n = 2")
        body = {"source_branch_id": made["branch"]["id"]}
        await changed(api, made, "POST", f"{project}/branches/{child['branch']['id']}/restore", body)
        assert await query(copied, "SELECT n FROM t") == [(2,)]
        assert await query(copied, "SELECT to_regclass('own')") == [(None,)]
        await query(copied, "ALTER TABLE t ADD COLUMN m int")
        assert await query(uri, "SELECT * FROM t") == [(2,)]

    run(scenario)


def test_a_schema_only_branch_has_tables_without_rows(run: Run) -> None:
    async def scenario(api: Api) -> None:
        made = await api.project("schema")
        project, _ = paths(made)
        uri = uri_of(made)
        await query(uri, "CREATE TABLE parent (id serial PRIMARY KEY); CREATE TABLE child (of int REFERENCES parent)")
        await query(uri, "INSERT INTO parent DEFAULT VALUES; INSERT INTO child VALUES (1)")
        await query(uri, "CREATE MATERIALIZED VIEW seen AS SELECT * FROM child; SELECT lo_from_bytea(0, 'secret')")
        asked = {"branch": {"init_source": "schema-only"}, "endpoints": [{"type": "read_write"}]}
        copied = uri_of(await changed(api, made, "POST", f"{project}/branches", asked, 201))
        for table in ("parent", "child", "pg_largeobject_metadata"):
            assert await query(copied, f"SELECT count(*) FROM {table}") == [(0,)]
        assert await refused(copied, "SELECT * FROM seen")
        await query(copied, "REFRESH MATERIALIZED VIEW seen")
        assert await query(copied, "SELECT count(*) FROM seen") == [(0,)]
        assert await query(copied, "INSERT INTO parent DEFAULT VALUES RETURNING id") == [(1,)]
        assert await query(uri, "SELECT count(*) FROM child") == [(1,)]

    run(scenario)


def test_a_restore_that_was_cut_short_is_finished_after_a_restart(home: Path) -> None:
    async def scenario() -> None:
        async with served(home, seed=11) as api:
            made = await api.project("cut")
            project, branch = paths(made)
            uri = uri_of(made)
            await query(uri, "CREATE TABLE t AS SELECT 1 AS n")
            taken = (await changed(api, made, "POST", f"{branch}/snapshot"))["snapshot"]["id"]
            await query(uri, "UPDATE t SET n = 2")
            body = {"finalize_restore": True}
            await api.call("POST", f"{project}/snapshots/{taken}/restore", body)
        async with served(home, seed=12) as api:
            await api.settled(made["project"]["id"])
            assert await query(uri, "SELECT n FROM t") == [(1,)]
            compute = {"endpoint": {"branch_id": made["branch"]["id"], "type": "read_write"}}
            await changed(api, made, "POST", f"{project}/endpoints", compute, 201)
            asked = f"database_name=neondb&role_name=neondb_owner&branch_id={made['branch']['id']}"
            old = await api.call("GET", f"{project}/connection_uri?{asked}")
            assert await query(old["uri"], "SELECT n FROM t") == [(2,)]

    asyncio.run(scenario())


def test_every_command_may_be_carried_out_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = PostgresExecutor.execute

    async def twice(self: PostgresExecutor, command: Command) -> None:
        await once(self, command)
        await once(self, command)

    monkeypatch.setattr(PostgresExecutor, "execute", twice)

    async def scenario() -> None:
        async with served(home, seed=21) as api:
            made = await api.project("again")
            project, branch = paths(made)
            uri = uri_of(made)
            await query(uri, "CREATE TABLE t AS SELECT 1 AS n")
            taken = (await changed(api, made, "POST", f"{branch}/snapshot"))["snapshot"]["id"]
            await query(uri, "UPDATE t SET n = 2")
            then = datetime.fromtimestamp(time.time(), UTC).isoformat()
            back = {"source_branch_id": made["branch"]["id"], "source_timestamp": then, "preserve_under_name": "kept"}
            await changed(api, made, "POST", f"{branch}/restore", back)
            preview = (await changed(api, made, "POST", f"{project}/snapshots/{taken}/restore"))["branch"]["id"]
            await changed(api, made, "POST", f"{project}/branches/{preview}/finalize_restore")
            assert await query(uri, "SELECT n FROM t") == [(1,)]
            await query(uri, "ALTER TABLE t ADD COLUMN m int")
            child = {"branch": {"parent_id": preview}, "endpoints": [{"type": "read_write"}]}
            copied = await changed(api, made, "POST", f"{project}/branches", child, 201)
            await query(uri_of(copied), "DROP TABLE t")
            below = f"{project}/branches/{copied['branch']['id']}"
            await changed(api, made, "POST", f"{below}/restore", {"source_branch_id": preview})
            assert await query(uri_of(copied), "SELECT n FROM t") == [(1,)]
            await changed(api, made, "PATCH", f"{below}/databases/neondb", {"database": {"name": "other"}})
            asked = f"database_name=other&role_name=neondb_owner&branch_id={copied['branch']['id']}"
            renamed = (await api.call("GET", f"{project}/connection_uri?{asked}"))["uri"]
            assert await query(renamed, "SELECT n FROM t") == [(1,)]
            await changed(api, made, "DELETE", f"{project}/snapshots/{taken}", status=202)

    asyncio.run(scenario())


def test_what_is_written_into_a_copy_stays_when_its_command_is_carried_out_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = PostgresExecutor.execute
    uris: list[str] = []

    async def written_between(self: PostgresExecutor, command: Command) -> None:
        await once(self, command)
        if uris and isinstance(command, EnsureDatabases) and any(store.schema_only for store in command.databases):
            store, login = command.databases[0], command.roles[0]
            await query(
                uris[0], "INSERT INTO t VALUES (3)", dbname=store.name, user=login.name, password=login.password
            )
            await once(self, command)

    monkeypatch.setattr(PostgresExecutor, "execute", written_between)

    async def scenario() -> None:
        async with served(home, seed=22) as api:
            made = await api.project("between")
            uris.append(uri_of(made))
            await query(uris[0], "CREATE TABLE t AS SELECT 1 AS n")
            asked = {"branch": {"init_source": "schema-only"}, "endpoints": [{"type": "read_write"}]}
            copied = await changed(api, made, "POST", f"{paths(made)[0]}/branches", asked, 201)
            assert await query(uri_of(copied), "SELECT n FROM t") == [(3,)]

    asyncio.run(scenario())
