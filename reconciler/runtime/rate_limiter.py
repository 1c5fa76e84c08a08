"""This process's share of Neon's request limit: tokens leased from the catalog, dispatched to the waiting requests.

A request needs a *permit*, which expires with the lease of its tokens. A mutation takes its permit before its
authorization, since a wait in between would make the authorization stale.
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

# How long a repair waits for a permit before it leaves the slot to another app's reconcile.
REPAIR_WAIT_TIMEOUT_SECONDS = 1.0
# After the first request a repair waits longer: with a low rate it would never complete otherwise.
STARTED_REPAIR_WAIT_TIMEOUT_SECONDS = 15.0
# For a 429 without a ``Retry-After``.
DEFAULT_CLOSED_SECONDS = 1.0
_MAX_LEASE_INTERVAL_SECONDS = 5.0


class TokenSource(Protocol):
    """The source of tokens: the catalog."""

    async def lease(self, wanted: Mapping[Priority, int]) -> Grant:
        """Lease tokens that are valid for ``lease_seconds`` from the call."""

    async def close(self, seconds: float) -> None:
        """Lease no tokens for some seconds."""


@dataclass(frozen=True, slots=True)
class Permit:
    """The right to send one request until ``expires_at``, in monotonic seconds."""

    expires_at: float


@dataclass(frozen=True, slots=True)
class _Waiter:
    """A request that waits for a permit, and its tenant."""

    permit: asyncio.Future[Permit]
    tenant: str


class RateLimiter:
    """Dispatches permits; one per process.

    Args:
        source: leases tokens.
        config: the duration of a lease, and the bucket.
        on_level: called with the tokens that remain in the shared bucket, after each lease.
        on_wait: called with the priority and the seconds that a request waited.
    """

    def __init__(
        self,
        source: TokenSource,
        config: BucketConfig,
        *,
        on_level: Callable[[float], None] | None = None,
        on_wait: Callable[[Priority, float], None] | None = None,
    ) -> None:
        self._source = source
        self._config = config
        self._on_level = on_level
        self._on_wait = on_wait
        self._waiting: dict[Priority, deque[_Waiter]] = {kind: deque() for kind in Priority}
        self._leasing: asyncio.Task[None] | None = None
        self._served: dict[str, int] = {}
        self._dispatched = 0

    async def acquire(self, priority: Priority, timeout_seconds: float | None = None, *, tenant: str = "") -> Permit:
        """Wait for a permit.

        Args:
            priority: of the request.
            timeout_seconds: the maximum wait; None for no limit.
            tenant: the owner; tenants with the same priority receive permits in round-robin order.

        Raises:
            RateLimitExhausted: the timeout.
            CatalogUnavailable: tokens cannot be leased.
        """
        started = time.monotonic()
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiting[priority].append(_Waiter(waiter, tenant))
        if self._leasing is None or self._leasing.done():
            self._leasing = asyncio.create_task(self._lease(), name="request-budget")
        try:
            async with asyncio.timeout(timeout_seconds):
                permit = await waiter
        except TimeoutError:
            raise RateLimitExhausted(priority) from None
        finally:
            if not waiter.done():
                waiter.cancel()
        if self._on_wait is not None:
            self._on_wait(priority, time.monotonic() - started)
        return permit

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Pause the requests of all processes after a 429."""
        seconds = DEFAULT_CLOSED_SECONDS if retry_after is None else min(MAX_CLOSED_SECONDS, retry_after)
        with suppress(CatalogUnavailable):  # then no process can lease tokens either
            await self._source.close(seconds)

    async def aclose(self) -> None:
        """Stop leasing, and fail the waiting requests."""
        task, self._leasing = self._leasing, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._fail_waiters("the process stops")

    async def _lease(self) -> None:
        """Lease tokens while requests wait; a failed lease fails them all."""
        try:
            while wanted := self._demand():
                started = time.monotonic()
                grant = await self._source.lease(wanted)
                if self._on_level is not None:
                    self._on_level(grant.remaining)
                self._dispatch(grant, Permit(started + self._config.lease_seconds))
                if self._demand():
                    # The jitter keeps the leases of several processes apart.
                    await asyncio.sleep(min(_MAX_LEASE_INTERVAL_SECONDS, grant.retry_after) * (1 + random.random() / 4))  # noqa: S311
        except CatalogUnavailable as error:
            self._fail_waiters(str(error))
        except BaseException:
            self._fail_waiters("the rate limit cannot be read")
            raise

    def _demand(self) -> dict[Priority, int]:
        for priority, waiters in self._waiting.items():
            self._waiting[priority] = deque(waiter for waiter in waiters if not waiter.permit.done())
        return {priority: len(waiters) for priority, waiters in self._waiting.items() if waiters}

    def _dispatch(self, grant: Grant, permit: Permit) -> None:
        tenants = {waiter.tenant for waiters in self._waiting.values() for waiter in waiters}
        self._served = {tenant: number for tenant, number in self._served.items() if tenant in tenants}
        for priority, tokens in grant.tokens.items():
            waiting = [waiter for waiter in self._waiting[priority] if not waiter.permit.done()]
            for waiter in self._round_robin(waiting)[:tokens]:
                self._dispatched += 1
                self._served[waiter.tenant] = self._dispatched
                waiter.permit.set_result(permit)

    def _round_robin(self, waiting: Sequence[_Waiter]) -> list[_Waiter]:
        """Return the first waiter of each tenant, then the second of each; the one served longest ago is first."""
        earlier, ranked = Counter[str](), []
        for number, waiter in enumerate(waiting):
            ranked.append((earlier[waiter.tenant], self._served.get(waiter.tenant, 0), number, waiter))
            earlier[waiter.tenant] += 1
        return [waiter for *_, waiter in sorted(ranked, key=lambda item: item[:3])]

    def _fail_waiters(self, reason: str) -> None:
        for waiters in self._waiting.values():
            while waiters:
                future = waiters.popleft().permit
                if not future.done():
                    future.set_exception(CatalogUnavailable(reason))


