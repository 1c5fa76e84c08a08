"""One pass or one round, carried out step by step: each step can be lost, late, refused, or the last."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from reconciler.catalog.work import Claimed
from reconciler.core import effects as e
from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.snapshot import Next
from reconciler.errors import CatalogUnavailable, LeaseLost, NeonNotSent, ReconcileError, TenantUnreachable
from reconciler.neon.wire import NeonCall
from specs.settings import SEND_MARGIN_SECONDS
from tests.simulation import invariants
from tests.simulation.faults import ANSWERS, LATENESS, Kind
from tests.simulation.fleet import FleetCatalog
from tests.simulation.neon import Answered, call_of, unknown
from tests.simulation.steps import Do, Held, ListAll, Release, Step, Violation
from tests.simulation.world import SEND_WITHIN, SETTLE, TIMEOUT

if TYPE_CHECKING:
    from tests.simulation.daemons import Daemon

REQUESTS = (
    e.ListProjects,
    e.GetProject,
    e.ListBranches,
    e.ListEndpoints,
    e.ListOperations,
    e.GetConnectionURI,
    e.ConfirmAccess,
    ListAll,
)
UNANSWERED = {Kind.LOST_BEFORE, Kind.LOST_AFTER, *LATENESS}
WINDOW_SECONDS = {Kind.UNAUTHORIZED: (5.0, 120.0), Kind.STALE: (5.0, 60.0), Kind.PARTIAL: (5.0, 120.0)}


class Task:
    """A generator of steps, and the hand that performs them.

    Attributes:
        claimed: the app that a pass works on; None for a round.
        held: the periodic job that a round holds.
    """

    def __init__(
        self,
        daemon: Daemon,
        name: str,
        steps: Generator[Any, Any, Any],
        *,
        claimed: Claimed | None = None,
        held: Held | None = None,
    ) -> None:
        self.daemon = daemon
        self.world = daemon.world
        self.name = name
        self.steps = steps
        self.claimed = claimed
        self.held = held
        self._asked_at: float | None = None
        self._org_id: str | None = None
        self._over = False

    def begin(self) -> None:
        """Take the first step."""
        self._go_on(Answered())

    def cancel(self) -> None:
        """Drop it: the lease is somebody else's."""
        self._end()

    # From one step to the next

    def _reply(self, seconds: float, answered: Answered) -> None:
        self.daemon.later(seconds, lambda: self._go_on(answered))

    def _go_on(self, answered: Answered) -> None:
        if self._over:
            return
        if self.claimed is not None and answered is _RELEASED:
            self._end()
            return
        try:
            error = answered.error
            step = self.steps.send(answered.value) if error is None else self.steps.throw(error)
        except StopIteration as end:
            self._leave(end.value)
        except LeaseLost:
            self._leave(Next(0.1))
        except CatalogUnavailable:
            self._leave(Next(1.0, failed=True))
        except ReconcileError:
            if self.claimed is not None:
                raise
            self._end()
        else:
            self._meet(step)

    def _leave(self, outcome: Next | None) -> None:
        if self.claimed is None:
            self._end()
            return
        if outcome is not None and outcome.took is not None:
            self.daemon.pace = self.daemon.pace.with_another(outcome.took)
        self._meet(Release(outcome or Next(CAP_SECONDS, failed=True)))

    def _end(self) -> None:
        self._over = True
        if self in self.daemon.tasks:
            self.daemon.tasks.remove(self)
        self.daemon.poll_soon(0.0)

    # One step

    def _meet(self, step: Step) -> None:
        kind = self.world.next_step(self.name, step, of_a_pass=self.claimed is not None)
        if kind == Kind.CRASH_BEFORE:
            self.daemon.crash()
        elif kind == Kind.PAUSE_BEFORE:
            self.daemon.pause()
            self.daemon.later(0.0, lambda: self._perform(step, None))
        else:
            if kind in WINDOW_SECONDS:
                until = self.world.clock.now + self.world.chance.uniform(*WINDOW_SECONDS[kind])
                self.world.neon.until[kind] = until
                self.world.busy(until)
            self._perform(step, kind)

    def _perform(self, step: Step, kind: Kind | None) -> None:
        if isinstance(step, e.Effect) and step.mutates:
            refused = self._unpermitted(step)
            if refused is not None:
                self._reply(0.0, Answered(error=refused))
                return
            invariants.check_sending(self.world, self._row_id(), step)
            self._request(step, kind)
        elif isinstance(step, e.ConfirmAccess):
            known = self.daemon.access.known(fresh=step.fresh)
            if known is None:
                self._request(step, kind)
            else:
                self._org_id = known.value or self._org_id
                self._after(0.0, lambda: known, kind)
        elif isinstance(step, REQUESTS):
            self._request(step, kind)
        elif isinstance(step, e.ProbeDatabase):
            self._after(self.world.chance.uniform(0.05, 0.5), lambda: self._probe(step.uri), kind)
        else:
            if isinstance(step, e.OpenIntent | e.Permit):
                self._asked_at = self.world.clock.now
            self._after(self.world.chance.uniform(0.0005, 0.02), lambda: self._write(step, kind), kind)

    def _row_id(self) -> str:
        if self.claimed is None:
            raise Violation(f"{self.name}: a round sends a change")
        return self.claimed.lease.app_id

    def _unpermitted(self, step: e.Effect[Any]) -> ReconcileError | None:
        """``Driver._check_permission`` in virtual time."""
        if self._asked_at is None:
            raise Violation(f"{type(step).__name__} without a permission")
        passed, self._asked_at = self.world.clock.now - self._asked_at, None
        if isinstance(step, e.CreateProject):
            if passed > SEND_MARGIN_SECONDS:
                return NeonNotSent(method="POST", route="/projects", detail="held up")
        elif passed > SEND_WITHIN:
            return LeaseLost(self._row_id())
        return None

    def _after(self, seconds: float, act: Callable[[], Answered], kind: Kind | None) -> None:
        def happen() -> None:
            if self._over:
                return
            answered = act()
            if kind == Kind.CRASH_AFTER:
                self.daemon.crash()
                return
            if kind == Kind.PAUSE_AFTER:
                self.daemon.pause()
            self._reply(0.0, answered)

        self.daemon.later(seconds, happen)

    # Requests to Neon. What was sent takes effect whatever becomes of the sender.

    def _request(self, step: e.Effect[Any] | ListAll, kind: Kind | None) -> None:
        world, chance, call = self.world, self.world.chance, call_of(step, self._org_id)
        there, back = chance.uniform(0.02, 0.3), chance.uniform(0.02, 0.3)
        if kind == Kind.NOT_SENT:
            error = NeonNotSent(method=call.request.method, route=call.request.route, detail="no connection")
            self._after(there, lambda: self._learnt(step, Answered(error=error)), None)
            return
        world.mutations += call.request.mutates
        if kind in UNANSWERED:
            given_up = unknown(call.request, "time-out")
            self._after(TIMEOUT, lambda: self._learnt(step, given_up), None)
        if kind == Kind.LOST_BEFORE:
            return
        if kind in LATENESS:
            there = self._lateness(kind)
        org_id = self._org_id
        world.in_flight += 1

        def arrive() -> None:
            world.in_flight -= 1
            answered = self._arrived(step, call, kind, org_id)
            if kind in UNANSWERED:
                return
            self._after(back, lambda: self._learnt(step, answered), None)
            if kind == Kind.CRASH_AFTER:
                self.daemon.crash()
            elif kind == Kind.PAUSE_AFTER:
                self.daemon.pause()

        world.clock.after(there, arrive)

    def _lateness(self, kind: Kind | None) -> float:
        if kind == Kind.LATE:
            seconds = SETTLE - SEND_MARGIN_SECONDS - 0.1
        else:
            seconds = SETTLE * self.world.chance.uniform(1.3, 8)
            self.world.beyond.add(self._row_id())
        self.world.busy(self.world.clock.now + seconds)
        return seconds

    def _arrived(
        self, step: e.Effect[Any] | ListAll, call: NeonCall[Any], kind: Kind | None, org_id: str | None
    ) -> Answered:
        status = None if kind is None else ANSWERS.get(kind)
        answered = Answered() if status is not None and not status[1] else self.world.neon.answer(step, org_id)
        if call.request.mutates:
            self.world.note("neon", f"{call.request.method} {call.request.path} {answered.error or 'done'}")
        if kind is not None and status is not None:
            return self.world.neon.refusal(call, kind)
        if kind == Kind.UNREADABLE:
            return unknown(call.request, "a success whose body is not JSON")
        return answered

    def _learnt(self, step: e.Effect[Any] | ListAll, answered: Answered) -> Answered:
        if isinstance(step, e.ConfirmAccess):
            answered = self.daemon.access.learn(answered)
            self._org_id = answered.value or self._org_id
        elif self.claimed is not None:
            self.daemon.access.heard(answered.error)
        return answered

    def _probe(self, uri: SecretStr) -> Answered:
        if self.world.neon.connects(uri.get_secret_value()):
            return Answered()
        return Answered(error=TenantUnreachable("ConnectionTimeout"))

    # Statements of the catalog

    def _write(self, step: Any, kind: Kind | None) -> Answered:
        lost = Answered(error=CatalogUnavailable("the catalog did not answer"))
        if kind == Kind.CATALOG_REFUSED:
            return self._released(step, lost)
        try:
            answered = Answered(self._statement(step))
        except ReconcileError as error:
            answered = Answered(error=error)
        return self._released(step, lost if kind == Kind.CATALOG_LOST else answered)

    def _released(self, step: Any, answered: Answered) -> Answered:
        return _RELEASED if isinstance(step, Release) else answered

    def _statement(self, step: Any) -> Any:
        if isinstance(step, Do):
            return step.act()
        catalog, claimed = self.world.catalog, self.claimed
        if claimed is None:
            raise Violation(f"{self.name}: a round writes {step}")
        act = _STATEMENTS.get(type(step))
        if act is None:
            raise Violation(f"no such effect: {step}")
        return act(catalog, claimed, step)


_RELEASED = Answered(value="released")

_STATEMENTS: dict[type, Callable[[FleetCatalog, Claimed, Any], Any]] = {
    Release: lambda c, of, s: c.release(of.lease, s.outcome),
    e.OpenSeal: lambda c, of, _: c.open_seal(of.app),
    e.OpenIntent: lambda c, of, s: c.open_intent(of.lease, s),
    e.Permit: lambda c, of, s: c.permit(of.lease, swept=s.swept),
    e.RefuseIntent: lambda c, of, s: c.settle_intent(of.lease, s.create_seq, "refused", absent=False),
    e.NoteAbsence: lambda c, of, s: c.settle_intent(
        of.lease, s.create_seq, "absent" if s.proven else "open", absent=True
    ),
    e.RecordProject: lambda c, of, s: c.record_project(of.lease, of.app, s),
    e.RecordCredentials: lambda c, of, s: c.record(of.lease, s.progress, s.credentials),
    e.Record: lambda c, of, s: c.record(of.lease, s.progress),
    e.DropSurplus: lambda c, of, s: c.drop_surplus(of.lease, s.project_id, report=s.report),
}
