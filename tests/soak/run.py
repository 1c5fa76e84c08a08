"""One soak from its beginning to its figures."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak import judge
from tests.soak.chaos import Chaos
from tests.soak.doors import try_all
from tests.soak.faults import Fault
from tests.soak.schedule import LEASE_SECONDS, SETTLE_SECONDS, SHORT_SECONDS, Size, schedule
from tests.soak.stage import Stage, staged

QUIET_SWEEPS = 3
_SWEPT = "SELECT finished_at FROM periodic_jobs WHERE name = 'resync' AND lease_expires_at IS NULL"


def bound(size: Size) -> float:
    """Within how many seconds everything is as it was asked for, once faults have stopped and all is acknowledged.

    A lease that nobody renews, two settle times, two waits of a pass that failed often, and three sweeps.
    """
    return LEASE_SECONDS + 2 * SETTLE_SECONDS + 2 * 60.0 + 3 * size.resync


@dataclass
class Outcome:
    """What came of a soak.

    Attributes:
        figures: for machines.
        wrong: what is not as it must be, a line each.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def none_of(self, name: str, lines: list[str]) -> None:
        """A figure that must be 0."""
        self.figures[name] = len(lines)
        self.wrong += [f"{name}: {line} ({times} times)" for line, times in Counter(lines).items()]

    def at_least(self, name: str, number: float, wanted: float) -> None:
        """A figure that says how much was done."""
        self.figures[name] = number
        if number < wanted:
            self.wrong.append(f"{name}: only {number}, and not {wanted}")


async def soak(seed: int, size: Size, folder: Path) -> Outcome:
    """Let everything go wrong for a while, and then look."""
    began, outcome = time.monotonic(), Outcome()
    async with staged(seed, size, folder) as stage:
        chaos = await _storm(seed, size, stage)
        said = f"{stage.traffic.total} requests to Neon, {len(stage.clients.wishes)} wishes"
        _say(f"{time.monotonic() - began:.0f} s: faults are off after {said}")
        took, findings = await _converge(size, stage)
        said = "did not converge" if took is None else "converged"
        _say(f"{time.monotonic() - began:.0f} s: {said}; now quiet is awaited; to the last:\n{findings.text()}")
        quiet = await _quiet(size, stage)
        outcome.figures = {"seed": seed, "seconds": 0.0, "converged": took is not None, "converged_within": took}
        outcome.none_of("mutations_after_quiet", quiet.changes)
        outcome.none_of("writes_after_quiet", quiet.writes)
        await _judge(stage, outcome)
        _amounts(size, stage, chaos, outcome)
        if took is None:
            outcome.wrong += [f"not within {bound(size):g} s: {line}" for line in findings.text().splitlines()]
    outcome.figures["seconds"] = round(time.monotonic() - began, 1)
    return outcome


async def _storm(seed: int, size: Size, stage: Stage) -> Chaos:
    """Clients do what they do while the schedule's acts and the proxies' faults go on; then all is calm."""
    plan = schedule(seed, size)
    chance = random.Random(f"soak {seed} chaos")
    chaos = Chaos(stage.household, stage.catalog, stage.proxies, stage.machine, stage.clients, stage.console, chance)
    for proxy in stage.proxies.values():
        proxy.faulty = True
    began = time.monotonic()

    async def live(number: int) -> None:
        life = plan.lives[number]
        await asyncio.sleep(max(0.0, began + life.at - time.monotonic()))
        await stage.clients.live(life)

    async with asyncio.TaskGroup() as group:
        for number in range(len(plan.lives)):
            group.create_task(live(number))
        await chaos.run(plan.acts)
        stage.household.wake_all()
        for proxy in stage.proxies.values():
            proxy.faulty = False
        stage.clients.calm.set()
    for proxy in stage.proxies.values():
        await proxy.settle()
    return chaos


async def _look(stage: Stage) -> judge.Findings:
    rows, intents = await stage.catalog.ask(judge.ROWS), await stage.catalog.ask(judge.INTENTS)
    findings = judge.look(rows, intents, stage.projects, stage.clients.wishes, stage.console.brought_back)
    findings.unsettled += [
        f"everything is stopped: {each['reason']}" for each in await stage.catalog.ask(judge.STOPPED)
    ]
    return findings


async def _converge(size: Size, stage: Stage) -> tuple[float | None, judge.Findings]:
    """After how many seconds everything was as asked for, None if not within the bound; and what was last to be so."""
    began, last = time.monotonic(), judge.Findings()
    while True:
        findings = await _look(stage)
        seconds = time.monotonic() - began
        if not findings:
            return round(seconds, 1), last
        if seconds > bound(size):
            return None, findings
        last = findings
        await asyncio.sleep(0.5)


