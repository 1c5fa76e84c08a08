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

PATIENCE_SECONDS = 300.0
LONGEST_PAUSE_SECONDS = 10.0
CONNECT_SECONDS = 10
_SOURCE = "package:migrations:catalog"
_SQL = load("migrate")
BASELINE = "0001.baseline"
"""The migration that made the schema of the first release. Each later one depends on it."""
log = logging.getLogger(__name__)


class MigrationRefused(ReconcileError):
    """The schema cannot be migrated here. The message is one line with the remedy. Nothing is half-done."""


class _Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """yoyo over a connection that psycopg made, since yoyo reads addresses in its own way."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pinned = ""
        super().__init__(DatabaseURI("postgresql", None, None, None, None, "", {}), default_migration_table)

    def connect(self, _dburi: DatabaseURI) -> psycopg.Connection:
        return psycopg.connect(
            self._url, connect_timeout=CONNECT_SECONDS, application_name="morphik-apps-migrate", **session.CONNECT
        )

    def begin(self) -> None:
        """Start a transaction with its settings, in one round trip."""
        self._in_transaction = True
        self.connection.execute(f"{session.READ_WRITE}; {self._pinned}")

    def pin(self) -> None:
        """Find out where the catalog is to be, and whether it can be there; raises MigrationRefused."""
        schema, _, encoding, _ = self.connection.execute(session.FOUND).fetchone()
        if encoding not in session.ENCODINGS:
            raise MigrationRefused(
                f"the database's encoding is {encoding}, which cannot hold every name; "
                "make a database with ENCODING 'UTF8' and TEMPLATE template0, and name that one"
            )
        if schema is None:
            raise MigrationRefused(
                "no schema of the login's search_path exists, or may be used; make one (CREATE SCHEMA), or set "
                "search_path with ALTER ROLE or ALTER DATABASE"
            )
        self.schema_name = schema
        # A migration has no limit but its patience: it may rewrite a large table, or wait for another one.
        self._pinned = session.pinned(schema, seconds=0, server_version=self.connection.info.server_version)


def migrate(url: str, *, source: str = _SOURCE, patience_seconds: float = PATIENCE_SECONDS) -> list[str]:
    """Apply what is missing and return the ids of what was applied, in order; an empty list when nothing was.

    Args:
        url: an address of the catalog that libpq reads, better a direct one.
        source: where the migrations are, as yoyo names it.
        patience_seconds: for how long all in all a lock that somebody else holds is asked for again and again.

    Raises:
        CatalogUnavailable: Postgres did not answer, or somebody held a lock for too long; running it again is safe.
        MigrationRefused: the database or the login does not allow it, or a migration fails.
        ValueError: the address cannot be read.
    """
    try:
        with _Backend(validated_url(url)) as backend:
            backend.pin()
            return _apply_all(backend, source, patience_seconds)
    except psycopg.Error as error:
        said = classify_error(error)
        if said is None:
            raise MigrationRefused(
                f"Postgres refused a migration (SQLSTATE {error.sqlstate}), of which nothing was done; see its log"
            ) from error
        raise said from error


def _apply_all(backend: _Backend, source: str, patience_seconds: float) -> list[str]:
    migrations = read_migrations(source).filter(lambda migration: migration.is_raw_sql())
    applied: list[str] = []
    deadline, refused = time.monotonic() + patience_seconds, 0
    while True:
        try:
            one = _apply_next(backend, migrations)
        except (LockNotAvailable, DeadlockDetected) as error:
            _lock_refused(backend, refused, left=deadline - time.monotonic(), error=error)
            refused += 1
            continue
        if one is None:
            return applied
        applied.append(one)
        refused = 0


def _apply_next(backend: _Backend, migrations: MigrationList) -> str | None:
    """Apply the first that is missing; its id, or None where nothing is missing."""
    with backend.transaction():
        for name in ("migrator_timeout", "lock", "lock_timeout"):
            backend.execute(_SQL[name])
        try:
            if internalmigrations.needs_upgrading(backend):
                internalmigrations.upgrade(backend)
            applied_ids = {row[0] for row in backend.execute(_SQL["applied"]).fetchall()}
            if is_unreleased(applied_ids):
                raise MigrationRefused(
                    f"the database holds an unreleased earlier schema ({min(applied_ids)}), from which there is no "
                    "upgrade; create an empty database for the catalog and name that one"
                )
            missing = list(backend.to_apply(migrations))
            if not missing:
                return None
            missing[0].process_steps(backend, "apply")
            backend.mark_one(missing[0], log=False)
        except InsufficientPrivilege as error:
            backend.rollback()
            raise _refused(backend) from error
    applied: str = missing[0].id
    return applied


def _refused(backend: _Backend) -> MigrationRefused:
    """What the login lacks; the transaction is over."""
    schema = backend.schema_name
    creates, login, database = backend.connection.execute(_SQL["privileges"], {"schema": schema}).fetchone()
    if creates:
        return MigrationRefused(
            f"the login {login} may not change what another role owns in the schema {schema}; run migrate as the role "
            "that ran it first"
        )
    return MigrationRefused(
        f"the login {login} may not create tables in the schema {schema} of the database {database}, as is usual from "
        f"Postgres 15 on; let its owner run GRANT CREATE ON SCHEMA {schema} TO {login}"
    )


def _lock_refused(backend: _Backend, refused: int, *, left: float, error: psycopg.Error) -> None:
    """Let everybody pass for a while; raises CatalogUnavailable where no patience is left."""
    with backend.transaction():
        pids = [str(row[0]) for row in backend.execute(_SQL["lock_holders"]).fetchall()]
    by = f" by {' and '.join(pids)} (pid in pg_stat_activity)" if pids else ""
    if left <= 0:
        raise CatalogUnavailable(
            f"a migration needs a lock that is held{by}, and has asked for it in vain for as long as it may; nothing "
            "of it was done. Let that transaction end, or end it with pg_terminate_backend, and run morphik-apps "
            "migrate again"
        ) from error
    pause = min(LONGEST_PAUSE_SECONDS, 2.0**refused) * (0.5 + secrets.randbelow(1 << 24) / (1 << 25))
    log.warning(
        "A migration waits for a lock that is held%s. Retry in %.1f s.",
        by,
        pause,
        extra=log_extra("migrate.lock_waiting"),
    )
    time.sleep(min(pause, left))


def is_unreleased(applied: Collection[str]) -> bool:
    """Whether these applied migrations are of a schema before the first release, which no program upgrades."""
    return bool(applied) and BASELINE not in applied


def packaged_migrations() -> frozenset[str]:
    """The ids of the migrations that this program carries."""
    folder = resources.files("migrations").joinpath("catalog")
    names = [entry.name for entry in folder.iterdir()]
    return frozenset(n.removesuffix(".sql") for n in names if n.endswith(".sql") and not n.endswith(".rollback.sql"))


async def schema_is_current(database: Database) -> bool:
    """Whether every migration that this program carries was applied. Reads only.

    More may have been applied: that is a newer program beside this one, during an upgrade.

    Raises:
        CatalogUnavailable: the catalog did not answer.
    """
    async with database.connection() as connection:
        row = await (await connection.execute(_SQL["is_set_up"])).fetchone()
        if row is None or not row["is_set_up"]:
            return False
        rows = await (await connection.execute(_SQL["applied"])).fetchall()
    return packaged_migrations() <= {row["migration_id"] for row in rows}


async def require_current_schema(database: Database) -> None:
    """Nothing, where every migration that this program carries was applied.

    Raises:
        CatalogUnavailable: one was not, or the catalog did not answer.
    """
    if not await schema_is_current(database):
        raise CatalogUnavailable("its schema is not current; run morphik-apps migrate")
