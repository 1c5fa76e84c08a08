"""Revoked tokens: the minimum ``token_version`` of an owner, read from the catalog and kept for less than a minute."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from api.auth.claims import InvalidToken, Principal, Refusal
from reconciler.catalog.batcher import Batcher

# A revocation counts everywhere within a minute: what was read is used for half of it.
KEEP_SECONDS = 30.0
MAX_OWNERS = 20_000
_MOST_AT_ONCE = 200
Read = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]


class TokenRevocations:
    """Compares tokens with the minimum of their owner.

    One read of the catalog serves all requests of an owner for ``KEEP_SECONDS``; reads of many owners at the same time
    are one statement. The least recently used owners are forgotten.

    Args:
        read: the minimums of some owners; owners without one are left out.
        clock: monotonic seconds.
    """

    def __init__(self, read: Read, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_some = read
        self._clock = clock
        self._read: Batcher[str, int] = Batcher(self._read_all, most=_MOST_AT_ONCE)
        self._minimums: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[int]] = {}

    async def check(self, principal: Principal) -> None:
        """Nothing for a token that is not revoked.

        Raises:
            InvalidToken: it is.
            CatalogUnavailable: that cannot be found out, so the token does not count.
        """
        owner_id = principal.owner_id
        minimum, until = self._minimums.get(owner_id, (0, -1.0))
        if self._clock() >= until:
            minimum = await self._fresh(owner_id)
        if minimum > 0 and (principal.token_version is None or principal.token_version < minimum):
            raise InvalidToken(Refusal.REVOKED)

    async def _fresh(self, owner_id: str) -> int:
        reading = self._reading.get(owner_id)
        if reading is None:
            reading = self._reading[owner_id] = asyncio.create_task(self._keep(owner_id), name="read token minimum")
            reading.add_done_callback(lambda done: self._finished(owner_id, done))
        # A client that hangs up ends its own request only.
        return await asyncio.shield(reading)

    def _finished(self, owner_id: str, reading: asyncio.Task[int]) -> None:
        del self._reading[owner_id]
        if not reading.cancelled():
            # Where every request was cancelled, none takes the exception.
            reading.exception()

    async def _keep(self, owner_id: str) -> int:
        # Counted from before the read, since the answer may be as old as that.
        until = self._clock() + KEEP_SECONDS
        minimum = await self._read(owner_id)
        self._minimums[owner_id] = minimum, until
        self._minimums.move_to_end(owner_id)
        if len(self._minimums) > MAX_OWNERS:
            self._minimums.popitem(last=False)
        return minimum

    async def _read_all(self, owner_ids: Sequence[str]) -> Sequence[int]:
        found = await self._read_some(owner_ids)
        return [found.get(owner_id, 0) for owner_id in owner_ids]
