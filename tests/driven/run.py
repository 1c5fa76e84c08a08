"""One run of real daemons: a story under faults, then none; it must converge within a bound, and then be silent."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import dataclass

from tests.driven.faults import Swarm, swarm
from tests.driven.parts import POLL_SECONDS, Parts
from tests.driven.processes import Processes
from tests.driven.world import World
from tests.simulation import run as simulated
from tests.simulation.clock import START
from tests.simulation.run import differs
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.steps import Violation
from tests.simulation.world import RESYNC
from tests.virtual.ambient import Ambient
from tests.virtual.loop import VirtualLoop

LOOK_SECONDS = 5.0
# Nothing that Neon asks to be waited for, and no catalog that is slow, holds one process up for longer.
PATIENCE_SECONDS = 2 * 60.0
FLEETS = 0.01
ORPHANS = 0.1
MIXED = 0.7


@dataclass
class Failure(Exception):
    """A run that broke a rule."""

    seed: int
    reason: str
    world: World

    def __str__(self) -> str:
        """What broke, and how to see it again."""
        return f"{self.reason}\nreplay: {command_of(self.seed)}"


@dataclass
class Result:
    """A run that kept all rules.

    Attributes:
        seconds: from the last fault to convergence, in virtual time.
    """

    world: World
    seconds: float


def command_of(seed: int) -> str:
    """The command that replays a run."""
    return f"python -m tests.driven --seed {seed}"


def bound(apps: int) -> float:
    """Seconds from the last fault to convergence: a simulated daemon's, and what only a real one waits for."""
    return simulated.bound(apps) + PATIENCE_SECONDS + 4 * POLL_SECONDS


def run(seed: int, ambient: Ambient, faults: Swarm | None = None) -> Result:
    """One seed, one run; the parts of daemons are in place.

    Raises:
        Failure: with the command that replays it.
    """
    loop = VirtualLoop(seed, shuffled=seed % 4 != 0)
    ambient.follow(loop)
    world = World(seed, loop, faults or swarm(seed))
    Parts.of_run(world)
    try:
        seconds = loop.run(_story(world))
        _listen_to_complaints(world)
    except Violation as broken:
        failure = Failure(seed, f"{broken} (at {world.elapsed:.1f} s)", world)
    except Exception as error:
        failure = Failure(seed, f"{type(error).__name__}: {error}", world)
        raise failure from error
    else:
        return Result(world, seconds)
    finally:
        loop.abandon()
    raise failure


async def _story(world: World) -> float:
    chance = random.Random(f"{world.seed}/driven")
    name = _scenario(chance)
    world.say(f"{name}, with {sorted(world.swarm.rates)}")
    if world.swarm.rates:
        world.busy(START + world.swarm.until)
    Processes(world, chance.choice((1, 2, 2, 3)))
    world.apps = SCENARIOS[name](world)
    if chance.random() < ORPHANS:
        world.clock.after(chance.uniform(0.0, 100.0), world.leave_an_orphan)
    world.settle_waiting()
    longest = bound(len(world.apps))
    while not _is_at_rest(world):
        if world.clock.now > max(START, world.active_until) + longest:
            raise Violation(f"not converged {longest:.0f} s after the last fault: {_why(world)}")
        await asyncio.sleep(LOOK_SECONDS)
    seconds = world.clock.now - max(START, world.active_until)
    await _be_silent(world)
    return seconds


def _scenario(chance: random.Random) -> str:
    drawn = chance.random()
    if drawn < MIXED:
        return "mixed"
    if drawn > 1 - FLEETS:
        return "fleet-vanished"
    return chance.choice([name for name in SCENARIOS if name not in {"mixed", "fleet-vanished"}])


def _is_at_rest(world: World) -> bool:
    if world.clock.now < world.active_until or world.waiting or world.in_flight or world.table.running_jobs():
        return False
    if any(app.pending for app in world.apps) or world.unreported():
        return False
    if world.table.next_due() != math.inf and not any(app.unproven for app in world.apps):
        return False
    return all(differs(app) is None for app in world.apps)


async def _be_silent(world: World) -> None:
    # What waits for a person is looked at again, slowly, which a work row counts.
    waits = any(app.unproven for app in world.apps)

    def state() -> tuple[int, ...]:
        table = world.table
        return (table.told if waits else table.version, table.told, world.neon.version, world.mutations)

    before = state()
    await asyncio.sleep(2.3 * RESYNC)
    if state() != before:
        raise Violation("something was written or sent at the fixed point")
    for app in world.apps:
        if (reason := differs(app)) is not None:
            raise Violation(f"left the fixed point: {reason}")
    if any(world.neon.living(project_id) is None for project_id in world.left):
        raise Violation("an orphan is gone")


def _why(world: World) -> str:
    differing = [reason for app in world.apps if (reason := differs(app)) is not None]
    due, pending = world.table.next_due() - world.clock.now, [app.pending for app in world.apps]
    differing += [f"{project_id} is not reported" for project_id in world.unreported()]
    return f"{differing}, due in {due:.1f} s, pending {pending}, {len(world.waiting)} waiting"


def _listen_to_complaints(world: World) -> None:
    for complaint in world.loop.complaints:
        raise Violation(f"a task failed unheard: {complaint.get('message')}: {complaint.get('exception')!r}")
