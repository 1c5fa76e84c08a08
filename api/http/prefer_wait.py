"""``Prefer: wait=N`` (RFC 7240): a response is delayed until the app has converged.

One task polls the catalog for all waiting requests, with one query at a time, and only while there are any.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from reconciler.errors import CatalogUnavailable
from reconciler.logging import log_extra
from specs.metadata import AppMetadata
from specs.status import CONVERGED, AppStatus

MAX_WAIT_SECONDS = 60
POLL_SECONDS = 0.1
MAX_WAITERS = 5000

_log = logging.getLogger(__name__)
# One preference up to the next comma outside quotes.
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_WAIT = re.compile(r'\s*wait\s*=\s*(?:"(?P<quoted>[0-9]+)"|(?P<plain>[0-9]+))\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)

ReadApps = Callable[[Iterable[str]], Awaitable[dict[str, AppMetadata]]]


def wait_seconds(prefer: Iterable[str]) -> int | None:
    """Return the seconds that a client prefers to wait, at most 60; None without a valid preference.

    Args:
        prefer: the values of the ``Prefer`` headers in order; the first valid ``wait`` counts.
    """
    for preference in _PREFERENCE.findall(",".join(prefer)):
        match = _WAIT.fullmatch(preference)
        if match:
            digits = (match["quoted"] or match["plain"]).lstrip("0")
            return min(int(digits or "0"), MAX_WAIT_SECONDS) if len(digits) < len("9999999") else MAX_WAIT_SECONDS
    return None


def is_converged(app: AppMetadata) -> bool:
    """Whether a wait is over. An app whose deletion was requested has converged when it is deleted."""
    if app.delete_requested_at is not None:
        return app.status is AppStatus.DELETED
    return app.status in CONVERGED


class ConvergenceWaiter:
    """The requests of one process that wait.

    Args:
        read_apps: reads many apps by one statement.
        poll_seconds: the pause between two reads.

    Attributes:
        max_waiters: the maximum number of waiting requests; one more ends the oldest wait.
    """

    def __init__(self, read_apps: ReadApps, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.max_waiters = MAX_WAITERS
        self._read_apps = read_apps
        self._poll_seconds = poll_seconds
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._queue: OrderedDict[asyncio.Future[None], None] = OrderedDict()  # the oldest first
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def until_converged(self, app_id: str, seconds: float) -> None:
        """Return when the app has converged or has no row, after the timeout, or when the wait is ended early."""
        if seconds <= 0 or self._closed:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(app_id, set()).add(waiter)
        self._queue[waiter] = None
        while len(self._queue) > self.max_waiters:
            _end(self._queue.popitem(last=False)[0])
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(), name="prefer_wait poll")
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return
        finally:
            self._queue.pop(waiter, None)
            others = self._waiters.get(app_id, set())
            others.discard(waiter)
            if not others:
                self._waiters.pop(app_id, None)

    async def close(self) -> None:
        """End all waits. Later calls return immediately."""
        self._closed = True
        for app_id in [*self._waiters]:
            self._release(app_id)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _poll(self) -> None:
        while self._waiters:
            # Waiters that arrive during the read are not part of its result.
            app_ids = [*self._waiters]
            try:
                apps = await self._read_apps(app_ids)
            except CatalogUnavailable as error:
                _log.debug(
                    "prefer_wait poll failed, catalog unavailable: %s",
                    error,
                    extra=log_extra("prefer_wait.poll_failed"),
                )
            else:
                for app_id in app_ids:
                    app = apps.get(app_id)
                    if app is None or is_converged(app):
                        self._release(app_id)
            await asyncio.sleep(self._poll_seconds)

    def _release(self, app_id: str) -> None:
        for waiter in self._waiters.pop(app_id, set()):
            _end(waiter)


def _end(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
