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

from reconciler.core.rate_limit import MAX_CLOSED_SECONDS, BucketConfig, Grant, Priority
from reconciler.errors import CatalogUnavailable, NeonNotSent, RateLimitExhausted
from reconciler.neon.protocol import NeonRequest
from reconciler.neon.retry import RETRY_WINDOW_SECONDS

# How long a repair waits for its turn before it makes room for another app's pass.
REPAIR_WAIT_TIMEOUT_SECONDS = 1.0
# What it has asked already would be lost; where little flows in, it would never come to its end.
STARTED_REPAIR_WAIT_TIMEOUT_SECONDS = 15.0
# A refusal without a ``Retry-After``.
DEFAULT_CLOSED_SECONDS = 1.0
_MAX_LEASE_INTERVAL_SECONDS = 5.0


class TokenSource(Protocol):
    """Where slices come from; the catalog."""

    async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
        """Requests that may be sent within ``slice_seconds`` from the moment of the call."""

    async def close(self, seconds: float) -> None:
        """Lease nothing for a while."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one request until ``lapses``, in monotonic seconds."""

    expires_at: float


@dataclass(frozen=True, slots=True)
class _Waiter:
    """Somebody who waits for a ticket, and on whose behalf."""

    permit: asyncio.Future[Permit]
    tenant: str


class RateLimiter:
    """Hands out tickets; one for each process.

    Args:
        slices: where they come from.
        terms: what a slice is.
        on_level: told how many requests the shared bucket holds, after each lease.
        on_wait: told how many seconds a request of some urgency waited.
    """

    def __init__(
        self,
        slices: TokenSource,
        terms: BucketConfig,
        *,
        on_level: Callable[[float], None] | None = None,
        on_wait: Callable[[Priority, float], None] | None = None,
    ) -> None:
        self._source = slices
        self._config = terms
        self._on_level = on_level
        self._on_wait = on_wait
        self._waiting: dict[Priority, deque[_Waiter]] = {kind: deque() for kind in Priority}
        self._leasing: asyncio.Task[None] | None = None
        self._served: dict[str, int] = {}
        self._dispatched = 0

    async def acquire(self, priority: Priority, timeout_seconds: float | None = None, *, tenant: str = "") -> Permit:
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
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(_Waiter(waiter, tenant))
        if self._leasing is None or self._leasing.done():
            self._leasing = asyncio.create_task(self._lease(), name="request-budget")
        try:
            async with asyncio.timeout(timeout_seconds):
                ticket = await waiter
        except TimeoutError:
            raise RateLimitExhausted(priority) from None
        finally:
            if not waiter.done():
                waiter.cancel()
        if self._on_wait is not None:
            self._on_wait(priority, time.monotonic() - began)
        return ticket

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Neon refused a request for there being too many: hold back all processes for a while."""
        seconds = DEFAULT_CLOSED_SECONDS if retry_after is None else min(MAX_CLOSED_SECONDS, retry_after)
        with suppress(CatalogUnavailable):  # then no slice is leased either
            await self._source.close(seconds)

    async def aclose(self) -> None:
        """Stop leasing; who waits is told that there is nothing to have."""
        task, self._leasing = self._leasing, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._fail_waiters("the process stops")

    async def _lease(self) -> None:
        """Lease slices for as long as somebody waits; nobody waits for a lease that has failed."""
        try:
            while wanted := self._demand():
                asked_at = time.monotonic()
                grant = await self._source.lease(wanted)
                if self._on_level is not None:
                    self._on_level(grant.remaining)
                self._dispatch(grant, Permit(asked_at + self._config.lease_seconds))
                if self._demand():
                    # Several processes must not go on asking one right behind the other.
                    await asyncio.sleep(min(_MAX_LEASE_INTERVAL_SECONDS, grant.retry_after) * (1 + random.random() / 4))  # noqa: S311
        except CatalogUnavailable as error:
            self._fail_waiters(str(error))
        except BaseException:
            self._fail_waiters("the request budget cannot be read")
            raise

    def _demand(self) -> dict[Priority, int]:
        for kind, places in self._waiting.items():
            self._waiting[kind] = deque(place for place in places if not place.permit.done())
        return {kind: len(places) for kind, places in self._waiting.items() if places}

    def _dispatch(self, grant: Grant, ticket: Permit) -> None:
        waits = {place.tenant for places in self._waiting.values() for place in places}
        self._served = {whose: at for whose, at in self._served.items() if whose in waits}
        for kind, number in grant.tokens.items():
            waiting = [place for place in self._waiting[kind] if not place.permit.done()]
            for place in self._round_robin(waiting)[:number]:
                self._dispatched += 1
                self._served[place.tenant] = self._dispatched
                place.permit.set_result(ticket)

    def _round_robin(self, waiting: Sequence[_Waiter]) -> list[_Waiter]:
        """The first of each owner, then the second of each, and so on; in each round who was served longest ago."""
        rounds, ranked = Counter[str](), []
        for number, place in enumerate(waiting):
            ranked.append((rounds[place.tenant], self._served.get(place.tenant, 0), number, place))
            rounds[place.tenant] += 1
        return [place for *_, place in sorted(ranked, key=lambda each: each[:3])]

    def _fail_waiters(self, reason: str) -> None:
        for places in self._waiting.values():
            while places:
                place = places.popleft().permit
                if not place.done():
                    place.set_exception(CatalogUnavailable(reason))


class PriorityGate:
    """The gate of one pass or round: what ``NeonClient`` asks before each request.

    Args:
        budget: hands out the tickets.
        urgency: whom the pass is for.
        whose: the app's owner.
    """

    def __init__(self, budget: RateLimiter, urgency: Priority, whose: str = "") -> None:
        self._rate_limiter = budget
        self._priority = urgency
        self._tenant = whose
        self._reserved: Permit | None = None
        self._mutation_deadline = 0.0
        self._begun = False

    async def reserve(self) -> None:
        """Take the ticket of a change to come, before its permission is asked for. Raises RateLimitExhausted."""
        self._reserved = await self._next()

    def set_mutation_deadline(self, until: float) -> None:
        """The change may be sent, and sent again, until then, in monotonic seconds."""
        self._mutation_deadline = until

    async def acquire(self, request: NeonRequest) -> None:
        """Wait until the request may be sent.

        Raises:
            NeonNotSent: a change whose permission has become stale.
            RateLimitExhausted, CatalogUnavailable: see ``Budget.ticket``.
        """
        reserved, self._reserved = self._reserved, None
        if not request.mutates or reserved is None or reserved.expires_at < time.monotonic():
            await self._next()
        if request.mutates and time.monotonic() > self._mutation_deadline:
            raise NeonNotSent(
                method=request.method,
                route=request.route,
                detail="the process was held up between the permission and the request",
            )

    def retry_window(self, request: NeonRequest) -> float:
        """For how many seconds the request may be sent again."""
        return self._mutation_deadline - time.monotonic() if request.mutates else RETRY_WINDOW_SECONDS

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Neon refused the request for there being too many."""
        await self._rate_limiter.on_rate_limited(retry_after)

    async def _next(self) -> Permit:
        """A ticket that has not lapsed on its way, as it does where the catalog or this process stood still."""
        patience = None
        if self._priority is Priority.REPAIR:
            patience = STARTED_REPAIR_WAIT_TIMEOUT_SECONDS if self._begun else REPAIR_WAIT_TIMEOUT_SECONDS
        while True:
            ticket = await self._rate_limiter.acquire(self._priority, patience, tenant=self._tenant)
            if time.monotonic() <= ticket.expires_at:
                self._begun = True
                return ticket
