"""The catalog's schema at any of its versions, with a fleet in it."""

from __future__ import annotations

import hashlib
import shutil
from importlib import resources
from pathlib import Path

import psycopg

from reconciler.catalog.migrate import migrate, packaged_migrations
from tests.processes.running import ROOT

APPS = 20_000
OWNERS = 400
CARRIED = tuple(sorted(packaged_migrations()))
NEXT = f"{len(CARRIED) + 1:04}.next"


def text_of(migration: str) -> str:
    """The SQL of one migration that this program carries."""
    return resources.files("migrations").joinpath("catalog", f"{migration}.sql").read_text(encoding="utf-8")


def folder_of(folder: Path, migrations: tuple[str, ...], **further: str) -> str:
    """A folder with these migrations and ``further`` ones by their SQL, each of which depends on all before it."""
    folder.mkdir(exist_ok=True)
    for migration in migrations:
        (folder / f"{migration}.sql").write_text(text_of(migration))
    for name, sql in further.items():
        (folder / f"9{name}.sql").write_text(f"-- depends: {' '.join(migrations)}\n\n{sql}")
    return str(folder)


def newer_program(folder: Path) -> str:
    """Make a program of this version with one further migration; a ``PYTHONPATH`` for it."""
    shutil.copytree(ROOT / "migrations", folder / "migrations")
    further = folder / "migrations" / "catalog" / f"{NEXT}.sql"
    further.write_text(f"-- depends: {CARRIED[-1]}\n\nALTER TABLE app_metadata ADD COLUMN later text;\n")
    further.with_suffix(".rollback.sql").write_text("ALTER TABLE app_metadata DROP COLUMN later;\n")
    return f"{folder}:{ROOT}"


def migrate_to(url: str, migrations: tuple[str, ...], folder: Path) -> None:
    """Apply these migrations, with the program's own command."""
    if migrations:
        migrate(url, source=folder_of(folder, migrations))
        shutil.rmtree(folder)


def fill(url: str, apps: int = APPS) -> None:
    """A fleet of ready apps, with their work and history, in a catalog of any version."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO app_metadata (app_id, owner_id, app_name, spec, status, observed_generation, connected_at,
                                      org_id, project_id, conditions)
            SELECT translate(lpad(to_hex(n), 24, 'z'), '0189', 'ghij'), 'owner-' || n %% %(owners)s, 'app ' || n,
                   '{"region": "aws-us-east-1", "pg_version": 17, "quota": {}}', 'ready', 1, now(), 'org-1',
                   'project-' || n,
                   '[{"type": "Ready", "status": "True", "reason": "Available", "message": "It answers.",
                      "last_transition_time": "2026-01-01T00:00:00Z", "observed_generation": 1}]'
            FROM generate_series(1, %(apps)s) AS n
            """,
            {"apps": apps, "owners": OWNERS},
        )
        connection.execute("INSERT INTO app_work (app_id, due_at) SELECT app_id, 'infinity' FROM app_metadata")
        connection.execute(
            """
            INSERT INTO app_events (app_id, type, reason, message, actor, generation)
            SELECT app_id, 'Ready', 'Available', 'It answers.', 'reconciler', 1 FROM app_metadata
            """
        )
        connection.execute(
            """
            INSERT INTO create_intents (app_id, create_seq, incarnation, nonce, state, sent_at)
            SELECT app_id, row_number() OVER (), 1, md5(app_id), 'recorded', now() FROM app_metadata
            """
        )
        connection.execute(
            "INSERT INTO idempotency_keys (owner_id, key, fingerprint, app_id)"
            " SELECT owner_id, app_id, '\\x00', app_id FROM app_metadata"
        )
        if _has(connection, "app_owners"):
            connection.execute("INSERT INTO app_owners SELECT owner_id, count(*) FROM app_metadata GROUP BY owner_id")
        connection.execute("ANALYZE")


def _has(connection: psycopg.Connection, table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
    return row is not None and bool(row[0])


def shape_of(url: str) -> str:
    """A digest of all that is in the schema; two catalogs with the same one are the same but for their rows."""
    with psycopg.connect(url) as connection:
        seen = [connection.execute(asked.encode()).fetchall() for asked in _SHAPE]
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:12]


_SHAPE = (
    """SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
       WHERE table_schema = current_schema() ORDER BY 1, 2""",
    """SELECT conrelid::regclass::text, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
       WHERE connamespace = quote_ident(current_schema())::regnamespace ORDER BY 1, 2""",
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1",
    """SELECT oid::regprocedure::text, prosrc FROM pg_proc
       WHERE pronamespace = quote_ident(current_schema())::regnamespace ORDER BY 1""",
    """SELECT relname, relacl::text FROM pg_class
       WHERE relnamespace = quote_ident(current_schema())::regnamespace ORDER BY 1""",
    "SELECT migration_id FROM _yoyo_migration ORDER BY 1",
)
