"""One process's connection to rows in memory: every statement takes its time and can fail.

What was sent takes effect though its sender dies or stands still; whoever gives up does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from reconciler.catalog.database import MAX_HOLD_SECONDS
from reconciler.errors import CatalogUnavailable, ReconcileError
from tests.driven.faults import BEFALLS, Fault
from tests.driven.world import World
from tests.virtual.loop import HOST

T = TypeVar("T")


class Database:
    """The connection of one process to the catalog."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.table = world.table

    async def open(self) -> None:
        """Nothing is connected to before it is needed."""

    async def close(self) -> None:
        """Nothing is left to close."""

    async def run(self, name: str, act: Callable[[], T]) -> T:
        """One statement.

        Raises:
            CatalogUnavailable: it was not carried out, or nobody knows.
        """
        world, chance = self.world, self.world.chance
        world.statements[name] += 1
        if HOST.get() in world.ended:
            await world.violated(f"{HOST.get()} has ended and runs {name}")
        away = world.clock.now < world.catalog_away_until
        fault = Fault.CATALOG_REFUSED if away else world.meets(world.swarm.of_statements)
        if fault is not None:
            world.say(f"{name} !{fault}")
            world.troubles[HOST.get()] += 1
        seconds = chance.uniform(0.0005, 0.02)
        if fault in {Fault.CATALOG_REFUSED, Fault.CATALOG_AWAY}:
            if fault is Fault.CATALOG_AWAY:
                world.catalog_is_away(chance.uniform(1.0, 60.0))
            await asyncio.sleep(seconds)
            raise CatalogUnavailable("the catalog did not answer")
        patience: float | None = None
        if fault is Fault.CATALOG_SLOW:
            seconds, patience = chance.uniform(0.3, 1.2 * MAX_HOLD_SECONDS), MAX_HOLD_SECONDS
            world.busy(world.clock.now + seconds)
        answer: asyncio.Future[T] = world.loop.create_future()
        late = chance.uniform(0.0005, 0.02) if chance.random() < 0.2 else 0.0
        host = HOST.get()

        def happen() -> None:
            self._happen(act, answer, fault, late)
            if fault in BEFALLS:
                world.befall(BEFALLS[fault], host)

        planned = world.loop.after(seconds, happen)
        try:
            if patience is None:
                return await answer
            async with asyncio.timeout(patience):
                return await answer
        except TimeoutError:
            raise CatalogUnavailable("the catalog did not answer in time") from None
        except asyncio.CancelledError:
            # The driver tells the server and waits until it is over, one way or the other.
            if planned.when() > world.loop.time() and chance.random() < 0.5:
                self._happen(act, answer, fault, late)
            planned.cancel()
            raise

    def _happen(self, act: Callable[[], T], answer: asyncio.Future[T], fault: Fault | None, late: float) -> None:
        world = self.world
        error: ReconcileError | None = None
        value: Any = None
        try:
            value = act()
        except ReconcileError as refusal:
            error = refusal
        except Exception as broken:  # noqa: BLE001 - a daemon would swallow it
            world.loop.fail(broken)
            return
        if fault is Fault.CATALOG_LOST:
            error = CatalogUnavailable("the catalog was lost")
        world.judge()
        if late:
            world.loop.after(late, lambda: _answer(answer, value, error))
        else:
            _answer(answer, value, error)


def _answer(answer: asyncio.Future[Any], value: Any, error: ReconcileError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)
