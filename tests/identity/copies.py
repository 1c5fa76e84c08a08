"""Copies of a catalog: another database of the server, rows put back, and the folder of a whole server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.catalogs import execute
from tests.postgres import TestServer

TABLES = (
    "app_metadata", "app_work", "create_intents", "app_events", "idempotency_keys", "app_owners", "catalog_identity",
    "token_minimums", "token_minimum_changes",
)  # fmt: skip


@contextmanager
def copied(server: TestServer, url: str) -> Iterator[str]:
    """The address of a copy of a catalog in another database of the same server; who is connected to it is cut off."""
    database = urlsplit(url).path.removeprefix("/")
    execute(server.url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'")
    name = server.create_database(database)
    try:
        yield server.dsn(name)
    finally:
        server.drop_database(name)


def put_back(url: str, copy: str) -> None:
    """Replace every row by those of a copy, table by table, as a restore of data alone does."""
    with psycopg.connect(copy) as source, psycopg.connect(url) as target:
        target.execute("TRUNCATE " + ", ".join(TABLES))
        for table in TABLES:
            with source.cursor().copy(f"COPY {table} TO STDOUT") as rows:
                held = b"".join(bytes(row) for row in rows)
            with target.cursor().copy(f"COPY {table} FROM STDIN") as into:
                into.write(held)


class Folder:
    """The data of a server of our own, at one moment, while it is stopped."""

    def __init__(self, server: TestServer, name: str) -> None:
        assert server.data is not None
        self._live, self._kept = server.data / "db", server.data / name
        shutil.rmtree(self._kept, ignore_errors=True)
        self._copy(self._live, self._kept)

    def put_back(self) -> None:
        """Make the server's data what it was then; it must be stopped."""
        shutil.rmtree(self._live)
        self._copy(self._kept, self._live)

    def as_replica(self) -> None:
        """The same, and the server begins as a standby that nobody streams to."""
        self.put_back()
        signal = self._live / "standby.signal"
        signal.touch()
        shutil.chown(signal, user=self._live.owner(), group=self._live.group())

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        subprocess.run(["cp", "-a", str(source), str(target)], check=True)


def promote(url: str) -> None:
    """Make a standby the primary."""
    execute(url, "SELECT pg_promote(true)")
