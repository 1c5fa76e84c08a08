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

from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkItem
from reconciler.core import effects as e
from reconciler.core.context import ControlPlane, ReconcileContext, Result
from reconciler.core.host_allow_list import CheckedURI
from reconciler.core.poll_interval import AdaptivePollInterval
from reconciler.core.rate_limit import Priority, priority_of
from reconciler.core.reconcile import reconcile
from reconciler.errors import CatalogUnverified, NeonAPIError, NeonNotFound, NeonPasswordsNotStored, ReconcileError
from reconciler.neon.client import NeonClient
from reconciler.runtime.guards.organization import OrganizationGuard
from reconciler.runtime.rate_limiter import PriorityGate, RateLimiter
from reconciler.telemetry.recorder import Recorder
from specs.settings import SEND_MARGIN_SECONDS

T = TypeVar("T")
Probe = Callable[[CheckedURI], Awaitable[None]]
# A change that Neon refuses for longer is looked at afresh before it is sent again.
MUTATION_WINDOW_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Dependencies:
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
    rate_limiter: RateLimiter
    organization: OrganizationGuard
    status_store: StatusStore
    probe: Probe
    send_within_seconds: float
    recorder: Recorder


class Reconciler:
    """Runs passes against the real world; ``plane`` is what every pass has in common."""

    def __init__(self, world: Dependencies, plane: ControlPlane) -> None:
        self._dependencies = world
        self._control_plane = plane
        self._poll_interval = AdaptivePollInterval()

    async def run(self, claimed: WorkItem) -> Result:
        """One pass over a claimed app.

        Raises:
            LeaseLost: nothing may be written any more.
            CatalogUnavailable: nothing can be written now.
        """
        steps = reconcile(self._context(claimed))
        handler = _EffectHandler(self._dependencies, self._control_plane, claimed, priority_of(claimed.app))
        try:
            effect = next(steps)
            while True:
                try:
                    answer = await handler.perform(effect)
                except ReconcileError as error:
                    swept = isinstance(effect, e.AuthorizeMutation) and effect.automatic
                    self._dependencies.recorder.on_error(error, budget=swept)
                    effect = steps.throw(error)
                else:
                    effect = steps.send(answer)
        except StopIteration as end:
            outcome: Result = end.value
            if outcome.create_seconds is not None:
                self._poll_interval = self._poll_interval.with_sample(outcome.create_seconds)
            return outcome
        finally:
            steps.close()

    async def has_drift(self, claimed: WorkItem) -> bool:
        """Whether a pass would do more than look; reads Neon, writes nothing and wakes no compute.

        Raises:
            ReconcileError: it could not be told.
        """
        steps = reconcile(self._context(claimed))
        hand = _EffectHandler(self._dependencies, self._control_plane, claimed, Priority.RESYNC)
        try:
            effect = next(steps)
            while isinstance(effect, READ_EFFECTS):
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

    def _context(self, claimed: WorkItem) -> ReconcileContext:
        return ReconcileContext(
            app=claimed.app,
            control_plane=self._control_plane,
            now=claimed.at,
            attempts=claimed.attempts,
            jitter=secrets.randbelow(1 << 24) / (1 << 24),
            nonce=secrets.token_hex(16),
            intents=claimed.intents,
            confirmed_missing=claimed.confirmed_missing,
            duplicate_ids=claimed.duplicate_ids,
            poll_interval=self._poll_interval,
        )


READ_EFFECTS = (
    e.VerifyAccess,
    e.ListProjects,
    e.GetProject,
    e.ListBranches,
    e.ListEndpoints,
    e.ListOperations,
    e.GetConnectionURI,
    e.DecryptCredentials,
)


class _EffectHandler:
    """The effects of one pass, each change of Neon under a permission of its own."""

    def __init__(self, world: Dependencies, plane: ControlPlane, claimed: WorkItem, urgency: Priority) -> None:
        self._dependencies = world
        self._control_plane = plane
        self._item = claimed
        self._gate = PriorityGate(world.rate_limiter, urgency, claimed.app.owner_id)
        self._client = world.client.with_gate(self._gate)
        self._recorder = world.recorder.for_app(claimed.app)
        self._authorized = False
        self._org_id: str | None = None

    async def perform(self, effect: e.Effect[Any]) -> Any:
        """The answer to one effect; raises a ReconcileError."""
        try:
            return await self._perform(effect)
        except NeonAPIError as error:
            self._dependencies.organization.record_failure(error)
            raise
        except CatalogUnverified:
            self._dependencies.organization.invalidate()
            raise

    async def _perform(self, effect: e.Effect[Any]) -> Any:
        if effect.mutates:
            if not self._authorized:
                raise RuntimeError(f"{type(effect).__name__} without a permission")
            self._authorized = False
            with self._recorder.mutation(effect):
                answer = await self._mutate(effect)
                self._recorder.on_mutated(answer)
            return answer
        if isinstance(effect, READ_EFFECTS):
            return await self._read(effect)
        answer = await self._write(effect)
        self._recorder.on_recorded(effect)
        return answer

    async def _authorize(self, authorize: Callable[[], Awaitable[T]], seconds: float) -> T:
        """A permission, good for so long from the question on; the request's place in the budget is taken before."""
        await self._gate.reserve()
        asked_at = time.monotonic()
        answer = await authorize()
        self._authorized = True
        self._gate.set_mutation_deadline(asked_at + seconds)
        return answer

    async def _read(self, effect: e.Effect[Any]) -> Any:
        client = self._client
        match effect:
            case e.VerifyAccess(fresh):
                self._org_id = await self._dependencies.organization.verify(
                    fresh=fresh, exclude_app_id=self._item.app.app_id
                )
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
            case e.DecryptCredentials():
                app = self._item.app
                return self._dependencies.status_store.decrypt_credentials(app, self._control_plane.address_rule(app))
        raise TypeError(f"no such look: {effect}")

    async def _mutate(self, effect: e.Effect[Any]) -> Any:
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
        records, lease, app = self._dependencies.status_store, self._item.lease, self._item.app
        match effect:
            case e.ProbeDatabase(uri):
                return await self._dependencies.probe(uri)
            case e.OpenIntent():
                return await self._authorize(partial(records.open_intent, lease, effect), SEND_MARGIN_SECONDS)
            case e.AuthorizeMutation(swept):
                within = min(MUTATION_WINDOW_SECONDS, self._dependencies.send_within_seconds)
                return await self._authorize(partial(records.authorize_mutation, lease, automatic=swept), within)
            case e.MarkIntentRejected(create_seq):
                return await records.mark_intent_rejected(lease, create_seq)
            case e.RecordAbsence(create_seq, proven):
                return await records.record_absence(lease, create_seq, confirmed=proven)
            case e.RecordProject():
                return await records.record_project(lease, app, effect, self._recorder.request_id)
            case e.RecordCredentials(credentials, progress):
                return await records.record_credentials(lease, app, credentials, progress, self._recorder.request_id)
            case e.RecordStatus(progress):
                return await records.record(lease, progress, self._recorder.request_id)
            case e.DismissDuplicate(project_id, report):
                return await records.dismiss_duplicate(lease, project_id, report=report)
        raise TypeError(f"no such effect: {effect}")
