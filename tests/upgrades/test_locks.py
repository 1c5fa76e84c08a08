"""A migration that waits for its lock keeps nobody waiting behind it, and does not wait for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from reconciler.catalog import migrate as migrating
from reconciler.catalog.apps import AppStore
from reconciler.catalog.migrate import migrate
from reconciler.errors import CatalogUnavailable
from tests.catalogs import create, execute, opened
from tests.processes.running import until
from tests.upgrades.schemas import CARRIED, fill, folder_of

COLUMN = {"001.note": "ALTER TABLE app_metadata ADD COLUMN note text"}
WAITS = """SELECT count(*) AS waits FROM pg_locks WHERE NOT granted AND relation = 'app_metadata'::regclass
           AND mode = 'AccessExclusiveLock'"""
# So often does the migration have to be seen to wait anew, and the API to be answered meanwhile.
TURNS = 2


@contextmanager
def reading_for_long(url: str) -> Iterator[int]:
    """A transaction that has read the apps and does not end, as somebody's dump does; the pid of its server process."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM app_metadata LIMIT 1")
        yield connection.info.backend_pid


class Migrating(threading.Thread):
    """``migrate`` beside the test; what it applied, or why it did not."""

    def __init__(self, url: str, source: str) -> None:
        super().__init__(daemon=True)
        self.applied: list[str] | None = None
        self._url, self._source = url, source

    def run(self) -> None:
        """Apply what is missing."""
        self.applied = migrate(self._url, source=self._source)


async def _ask(url: str, enough: threading.Event) -> tuple[int, int]:
    """Read and create until it is enough; how many answers there were of each. None may fail."""
    reads = creates = 0
    async with opened(url) as database:
        catalog = AppStore(database)
        made = (await create(catalog, "first")).app
        while not enough.is_set():
            assert await catalog.get("alice", made.app_id) is not None
            reads += 1
            await catalog.list("alice", status=None, name=None, limit=50, cursor=None)
            await create(catalog, f"number {creates}", max_apps=1_000_000)
            creates += 1
    return reads, creates


def _see_it_wait(url: str, enough: threading.Event) -> None:
    try:
        for _ in range(TURNS):
            until(lambda: execute(url, WAITS)[0]["waits"], "the migration waits for its lock")
            until(lambda: not execute(url, WAITS)[0]["waits"], "the migration lets everybody pass")
    finally:
        enough.set()


def test_nobody_queues_behind_a_migration_that_waits(
    catalog_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The API reads and writes on while a migration asks, again and again, for a lock that a long reader holds."""
    fill(catalog_url)
    enough = threading.Event()
    source = folder_of(tmp_path / "later", CARRIED, **COLUMN)
    with reading_for_long(catalog_url) as pid:
        started = Migrating(catalog_url, source)
        started.start()

        with ThreadPoolExecutor(1) as beside:
            watching = beside.submit(_see_it_wait, catalog_url, enough)
            reads, creates = asyncio.run(_ask(catalog_url, enough))
            watching.result()
        assert started.is_alive()
        assert min(reads, creates) > TURNS
    started.join(60)
    assert started.applied == ["9001.note"]
    said = [record.getMessage() for record in caplog.records if record.name == migrating.__name__]
    assert len(said) >= TURNS
    assert f"a lock that is held by {pid} " in said[0]


def test_patience_ends_with_a_word_on_what_to_do(catalog_url: str, tmp_path: Path) -> None:
    """It names who holds the lock, leaves nothing behind, and the next run finds nothing in its way."""
    source = folder_of(tmp_path / "later", CARRIED, **COLUMN)
    with (
        reading_for_long(catalog_url) as pid,
        pytest.raises(CatalogUnavailable, match=rf"held by {pid} .*migrate again"),
    ):
        migrate(catalog_url, source=source, wait_timeout_seconds=0)
    assert execute(catalog_url, "SELECT FROM information_schema.columns WHERE column_name = 'note'") == []
    assert migrate(catalog_url, source=source) == ["9001.note"]


def test_a_deadlock_with_a_program_costs_another_try(catalog_url: str, tmp_path: Path) -> None:
    """The server ends one of the two; where that is the migration, it begins again."""
    taking_two = {"001.two": f"{COLUMN['001.note']}; ALTER TABLE app_work ADD COLUMN note text"}
    source = folder_of(tmp_path / "later", CARRIED, **taking_two)
    with psycopg.connect(catalog_url) as holder:
        # The other way round: the program has the second table, and asks for the first once the migration has that.
        holder.execute("SET deadlock_timeout = '60s'")
        holder.execute("LOCK TABLE app_work IN ROW EXCLUSIVE MODE")
        started = Migrating(catalog_url, source)
        started.start()
        waits = WAITS.replace("app_metadata", "app_work")
        until(lambda: execute(catalog_url, waits)[0]["waits"], "the migration waits for the second table")
        holder.execute("LOCK TABLE app_metadata IN ROW EXCLUSIVE MODE")
        holder.commit()
    started.join(60)
    assert started.applied == ["9001.two"]
