"""One call with one fault, and all that must be true of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg.pq import TransactionStatus

from reconciler.catalog.database import Database
from reconciler.errors import CatalogUnavailable, ReconcileError
from tests.catalogfaults.calls import CALLS, Hands
from tests.catalogfaults.faults import CODES, Fault, Kind, faulty
from tests.catalogfaults.store import Store
from tests.postgres import TestServer
from tests.simulation.clock import START
from tests.statements import Run, TappedConnection
from tests.stillclock import StillClock, still_clock

Held = Mapping[str, list[str]]
_IN_TRANSACTION = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'morphik-apps' AND state LIKE 'idle in transaction%'
"""
PATIENCE_SECONDS = 20.0
# Whose answer does not matter to anybody: what they say is a hint.
HINTS = frozenset({"notify"})


@dataclass
class Step:
    """One statement of a call that nothing disturbed.

    Attributes:
        inside: whether it ran in a transaction.
        first: whether its connection was fetched for it.
        before: what the catalog held when it was sent.
        after: what the catalog held when it had been committed.
    """

    statement: str
    inside: bool
    first: bool
    before: Held
    after: Held = field(default_factory=dict)


class Cells:
    """A furnished catalog in which each call is made, spoilt, and made again.

    Attributes:
        calls: by statement, the first call that needs it.
    """

    def __init__(self, loop: asyncio.Runner, hands: Hands, clock: StillClock, fault: Fault) -> None:
        self._loop = loop
        self._clock = clock
        self._hands = hands
        self._store = Store(clock)
        self._fault = fault
        self.calls: dict[str, str] = {}
        self._steps: dict[str, list[Step]] = {}
        for name in CALLS:
            self._steps[name] = self._undisturbed(name)
            for step in self._steps[name]:
                self.calls.setdefault(step.statement, name)

    def step(self, statement: str) -> Step:
        """The statement in the call that needs it."""
        return next(step for step in self._steps[self.calls[statement]] if step.statement == statement)

    def spoil(self, statement: str, kind: Kind) -> None:
        """Make the call with the fault, then again without.

        Raises:
            AssertionError: the caller was not told, something was done by half, or a connection was not given back.
        """
        name, step = self.calls[statement], self.step(statement)
        self._store.put_back("furnished")
        self._fault.arm(statement, kind)
        met = self._met(name)
        fired = self._fault.fired
        self._fault.arm(None)
        assert fired == 1, "the fault never happened"
        held = self._store.dump()
        if met is None and kind is Kind.READ_ONLY:
            assert step.before == step.after, "a statement that writes was carried out on a server that refuses writes"
            return
        assert isinstance(met, CatalogUnavailable) or (met is None and name in HINTS), f"the caller met {met!r}"
        # A server that ends in the middle of a single statement is known by the closed connection alone.
        reasons = (kind, "the server closed the connection") if kind is Kind.SHUTDOWN else (kind,)
        told = met is None or any(reason in str(met) for reason in reasons)
        assert kind not in CODES or told, f"the caller met {met!r} without its reason"
        wanted = step.after if kind is Kind.CUT_AFTER else step.before
        assert held == wanted, f"done by half: {_difference(held, wanted)}"
        self._nothing_is_left()
        self._store.draw_again()
        again = self._met(name)
        assert again is None or (kind is Kind.CUT_AFTER and isinstance(again, ReconcileError)), f"again: {again!r}"
        if kind is not Kind.CUT_AFTER:
            end = self._steps[name][-1].after
            assert self._store.dump() == end, f"again: {_difference(self._store.dump(), end)}"

    def exhaust(self, name: str) -> None:
        """Make a call when others hold every connection.

        Raises:
            AssertionError: the caller was not told, or something was done.
        """
        self._store.put_back("furnished")
        before = self._store.dump()

        pool = self._hands.database._pool
        patience, pool.timeout = pool.timeout, 0.01

        async def make() -> BaseException | None:
            async with self._hands.database.connection():
                [met] = await asyncio.gather(CALLS[name](self._hands), return_exceptions=True)
                return met if isinstance(met, BaseException) else None

        try:
            met = self._loop.run(make())
        finally:
            pool.timeout = patience
        assert isinstance(met, CatalogUnavailable) or (met is None and name in HINTS), f"the caller met {met!r}"
        assert self._store.dump() == before
        assert self._met(name) is None

    def _met(self, name: str) -> BaseException | None:
        """What the caller met, within the time that a person would wait."""

        async def make() -> None:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await CALLS[name](self._hands)

        try:
            self._loop.run(make())
        except Exception as error:  # noqa: BLE001 - whatever it is, the oracle judges it
            return error
        return None

    def _undisturbed(self, name: str) -> list[Step]:
        self._store.put_back("furnished")
        steps: list[Step] = []

        async def watch(connection: TappedConnection, statement: str, run: Run) -> None:
            inside = connection.info.transaction_status is not TransactionStatus.IDLE
            steps.append(Step(statement, inside, connection.fetched, self._store.dump()))
            await run()

        self._fault.watch = watch
        try:
            met = self._met(name)
        finally:
            self._fault.watch = None
        assert met is None, (name, met)
        dumps = [*(step.before for step in steps), self._store.dump()]
        for number, step in enumerate(steps, start=1):
            outside = (n for n in range(number, len(steps)) if not step.inside or not steps[n].inside)
            step.after = dumps[next(outside, len(steps))]
        return steps

    def _nothing_is_left(self) -> None:
        # A connection that is not given back is missed by the next call: the pool holds one.
        until = time.monotonic() + PATIENCE_SECONDS
        while self._clock.rows(_IN_TRANSACTION):
            # A server takes a moment to see that a wire was cut.
            assert time.monotonic() < until, "a connection was left in a transaction"
            time.sleep(0.01)


def _difference(held: Held, wanted: Held) -> Any:
    return {table: (held[table], wanted[table]) for table in held if held[table] != wanted[table]}


@contextmanager
def furnished(server: TestServer) -> Iterator[Cells]:
    """The furnished catalog."""
    with still_clock(server) as clock, faulty() as fault, asyncio.Runner() as loop:
        clock.set(START)
        clock.empty()
        database = Database(clock.url, max_size=1)
        loop.run(database.open())
        try:
            hands = Hands(database, clock)
            loop.run(hands.furnish())
            Store(clock).keep("furnished")
            yield Cells(loop, hands, clock, fault)
        finally:
            loop.run(database.close())
