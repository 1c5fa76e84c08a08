"""Migrates the catalog's schema with yoyo.

Each migration and its record commit in one transaction, which holds an advisory lock. So any number of processes may
run this concurrently, a killed one leaves nothing half-done, and neither a pooler nor a stale lock row of yoyo blocks
it. (yoyo's own ``apply`` commits the migration first and the record later, on another connection, and its lock row
survives a killed process.)

While a migration waits for a table lock, all other sessions queue behind it, including readers. So a migration waits
for at most two seconds, then rolls back and retries after a random, growing delay, until its wait timeout.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Collection
from importlib import resources

import psycopg
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, LockNotAvailable
from yoyo import internalmigrations, read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import DatabaseURI
from yoyo.migrations import MigrationList, default_migration_table

from reconciler.catalog import session
from reconciler.catalog.address import validated_url
from reconciler.catalog.database import Database, classify_error
from reconciler.catalog.statements import load
from reconciler.errors import CatalogUnavailable, ReconcileError
from reconciler.logging import log_extra

LOCK_WAIT_TIMEOUT_SECONDS = 300.0
MAX_DELAY_SECONDS = 10.0
CONNECT_SECONDS = 10
_SOURCE = "package:migrations:catalog"
_SQL = load("migrate")
BASELINE = "0001.baseline"
"""The migration that made the schema of the first release. Each later one depends on it."""
log = logging.getLogger(__name__)


class MigrationRejected(ReconcileError):
    """The schema cannot be migrated here. The message is one line with the remedy. Nothing is half-done."""


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo with a connection of psycopg, since yoyo parses addresses differently."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pinned = ""
        super().__init__(DatabaseURI("postgresql", None, None, None, None, "", {}), default_migration_table)

    def connect(self, _dburi: DatabaseURI) -> psycopg.Connection:
        return psycopg.connect(
            self._url, connect_timeout=CONNECT_SECONDS, application_name="morphik-apps-migrate", **session.CONNECT
        )

    def begin(self) -> None:
        """Start a transaction with its settings, in a single round trip."""
        self._in_transaction = True
        self.connection.execute(f"{session.READ_WRITE}; {self._pinned}")

    def pin(self) -> None:
        """Read the catalog's schema, and pin the session's settings; raises MigrationRejected."""
        schema, _, encoding, _ = self.connection.execute(session.FOUND).fetchone()
        if encoding not in session.ENCODINGS:
            raise MigrationRejected(
                f"the database's encoding is {encoding}, which cannot store every name; "
                "use a database with ENCODING 'UTF8' and TEMPLATE template0"
            )
        if schema is None:
            raise MigrationRejected(
                "no schema of the login's search_path exists or is usable; create one (CREATE SCHEMA), or set "
                "search_path with ALTER ROLE or ALTER DATABASE"
            )
        self.schema_name = schema
        # A migration has no statement timeout: it may rewrite a large table, or wait for another one.
        self._pinned = session.pinned(schema, seconds=0, server_version=self.connection.info.server_version)


def migrate(url: str, *, source: str = _SOURCE, wait_timeout_seconds: float = LOCK_WAIT_TIMEOUT_SECONDS) -> list[str]:
    """Apply the pending migrations and return their ids, in order.

    Args:
        url: an address of the catalog, preferably a direct one.
        source: the migrations, as a source of yoyo.
        wait_timeout_seconds: the total time of retries for a table lock that another session holds.

    Raises:
        CatalogUnavailable: Postgres did not respond, or a lock was held for too long; the call can be repeated safely.
        MigrationRejected: the database or the login does not allow it, or a migration fails.
        ValueError: the address is not valid.
    """
    try:
        with _Backend(validated_url(url)) as backend:
            backend.pin()
            return _apply_all(backend, source, wait_timeout_seconds)
    except psycopg.Error as error:
        unavailable = classify_error(error)
        if unavailable is None:
            raise MigrationRejected(
                f"Postgres rejected a migration (SQLSTATE {error.sqlstate}), and nothing of it was applied; see its log"
            ) from error
        raise unavailable from error


def _apply_all(backend: _Backend, source: str, wait_timeout_seconds: float) -> list[str]:
    migrations = read_migrations(source).filter(lambda migration: migration.is_raw_sql())
    applied: list[str] = []
    deadline, retries = time.monotonic() + wait_timeout_seconds, 0
    while True:
        try:
            migration_id = _apply_next(backend, migrations)
        except (LockNotAvailable, DeadlockDetected) as error:
            _on_lock_timeout(backend, retries, left=deadline - time.monotonic(), error=error)
            retries += 1
            continue
        if migration_id is None:
            return applied
        applied.append(migration_id)
        retries = 0


def _apply_next(backend: _Backend, migrations: MigrationList) -> str | None:
    """Apply the first pending migration. Return its id, or None if none is pending."""
    with backend.transaction():
        for name in ("migrator_timeout", "lock", "lock_timeout"):
            backend.execute(_SQL[name])
        try:
            if internalmigrations.needs_upgrading(backend):
                internalmigrations.upgrade(backend)
            applied_ids = {row[0] for row in backend.execute(_SQL["applied"]).fetchall()}
            if is_unreleased(applied_ids):
                raise MigrationRejected(
                    f"the database has an unreleased earlier schema ({min(applied_ids)}), which cannot be upgraded; "
                    "use an empty database for the catalog"
                )
            pending = list(backend.to_apply(migrations))
            if not pending:
                return None
            pending[0].process_steps(backend, "apply")
            backend.mark_one(pending[0], log=False)
        except InsufficientPrivilege as error:
            backend.rollback()
            raise _missing_privilege(backend) from error
    applied: str = pending[0].id
    return applied


def _missing_privilege(backend: _Backend) -> MigrationRejected:
    """Return the error of a missing privilege. The transaction has ended."""
    schema = backend.schema_name
    creates, login, database = backend.connection.execute(_SQL["privileges"], {"schema": schema}).fetchone()
    if creates:
        return MigrationRejected(
            f"the login {login} may not change what another role owns in the schema {schema}; run migrate as the role "
            "that ran it first"
        )
    return MigrationRejected(
        f"the login {login} may not create tables in the schema {schema} of the database {database}, as is usual from "
        f"Postgres 15 on; let its owner run GRANT CREATE ON SCHEMA {schema} TO {login}"
    )


def _on_lock_timeout(backend: _Backend, retries: int, *, left: float, error: psycopg.Error) -> None:
    """Wait before the next retry, without any lock; raises CatalogUnavailable after the wait timeout."""
    with backend.transaction():
        pids = [str(row[0]) for row in backend.execute(_SQL["lock_holders"]).fetchall()]
    by = f" by {' and '.join(pids)} (pid in pg_stat_activity)" if pids else ""
    if left <= 0:
        raise CatalogUnavailable(
            f"a migration needs a lock that is held{by}, and its wait timeout is over; nothing of it was applied. Let "
            "that transaction end, or end it with pg_terminate_backend, and run morphik-apps migrate again"
        ) from error
    delay = min(MAX_DELAY_SECONDS, 2.0**retries) * (0.5 + secrets.randbelow(1 << 24) / (1 << 25))
    log.warning(
        "A migration waits for a lock that is held%s. Retry in %.1f s.",
        by,
        delay,
        extra=log_extra("migrate.lock_waiting"),
    )
    time.sleep(min(delay, left))


def is_unreleased(applied: Collection[str]) -> bool:
    """Whether these migrations are of a schema before the first release, which no version upgrades."""
    return bool(applied) and BASELINE not in applied


def packaged_migrations() -> frozenset[str]:
    """Return the ids of this program's migrations."""
    folder = resources.files("migrations").joinpath("catalog")
    names = [entry.name for entry in folder.iterdir()]
    return frozenset(n.removesuffix(".sql") for n in names if n.endswith(".sql") and not n.endswith(".rollback.sql"))


async def schema_is_current(database: Database) -> bool:
    """Whether all of this program's migrations are applied. Reads only.

    More may be applied, by a newer program during an upgrade.

    Raises:
        CatalogUnavailable: the catalog did not respond.
    """
    async with database.connection() as connection:
        row = await (await connection.execute(_SQL["is_set_up"])).fetchone()
        if row is None or not row["is_set_up"]:
            return False
        rows = await (await connection.execute(_SQL["applied"])).fetchall()
    return packaged_migrations() <= {row["migration_id"] for row in rows}


async def require_current_schema(database: Database) -> None:
    """Return if all of this program's migrations are applied.

    Raises:
        CatalogUnavailable: one is not, or the catalog did not respond.
    """
    if not await schema_is_current(database):
        raise CatalogUnavailable("its schema is not current; run morphik-apps migrate")