class PriorityGate:
    """The gate of one reconcile or job, which every request passes.

    Args:
        limiter: dispatches permits.
        priority: of the requests.
        tenant: the app's owner.
    """

    def __init__(self, limiter: RateLimiter, priority: Priority, tenant: str = "") -> None:
        self._rate_limiter = limiter
        self._priority = priority
        self._tenant = tenant
        self._reserved: Permit | None = None
        self._mutation_deadline = 0.0
        self._has_started = False

    async def reserve(self) -> None:
        """Take the permit of the next mutation, before its authorization. Raises RateLimitExhausted."""
        self._reserved = await self._next()

    def set_mutation_deadline(self, until: float) -> None:
        """Allow the mutation and its retries until then, in monotonic seconds."""
        self._mutation_deadline = until

    async def acquire(self, request: NeonRequest) -> None:
        """Wait until the request may be sent.

        Raises:
            NeonNotSent: the authorization of the mutation is stale.
            RateLimitExhausted, CatalogUnavailable: see ``RateLimiter.acquire``.
        """
        reserved, self._reserved = self._reserved, None
        if not request.mutates or reserved is None or reserved.expires_at < time.monotonic():
            await self._next()
        if request.mutates and time.monotonic() > self._mutation_deadline:
            raise NeonNotSent(
                method=request.method,
                route=request.route,
                detail="the process was suspended between the authorization and the request",
            )

    def retry_window(self, request: NeonRequest) -> float:
        """Return the seconds in which the request may be retried."""
        return self._mutation_deadline - time.monotonic() if request.mutates else RETRY_WINDOW_SECONDS

    async def on_rate_limited(self, retry_after: float | None) -> None:
        """Handle a 429."""
        await self._rate_limiter.on_rate_limited(retry_after)

    async def _next(self) -> Permit:
        """Return a permit that is valid now; one may have expired while the catalog or this process was suspended."""
        timeout = None
        if self._priority is Priority.REPAIR:
            timeout = STARTED_REPAIR_WAIT_TIMEOUT_SECONDS if self._has_started else REPAIR_WAIT_TIMEOUT_SECONDS
        while True:
            permit = await self._rate_limiter.acquire(self._priority, timeout, tenant=self._tenant)
            if time.monotonic() <= permit.expires_at:
                self._has_started = True
                return permit
