"""What a catalog can do to a statement, done by the server itself wherever it can be asked for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg_pool import PoolTimeout

from reconciler.catalog import database, session
from tests.statements import Run, Tap, TappedConnection, checked, tapped


class Kind(StrEnum):
    """What happens instead of the statement, or after it."""

    SERIALIZATION = "40001"
    DEADLOCK = "40P01"
    READ_ONLY = "25006"
    SHUTDOWN = "57P01"
    CONNECTIONS = "53300"
    STATEMENT_TIMEOUT = "57014"
    LOCK_TIMEOUT = "55P03"
    CUT_BEFORE = "disconnected before it ran"
    CUT_AFTER = "disconnected after its commit"
    NO_CONNECTION = "pool exhausted"


CODES = frozenset(Kind) - {Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.NO_CONNECTION}
"""The faults that the server names by an SQLSTATE."""


class Fault:
    """One fault at one use of one statement, and nothing where none is armed.

    Attributes:
        statement: where it is to happen.
        kind: what is to happen.
        use: at which use of the statement, counted from 1.
        fired: how often it happened.
        seen: the statements that were asked for since it was armed.
        asked: how many statements were asked for at all.
        under_way: how many are being carried out.
        watch: looks at every statement in the fault's place.
    """

    def __init__(self) -> None:
        self.statement: str | None = None
        self.kind = Kind.SERIALIZATION
        self.use = 1
        self.fired = 0
        self.seen: list[str] = []
        self.asked = 0
        self.under_way = 0
        self.watch: Tap | None = None

    def arm(self, statement: str | None, kind: Kind = Kind.SERIALIZATION, use: int = 1) -> None:
        """Let it happen once, or nothing where no statement is named."""
        self.statement, self.kind, self.use, self.fired, self.seen = statement, kind, use, 0, []

    async def tap(self, connection: TappedConnection, statement: str, run: Run) -> None:
        """Carry a statement out, or do the fault to it."""
        if self.watch is not None:
            await self.watch(connection, statement, run)
            return
        self.asked += 1
        self.under_way += 1
        try:
            await self._carry_out(connection, statement, run)
        finally:
            self.under_way -= 1

    async def _carry_out(self, connection: TappedConnection, statement: str, run: Run) -> None:
        self.seen.append(statement)
        if statement != self.statement or self.fired or self.seen.count(statement) != self.use:
            await run()
            return
        self.fired += 1
        match self.kind:
            case Kind.CUT_BEFORE:
                cut(connection)
                await run()
            case Kind.CUT_AFTER:
                await run()
                if connection.info.transaction_status is TransactionStatus.INTRANS:
                    connection.committed = partial(_lose, connection)
                else:
                    await _lose(connection)
            case Kind.READ_ONLY:
                await _read_only(connection, run)
            case Kind.SHUTDOWN:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            case Kind.NO_CONNECTION:
                raise PoolTimeout("couldn't get a connection")
            case _:
                await connection.execute(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{self.kind}'; END $$")


def cut(connection: psycopg.AsyncConnection[object]) -> None:
    """Cut the wire; neither side is told."""
    wire = socket.socket(fileno=connection.fileno())
    try:
        wire.shutdown(socket.SHUT_RDWR)
    finally:
        wire.detach()


async def _lose(connection: TappedConnection) -> None:
    """Cut the wire behind what was done, so that its answer is lost."""
    cut(connection)
    await connection.execute("SELECT 1")


async def _read_only(connection: TappedConnection, run: Run) -> None:
    """As on a standby; a statement that only reads does not mind."""
    if connection.info.transaction_status is TransactionStatus.INTRANS:
        await connection.execute("SET transaction_read_only = on")
        await run()
        return
    connection.begin = session.READ_ONLY
    if connection.owned:
        await connection.execute("SET default_transaction_read_only = on")
    try:
        await run()
    finally:
        connection.begin = session.READ_WRITE
        if connection.owned:
            await connection.execute("SET default_transaction_read_only = off")


@contextmanager
def faulty() -> Iterator[Fault]:
    """The connections of every catalog that is opened meanwhile can be spoilt."""
    fault = Fault()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "Connection", tapped(fault.tap))
        patch.setattr(database, "_check", checked)
        yield fault
