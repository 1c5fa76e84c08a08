"""The virtual loop keeps its promises: order by the seed, silence, pauses, and no waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from reconciler import logging
from tests.virtual.ambient import WALL_START, ambient
from tests.virtual.loop import Stuck, VirtualLoop


def _marks(seed: int) -> list[tuple[float, str]]:
    seen: list[tuple[float, str]] = []

    async def host(name: str) -> None:
        for _ in range(5):
            await asyncio.sleep(1.0)
            seen.append((loop.time(), name))

    async def story() -> None:
        for name in "abc":
            loop.spawn(name, host(name))
        await asyncio.sleep(10)

    loop = VirtualLoop(seed)
    loop.run(story())
    loop.abandon()
    return seen


def test_one_seed_one_order() -> None:
    """Of what is ready chance takes the next, the same every time."""
    assert _marks(1) == _marks(1)
    assert len({tuple(_marks(seed)) for seed in range(10)}) > 1


def test_time_jumps() -> None:
    """A year takes no time, and no timer comes early."""
    loop = VirtualLoop(1, start=0.0)

    async def story() -> float:
        await asyncio.sleep(365 * 86_400)
        return loop.time()

    assert loop.run(story()) == 365 * 86_400
    loop.abandon()


def test_killed_host_is_silent() -> None:
    """No ``finally`` of it runs, nor any of the tasks that it has started."""
    seen: list[str] = []

    async def child() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            seen.append("child")

    async def process() -> None:
        task = asyncio.create_task(child())
        try:
            await asyncio.to_thread(seen.append, "began")
            await task
        finally:
            seen.append("finally")
            await asyncio.sleep(1)

    async def story() -> None:
        loop.spawn("host", process())
        await asyncio.sleep(5)
        loop.kill("host")
        await asyncio.sleep(500)
        assert not loop.lives("host")

    loop = VirtualLoop(1)
    loop.run(story())
    assert seen == ["began"]
    loop.abandon()


def test_paused_host_goes_on() -> None:
    """Its timers are late, nothing is lost."""
    seen: list[float] = []

    async def process() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(loop.time())

    async def story() -> None:
        loop.spawn("host", process())
        loop.at_step("host", 1, lambda: loop.pause("host", 10))
        await asyncio.sleep(60)

    loop = VirtualLoop(1, start=0.0)
    loop.run(story())
    loop.abandon()
    assert seen == [11.0, 12.0, 13.0]


def test_stuck_and_livelocked() -> None:
    """A run that cannot end says so."""
    loop = VirtualLoop(1)
    with pytest.raises(Stuck, match="nothing is left"):
        loop.run(_waits_for_ever())
    loop.abandon()
    loop = VirtualLoop(1)
    with pytest.raises(Stuck, match="without time passing"):
        loop.run(_spins())
    loop.abandon()


async def _waits_for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def _spins() -> None:
    while True:  # noqa: ASYNC110 - that is the fault
        await asyncio.sleep(0)


def test_clocks_of_hosts() -> None:
    """Modules of the product see the loop's time, and each host its own wall clock; afterwards the real ones."""
    loop = VirtualLoop(1, start=5.0)
    loop.skew["host"] = 7.0

    async def look() -> tuple[float, float]:
        await asyncio.sleep(2)
        return _time_of_the_product().monotonic(), _time_of_the_product().time()

    async def story() -> tuple[float, float]:
        return await loop.spawn("host", look())

    with ambient(loop):
        assert loop.run(story()) == (7.0, WALL_START + 9.0)
        assert _default_clock()() == 7.0
    loop.abandon()
    assert _time_of_the_product() is time
    assert _default_clock() is time.monotonic


def _time_of_the_product() -> Any:
    return vars(logging)["time"]


def _default_clock() -> Any:
    return (logging.RepeatSuppressor.__init__.__kwdefaults__ or {})["clock"]
