"""One run of real daemons: a story under faults, then none; it must converge within a bound, and then be silent."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Collection
from dataclasses import dataclass

from tests.driven.faults import Fault, Swarm, swarm
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
# For one round of each kind, or for two.
QUIET = (1.2 * RESYNC, 1.2 * RESYNC, 2.3 * RESYNC)
FLEETS = 0.01
MIXED = 0.7


@dataclass
class Failure(Exception):
    """A run that broke a rule.

    Attributes:
        kinds: the faults that there were.
    """

    seed: int
    reason: str
    world: World
    kinds: tuple[Fault, ...]

    def __str__(self) -> str:
        """What broke, and how to see it again."""
        return f"{self.reason}\nreplay: {command_of(self.seed, self.kinds)}"


@dataclass
class Result:
    """A run that kept all rules.

    Attributes:
        seconds: from the last fault to convergence, in virtual time.
    """

    world: World
    seconds: float


def command_of(seed: int, kinds: Collection[Fault] | None = None) -> str:
    """The command that replays a run, with these kinds of faults only."""
    all_of_them = kinds is None or len(kinds) == len(swarm(seed).rates)
    only = "" if all_of_them else f" --only {' '.join(sorted(kinds or ()) or ['none'])}"
    return f"python -m tests.driven --seed {seed}{only}"


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
        failure = Failure(seed, f"{broken} (at {world.elapsed:.1f} s)", world, tuple(world.swarm.rates))
    except Exception as error:
        failure = Failure(seed, f"{type(error).__name__}: {error}", world, tuple(world.swarm.rates))
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
    world.settle_waiting()
    longest = bound(len(world.apps))
    compared: tuple[object, ...] = ()
    while True:
        changed = _state(world) != compared
        if world.clock.now > world.active_until and changed and _is_still(world):
            compared = _state(world)
            if all(differs(app) is None for app in world.apps):
                break
        if world.clock.now > max(START, world.active_until) + longest:
            raise Violation(f"not converged {longest:.0f} s after the last fault: {_why(world)}")
        await asyncio.sleep(LOOK_SECONDS)
    seconds = world.clock.now - max(START, world.active_until)
    await _be_silent(world, chance.choice(QUIET))
    return seconds


def _scenario(chance: random.Random) -> str:
    drawn = chance.random()
    if drawn < MIXED:
        return "mixed"
    if drawn > 1 - FLEETS:
        return "fleet-vanished"
    return chance.choice([name for name in SCENARIOS if name not in {"mixed", "fleet-vanished"}])


def _is_still(world: World) -> bool:
    """Nothing is under way or planned."""
    if world.waiting or world.in_flight or world.table.running_jobs() or any(app.pending for app in world.apps):
        return False
    if any(world.neon.living(project_id) is None for project_id in world.table.orphans):
        return False  # the next whole list forgets it
    return world.table.next_due() == math.inf or any(app.needs_operator for app in world.apps)


def _state(world: World) -> tuple[object, ...]:
    """Grows with all that may make a difference to whether everything is as it must be."""
    return world.table.version, world.neon.version, world.acts, len(world.table.orphans)


async def _be_silent(world: World, seconds: float) -> None:
    # What waits for a person is looked at again, slowly, which a work row counts.
    waits = any(app.needs_operator for app in world.apps)

    def state() -> tuple[int, ...]:
        table = world.table
        return (table.told if waits else table.version, table.told, world.neon.version, world.mutations)

    before = state()
    await asyncio.sleep(seconds)
    if state() != before:
        raise Violation("something was written or sent at the fixed point")
    for app in world.apps:
        if (reason := differs(app)) is not None:
            raise Violation(f"left the fixed point: {reason}")


def _why(world: World) -> str:
    mismatches = [reason for app in world.apps if (reason := differs(app)) is not None]
    due, pending = world.table.next_due() - world.clock.now, [app.pending for app in world.apps]
    return f"{mismatches}, due in {due:.1f} s, pending {pending}, {len(world.waiting)} waiting"


def _listen_to_complaints(world: World) -> None:
    for complaint in world.loop.complaints:
        raise Violation(f"a task failed unheard: {complaint.get('message')}: {complaint.get('exception')!r}")


def shrunk(failure: Failure, ambient: Ambient) -> Failure:
    """The same seed with as few kinds of faults as still break a rule."""
    for kind in failure.kinds:
        left = [each for each in failure.kinds if each != kind]
        try:
            run(failure.seed, ambient, swarm(failure.seed, left))
        except Failure as smaller:
            failure = smaller
    return failure