@dataclass
class _Quiet:
    """What happened while nothing should."""

    changes: list[str]
    writes: list[str]


async def _quiet(size: Size, stage: Stage) -> _Quiet:
    """Wait for some sweeps, and see what reached Neon and what was written meanwhile."""
    sent = len(stage.traffic.changes)
    [before] = await stage.catalog.ask(judge.WRITTEN)
    swept: set[Any] = set()
    until = time.monotonic() + 10 * QUIET_SWEEPS * size.resync
    # The sweep that is under way, or was last, does not count.
    while len(swept) <= QUIET_SWEEPS and time.monotonic() < until:
        swept.update(row["finished_at"] for row in await stage.catalog.ask(_SWEPT))
        await asyncio.sleep(0.2)
    [after] = await stage.catalog.ask(judge.WRITTEN)
    changes = [f"{each.who} sent {each.method} {each.path}" for each in stage.traffic.changes[sent:]]
    writes = [f"{name} were written" for name, value in before.items() if after[name] != value]
    if len(swept) <= QUIET_SWEEPS:
        writes.append(f"only {len(swept)} sweeps went through")
    return _Quiet(changes, writes)


async def _judge(stage: Stage, outcome: Outcome) -> None:
    """What must be nowhere."""
    clients, console = stage.clients, stage.console
    rows, intents = await stage.catalog.ask(judge.ROWS), await stage.catalog.ask(judge.INTENTS)
    findings = await _look(stage)
    changes, projects = stage.traffic.changes, stage.projects
    outcome.none_of("leaked", findings.leaked)
    outcome.none_of("doubled", findings.doubled)
    outcome.figures["reached"], shut = await try_all(clients, projects)
    outcome.none_of("lost", findings.lost + clients.wrong + shut)
    wrong = judge.wrong_deletes(rows, changes, projects, clients.wishes, console.brought_back)
    outcome.none_of("wrong_deletes", wrong)
    outcome.none_of("copies", judge.copies(projects.values()))
    outcome.none_of("hasty_creates", judge.hasty(intents))
    reported = {row["project_id"] for row in await stage.catalog.ask(judge.ORPHANS)} - {*console.brought_back}
    outcome.none_of("orphans", sorted(reported))
    told = [str(row["message"]) for row in await stage.catalog.ask("SELECT message FROM app_events")]
    secrets = [stage.environment[name] for name in ("NEON_API_KEY", "JWT_SECRET_KEY", "ENCRYPTION_KEYS")]
    outcome.none_of("secrets_told", judge.told_secrets(stage.logs, [*secrets, *clients.tokens], told))
    outcome.none_of("defects", judge.defects(stage.logs) + stage.household.wrong)


def _amounts(size: Size, stage: Stage, chaos: Chaos, outcome: Outcome) -> None:
    """How much was done, which must not be less than what was planned."""
    household, traffic, clients = stage.household.counts, stage.traffic, stage.clients
    outcome.at_least("kills", household["kills"], size.kills)
    outcome.at_least("stops", household["stops"], size.stops)
    outcome.at_least("apps", sum(wish.app_id is not None for wish in clients.wishes), size.apps)
    share = round(traffic.faults.total() / max(1, traffic.answers), 3)
    long = size.seconds >= SHORT_SECONDS
    outcome.at_least("faulty_share", share, 0.2 if long else 0.1)
    # In a short one all daemons may be idle when they are paused.
    outcome.at_least("zombies", chaos.counts["zombies"], 1 if long else 0)
    for name in ("stops_past_lease", "postgres_restarts", "neon_outages", "cuts", "partial_lists"):
        outcome.at_least(name, chaos.counts[name], 1)
    outcome.at_least("sigterms", household["sigterms"], 1)
    outcome.figures |= {
        "starts": household["starts"],
        "broken_off": household["broken_off"],
        "deletes": sum(wish.deleted for wish in clients.wishes),
        "surpluses": judge.surpluses(stage.projects.values()),
        "people": dict(stage.console.counts),
        "neon_requests": traffic.total,
        "neon_changes": dict(Counter(f"{each.method} {each.status}" for each in traffic.changes)),
        "faults": {str(fault): traffic.faults[fault] for fault in Fault},
        "client_requests": dict(clients.counts),
        "bound": bound(size),
    }


def _say(text: str) -> None:
    sys.stderr.write(f"soak: {text}\n")
