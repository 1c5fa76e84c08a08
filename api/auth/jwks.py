"""The issuer's keys, read from ``JWT_JWKS_URL`` in the background. No request waits for a reading."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from api.auth.claims import InvalidToken, RejectionReason
from api.auth.keyset import MAX_KEY_ID_LENGTH, KeySet, MalformedKeySet, SigningKey, parse_key_set
from reconciler.egress import DocumentSource, FetchFailed
from reconciler.logging import RepeatSuppressor, log_extra

PERIOD_SECONDS = 60.0
PAUSE_AFTER_FAILURE_SECONDS = 30.0
FETCH_SECONDS = 10.0
MAX_DOCUMENT_BYTES = 1024 * 1024
# How long the last set that was read is used while no newer one can be read.
KEEP_SECONDS = 3600.0
# How long a starting process waits for its first reading before it accepts requests.
START_SECONDS = 2.0
MAX_UNKNOWN_IDS = 4096
_LOGGED_SKIPS = 10
_FETCH = "jwks.fetch_failed"

log = logging.getLogger(__name__)


class KeysUnavailable(Exception):
    """Whether the token counts is not known at the moment.

    Attributes:
        retry_after: seconds until it probably is.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the issuer's keys are not known; retry in {retry_after} s")
        self.retry_after = retry_after


class Source(Protocol):
    """Where the document comes from."""

    async def read(self) -> bytes:
        """The document as it is now. Raises FetchFailed."""
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


def jwks_source(url: str, proxy: str | None = None) -> DocumentSource:
    """The document at ``JWT_JWKS_URL``, within the bounds of this module, through a proxy if there is one."""
    return DocumentSource(url, seconds=FETCH_SECONDS, max_bytes=MAX_DOCUMENT_BYTES, proxy=proxy)


class RemoteKeys:
    """The issuer's keys as the last successful fetch showed them.

    A fetch starts every ``PERIOD_SECONDS``, and ``PAUSE_AFTER_FAILURE_SECONDS`` after a failure: nothing that a request
    holds can start one. A kid and an alg that fit no key of the set may belong to a key that is newer than the set,
    until a fetch that started after they were first seen has succeeded without it; so may an alg without a kid.

    Args:
        source: the document.
        clock: monotonic seconds.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        source: Source,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._source = source
        self._clock = clock
        self._sleep = sleep
        self._set = KeySet()
        self._set_from: float | None = None
        self._next_at = clock()
        # Fetches are numbered from 1: how many have started, and the last one that succeeded.
        self._started = 0
        self._succeeded = 0
        # For each kid and alg that fitted no key, how many fetches had started when they were first seen.
        self._unknown: OrderedDict[tuple[str | None, str], int] = OrderedDict()
        self._attempted = asyncio.Event()
        self._issues = RepeatSuppressor(log, clock=clock)
        self._skipped: tuple[str, ...] = ()

    @asynccontextmanager
    async def refreshing(self) -> AsyncIterator[None]:
        """Keep the keys current inside the block, which begins after the first fetch or ``START_SECONDS``."""
        task = asyncio.create_task(self._run(), name="jwks refresh")
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_SECONDS):
                    await self._attempted.wait()
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self._source.aclose()

    def find(self, algorithm: str, key_id: str | None) -> SigningKey:
        """The key that checks a token with this ``alg`` and ``kid``.

        Raises:
            InvalidToken: the issuer has no such key.
            KeysUnavailable: that is not known yet.
        """
        if key_id is not None and len(key_id) > MAX_KEY_ID_LENGTH:
            raise InvalidToken(RejectionReason.KEY_ID)
        keys = self._current()
        key = keys.only(algorithm) if key_id is None else keys.named(key_id, algorithm)
        if key is not None:
            return key
        wanted = (key_id, algorithm)
        if wanted in keys.choices:
            raise InvalidToken(RejectionReason.NO_KEY_ID)  # several keys fit, and another one would not change that
        if self._succeeded > self._unknown.setdefault(wanted, self._started):
            raise InvalidToken(_rejection_reason(keys, key_id))
        self._forget_oldest()
        raise KeysUnavailable(self._retry_after())

    def holds(self, key: SigningKey) -> bool:
        """Whether a key, found before, is still in the set. Raises KeysUnavailable."""
        return key.fingerprint in self._current().fingerprints

    def _forget_oldest(self) -> None:
        while len(self._unknown) > MAX_UNKNOWN_IDS:
            self._unknown.popitem(last=False)

    def _current(self) -> KeySet:
        if self._set_from is None or self._clock() - self._set_from > KEEP_SECONDS:
            raise KeysUnavailable(self._retry_after())
        return self._set

    def _retry_after(self) -> int:
        """Seconds until the next fetch has probably ended."""
        return max(1, math.ceil(self._next_at - self._clock()) + 1)

    async def _run(self) -> None:
        while True:
            began = self._clock()
            succeeded = await self.refresh()
            self._next_at = began + PERIOD_SECONDS if succeeded else self._clock() + PAUSE_AFTER_FAILURE_SECONDS
            self._attempted.set()
            await self._sleep(max(0.0, self._next_at - self._clock()))

    async def refresh(self) -> bool:
        """Fetch once; whether it succeeded. A failure of any kind is logged and leaves the set as it is."""
        self._started += 1
        number, began = self._started, self._clock()
        status: int | None = None
        try:
            keys = await asyncio.to_thread(parse_key_set, await self._source.read())
        except FetchFailed as error:
            reason, status = str(error), error.status
        except MalformedKeySet as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - the refresh must not end; the record carries the traceback
            self._issues.report(
                "jwks.refresh_crashed", logging.ERROR, "The JWKS refresh failed unexpectedly.", error=error
            )
            return False
        else:
            self._replace(keys, began, number)
            return True
        self._issues.report(
            _FETCH,
            logging.WARNING,
            f"JWT_JWKS_URL cannot be fetched: {reason}. The last key set stays in use for an hour at most.",
            status=status,
        )
        return False

    def _replace(self, keys: KeySet, began: float, number: int) -> None:
        removed = self._set.choices - keys.choices
        self._set, self._set_from, self._succeeded = keys, began, number
        for wanted in keys.choices:
            self._unknown.pop(wanted, None)
        # This fetch has shown that a withdrawn key does not exist.
        self._unknown.update(dict.fromkeys(removed, number - 1))
        self._forget_oldest()
        self._issues.resolve(_FETCH, "JWT_JWKS_URL can be fetched again.")
        if keys.skipped != self._skipped:
            for reason in keys.skipped[:_LOGGED_SKIPS]:
                log.warning(
                    "A key of JWT_JWKS_URL is not used. Key %s.",
                    reason,
                    extra=log_extra("jwks.key_skipped", usable=len(keys.keys)),
                )
        self._skipped = keys.skipped


def _rejection_reason(keys: KeySet, key_id: str | None) -> RejectionReason:
    if key_id is None:
        return RejectionReason.NO_KEY_ID
    return RejectionReason.ALGORITHM_OF_KEY if key_id in keys.key_ids else RejectionReason.UNKNOWN_KEY
