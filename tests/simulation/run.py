"""One run: a story under faults, then none; it must converge within a bound, and then be silent."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.diff import diff_project
from reconciler.core.stages.create_lookup import RECHECK_FRACTION
from reconciler.local.state.account_state import read_write
from specs.status import AppStatus, ConditionType, Reason, find_condition
from tests.simulation.clock import START
from tests.simulation.daemons import Daemon
from tests.simulation.faults import Kind, Plan, random_plan
from tests.simulation.invariants import Watch
from tests.simulation.people import App
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.steps import Violation
from tests.simulation.world import LEASE, RESYNC, SETTLE, TIMEOUT, World

# What the last look at a candidate for a surplus met stays said of a deleted app.
SAID_OF_DELETED = {
    Reason.UP_TO_DATE,
    Reason.NEON_LOCKED,
    Reason.NEON_RATE_LIMITED,
    Reason.NEON_UNAUTHORIZED,
    Reason.NEON_UNAVAILABLE,
}
_ROUND = 1.1 * RESYNC


def bound(apps: int) -> float:
    """Seconds from the last fault to convergence.

    A crashed lease runs out, a request in flight is given up, an unknown create settles and is looked for twice, and
    four changes of a repair each wait for the longest back-off. Two sweeps name what differs, and one more if the
    job's holder crashed; the deep round looks at one app each time, twice as one look can meet a busy app.
    """
    unknown = LEASE + TIMEOUT + (1 + RECHECK_FRACTION) * SETTLE
    return unknown + SETTLE + 4 * CAP_SECONDS + (3 + 2 * apps) * _ROUND


@dataclass(frozen=True)
class Run:
    """What makes a run what it is.

    Attributes:
        faults: steps and what each meets.
        chance: whether chance brings more of them.
        skew: seconds that Neon's clock is ahead.
    """

    seed: int
    scenario: str = "mixed"
    faults: tuple[tuple[int, Kind], ...] = ()
    chance: bool = False
    daemons: int = 2
    skew: float = 0.0

    @property
    def command(self) -> str:
        """The command that replays it."""
        said = f"python -m tests.simulation --seed {self.seed} --scenario {self.scenario}"
        if self.daemons != Run.daemons:
            said += f" --daemons {self.daemons}"
        if self.skew != Run.skew:
            said += f" --skew {self.skew:g}"
        if self.chance:
            said += " --chance"
        return said + "".join(f" --fault {number}:{kind}" for number, kind in sorted(self.faults))

    @property
    def line(self) -> str:
        """Its line in the corpus: the command's arguments."""
        return self.command.partition("tests.simulation ")[2]


@dataclass
class Failure(Exception):
    """A run that broke a rule."""

    of: Run
    reason: str
    world: World

    def __str__(self) -> str:
        """What broke, and how to see it again."""
        return f"{self.reason}\nreplay: {self.of.command}"


@dataclass
class Result:
    """A run that kept all rules.

    Attributes:
        steps, claims: how many there were until it converged.
        seconds: from the last fault to convergence, in virtual time.
    """

    world: World
    steps: int
    claims: int
    seconds: float


def run(of: Run, rounds_of_silence: float = 2.3) -> Result:
    """One seed, one run.

    Raises:
        Failure: with the command that replays it.
    """
    world = World(of.seed, _plan(of), of.skew)
    try:
        return _run(world, of, rounds_of_silence)
    except Violation as broken:
        failure = Failure(of, f"{broken} (at {world.elapsed:.1f} s)", world)
    except Exception as error:
        failure = Failure(of, f"{type(error).__name__}: {error}", world)
        raise failure from error
    raise failure


def _plan(of: Run) -> Plan:
    if of.chance:
        return random_plan(random.Random(f"{of.seed}/plan"))
    return Plan(at=dict(of.faults))


def _run(world: World, of: Run, rounds_of_silence: float) -> Result:
    processes = [Daemon(world, f"daemon-{number}") for number in range(of.daemons)]

    def hint() -> None:
        for process in processes:
            process.poll_soon(world.chance.uniform(0.001, 0.02))

    world.catalog.on_change = hint
    watch, apps = Watch(world), SCENARIOS[of.scenario](world)
    if world.plan.rates:
        world.busy(START + world.plan.until)
    hint()
    longest, compared = bound(len(apps)) + abs(of.skew), -1
    while True:
        world.clock.step()
        if watch.look():
            world.settle_waiting()
        if world.clock.now < world.active_until:
            continue
        if compared != len(world.steps) and _is_still(world, processes, apps):
            if all(differs(app) is None for app in apps):
                break
            compared = len(world.steps)
        if world.clock.now > world.active_until + longest:
            raise Violation(f"not converged {longest:.0f} s after the last fault: {_why(world, processes, apps)}")
    seconds = world.clock.now - max(START, world.active_until)
    result = Result(world, len(world.steps), len(world.claims), seconds)
    _be_silent(world, watch, apps, rounds_of_silence * RESYNC)
    return result


