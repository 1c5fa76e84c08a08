"""The embedded Postgres: starts, stops, survives being killed, and leaves nothing open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from reconciler.local.postgres.embedded import EmbeddedPostgres, EmbeddedPostgresError


@pytest.fixture
def home() -> Iterator[Path]:
    # Not pytest's own folder: that one is private, and root's Postgres could not reach it.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "postgres"


async def _value(dsn: str, query: str) -> object:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        row = await (await connection.execute(query)).fetchone()
    return None if row is None else row[0]


async def _run(dsn: str, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(statement)


def test_it_keeps_data_and_port_across_a_restart(home: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedPostgres(home, durable=False) as first:
            port = first.port
            await _run(first.dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
        assert not first.running
        async with EmbeddedPostgres(home, durable=False) as second:
            assert second.port == port
            assert await _value(second.dsn(), "SELECT n FROM kept") == 7

    asyncio.run(scenario())


def test_it_is_closed_to_everything_but_a_password_on_loopback(home: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedPostgres(home, durable=False) as postgres:
            settings = {
                name: await _value(postgres.dsn(), f"SHOW {name}")
                for name in ("listen_addresses", "unix_socket_directories", "max_wal_senders", "password_encryption")
            }
            with pytest.raises(psycopg.OperationalError):
                await _value(postgres.dsn(password="wrong"), "SELECT 1")
            rules = await _value(postgres.dsn(), "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules")
        assert settings == {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_wal_senders": "0",
            "password_encryption": "scram-sha-256",
        }
        assert rules == "scram-sha-256"
        password = home / "superuser-password"
        assert stat.S_IMODE(password.stat().st_mode) == 0o600
        assert password.read_text() not in (home / "postgres.log").read_text()

    asyncio.run(scenario())


def test_the_owner_of_a_database_may_create_vector(home: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedPostgres(home, durable=False) as postgres:
            await _run(postgres.dsn(), "CREATE ROLE app LOGIN PASSWORD 'app'")
            await _run(postgres.dsn(), "CREATE DATABASE app OWNER app")
            dsn = postgres.dsn("app", "app", "app")
            await _run(dsn, "CREATE EXTENSION vector")
            assert await _value(dsn, "SELECT '[1,2]'::vector <-> '[1,4]'::vector") == pytest.approx(2.0)

    asyncio.run(scenario())


def test_one_data_folder_serves_one_process(home: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedPostgres(home, durable=False) as first:
            second = EmbeddedPostgres(home, durable=False)
            with pytest.raises(EmbeddedPostgresError, match="in use"):
                await second.start()
            assert await _value(first.dsn(), "SELECT 1") == 1

    asyncio.run(scenario())


def test_a_taken_port_is_replaced_unless_it_was_asked_for(home: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedPostgres(home, durable=False) as first:
            port = first.port
        blocker = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
        async with blocker:
            async with EmbeddedPostgres(home, durable=False) as second:
                assert second.port != port
            with pytest.raises(EmbeddedPostgresError, match="did not start"):
                await EmbeddedPostgres(home, durable=False, port=port).start()

    asyncio.run(scenario())


_CHILD = """
import asyncio, sys
from pathlib import Path
from reconciler.local.postgres.embedded import EmbeddedPostgres

async def main():
    async with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
        print((postgres.cluster_dir / "postmaster.pid").read_text().split()[0], flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_it_does_not_outlive_a_killed_parent_and_starts_again(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _CHILD, str(home)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        server = int(child.stdout.readline())
        child.kill()
        child.wait()

    async def scenario() -> None:
        async with EmbeddedPostgres(home) as postgres:
            assert await _value(postgres.dsn(), "SELECT 1") == 1

    asyncio.run(scenario())
    assert not _alive(server)


def test_a_server_that_outlived_its_parent_is_ended_first(home: Path) -> None:
    async def scenario() -> None:
        first = EmbeddedPostgres(home, durable=False)
        await first.start()
        await _run(first.dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
        process = first._process
        assert process is not None
        # As after a SIGKILL: the lock is gone with its owner, the server and its pid file are still there.
        assert first._lock is not None
        first._lock.close()
        async with EmbeddedPostgres(home, durable=False) as second:
            assert await asyncio.wait_for(process.wait(), 5) == 0
            assert await _value(second.dsn(), "SELECT n FROM kept") == 7

    asyncio.run(scenario())


def test_a_pid_file_that_names_a_stranger_is_ignored(home: Path) -> None:
    async def scenario() -> None:
        async with EmbeddedPostgres(home, durable=False) as first:
            cluster = first.cluster_dir
        (cluster / "postmaster.pid").write_text(f"{os.getppid()}\n{cluster}\n")
        async with EmbeddedPostgres(home, durable=False) as second:
            assert await _value(second.dsn(), "SELECT 1") == 1

    asyncio.run(scenario())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another user")
def test_root_below_a_private_folder_uses_a_reachable_place_and_opens_nothing(home: Path) -> None:
    private = home.parent / "private"
    private.mkdir(mode=0o700)

    async def scenario() -> Path:
        async with EmbeddedPostgres(private / "data", durable=False) as first:
            await _run(first.dsn(), "CREATE TABLE kept AS SELECT 7 AS n")
        async with EmbeddedPostgres(private / "data", durable=False) as second:
            assert await _value(second.dsn(), "SELECT n FROM kept") == 7
            return second.cluster_dir

    cluster = asyncio.run(scenario())
    try:
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert not cluster.is_relative_to(private)
        assert stat.S_IMODE(cluster.parent.stat().st_mode) == 0o700
        assert (cluster.parent / "belongs-to").read_text().strip() == str(private / "data")
    finally:
        shutil.rmtree(cluster.parent)


def _alive(pid: int) -> bool:
    for _ in range(100):
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        text = Path(f"/proc/{pid}/stat")
        if text.is_file() and ") Z " in text.read_text():
            return False
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return True
