"""The classes of the catalog as a daemon uses them, over rows in memory: every statement takes its time and can fail.

What was sent takes effect though its sender dies, stands still or gives up; whoever gives up does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from reconciler.catalog.database import BLOCK_SECONDS
from reconciler.catalog.fleet import Job, Pins
from reconciler.catalog.work import Claimed, Lease
from reconciler.core.budget import Grant, Terms, Urgency
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.snapshot import CreateIntent, Credentials, Next, Progress
from reconciler.errors import CatalogUnavailable, ReconcileError
from specs.metadata import AppMetadata
from specs.names import parse_project_name
from specs.neon import Project
from tests.driven.faults import BEFALLS, Fault
from tests.driven.world import World
from tests.simulation.steps import Violation
from tests.virtual.loop import HOST

T = TypeVar("T")
CATALOG_ID = "catalog-1"


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
            seconds, patience = chance.uniform(0.3, 1.2 * BLOCK_SECONDS), BLOCK_SECONDS
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


class WorkCatalog:
    """Stands in for ``reconciler.catalog.work.WorkCatalog``."""

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        del lease_seconds  # the table's own
        self._database = database
        self._table = database.table
        self._owner = owner
        database.world.owner_of[HOST.get()] = owner

    async def claim(self, limit: int) -> list[Claimed]:
        """Take up to ``limit`` due apps."""
        world, table, host = self._database.world, self._table, HOST.get()
        taken, troubles = await self._database.run("claim", lambda: (self._claim(limit), world.troubles[host]))
        if not taken:
            return []
        claimed = await self._database.run("claimed", lambda: table.claimed(taken))
        table.claims |= {one.lease.app_id: (host, troubles) for one in claimed}
        return claimed

    def _claim(self, limit: int) -> list[Claimed]:
        world, table = self._database.world, self._table
        owned = set(table.owners)
        taken = table.claim_for(self._owner, limit)
        for one in taken:
            app_id = one.lease.app_id
            world.holders[app_id] = one.lease.token
            holder, troubles = table.claims.pop(app_id, ("", -1))
            if app_id in owned and world.loop.lives(holder) and troubles == world.troubles[holder]:
                raise Violation(f"{holder} works on {app_id} and has lost its lease")
        return taken

    async def next_due(self) -> float | None:
        """Seconds until something is due."""

        def next_due() -> float | None:
            due = self._table.next_due()
            return None if due == float("inf") else due - self._database.world.clock.now

        return await self._database.run("next_due", next_due)

    async def renew(self, leases: Sequence[Lease]) -> set[str]:
        """Prolong the leases that are still held."""
        held = [*leases]
        return await self._database.run("renew", lambda: {lease.app_id for lease in held if self._table.renew(lease)})

    async def release(self, lease: Lease, outcome: Next) -> bool:
        """End a pass."""
        return await self._database.run("release", lambda: self._table.release(lease, outcome))

    async def give_back(self) -> None:
        """Let others have every app of this process at once."""
        await self._database.run("give_back", lambda: self._table.give_back(self._owner))


class RecordCatalog:
    """Stands in for ``reconciler.catalog.record.RecordCatalog``."""

    def __init__(self, database: Database, sealer: object, *, lease_seconds: float) -> None:
        del sealer, lease_seconds
        self._database = database
        self._table = database.table

    async def permit(self, lease: Lease, *, swept: bool) -> None:
        """Ask whether a change may be sent."""

        def permit() -> None:
            self._table.permit(lease, swept=swept)
            self._database.world.on_permit(lease.app_id)

        await self._database.run("permit", permit)

    async def open_intent(self, lease: Lease, effect: OpenIntent) -> CreateIntent:
        """Commit the intent to create."""
        await self.permit(lease, swept=False)
        return await self._database.run("open_intent", lambda: self._table.open_intent(lease, effect))

    async def refuse_intent(self, lease: Lease, create_seq: int) -> None:
        """The request of this intent was definitely not carried out."""
        await self._database.run(
            "settle_intent", lambda: self._table.settle_intent(lease, create_seq, "refused", absent=False)
        )

    async def note_absence(self, lease: Lease, create_seq: int, *, proven: bool) -> None:
        """A complete list did not show the intent's project."""
        await self._database.run(
            "settle_intent",
            lambda: self._table.settle_intent(lease, create_seq, "absent" if proven else "open", absent=True),
        )

    async def record(self, lease: Lease, said: Progress, request_id: str | None = None) -> None:
        """Write conditions, status, columns and events."""
        del request_id
        await self._database.run("record", lambda: self._table.record(lease, said))

    async def record_credentials(
        self, lease: Lease, app: AppMetadata, new: Credentials, said: Progress, request_id: str | None = None
    ) -> None:
        """Seal and publish URIs."""
        del app, request_id
        await self._database.run("record", lambda: self._table.record(lease, said, new))

    async def record_project(
        self, lease: Lease, app: AppMetadata, effect: RecordProject, request_id: str | None = None
    ) -> None:
        """Write the project's id, once."""
        del request_id
        await self._database.run("record_project", lambda: self._table.record_project(lease, app, effect))

    async def drop_surplus(self, lease: Lease, project_id: str, *, report: bool) -> None:
        """Forget a candidate for a surplus."""
        await self._database.run("drop_surplus", lambda: self._table.drop_surplus(lease, project_id, report=report))

    def open_seal(self, app: AppMetadata) -> Credentials | None:
        """The recorded URIs, opened."""
        return self._table.open_seal(app)


