"""The catalog's schema, brought up to date with yoyo.

Each migration and the note that it was applied commit in one transaction, which holds an advisory lock of its own. So
any number of starters may run this at once, a killed one leaves nothing half-done, and neither a pooler nor a lock
row that somebody's yoyo left behind is in the way. (yoyo's own ``apply`` commits the migration first and the note
later, on another connection, and its lock row outlives a killed process.)
"""

from __future__ import annotations

from importlib import resources

import psycopg
from yoyo import internalmigrations, read_migrations
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend
from yoyo.connections import parse_uri
from yoyo.migrations import default_migration_table

from reconciler.catalog.database import Database, readable_url, unavailable
from reconciler.catalog.statements import load

_SOURCE = "package:migrations:catalog"
_SQL = load("migrate")


def migrate(url: str) -> list[str]:
    """Apply what is missing and return the ids of what was applied, in order; an empty list when nothing was.

    Args:
        url: ``postgresql://`` address of the catalog, better a direct one.

    Raises:
        CatalogUnavailable: Postgres did not answer; running it again is safe.
        ValueError: the address cannot be read.
        psycopg.Error: a migration is wrong, or the role may not apply it; nothing of that migration is left behind.
    """
    scheme, _, rest = readable_url(url).partition("://")
    if scheme not in ("postgresql", "postgres"):
        raise ValueError("the address of the catalog must start with postgresql://")
    try:
        with PostgresqlPsycopgBackend(parse_uri(f"postgresql+psycopg://{rest}"), default_migration_table) as backend:
            backend.connection.prepare_threshold = None
            return _apply_all(backend)
    except psycopg.Error as error:
        said = unavailable(error)
        if said is None:
            raise
        raise said from error


def _apply_all(backend: PostgresqlPsycopgBackend) -> list[str]:
    migrations = read_migrations(_SOURCE).filter(lambda migration: migration.is_raw_sql())
    applied: list[str] = []
    while True:
        with backend.transaction():
            for name in ("no_statement_timeout", "no_idle_timeout", "lock_timeout", "lock"):
                backend.execute(_SQL[name])
            if internalmigrations.needs_upgrading(backend):
                internalmigrations.upgrade(backend)
            missing = list(backend.to_apply(migrations))
            if not missing:
                return applied
            missing[0].process_steps(backend, "apply")
            backend.mark_one(missing[0], log=False)
        applied.append(missing[0].id)


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
