"""One pass or one round, carried out step by step: each step can be lost, late, refused, or the last."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from reconciler.catalog.work_queue import Lease, WorkItem
from reconciler.core import effects as e
from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.context import Result
from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable, CatalogUnavailable, LeaseLost, NeonNotSent, ReconcileError
from specs.settings import SEND_MARGIN_SECONDS
from tests.simulation import invariants
from tests.simulation.faults import LOOKS, Kind
from tests.simulation.ledger import verb_of
from tests.simulation.neon import Answered
from tests.simulation.requests import WINDOW_SECONDS, send
from tests.simulation.statements import carry_out
from tests.simulation.steps import Held, Release, Step, Taken, Violation
from tests.simulation.world import CHANGE_WITHIN, Meeting

if TYPE_CHECKING:
    from tests.simulation.daemons import Daemon

_RELEASED = Answered(value="released")


class Task:
    """A generator of steps, and the hand that performs them.

    Attributes:
        claimed: the app that a pass works on; None for a round.
        held: the periodic job that a round holds.
        org_id: the organization that the key was last said to work in.
        over: nothing of it happens any more.
    """

    def __init__(
        self,
        daemon: Daemon,
        name: str,
        steps: Generator[Any, Any, Any],
        *,
        claimed: WorkItem | None = None,
        held: Held | None = None,
    ) -> None:
        self.daemon = daemon
        self.world = daemon.world
        self.name = name
        self.steps = steps
        self.claimed = claimed
        self.held = held
        self._asked_at: float | None = None
        self.org_id: str | None = None
        self.over = False

    def begin(self) -> None:
        """Take the first step."""
        self._go_on(Answered())

    def cancel(self) -> None:
        """Drop it: the lease is somebody else's."""
        self._end()

    # From one step to the next

    def _reply(self, answered: Answered) -> None:
        if self.daemon.stands_still:
            self.daemon.later(0.0, lambda: self._go_on(answered))
        else:
            self._go_on(answered)

    def _go_on(self, answered: Answered) -> None:
        if self.over:
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
            self._leave(Result(0.1))
        except CatalogUnavailable:
            self._leave(Result(1.0, backoff=True))
        except ReconcileError:
            if self.claimed is not None:
                raise
            self._end()
        else:
            self._meet(step)

    def _leave(self, outcome: Result | None) -> None:
        if self.claimed is None:
            self._end()
            return
        if outcome is not None and outcome.create_seconds is not None:
            self.daemon.pace = self.daemon.pace.with_sample(outcome.create_seconds)
        self._meet(Release(outcome or Result(CAP_SECONDS, backoff=True)))

    def _end(self) -> None:
        self.over = True
        if self in self.daemon.tasks:
            self.daemon.tasks.remove(self)
        self.daemon.poll_soon(0.0)

    # One step

    def _meet(self, step: Step) -> None:
        verb = "worker" if isinstance(step, Release) else verb_of(self.steps)
        taken = Taken(step, verb, of_a_pass=self.claimed is not None)
        met = self.world.next_step(self.name, taken)
        if not self.daemon.goes_on(met):
            return
        if met.kind in WINDOW_SECONDS and met.strikes(met.kind):
            until = self.world.clock.now + self.world.chance.uniform(*WINDOW_SECONDS[met.kind])
            self.world.neon.until[met.kind] = until
            self.world.neon.hides_all = self.world.chance.random() < 0.5
            self.world.busy(until)
        if self.daemon.stands_still:
            self.daemon.later(0.0, lambda: self._perform(met))
        else:
            self._perform(met)

    def _perform(self, met: Meeting) -> None:
        step = met.taken.step
        if isinstance(step, e.Mutate):
            refused = self._unpermitted(step)
            if refused is not None:
                self._reply(Answered(error=refused))
                return
            invariants.check_sender(self.world, self.lease, step)
            invariants.check_sending(self.world, self.lease.app_id, step)
            send(self, met)
        elif isinstance(step, e.VerifyAccess):
            known = self.daemon.access.known(fresh=step.fresh)
            if known is None:
                send(self, met)
            else:
                self.org_id = known.value or self.org_id
                self.after(0.0, lambda: known, met)
        elif isinstance(step, LOOKS):
            send(self, met)
        elif isinstance(step, e.ProbeDatabase):
            self.after(self.world.chance.uniform(0.05, 0.5), lambda: self._probe(step.uri, met), met)
        else:
            if isinstance(step, e.OpenIntent | e.AuthorizeMutation):
                self._asked_at = self.world.clock.now
            self.after(self.world.chance.uniform(0.0005, 0.02), lambda: self._write(met), met)

    @property
    def lease(self) -> Lease:
        """The lease of the app that a pass works on."""
        if self.claimed is None:
            raise Violation(f"{self.name}: a round sends a change")
        return self.claimed.lease

    def _unpermitted(self, step: e.Effect[Any]) -> ReconcileError | None:
        """``Turn.admit`` in virtual time."""
        if self._asked_at is None:
            raise Violation(f"{type(step).__name__} without a permission")
        passed, self._asked_at = self.world.clock.now - self._asked_at, None
        if passed <= (SEND_MARGIN_SECONDS if isinstance(step, e.CreateProject) else CHANGE_WITHIN):
            return None
        return NeonNotSent(method="", route=type(step).__name__, detail="held up")

    def after(self, seconds: float, act: Callable[[], Answered], met: Meeting | None) -> None:
        """Act after so long, and go on with the answer, unless the process ends with it."""

        def happen() -> None:
            if self.over:
                return
            answered = act()
            if met is not None:
                met.taken.completed = True
            if met is None or not self.daemon.ended_after(met):
                self._reply(answered)

        self.daemon.later(seconds, happen)

    def learnt(self, step: Step, answered: Answered) -> Answered:
        """Take in what an answer says of the key."""
        if isinstance(step, e.VerifyAccess):
            answered = self.daemon.access.learn(answered)
            self.org_id = answered.value or self.org_id
        elif self.claimed is not None:
            self.daemon.access.heard(answered.error)
        return answered

    def _probe(self, uri: CheckedURI, met: Meeting) -> Answered:
        met.taken.asked = True
        if not met.strikes(Kind.UNREACHABLE) and self.world.neon.connects(uri.get_secret_value()):
            return Answered()
        return Answered(error=AppDatabaseUnreachable("ConnectionTimeout"))

    def _write(self, met: Meeting) -> Answered:
        answered = carry_out(self, met)
        return _RELEASED if isinstance(met.taken.step, Release) else answered