def _be_silent(world: World, watch: Watch, apps: list[App], seconds: float) -> None:
    # What waits for a person is looked at again, slowly, which a work row counts.
    waits = any(app.needs_operator for app in apps)

    def state() -> tuple[int, ...]:
        catalog = world.catalog
        return (catalog.told if waits else catalog.version, catalog.told, world.neon.version, world.mutations)

    before, until = state(), world.clock.now + seconds
    while world.clock.now < until:
        world.clock.step()
        watch.look()
        if state() != before:
            raise Violation("something was written or sent at the fixed point")
    for app in apps:
        if (reason := differs(app)) is not None:
            raise Violation(f"left the fixed point: {reason}")


def _is_still(world: World, processes: list[Daemon], apps: list[App]) -> bool:
    if world.waiting or world.in_flight or any(process.tasks for process in processes):
        return False
    if any(world.neon.living(project_id) is None for project_id in world.catalog.orphans):
        return False  # the next whole list forgets it
    due = world.catalog.next_due()
    return (due == math.inf or any(app.needs_operator for app in apps)) and not any(app.pending for app in apps)


def _why(world: World, processes: list[Daemon], apps: list[App]) -> str:
    busy = [task.name for process in processes for task in process.tasks]
    mismatches = [reason for app in apps if (reason := differs(app)) is not None]
    return f"{mismatches}, tasks {busy}, due {world.catalog.next_due() - world.clock.now:.1f}, {len(world.waiting)}"


def differs(app: App) -> str | None:
    """What is not yet as it must end, or None."""
    row, neon = app.row, app.world.neon
    living = [project.id for project, mark in neon.ours() if mark["morphik_app_id"] == app.app_id]
    if app.app_id in app.world.duplicated:
        # What a request made that was delivered twice is told to a person: it cannot be told from a copy.
        living = [each for each in living if each == row.project_id or each not in app.world.catalog.orphans]
    if row.status != app.expected:
        return f"{row.status}, not {app.expected}"
    for project_id in app.lookalikes:
        if neon.living(project_id) is None:
            return f"somebody's project {project_id} is gone"
    named = app.parsed if row.project_id is not None or row.deleted_at is not None else set()
    if not named <= app.world.catalog.orphans.keys():
        return "look-alikes are not reported"
    if app.world.catalog.work[app.app_id].duplicate_ids and not app.unproven:
        return "candidates for a surplus are left"
    if app.expected == AppStatus.READY:
        return _not_ready(app) if len(living) == 1 else f"{len(living)} projects"
    if app.expected == AppStatus.DEGRADED:
        ready = find_condition(row.conditions, ConditionType.READY)
        told = ready is not None and ready.reason == Reason.CREDENTIALS_MISSING
        return None if told and len(living) == 1 else f"{len(living)} projects, or no word on the credentials"
    if app.expected == AppStatus.DELETED:
        left = 1 if app.held and neon.living(row.project_id) else 0
        if len(living) != left or row.deleted_at is None:
            return f"{len(living)} projects of a deleted app"
        said = find_condition(row.conditions, ConditionType.SYNCED)
        wrong = said is None or (said.reason != Reason.ON_HOLD if left else said.reason not in SAID_OF_DELETED)
        return f"deleted, and says {said.reason if said else None}" if wrong else None
    if app.expected == AppStatus.DELETING:
        said = find_condition(row.conditions, ConditionType.SYNCED)
        proven = said is None or said.reason != Reason.OWNERSHIP_UNVERIFIED or neon.living(row.project_id) is None
        return "deleted without proof, or silent about it" if proven else None
    return f"{len(living)} projects of a lost app" if living else None


def _not_ready(app: App) -> str | None:
    row, neon = app.row, app.world.neon
    project = neon.living(row.project_id)
    if project is None:
        return "the recorded project is not there"
    branch = project.default_branch
    if diff_project(row, neon.described(project)) is not None or read_write(project, branch) is None:
        return "the project is not as asked for"
    held = app.world.catalog.open_seal(row)
    if not row.can_expose_uri or held is None:
        return "no URI"
    if held.connection_uri.get_secret_value() != neon.uri(project, row.role, row.database):
        return "another URI"
    for kind, reason in ((ConditionType.READY, Reason.AVAILABLE), (ConditionType.SYNCED, Reason.UP_TO_DATE)):
        said = find_condition(row.conditions, kind)
        if said is None or said.status != "True" or said.reason != reason:
            return f"{kind} is {said.reason if said else None}"
    return None if row.observed_generation == row.generation else "an older generation was observed"