class FleetCatalog:
    """Stands in for ``reconciler.catalog.fleet.FleetCatalog``."""

    def __init__(self, database: Database, *, owner: str, lease_seconds: float) -> None:
        del lease_seconds
        self._run = database.run
        self._table = database.table
        self._world = database.world
        self._owner = owner

    async def catalog_id(self) -> str:
        """Which catalog this is."""
        return await self._run("identity", lambda: CATALOG_ID)

    async def pins(self) -> Pins | None:
        """What is kept."""
        return await self._run("identity", self._table.pins)

    async def pin(self, pins: Pins) -> Pins:
        """Keep these if nothing is kept yet."""
        await self._run("pin", lambda: self._table.keep_pins(pins))
        return await self.pins() or pins

    async def stop(self, reason: str) -> bool:
        """Stop every change at Neon."""
        return await self._run("stop", lambda: self._table.stop(reason))

    async def lift_stop(self) -> bool:
        """End a stop."""
        return await self._run("lift_stop", self._table.lift_stop)

    async def stop_overridden(self) -> bool:
        """Whether an operator's word holds."""
        return await self._run("stop_overridden", lambda: self._table.plane.overridden_until > self._world.clock.now)

    async def clock(self) -> datetime:
        """The catalog's clock."""
        return await self._run("clock", lambda: self._world.clock.date)

    async def rows(self) -> AsyncIterator[AppMetadata]:
        """Every app that is not beyond its tombstone."""
        for row in await self._run("sweep_rows", self._table.sweep_rows):
            yield row

    async def audit_rows(self, after: str, limit: int) -> list[AppMetadata]:
        """The next settled apps."""
        return await self._run("audit_rows", lambda: self._table.audit_rows(after, limit))

    async def count_connected(self) -> int:
        """How many apps a deep round has."""
        return await self._run("count_connected", self._table.count_connected)

    async def witnesses(self, start: str, besides: str, limit: int) -> list[str]:
        """Projects that a good key must see."""
        return await self._run("witnesses", lambda: self._table.witnesses(start, besides, limit))

    async def wake(self, app_ids: Sequence[str], *, missing: bool = False) -> None:
        """Have these apps looked at soon."""
        if app_ids:
            await self._run("wake", lambda: self._table.wake(app_ids, missing=missing))

    async def name_surplus(self, found: Iterable[tuple[str, str]]) -> None:
        """Hand candidates to the passes of their apps."""
        pairs = list(found)
        if pairs:
            await self._run("name_surplus", lambda: self._table.name_surplus(pairs))

    async def reported(self) -> set[str]:
        """Projects that were reported before."""
        return await self._run("reported", lambda: set(self._table.orphans))

    async def report_orphan(self, project: Project) -> bool:
        """Keep a project that no row names."""
        name = parse_project_name(project.name)
        new = project.id not in self._table.orphans
        await self._run("report_orphan", lambda: self._table.report_orphan(project.id, name.app_id if name else ""))
        return new

    async def forget_orphans(self, seen: Iterable[str]) -> None:
        """Forget the reported projects that are gone."""
        left = set(seen)
        await self._run("forget_orphans", lambda: self._table.forget_orphans(left))

    async def claim_job(self, name: str, period_seconds: float) -> Job | None:
        """Take a periodic job if it is due and free."""
        claimed = await self._run("claim_job", lambda: self._table.claim_job_for(self._owner, name, period_seconds))
        return None if claimed is None else Job(name, *claimed)

    async def renew_job(self, job: Job) -> bool:
        """Prolong a running job's lease."""
        return await self._run("renew_job", lambda: self._table.renews_job(job.name, job.token))

    async def finish_job(self, job: Job, position: str = "", *, whole: bool = False) -> None:
        """Give a job back and keep its place."""
        del whole
        await self._run("finish_job", lambda: self._table.finish(job.name, job.token, position))

    async def give_back_jobs(self) -> None:
        """Let others have every job of this process at once."""
        await self._run("give_back_jobs", lambda: self._table.give_back_jobs(self._owner))

    async def bury(self) -> None:
        """No run is as long as a tombstone stands."""
        await self._run("bury", lambda: None)


class BudgetCatalog:
    """Stands in for ``reconciler.catalog.budget.BudgetCatalog``."""

    def __init__(self, database: Database, terms: Terms) -> None:
        del terms
        self._database = database

    async def lease(self, wanted: Mapping[Urgency, int]) -> Grant:
        """Requests that may be sent."""
        asked, host, world = dict(wanted), HOST.get(), self._database.world

        def grant() -> Grant:
            given = world.table.lease_requests(asked)
            world.on_grant(host, given)
            return given

        return await self._database.run("lease_budget", grant)

    async def close(self, seconds: float) -> None:
        """Lease nothing for a while."""
        await self._database.run("close_budget", lambda: self._database.table.close_budget(seconds))
