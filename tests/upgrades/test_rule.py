"""Every migration keeps the rule that lets the API work on while it is applied; and the rule finds what breaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import TestServer
from tests.upgrades.rule import carry_out
from tests.upgrades.schemas import APPS, CARRIED, fill, migrate_to, text_of

KEEPING = {
    "a column": "ALTER TABLE app_metadata ADD COLUMN note text",
    "a column with a default": "ALTER TABLE app_work ADD COLUMN paused boolean NOT NULL DEFAULT false",
    "a constraint for new rows": "ALTER TABLE app_metadata ADD CONSTRAINT c CHECK (generation > 0) NOT VALID",
    "a table": "CREATE TABLE notes (app_id text PRIMARY KEY, note text); CREATE INDEX ON notes (note)",
    "a job": "INSERT INTO periodic_jobs (name) VALUES ('tidy')",
    "a function": "CREATE FUNCTION one() RETURNS integer LANGUAGE sql RETURN 1",
}
BREAKING = {
    "a column of random values": (
        "ALTER TABLE app_metadata ADD COLUMN nonce uuid NOT NULL DEFAULT gen_random_uuid()", "rewrites app_metadata",
    ),
    "another type": ("ALTER TABLE app_work ALTER COLUMN attempts TYPE bigint", "rewrites app_work"),
    "an index": ("CREATE INDEX ON app_metadata (app_name)", "reads all of app_metadata under a lock"),
    "a constraint for all rows": (
        "ALTER TABLE app_metadata ADD CONSTRAINT c CHECK (generation > 0)", "reads all of app_metadata under a lock",
    ),
    "one that is validated at once": (
        "ALTER TABLE app_events ADD CONSTRAINT c CHECK (true) NOT VALID; ALTER TABLE app_events VALIDATE CONSTRAINT c",
        "reads all of app_events under a lock",
    ),
    "not null": ("ALTER TABLE app_metadata ALTER COLUMN org_id SET NOT NULL", "reads all of app_metadata under a lock"),
    "a value for all": ("UPDATE app_metadata SET schema_version = '1'", "writes all of app_metadata"),
    "a column less": ("ALTER TABLE app_metadata DROP COLUMN role_number", "takes app_metadata.role_number away"),
    "another name": ("ALTER TABLE app_work RENAME COLUMN wake_count TO calls", "takes app_work.wake_count away"),
    "a table less": ("DROP TABLE orphan_projects", "takes orphan_projects.project_id away"),
    "another function": (
        "DROP FUNCTION create_apps; CREATE FUNCTION create_apps(requests jsonb) RETURNS integer LANGUAGE sql RETURN 1",
        "takes create_apps(jsonb) away",
    ),
    "a column to be named": (
        "ALTER TABLE orphan_projects ADD COLUMN why text NOT NULL", "demands orphan_projects.why of old programs",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(postgres: TestServer) -> Iterator[str]:
    """The address of a catalog with the newest schema and a fleet, which no test changes."""
    name = postgres.create_database(postgres.migrated_template())
    fill(postgres.dsn(name))
    yield postgres.dsn(name)
    postgres.drop_database(name)


@pytest.mark.parametrize("sql", KEEPING.values(), ids=KEEPING)
def test_what_keeps_the_rule(filled: str, sql: str) -> None:
    """It may be done beside older programs."""
    assert carry_out(filled, sql, keep=False).offences(APPS) == []


@pytest.mark.parametrize(("sql", "offence"), BREAKING.values(), ids=BREAKING)
def test_what_breaks_the_rule(filled: str, sql: str, offence: str) -> None:
    """It is found."""
    assert offence in carry_out(filled, sql, keep=False).offences(APPS)


def test_every_migration_keeps_the_rule(
    empty_database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a catalog that has a fleet, from the baseline on."""
    migrate_to(empty_database_url, CARRIED[:1], tmp_path)
    fill(empty_database_url)
    judged = {}
    for migration in CARRIED[1:]:
        deeds = carry_out(empty_database_url, text_of(migration), keep=True)
        judged[migration] = deeds.offences(APPS)
        with capsys.disabled():
            held = ", ".join(sorted(deeds.locked)) or "nothing"
            print(f"\n{migration} locks {held}; {'; '.join(judged[migration]) or 'keeps the rule'}")  # noqa: T201
    assert {name: offences for name, offences in judged.items() if offences} == {}


def test_every_migration_runs_in_a_transaction() -> None:
    """``migrate`` has its lock and its note in the migration's own transaction; yoyo's directive would leave both."""
    assert [name for name in CARRIED if re.search(r"(?mi)^\s*--\s*transactional\s*:", text_of(name))] == []
