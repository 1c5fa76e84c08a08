"""Safeguards of the shell, switched off one at a time, and what a run then must say."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from reconciler.errors import NeonAPIError
from reconciler.neon import client, transport
from reconciler.neon.protocol import NeonRequest
from reconciler.neon.retry import NoGate
from reconciler.runtime import rate_limiter
from reconciler.runtime.handlers import session
from reconciler.runtime.handlers.session import Session
from reconciler.runtime.jobs.runner import JobRunner
from reconciler.runtime.rate_limiter import Permit, PriorityGate, RateLimiter
from reconciler.runtime.worker import Worker
from tests.driven import catalog
from tests.driven.faults import Fault, Swarm, made_of, swarm
from tests.driven.parts import Parts
from tests.driven.run import Failure, run
from tests.virtual.ambient import Ambient

T = TypeVar("T")
Mutate = Callable[[pytest.MonkeyPatch], None]


def leases_not_renewed(patch: pytest.MonkeyPatch) -> None:
    """A pass that takes long loses its lease."""

    async def keep_leases(_self: Worker) -> None:
        return

    patch.setattr(Worker, "_renew_leases", keep_leases)


def permission_not_checked(patch: pytest.MonkeyPatch) -> None:
    """A change is sent however long ago it was permitted."""
    patch.setattr(
        PriorityGate, "set_mutation_deadline", lambda self, _until: setattr(self, "_mutation_deadline", float("inf"))
    )


def permission_counted_from_its_answer(patch: pytest.MonkeyPatch) -> None:
    """The time that the answer took on its way does not count."""

    async def permit(self: Session, ask: Callable[[], Awaitable[T]], seconds: float) -> T:
        await self.gate.reserve()
        answer = await ask()
        self._authorized = True
        self.gate.set_mutation_deadline(session.time.monotonic() + seconds)  # type: ignore[attr-defined]
        return answer

    patch.setattr(Session, "authorize", permit)


def permission_by_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    """A clock that is set while the process stands still makes an old permission young."""

    def wall() -> float:
        return Parts.ambient.wall()

    for module in (rate_limiter, session):
        patch.setattr(module, "time", SimpleNamespace(monotonic=wall))


def change_sent_again(patch: pytest.MonkeyPatch) -> None:
    """The client sends again whatever was lost or answered 500, a create too."""

    def pause(error: NeonAPIError, _request: NeonRequest, *, retries: int, **_: float) -> float | None:
        return 0.2 if retries < 1 and (error.status is None or error.status >= 500) else None

    patch.setattr(client, "retry_delay", pause)


def budget_ignored(patch: pytest.MonkeyPatch) -> None:
    """Requests wait for nobody."""

    async def admit(_self: PriorityGate, request: NeonRequest) -> None:
        await NoGate().acquire(request)

    patch.setattr(PriorityGate, "acquire", admit)


def ticket_used_twice(patch: pytest.MonkeyPatch) -> None:
    """The ticket of a change is good for what is sent after it too."""
    honest = PriorityGate.acquire

    async def admit(self: PriorityGate, request: NeonRequest) -> None:
        reserved = self._reserved
        await honest(self, request)
        self._reserved = reserved

    patch.setattr(PriorityGate, "acquire", admit)


def ticket_used_late(patch: pytest.MonkeyPatch) -> None:
    """A ticket does not lapse."""
    honest = RateLimiter.acquire

    async def ticket(self: RateLimiter, *args: Any, **named: Any) -> Permit:
        await honest(self, *args, **named)
        return Permit(float("inf"))

    patch.setattr(RateLimiter, "acquire", ticket)


def asked_to_wait_and_does_not(patch: pytest.MonkeyPatch) -> None:
    """What Neon answers to one request holds back nobody else."""

    async def refused(_self: PriorityGate, _retry_after: float | None) -> None:
        return

    patch.setattr(PriorityGate, "on_rate_limited", refused)


def leases_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """Who ends leaves leases to expire."""

    async def give_back(_self: object) -> None:
        return

    patch.setattr(catalog.WorkQueue, "release_all", give_back)


def jobs_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """Who ends leaves its rounds to expire."""

    async def stop(self: JobRunner) -> None:
        self._stopping = True

    patch.setattr(JobRunner, "stop", stop)


def passes_outlive_the_process(patch: pytest.MonkeyPatch) -> None:
    """Leases are given back while passes go on."""

    async def drain(self: Worker) -> None:
        await self._work.release_all()
        await asyncio.sleep(5)

    patch.setattr(Worker, "_drain", drain)


def no_deadline(patch: pytest.MonkeyPatch) -> None:
    """A request waits for its answer for ever."""
    patch.setattr(transport, "asyncio", SimpleNamespace(timeout=lambda _: asyncio.timeout(None)))


@dataclass(frozen=True)
class Mutant:
    """A safeguard that is switched off.

    Attributes:
        mutate: switches it off.
        broken: what a run must say.
        rates: the faults under which it matters; chance's own where there are none.
    """

    mutate: Mutate
    broken: str
    rates: Mapping[Fault, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called."""
        return self.mutate.__name__

    def swarm(self, seed: int) -> Swarm:
        """The faults of its run."""
        return made_of(dict(self.rates), random.Random(f"{seed}/mutant"), MOST_FAULTS) if self.rates else swarm(seed)


