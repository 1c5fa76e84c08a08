"""This process's share of the request budget: slices leased from the catalog, handed to whoever waits.

A request is let in by a *ticket*, which lapses with its slice. A change at Neon takes its ticket before its permission
is asked for, since waiting in between would make the permission stale.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from reconciler.core.budget import MOST_CLOSED_SECONDS, Grant, Terms, Urgency
from reconciler.errors import CatalogUnavailable, NeonNotSent, RateLimitExhausted
from reconciler.neon.resend import RETRY_WINDOW_SECONDS
from reconciler.neon.wire import NeonRequest

# How long a repair waits for its turn before it makes room for another app's pass.
REPAIR_PATIENCE_SECONDS = 1.0
# What it has asked already would be lost; where little flows in, it would never come to its end.
BEGUN_PATIENCE_SECONDS = 15.0
# A refusal without a ``Retry-After``.
CLOSED_SECONDS = 1.0
_MOST_PAUSE_SECONDS = 5.0


class Slices(Protocol):
    """Where slices come from; the catalog."""

    async def lease(self, wanted: Mapping[Urgency, int]) -> Grant:
        """Requests that may be sent within ``slice_seconds`` from the moment of the call."""

    async def close(self, seconds: float) -> None:
        """Lease nothing for a while."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right to send one request until ``lapses``, in monotonic seconds."""

    lapses: float


@dataclass(frozen=True, slots=True)
class _Place:
    """Somebody who waits for a ticket, and on whose behalf."""

    ticket: asyncio.Future[Ticket]
    whose: str


class Budget:
    """Hands out tickets; one for each process.

    Args:
        slices: where they come from.
        terms: what a slice is.
        on_level: told how many requests the shared bucket holds, after each lease.
        on_wait: told how many seconds a request of some urgency waited.
    """

    def __init__(
        self,
        slices: Slices,
        terms: Terms,
        *,
        on_level: Callable[[float], None] | None = None,
        on_wait: Callable[[Urgency, float], None] | None = None,
    ) -> None:
        self._slices = slices
        self._terms = terms
        self._on_level = on_level
        self._on_wait = on_wait
        self._waiting: dict[Urgency, deque[_Place]] = {kind: deque() for kind in Urgency}
        self._leasing: asyncio.Task[None] | None = None
        self._served: dict[str, int] = {}
        self._handed_out = 0

    async def ticket(self, urgency: Urgency, patience: float | None = None, *, whose: str = "") -> Ticket:
        """Wait for the right to send one request.

        Args:
            urgency: whom it is for.
            patience: most seconds to wait; None for as long as it takes.
            whose: the owner; of several with the same urgency one after the other gets a ticket.

        Raises:
            RateLimitExhausted: the patience is over.
            CatalogUnavailable: the budget cannot be read.
        """
        began = time.monotonic()
        place: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._waiting[urgency].append(_Place(place, whose))
        if self._leasing is None or self._leasing.done():
            self._leasing = asyncio.create_task(self._lease(), name="request-budget")
        try:
            async with asyncio.timeout(patience):
                ticket = await place
        except TimeoutError:
            raise RateLimitExhausted(urgency) from None
        finally:
            if not place.done():
                place.cancel()
        if self._on_wait is not None:
            self._on_wait(urgency, time.monotonic() - began)
        return ticket

    async def refused(self, retry_after: float | None) -> None:
        """Neon refused a request for there being too many: hold back all processes for a while."""
        seconds = CLOSED_SECONDS if retry_after is None else min(MOST_CLOSED_SECONDS, retry_after)
        with suppress(CatalogUnavailable):  # then no slice is leased either
            await self._slices.close(seconds)

    async def aclose(self) -> None:
        """Stop leasing; who waits is told that there is nothing to have."""
        task, self._leasing = self._leasing, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._tell("the process stops")

    async def _lease(self) -> None:
        """Lease slices for as long as somebody waits; nobody waits for a lease that has failed."""
        try:
            while wanted := self._wanted():
                asked_at = time.monotonic()
                grant = await self._slices.lease(wanted)
                if self._on_level is not None:
                    self._on_level(grant.left)
                self._hand_out(grant, Ticket(asked_at + self._terms.slice_seconds))
                if self._wanted():
                    # Several processes must not go on asking one right behind the other.
                    await asyncio.sleep(min(_MOST_PAUSE_SECONDS, grant.wait) * (1 + random.random() / 4))  # noqa: S311
        except CatalogUnavailable as error:
            self._tell(str(error))
        except BaseException:
            self._tell("the request budget cannot be read")
            raise

    def _wanted(self) -> dict[Urgency, int]:
        for kind, places in self._waiting.items():
            self._waiting[kind] = deque(place for place in places if not place.ticket.done())
        return {kind: len(places) for kind, places in self._waiting.items() if places}

    def _hand_out(self, grant: Grant, ticket: Ticket) -> None:
        waits = {place.whose for places in self._waiting.values() for place in places}
        self._served = {whose: at for whose, at in self._served.items() if whose in waits}
        for kind, number in grant.given.items():
            waiting = [place for place in self._waiting[kind] if not place.ticket.done()]
            for place in self._in_turn(waiting)[:number]:
                self._handed_out += 1
                self._served[place.whose] = self._handed_out
                place.ticket.set_result(ticket)

    def _in_turn(self, waiting: Sequence[_Place]) -> list[_Place]:
        """The first of each owner, then the second of each, and so on; in each round who was served longest ago."""
        rounds, ranked = Counter[str](), []
        for number, place in enumerate(waiting):
            ranked.append((rounds[place.whose], self._served.get(place.whose, 0), number, place))
            rounds[place.whose] += 1
        return [place for *_, place in sorted(ranked, key=lambda each: each[:3])]

    def _tell(self, why: str) -> None:
        for places in self._waiting.values():
            while places:
                place = places.popleft().ticket
                if not place.done():
                    place.set_exception(CatalogUnavailable(why))


