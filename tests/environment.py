"""Where users run it: ``TEST_ENVIRONMENT=hostile`` gives every catalog a database whose settings are all unusual.

The settings are those of the database, and its tables are in a schema of their own. The product gets an address behind
PgBouncer in transaction mode where PgBouncer is installed; a test that looks at the rows has options of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from reconciler.catalog import database, listener, migrate
from reconciler.catalog.address import validated_url

HOSTILE = os.environ.get("TEST_ENVIRONMENT") == "hostile"
SCHEMA = "a schema of its own"
SETTINGS = {
    "DateStyle": "German",
    "TimeZone": "Asia/Kathmandu",
    "IntervalStyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "statement_timeout": "2s",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "2s",
    "synchronous_commit": "off",
    "search_path": f'"{SCHEMA}"',
}
_USUAL = {
    "DateStyle": "ISO", "TimeZone": "UTC", "IntervalStyle": "postgres", "extra_float_digits": "1",
    "bytea_output": "hex", "client_encoding": "UTF8", "standard_conforming_strings": "on",
    "default_transaction_isolation": r"read\ committed", "default_transaction_read_only": "off",
    "statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
}  # fmt: skip
_OF_TESTS = " ".join(f"-c {name}={value}" for name, value in _USUAL.items())


def beset(address: str, name: str) -> None:
    """Give a database the settings, and the schema where it has none."""
    if not HOSTILE:
        return
    with psycopg.connect(address, autocommit=True, options=_OF_TESTS) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{SCHEMA}"'.encode())
        for setting, value in SETTINGS.items():
            quoted = value if setting == "search_path" else f"'{value}'"
            connection.execute(f"ALTER DATABASE {name} SET {setting} TO {quoted}".encode())


def with_options(url: str, options: str) -> str:
    """An address with further command-line options for the server, such as ``-c role=x``."""
    parts = urlsplit(url)
    given = str(conninfo_to_dict(url).get("options") or "")
    query = urlencode({"options": f"{given} {options}".strip()}, quote_via=quote)
    return urlunsplit(parts._replace(query=query))


def of_tests(url: str) -> str:
    """The address for a test's own connections, whose settings are the usual ones."""
    return with_options(url, _OF_TESTS) if HOSTILE else url


def of_product(url: str, pooler: PgBouncer | None = None) -> str:
    """The address that the product gets in place of a test's."""
    if not HOSTILE or quote("TimeZone=UTC", safe="") not in url:
        return url
    parts, given = urlsplit(url), str(conninfo_to_dict(url)["options"])
    others = given.replace(_OF_TESTS, "").strip()
    if others or pooler is None or parts.port != pooler.server or parts.username != pooler.user:
        return urlunsplit(parts._replace(query=urlencode({"options": others}, quote_via=quote) if others else ""))
    netloc = parts.netloc.rpartition(":")[0] + f":{pooler.port}"
    return urlunsplit(parts._replace(netloc=netloc, query=""))


class PgBouncer:
    """A PgBouncer in transaction mode before one server, with its defaults wherever they matter.

    Attributes:
        server, port, user: the server's port, PgBouncer's, and the only user that it knows.
    """

    def __init__(self, address: str, *, pool_size: int = 15) -> None:
        self._pool_size = pool_size
        parts = urlsplit(address)
        assert parts.port is not None
        self.server, self.user, self._password = parts.port, parts.username or "", parts.password or ""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    @contextmanager
    def running(self, program: str) -> Iterator[None]:
        """Run it in a folder of its own, as an unprivileged user where this process is root's."""
        folder = Path(tempfile.mkdtemp(prefix="morphik-pgbouncer-"))
        (folder / "users").write_text(f'"{self.user}" "{self._password}"\n')
        (folder / "ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={self.server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {folder}/users\n"
            f"pool_mode = transaction\nmax_client_conn = 1000\ndefault_pool_size = {self._pool_size}\n"
        )
        root = os.geteuid() == 0
        if root:
            for path in (folder, *folder.iterdir()):
                os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
        process = subprocess.Popen(
            [program, "-q", str(folder / "ini")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user="nobody" if root else None,
            extra_groups=[] if root else None,
        )
        try:
            self._wait(process)
            yield
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.02)
        raise AssertionError("pgbouncer ended")


def pgbouncer() -> str | None:
    """Where the program is; None without it, which REQUIRE_PGBOUNCER and CI do not allow."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    required = os.environ.get("REQUIRE_PGBOUNCER") or os.environ.get("CI")
    assert program or not required, "pgbouncer is not installed, and REQUIRE_PGBOUNCER or CI is set"
    return program


POOLER: list[PgBouncer] = []
"""The one that runs, if any."""


@contextmanager
def environment(address: str) -> Iterator[None]:
    """Have the product meet what ``TEST_ENVIRONMENT`` names, over the server at an address."""
    if not HOSTILE:
        yield
        return
    program = pgbouncer()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "validated_url", lambda url: validated_url(of_product(url, *POOLER)))
        for module in (migrate, listener):
            patch.setattr(module, "validated_url", lambda url: validated_url(of_product(url)))
        if program is None:
            yield
            return
        pooler = PgBouncer(address)
        with pooler.running(program):
            POOLER.append(pooler)
            try:
                yield
            finally:
                POOLER.remove(pooler)
