"""Performs the effects of one pass, one at a time, and nothing else.

A change is sent only right after the catalog permitted it. The time that passed since the permission was *asked for*
bounds how late the request can arrive: a create must be under way within half a second, so that the settle time
counted from the intent covers it; every other change within a few, and while the lease outlives its time-out.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from reconciler.catalog.record import StatusStore
from reconciler.catalog.work import Claimed
from reconciler.core import effects as e
from reconciler.core.budget import Urgency, urgency_of
from reconciler.core.pace import Pace
from reconciler.core.reconcile import reconcile
from reconciler.core.snapshot import Next, Plane, Snapshot
from reconciler.core.trust import CheckedURI
from reconciler.errors import CatalogUnverified, NeonAPIError, NeonNotFound, NeonPasswordsNotStored, ReconcileError
from reconciler.neon.client import NeonClient
from reconciler.shell.access import Access
from reconciler.shell.budget import Budget, Turn
from reconciler.telemetry.witness import Witness
from specs.settings import SEND_MARGIN_SECONDS

T = TypeVar("T")
Probe = Callable[[CheckedURI], Awaitable[None]]
# A change that Neon refuses for longer is looked at afresh before it is sent again.
CHANGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class World:
    """What the effects act on.

    Attributes:
        client: Neon.
        budget: the pace at which it is asked.
        access: which organization to work in.
        records: the reconciler's side of the catalog.
        probe: connects to an app's database, or raises AppDatabaseUnreachable.
        send_within_seconds: how long after a permission was asked for a change other than a create may be sent.
        witness: sees what is done.
    """

    client: NeonClient
    budget: Budget
    access: Access
    records: StatusStore
    probe: Probe
    send_within_seconds: float
    witness: Witness


class Driver:
    """Runs passes against the real world; ``plane`` is what every pass has in common."""

    def __init__(self, world: World, plane: Plane) -> None:
        self._world = world
        self._plane = plane
        self._pace = Pace()

    async def run(self, claimed: Claimed) -> Next:
        """One pass over a claimed app.

        Raises:
            LeaseLost: nothing may be written any more.
            CatalogUnavailable: nothing can be written now.
        """
        steps = reconcile(self._snapshot(claimed))
        hand = _Hand(self._world, self._plane, claimed, urgency_of(claimed.app))
        try:
            effect = next(steps)
            while True:
                try:
                    answer = await hand.perform(effect)
                except ReconcileError as error:
                    swept = isinstance(effect, e.Permit) and effect.swept
                    self._world.witness.failed(error, budget=swept)
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration as end:
            outcome: Next = end.value
            if outcome.took is not None:
                self._pace = self._pace.with_another(outcome.took)
            return outcome
        finally:
            steps.close()

    async def would_act(self, claimed: Claimed) -> bool:
        """Whether a pass would do more than look; reads Neon, writes nothing and wakes no compute.

        Raises:
            ReconcileError: it could not be told.
        """
        steps = reconcile(self._snapshot(claimed))
        hand = _Hand(self._world, self._plane, claimed, Urgency.SWEEPS)
        try:
            effect = next(steps)
            while isinstance(effect, LOOKS):
                try:
                    answer = await hand.perform(effect)
                except (NeonNotFound, NeonPasswordsNotStored) as error:
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration:
            return False
        finally:
            steps.close()
        return True

    def _snapshot(self, claimed: Claimed) -> Snapshot:
        return Snapshot(
            app=claimed.app,
            plane=self._plane,
            now=claimed.at,
            attempts=claimed.attempts,
            jitter=secrets.randbelow(1 << 24) / (1 << 24),
            nonce=secrets.token_hex(16),
            intents=claimed.intents,
            confirmed_missing=claimed.confirmed_missing,
            surplus_ids=claimed.surplus_ids,
            pace=self._pace,
        )


LOOKS = (
    e.ConfirmAccess,
    e.ListProjects,
    e.GetProject,
    e.ListBranches,
    e.ListEndpoints,
    e.ListOperations,
    e.GetConnectionURI,
    e.OpenSeal,
)


class _Hand:
    """The effects of one pass, each change of Neon under a permission of its own."""

    def __init__(self, world: World, plane: Plane, claimed: Claimed, urgency: Urgency) -> None:
        self._world = world
        self._plane = plane
        self._claimed = claimed
        self._turn = Turn(world.budget, urgency, claimed.app.owner_id)
        self._client = world.client.through(self._turn)
        self._watch = world.witness.watch(claimed.app)
        self._permitted = False
        self._org_id: str | None = None

    async def perform(self, effect: e.Effect[Any]) -> Any:
        """The answer to one effect; raises a ReconcileError."""
        try:
            return await self._perform(effect)
        except NeonAPIError as error:
            self._world.access.heard(error)
            raise
        except CatalogUnverified:
            self._world.access.unseen()
            raise

    async def _perform(self, effect: e.Effect[Any]) -> Any:
        if effect.mutates:
            if not self._permitted:
                raise RuntimeError(f"{type(effect).__name__} without a permission")
            self._permitted = False
            with self._watch.changing(effect):
                answer = await self._change(effect)
                self._watch.changed(answer)
            return answer
        if isinstance(effect, LOOKS):
            return await self._look(effect)
        answer = await self._write(effect)
        self._watch.wrote(effect)
        return answer

    async def _permit(self, ask: Callable[[], Awaitable[T]], seconds: float) -> T:
        """A permission, good for so long from the question on; the request's place in the budget is taken before."""
        await self._turn.reserve()
        asked_at = time.monotonic()
        answer = await ask()
        self._permitted = True
        self._turn.permitted(asked_at + seconds)
        return answer

    async def _look(self, effect: e.Effect[Any]) -> Any:
        client = self._client
        match effect:
            case e.ConfirmAccess(fresh):
                self._org_id = await self._world.access.confirm(fresh=fresh, besides=self._claimed.app.app_id)
                return self._org_id
            case e.ListProjects(search, recoverable):
                return await client.list_all_projects(org_id=self._org_id, search=search, recoverable=recoverable)
            case e.GetProject(project_id):
                return await client.get_project(project_id)
            case e.ListBranches(project_id):
                return await client.list_branches(project_id)
            case e.ListEndpoints(project_id):
                return await client.list_endpoints(project_id)
            case e.ListOperations(project_id):
                return await client.list_operations(project_id)
            case e.GetConnectionURI(project_id, branch_id, role, database, pooled):
                return await client.get_connection_string(
                    project_id, branch_id=branch_id, role_name=role, database_name=database, pooled=pooled
                )
            case e.OpenSeal():
                app = self._claimed.app
                return self._world.records.open_seal(app, self._plane.addresses(app))
        raise TypeError(f"no such look: {effect}")

    async def _change(self, effect: e.Effect[Any]) -> Any:
        client = self._client
        match effect:
            case e.CreateProject(spec):
                return await client.create_project(spec)
            case e.UpdateProject(project_id, update):
                return await client.update_project(project_id, update)
            case e.RecoverProject(project_id):
                return await client.recover_project(project_id)
            case e.CreateEndpoint(project_id, endpoint):
                return await client.create_endpoint(project_id, endpoint)
            case e.UnprotectBranch(project_id, branch_id):
                return await client.update_branch(project_id, branch_id, protected=False)
            case e.DeleteProject(project_id):
                return await client.delete_project(project_id)
        raise TypeError(f"no such change: {effect}")

    async def _write(self, effect: e.Effect[Any]) -> Any:
        records, lease, app = self._world.records, self._claimed.lease, self._claimed.app
        match effect:
            case e.ProbeDatabase(uri):
                return await self._world.probe(uri)
            case e.OpenIntent():
                return await self._permit(partial(records.open_intent, lease, effect), SEND_MARGIN_SECONDS)
            case e.Permit(swept):
                within = min(CHANGE_SECONDS, self._world.send_within_seconds)
                return await self._permit(partial(records.permit, lease, swept=swept), within)
            case e.RefuseIntent(create_seq):
                return await records.refuse_intent(lease, create_seq)
            case e.NoteAbsence(create_seq, proven):
                return await records.note_absence(lease, create_seq, proven=proven)
            case e.RecordProject():
                return await records.record_project(lease, app, effect, self._watch.request_id)
            case e.RecordCredentials(credentials, progress):
                return await records.record_credentials(lease, app, credentials, progress, self._watch.request_id)
            case e.Record(progress):
                return await records.record(lease, progress, self._watch.request_id)
            case e.DropSurplus(project_id, report):
                return await records.drop_surplus(lease, project_id, report=report)
        raise TypeError(f"no such effect: {effect}")
