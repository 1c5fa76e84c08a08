"""``doctor`` over a real catalog and a served local Neon: it sees what is wrong, and changes nothing."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from api.cli.doctor import run_checks
from api.cli.doctor.result import CheckResult, CheckStatus
from api.cli.main import main
from reconciler.catalog import inspect
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import key_id
from reconciler.catalog.inspect import CatalogInspector
from reconciler.catalog.migrate import packaged_migrations
from reconciler.errors import CatalogUnavailable
from reconciler.local.options import LocalNeonOptions
from tests.catalogs import create, execute, make_ready, with_catalog
from tests.environment import with_options
from tests.integration.served_neon import served_neon

OPTIONS = LocalNeonOptions(physical=True, operation_seconds=(0.01, 0.05), api_key="napi_hidden")
KEY = base64.urlsafe_b64encode(b"t" * 32).decode()
OTHER_KEY = base64.urlsafe_b64encode(b"o" * 32).decode()
SETTINGS = ("DATABASE_URL", "DATABASE_DIRECT_URL", "ENCRYPTION_KEYS", "JWT_SECRET_KEY", "JWT_JWKS_URL", "NEON_API_KEY",
            "NEON_API_URL", "NEON_ORG_ID", "NEON_REGIONS", "NEON_HOST_SUFFIXES", "NEON_REQUESTS_PER_MINUTE",
            "CONTROL_PLANE_ID", "LOG_FORMAT", "LOG_LEVEL", "PORT")  # fmt: skip
Set = Any


@pytest.fixture
def given(catalog_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Set:
    """Sets the environment: complete for serve, and changed by whoever asks."""
    monkeypatch.chdir(tmp_path)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)

    def change(**values: str | None) -> None:
        for name, value in values.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)

    change(DATABASE_URL=catalog_url, ENCRYPTION_KEYS=KEY, JWT_SECRET_KEY="jk" * 21)
    return change


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for a Postgres that an unprivileged user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "postgres"


def _ready_app(url: str) -> str:
    made = with_catalog(url, create)
    make_ready(url, made.app.app_id)
    return made.app.app_id


def _lines(lines: list[CheckResult]) -> dict[str, CheckResult]:
    by_check = {line.check: line for line in lines}
    assert len(by_check) == len(lines)
    return by_check


def _examined() -> dict[str, CheckResult]:
    return _lines(asyncio.run(run_checks()))


def _rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, with the transaction that wrote it and the place where it lies."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1"
        ).fetchall()
        return {
            name: connection.execute(
                sql.SQL("SELECT xmin::text, ctid::text, t.*::text FROM {} AS t ORDER BY 2").format(sql.Identifier(name))
            ).fetchall()
            for (name,) in names
        }


def test_all_is_well_and_nothing_is_changed(catalog_url: str, given: Set, home: Path) -> None:
    """Every check is ok with complete settings; no row is written, and only GETs arrive at Neon."""
    _ready_app(catalog_url)

    async def run() -> tuple[list[CheckResult], list[tuple[str, str]]]:
        async with served_neon(home, OPTIONS) as neon:
            given(NEON_API_KEY="napi_hidden", NEON_API_URL=neon.url, DATABASE_DIRECT_URL=catalog_url)
            before = _rows(catalog_url)
            lines = await run_checks()
            assert _rows(catalog_url) == before
            assert sum(map(len, before.values())) > 5
            assert neon.simulator.dirty() == set()
            return lines, neon.arrived

    lines, arrived = asyncio.run(run())
    by_check = _lines(lines)
    states = {check: line.status for check, line in by_check.items()}
    # The recorded project of this catalog is none of local Neon's, and there is no project to tell hosts by.
    assert states.pop("projects") is CheckStatus.WARNING
    assert states.pop("database hosts") is CheckStatus.SKIPPED
    # An organization's key may not be told the regions.
    assert states.pop("regions") in {CheckStatus.OK, CheckStatus.SKIPPED}
    assert set(states.values()) == {CheckStatus.OK}, lines
    assert {method for method, _ in arrived} == {"GET"}
    assert len(arrived) >= 5
    assert "checked, all decrypt" in by_check["keys in use"].message
    assert "an organization's key" in by_check["key"].message
    assert OPTIONS.org_id in by_check["organization"].message


def test_the_clock_is_held_against_the_catalogs_and_neons(given: Set, home: Path) -> None:
    """Both are this machine's own here; Neon's comes from the Date header of an answer."""

    async def run() -> dict[str, CheckResult]:
        async with served_neon(home, OPTIONS) as neon:
            given(NEON_API_KEY="napi_hidden", NEON_API_URL=neon.url)
            return _lines(await run_checks())

    by_check = asyncio.run(run())
    assert by_check["catalog's clock"].status is CheckStatus.OK
    assert by_check["Neon's clock"].status is CheckStatus.OK


def test_the_server_itself_refuses_a_write_during_a_look(catalog_url: str) -> None:
    """A statement that writes is refused by Postgres, whatever it is."""

    async def run() -> None:
        database = Database(catalog_url)
        await database.open()
        try:
            with pytest.raises(CatalogUnavailable, match="25006"):
                async with CatalogInspector(database)._reading() as connection:
                    await connection.execute("DELETE FROM app_events")
        finally:
            await database.close()

    asyncio.run(run())


def test_without_a_key_the_neon_checks_are_skipped(given: Set, capsys: pytest.CaptureFixture[str]) -> None:
    """As for a process that serves only: exit 0, one line a check, and each says why."""
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.split()[0] in {"ok", "skipped"} for line in lines), lines
    skipped = [line for line in lines if line.startswith("skipped")]
    assert sum("NEON_API_KEY is not set" in line for line in skipped) == 8


def test_the_same_for_machines(given: Set, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON, and exit 1 when a check failed."""
    assert main(["doctor", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert {"check", "status", "message", "remedy"} == set(document["checks"][0])
    given(DATABASE_URL=None)
    assert main(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert {each["check"] for each in document["checks"] if each["status"] == "FAILED"} == {"catalog settings"}


@pytest.mark.parametrize(
    ("changes", "check", "said"),
    [
        ({"DATABASE_URL": None}, "catalog settings", "DATABASE_URL is required"),
        ({"DATABASE_URL": "mysql://u:hidden@h/d"}, "catalog settings", "DATABASE_URL"),
        ({"DATABASE_URL": "postgresql://u:se%zzhidden@h/d"}, "catalog settings", "DATABASE_URL: cannot be read"),
        ({"DATABASE_URL": "postgresql://u:hidden@127.0.0.1:9/d"}, "catalog", "did not answer"),
        ({"DATABASE_DIRECT_URL": "postgresql://u:hidden@127.0.0.1:9/d"}, "direct address", "did not answer"),
        ({"ENCRYPTION_KEYS": None}, "encryption keys", "ENCRYPTION_KEYS is required"),
        ({"ENCRYPTION_KEYS": "hidden"}, "encryption keys", "ENCRYPTION_KEYS"),
        ({"JWT_SECRET_KEY": "hidden"}, "token settings", "JWT_SECRET_KEY"),
        ({"JWT_SECRET_KEY": None, "JWT_JWKS_URL": "http://127.0.0.1:9/hidden"}, "JWKS", "the connection failed"),
        ({"JWT_SECRET_KEY": None, "JWT_JWKS_URL": "https://[hidden"}, "token settings", "JWT_JWKS_URL"),
        ({"NEON_API_KEY": "k", "NEON_API_URL": "https://[hidden"}, "Neon settings", "NEON_API_URL"),
        # A name that only the client refuses, by IDNA.
        ({"NEON_API_KEY": "k", "NEON_API_URL": "https://☺.example"}, "key", "the address of the Neon API"),
        ({"PORT": "hidden"}, "HTTP settings", "PORT"),
        ({"CONTROL_PLANE_ID": "Not This"}, "control plane settings", "CONTROL_PLANE_ID"),
        ({"NEON_API_KEY": "hidden one"}, "Neon settings", "NEON_API_KEY"),
        ({"SETTLE_SECONDS": "1"}, "Neon settings", "SETTLE_SECONDS"),
        ({"NEON_API_KEY": "hidden", "NEON_API_URL": "http://127.0.0.1:9/api/v2"}, "key", "no connection"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_what_to_do(
    changes: dict[str, str | None], check: str, said: str, given: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exactly one check fails, by its name, with what to do and without any value that may be a secret."""
    given(**changes)
    assert main(["doctor", "--json"]) == 1
    printed = capsys.readouterr().out
    failed = [each for each in json.loads(printed)["checks"] if each["status"] == "FAILED"]
    assert [each["check"] for each in failed] == [check]
    assert said in failed[0]["message"]
    assert failed[0]["remedy"]
    assert "hidden" not in printed


def test_migrations_that_are_missing_interrupted_newer_or_unreleased(
    catalog_url: str, given: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is told apart."""
    assert _examined()["migrations"].status is CheckStatus.OK
    execute(catalog_url, "INSERT INTO _yoyo_migration VALUES ('h', '9999.later', now())")
    assert "9999.later" in _examined()["migrations"].message
    execute(catalog_url, "DELETE FROM _yoyo_migration WHERE migration_id = '9999.later'")
    carried = packaged_migrations() | {"0002.next"}
    monkeypatch.setattr(inspect, "packaged_migrations", lambda: carried)
    line = _examined()["migrations"]
    assert (line.status, line.remedy) == (CheckStatus.FAILED, "run morphik-apps migrate")
    assert "0002.next" in line.message
    execute(catalog_url, "UPDATE _yoyo_migration SET migration_id = '0001.catalog'")
    line = _examined()["migrations"]
    assert (line.status, "unreleased earlier schema (0001.catalog)" in line.message) == (CheckStatus.FAILED, True)
    execute(catalog_url, "DELETE FROM _yoyo_migration")
    assert "without a record" in _examined()["migrations"].message


def test_a_migration_under_way_and_a_lock_row_left_behind(catalog_url: str, given: Set) -> None:
    """Neither is a failure, and both are said."""
    with psycopg.connect(catalog_url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(7164531902)")
        line = _examined()["migrations"]
        assert (line.status, "now" in line.message) == (CheckStatus.WARNING, True)
    execute(catalog_url, "CREATE TABLE IF NOT EXISTS yoyo_lock (locked int PRIMARY KEY, ctime timestamp, pid int)")
    execute(catalog_url, "INSERT INTO yoyo_lock VALUES (1, now(), 4242)")
    line = _examined()["migrations"]
    assert (line.status, "4242" in line.message) == (CheckStatus.WARNING, True)


def test_an_empty_database_is_not_migrated(empty_database_url: str, given: Set) -> None:
    """Only that fails, and what needs the tables is skipped."""
    given(DATABASE_URL=empty_database_url)
    by_check = _examined()
    assert [line.check for line in by_check.values() if line.status is CheckStatus.FAILED] == ["migrations"]
    assert by_check["privileges"].status is by_check["keys in use"].status is CheckStatus.SKIPPED


def test_a_key_in_use_that_is_not_there_is_named(catalog_url: str, given: Set) -> None:
    """By its id and the number of its apps; an app that does not open is named too."""
    app_id = _ready_app(catalog_url)
    given(ENCRYPTION_KEYS=f"{OTHER_KEY},{KEY}")
    assert _examined()["keys in use"].status is CheckStatus.OK
    given(ENCRYPTION_KEYS=OTHER_KEY)
    line = _examined()["keys in use"]
    assert line.status is CheckStatus.FAILED
    assert f"{key_id(b't' * 32)} (1 apps)" in line.message
    given(ENCRYPTION_KEYS=KEY)
    execute(catalog_url, "UPDATE app_metadata SET owner_id = 'mallory'")
    line = _examined()["keys in use"]
    assert line.status is CheckStatus.FAILED
    assert app_id in line.message


def test_a_stop_another_catalog_and_missing_rights_fail(catalog_url: str, given: Set) -> None:
    """Each with its own line."""
    execute(catalog_url, "UPDATE catalog_identity SET mutation_stopped_at = now(), mutation_stop_reason = 'too many'")
    assert "too many" in _examined()["stop"].message
    execute(catalog_url, "UPDATE catalog_identity SET server_identity = 'system 1, database 2'")
    assert "on another server" in _examined()["stop"].message
    execute(catalog_url, "UPDATE catalog_identity SET quarantined_at = now(), quarantine_reason = 'commits were lost'")
    assert "commits were lost" in _examined()["stop"].message
    given(DATABASE_URL=with_options(catalog_url, "-c role=morphik_apps_reconciler"))
    assert "may reconcile and not serve" in _examined()["privileges"].message
    given(DATABASE_URL=with_options(catalog_url, "-c role=morphik_apps_api"))
    assert _examined()["privileges"].status is CheckStatus.OK
    given(NEON_API_KEY="k", NEON_API_URL="http://127.0.0.1:9/api/v2")
    line = _examined()["privileges"]
    assert (line.status, "may not reconcile" in line.message) == (CheckStatus.FAILED, True)


def test_another_catalog_at_the_direct_address(catalog_url: str, empty_database_url: str, given: Set) -> None:
    """Two catalogs are not one."""
    given(DATABASE_URL=empty_database_url)
    assert main(["migrate"]) == 0
    given(DATABASE_DIRECT_URL=catalog_url)
    assert "another catalog" in _examined()["direct address"].message
