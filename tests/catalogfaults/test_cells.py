"""Every statement of the catalog with every fault that can meet it: its caller is told, and nothing is done by half."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from psycopg_pool import AsyncConnectionPool

from reconciler.catalog import database
from reconciler.catalog.database import Connection, Database
from tests.catalogfaults import cells as cells_module
from tests.catalogfaults.calls import CALLS
from tests.catalogfaults.cells import Cells, furnished
from tests.catalogfaults.faults import Kind
from tests.postgres import TestServer
from tests.statements import statements

ELSEWHERE = {
    "migrate": "the migrations have a connection of their own, in one transaction with all they do",
}
STATEMENTS = [each for each in statements() if each.partition(".")[0] not in ELSEWHERE]


@pytest.fixture(scope="module")
def cells(postgres: TestServer) -> Iterator[Cells]:
    """The catalog in which each call is made."""
    with furnished(postgres) as found:
        yield found


def test_every_statement_is_needed_by_a_call(cells: Cells) -> None:
    assert [each for each in STATEMENTS if each not in cells.calls] == []


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_spoilt_statement_is_told_of_and_nothing_is_done_by_half(cells: Cells, statement: str) -> None:
    """A later statement of a call has its connection already."""
    kinds = [kind for kind in Kind if kind is not Kind.NO_CONNECTION or cells.step(statement).first]
    told = {}
    for kind in kinds:
        try:
            cells.spoil(statement, kind)
        except AssertionError as error:
            told[kind] = str(error)
    assert told == {}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_gets_no_connection_is_told_so(cells: Cells, call: str) -> None:
    cells.exhaust(call)


async def _leak(_pool: object, _connection: object) -> None:
    """What gives nothing back."""


@asynccontextmanager
async def no_transaction(self: Database) -> AsyncIterator[Connection]:
    """Each statement for itself."""
    async with self.connection() as connection:
        yield connection


OFF: dict[str, tuple[str, Kind, Callable[[pytest.MonkeyPatch], None]]] = {
    "conflicts told apart": (
        "status_store.record",
        Kind.SERIALIZATION,
        lambda patch: patch.setattr(database, "_CONFLICTS", frozenset()),
    ),
    "a standby told apart": (
        "status_store.record",
        Kind.READ_ONLY,
        lambda patch: patch.setattr(database, "_UNAVAILABLE_STATES", frozenset()),
    ),
    "connections given back": (
        "status_store.record",
        Kind.CUT_BEFORE,
        lambda patch: patch.setattr(AsyncConnectionPool, "putconn", _leak),
    ),
    "a delete in one transaction": (
        "apps.wake",
        Kind.DEADLOCK,
        lambda patch: patch.setattr(Database, "transaction", no_transaction),
    ),
}


@pytest.mark.parametrize("off", OFF)
def test_without_the_safeguard_it_is_seen(postgres: TestServer, off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    statement, kind, switch = OFF[off]
    with furnished(postgres) as cells:
        switch(monkeypatch)
        monkeypatch.setattr(cells_module, "PATIENCE_SECONDS", 0.3)
        with pytest.raises(AssertionError, match=r"the caller met|done by half|again"):
            cells.spoil(statement, kind)
        monkeypatch.undo()