class Turn:
    """The gate of one pass or round: what ``NeonClient`` asks before each request.

    Args:
        budget: hands out the tickets.
        urgency: whom the pass is for.
        whose: the app's owner.
    """

    def __init__(self, budget: Budget, urgency: Urgency, whose: str = "") -> None:
        self._budget = budget
        self._urgency = urgency
        self._whose = whose
        self._reserved: Ticket | None = None
        self._change_until = 0.0
        self._begun = False

    async def reserve(self) -> None:
        """Take the ticket of a change to come, before its permission is asked for. Raises RateLimitExhausted."""
        self._reserved = await self._next()

    def permitted(self, until: float) -> None:
        """The change may be sent, and sent again, until then, in monotonic seconds."""
        self._change_until = until

    async def admit(self, request: NeonRequest) -> None:
        """Wait until the request may be sent.

        Raises:
            NeonNotSent: a change whose permission has become stale.
            RateLimitExhausted, CatalogUnavailable: see ``Budget.ticket``.
        """
        reserved, self._reserved = self._reserved, None
        if not request.mutates or reserved is None or reserved.lapses < time.monotonic():
            await self._next()
        if request.mutates and time.monotonic() > self._change_until:
            raise NeonNotSent(
                method=request.method,
                route=request.route,
                detail="the process was held up between the permission and the request",
            )

    def patience(self, request: NeonRequest) -> float:
        """For how many seconds the request may be sent again."""
        return self._change_until - time.monotonic() if request.mutates else RETRY_WINDOW_SECONDS

    async def refused(self, retry_after: float | None) -> None:
        """Neon refused the request for there being too many."""
        await self._budget.refused(retry_after)

    async def _next(self) -> Ticket:
        """A ticket that has not lapsed on its way, as it does where the catalog or this process stood still."""
        patience = None
        if self._urgency is Urgency.REPAIRS:
            patience = BEGUN_PATIENCE_SECONDS if self._begun else REPAIR_PATIENCE_SECONDS
        while True:
            ticket = await self._budget.ticket(self._urgency, patience, whose=self._whose)
            if time.monotonic() <= ticket.lapses:
                self._begun = True
                return ticket
