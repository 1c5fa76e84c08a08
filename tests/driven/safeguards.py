"""Safeguards of the shell, switched off one at a time, and what a run then must say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from reconciler.errors import NeonAPIError
from reconciler.neon import client, transport
from reconciler.neon.resend import OpenGate
from reconciler.neon.wire import NeonRequest
from reconciler.shell import budget, driver
from reconciler.shell.budget import Budget, Ticket, Turn
from reconciler.shell.driver import _Hand
from reconciler.shell.rounds import Rounds
from reconciler.shell.worker import Worker
from tests.driven import catalog
from tests.driven.parts import Parts

T = TypeVar("T")
Mutate = Callable[[pytest.MonkeyPatch], None]


def leases_not_renewed(patch: pytest.MonkeyPatch) -> None:
    """A pass that takes long loses its lease."""

    async def keep_leases(_self: Worker) -> None:
        return

    patch.setattr(Worker, "_keep_leases", keep_leases)


def permission_not_checked(patch: pytest.MonkeyPatch) -> None:
    """A change is sent however long ago it was permitted."""
    patch.setattr(Turn, "permitted", lambda self, _until: setattr(self, "_change_until", float("inf")))


def permission_counted_from_its_answer(patch: pytest.MonkeyPatch) -> None:
    """The time that the answer took on its way does not count."""

    async def permit(self: _Hand, ask: Callable[[], Awaitable[T]], seconds: float) -> T:
        await self._turn.reserve()
        answer = await ask()
        self._permitted = True
        self._turn.permitted(driver.time.monotonic() + seconds)  # type: ignore[attr-defined]
        return answer

    patch.setattr(_Hand, "_permit", permit)


def permission_by_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    """A clock that is set while the process stands still makes an old permission young."""

    def wall() -> float:
        return Parts.ambient.wall()

    for module in (budget, driver):
        patch.setattr(module, "time", SimpleNamespace(monotonic=wall))


def change_sent_again(patch: pytest.MonkeyPatch) -> None:
    """The client sends again whatever was lost or answered 500, a create too."""

    def pause(error: NeonAPIError, _request: NeonRequest, *, resends: int, **_: float) -> float | None:
        return 0.2 if resends < 1 and (error.status is None or error.status >= 500) else None

    patch.setattr(client, "pause_before_resend", pause)


def budget_ignored(patch: pytest.MonkeyPatch) -> None:
    """Requests wait for nobody."""

    async def admit(_self: Turn, request: NeonRequest) -> None:
        await OpenGate().admit(request)

    patch.setattr(Turn, "admit", admit)


def ticket_used_twice(patch: pytest.MonkeyPatch) -> None:
    """The ticket of a change is good for what is sent after it too."""
    honest = Turn.admit

    async def admit(self: Turn, request: NeonRequest) -> None:
        reserved = self._reserved
        await honest(self, request)
        self._reserved = reserved

    patch.setattr(Turn, "admit", admit)


def ticket_used_late(patch: pytest.MonkeyPatch) -> None:
    """A ticket does not lapse."""
    honest = Budget.ticket

    async def ticket(self: Budget, *args: Any) -> Ticket:
        await honest(self, *args)
        return Ticket(float("inf"))

    patch.setattr(Budget, "ticket", ticket)


def asked_to_wait_and_does_not(patch: pytest.MonkeyPatch) -> None:
    """What Neon answers to one request holds back nobody else."""

    async def refused(_self: Turn, _retry_after: float | None) -> None:
        return

    patch.setattr(Turn, "refused", refused)


def leases_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """Who ends leaves leases to expire."""

    async def give_back(_self: object) -> None:
        return

    patch.setattr(catalog.WorkCatalog, "give_back", give_back)


def jobs_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """Who ends leaves its rounds to expire."""

    async def stop(self: Rounds) -> None:
        self._stopping = True

    patch.setattr(Rounds, "stop", stop)


def passes_outlive_the_process(patch: pytest.MonkeyPatch) -> None:
    """Leases are given back while passes go on."""

    async def drain(self: Worker) -> None:
        await self._work.give_back()
        await asyncio.sleep(5)

    patch.setattr(Worker, "_drain", drain)


def no_deadline(patch: pytest.MonkeyPatch) -> None:
    """A request waits for its answer for ever."""
    patch.setattr(transport, "asyncio", SimpleNamespace(timeout=lambda _: asyncio.timeout(None)))


MUTANTS: tuple[tuple[Mutate, str], ...] = (
    (leases_not_renewed, "lost its lease"),
    (permission_not_checked, "too long after"),
    (permission_counted_from_its_answer, "too long after"),
    (permission_by_the_wall_clock, "too long after|without a ticket"),
    (change_sent_again, "projects of .* are alive|without a committed intent|too long after"),
    (budget_ignored, "without a ticket"),
    (ticket_used_twice, "without a ticket"),
    (ticket_used_late, "without a ticket"),
    (asked_to_wait_and_does_not, "Neon asked to wait"),
    (leases_not_given_back, "has ended and holds"),
    (jobs_not_given_back, "has ended and"),
    (passes_outlive_the_process, "has ended and"),
    (no_deadline, "not converged"),
)
