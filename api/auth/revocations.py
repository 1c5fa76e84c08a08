"""Revoked tokens: the minimum ``token_version`` of each owner, cached from the catalog for less than a minute."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from api.auth.claims import InvalidToken, Principal, RejectionReason
from reconciler.catalog.batcher import Batcher

# A revocation takes effect within a minute: a cached minimum is used for half of it.
CACHE_SECONDS = 30.0
MAX_OWNERS = 20_000
_MAX_BATCH_SIZE = 200
ReadMinimums = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]


class TokenRevocations:
    """Compares tokens with the minimum of their owner.

    One read of the catalog serves all requests of an owner for ``CACHE_SECONDS``; reads of many owners at the same time
    are one statement. The least recently used owners are forgotten.

    Args:
        read: returns the minimums of some owners; owners without one are omitted.
        clock: monotonic seconds.
    """

    def __init__(self, read: ReadMinimums, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_some = read
        self._clock = clock
        self._read: Batcher[str, int] = Batcher(self._read_all, max_batch_size=_MAX_BATCH_SIZE)
        self._minimums: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[int]] = {}

    async def check(self, principal: Principal) -> None:
        """Return if the token is not revoked.

        Raises:
            InvalidToken: the token is revoked.
            CatalogUnavailable: the minimum cannot be read, so the token does not count.
        """
        owner_id = principal.owner_id
        minimum, until = self._minimums.get(owner_id, (0, -1.0))
        if self._clock() >= until:
            minimum = await self._fresh(owner_id)
        if minimum > 0 and (principal.token_version is None or principal.token_version < minimum):
            raise InvalidToken(RejectionReason.REVOKED)

    async def _fresh(self, owner_id: str) -> int:
        reading = self._reading.get(owner_id)
        if reading is None:
            reading = self._reading[owner_id] = asyncio.create_task(self._keep(owner_id), name="read token minimum")
            reading.add_done_callback(lambda done: self._finished(owner_id, done))
        # A client that disconnects cancels only its own request.
        return await asyncio.shield(reading)

    def _finished(self, owner_id: str, reading: asyncio.Task[int]) -> None:
        del self._reading[owner_id]
        if not reading.cancelled():
            # If all requests were cancelled, none retrieves the exception.
            reading.exception()

    async def _keep(self, owner_id: str) -> int:
        # The time counts from before the read, since the result may be as old as that.
        until = self._clock() + CACHE_SECONDS
        minimum = await self._read(owner_id)
        self._minimums[owner_id] = minimum, until
        self._minimums.move_to_end(owner_id)
        if len(self._minimums) > MAX_OWNERS:
            self._minimums.popitem(last=False)
        return minimum

    async def _read_all(self, owner_ids: Sequence[str]) -> Sequence[int]:
        minimums = await self._read_some(owner_ids)
        return [minimums.get(owner_id, 0) for owner_id in owner_ids]
