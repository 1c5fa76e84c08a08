"""Carries out what the schedule says, at its time or as soon after it as the machine allows."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from reconciler.local.simulator import LocalNeon
from tests.soak.catalog import Catalog
from tests.soak.clients import Clients
from tests.soak.console import Console
from tests.soak.household import Household
from tests.soak.proxy import Proxy
from tests.soak.schedule import LEASE_SECONDS, Act, What

_AMBUSH_SECONDS = 1.5
_HELD = "SELECT count(*) AS held FROM app_work WHERE lease_holder LIKE '%:{pid}:%' AND lease_expires_at > now()"


@dataclass
class Chaos:
    """The hand that does it.

    Attributes:
        counts: what was done, beyond what the household counts itself.
    """

    household: Household
    catalog: Catalog
    proxies: dict[str, Proxy]
    machine: LocalNeon
    clients: Clients
    console: Console
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)

    async def run(self, acts: Sequence[Act]) -> None:
        """Do everything, and be back when all of it is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for act in acts:
                await asyncio.sleep(max(0.0, began + act.at - time.monotonic()))
                group.create_task(self._do(act))

    async def _do(self, act: Act) -> None:
        match act.what:
            case What.KILL:
                if act.ambush:
                    await self.proxies[act.target].hears(change=False, within=_AMBUSH_SECONDS)
                await self.household.kill(act.target)
            case What.STOP:
                await self._pause(act)
            case What.TERM:
                await self.household.term(act.target)
            case What.CATALOG_FAST | What.CATALOG_IMMEDIATE | What.CATALOG_KILL:
                self.counts["postgres_restarts"] += 1
                # What was just acknowledged must not be lost.
                await self.clients.hear(_AMBUSH_SECONDS)
                await self.catalog.restart(act.what, act.seconds)
            case What.OUTAGE:
                self.counts["neon_outages"] += 1
                await asyncio.gather(*(proxy.cut(act.seconds) for proxy in self.proxies.values()))
            case What.CUT:
                self.counts["cuts"] += 1
                await self.proxies[act.target].cut(act.seconds)
            case What.PARTIAL:
                await self._hide(act.seconds)
            case _:
                await self.console.meddle(act.what)

    async def _pause(self, act: Act) -> None:
        """A pause past the lease makes a zombie of who held one when it began, and lives to see its end."""
        slot = self.household.slots[act.target]
        if act.seconds < LEASE_SECONDS:
            await self.household.stop(act.target, act.seconds)
            return
        await self.proxies[act.target].hears(change=True, within=2 * _AMBUSH_SECONDS)
        await slot.up.wait()
        pid = slot.pid
        pausing = asyncio.create_task(self.household.stop(act.target, act.seconds))
        [held] = await self.catalog.ask(_HELD.format(pid=pid))
        await pausing
        self.counts["stops_past_lease"] += 1
        if held["held"] and slot.pid == pid:
            self.counts["zombies"] += 1

    async def _hide(self, seconds: float) -> None:
        """Some projects are unavailable to lists for a while."""
        self.counts["partial_lists"] += 1
        hidden = {each for each in self.console.projects if self.chance.random() < 0.1}
        self.machine.unavailable.update(hidden)
        await asyncio.sleep(seconds)
        self.machine.unavailable.difference_update(hidden)