_PAUSES = {Fault.PAUSE_ON_STATEMENT: 0.05}
_ENDS = {Fault.TERMINATE_ON_ARRIVAL: 0.2}
MUTANTS = (
    Mutant(leases_not_renewed, "lost its lease", {Fault.SLOW: 0.9}),
    Mutant(permission_not_checked, "too long after", _PAUSES),
    Mutant(permission_counted_from_its_answer, "too long after", _PAUSES),
    Mutant(permission_by_the_wall_clock, "too long after|without a ticket", _PAUSES | {Fault.SKEW: 1.0}),
    Mutant(change_sent_again, "projects of .* are alive|2 projects", {Fault.SILENT_AFTER: 0.2, Fault.S500_AFTER: 0.2}),
    Mutant(budget_ignored, "without a ticket"),
    Mutant(ticket_used_twice, "without a ticket", {Fault.S423: 0.3}),
    Mutant(ticket_used_late, "without a ticket", _PAUSES | {Fault.NARROW: 1.0}),
    Mutant(asked_to_wait_and_does_not, "Neon asked to wait", {Fault.S429_SECONDS: 0.3}),
    Mutant(leases_not_given_back, "has ended and holds", _ENDS),
    Mutant(jobs_not_given_back, "has ended and", _ENDS),
    Mutant(passes_outlive_the_process, "has ended and", _ENDS | {Fault.SLOW: 0.4}),
    Mutant(no_deadline, "not converged", {Fault.SILENT_BEFORE: 0.1}),
)
MOST_RUNS = 300
MOST_FAULTS = 40


def runs_to_find(mutant: Mutant, ambient: Ambient) -> int:
    """How many runs it takes until one says what is wrong, which with the safeguard keeps all rules.

    Raises:
        AssertionError: none does, or the first that fails says something else, or says it with the safeguard too.
    """
    for seed in range(MOST_RUNS):
        reason = _without(mutant, seed, ambient)
        if reason is None:
            continue
        if not re.search(mutant.broken, reason):
            raise AssertionError(f"{mutant.name}: {reason}")
        with_it = _reason(mutant, seed, ambient)
        if with_it is not None:
            raise AssertionError(f"with {mutant.name} as without it: {with_it}")
        return seed + 1
    raise AssertionError(f"{MOST_RUNS} runs found nothing amiss without {mutant.name}")


def _without(mutant: Mutant, seed: int, ambient: Ambient) -> str | None:
    """What a run says without the safeguard."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.mutate(patch)
        return _reason(mutant, seed, ambient)


def _reason(mutant: Mutant, seed: int, ambient: Ambient) -> str | None:
    """Which rule a run breaks, if any."""
    try:
        run(seed, ambient, mutant.swarm(seed))
    except Failure as failure:
        return failure.reason
    return None
