"""``Prefer: wait=N`` (RFC 7240): holding an answer until the app has settled.

However many wait, one task asks the catalog for all of them, with one query at a time, and only while somebody waits.
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
MOST_HELD = 5000

_log = logging.getLogger(__name__)
# One preference up to the next comma outside quotes.
_PREFERENCE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_WAIT = re.compile(r'\s*wait\s*=\s*(?:"(?P<quoted>[0-9]+)"|(?P<plain>[0-9]+))\s*(?:;.*)?', re.IGNORECASE | re.DOTALL)

Statuses = Callable[[Iterable[str]], Awaitable[dict[str, AppMetadata]]]


def wait_seconds(prefer: Iterable[str]) -> int | None:
    """How long a client would wait, at most 60 s; None when it does not say so in a valid way.

    Args:
        prefer: values of the ``Prefer`` headers, in their order; the first valid ``wait`` counts.
    """
    for preference in _PREFERENCE.findall(",".join(prefer)):
        found = _WAIT.fullmatch(preference)
        if found:
            digits = (found["quoted"] or found["plain"]).lstrip("0")
            return min(int(digits or "0"), MAX_WAIT_SECONDS) if len(digits) < len("9999999") else MAX_WAIT_SECONDS
    return None


def is_settled(app: AppMetadata) -> bool:
    """Whether there is nothing to wait for: for an app that is being deleted, only its end counts."""
    if app.delete_requested_at is not None:
        return app.status is AppStatus.DELETED
    return app.status in CONVERGED


class Waiting:
    """Everybody who waits.

    Args:
        statuses: asks the catalog for many apps at once.
        poll_seconds: pause between two questions.

    Attributes:
        most_held: how many answers are held; one more releases the one that has been held longest.
    """

    def __init__(self, statuses: Statuses, *, poll_seconds: float = POLL_SECONDS) -> None:
        self.most_held = MOST_HELD
        self._statuses = statuses
        self._poll_seconds = poll_seconds
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._held: OrderedDict[asyncio.Future[None], None] = OrderedDict()  # the oldest first
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def until_settled(self, app_id: str, seconds: float) -> None:
        """Return when the app has settled or is gone, the time is over, too many wait, or the process wants to end."""
        if seconds <= 0 or self._closed:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(app_id, set()).add(waiter)
        self._held[waiter] = None
        while len(self._held) > self.most_held:
            _let_go(self._held.popitem(last=False)[0])
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._poll(), name="waiting for apps")
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return
        finally:
            self._held.pop(waiter, None)
            others = self._waiters.get(app_id, set())
            others.discard(waiter)
            if not others:
                self._waiters.pop(app_id, None)

    async def close(self) -> None:
        """Let everybody go at once, and nobody wait from now on."""
        self._closed = True
        for app_id in [*self._waiters]:
            self._release(app_id)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _poll(self) -> None:
        while self._waiters:
            # Only those that were asked about: whoever came during the question has no answer yet.
            asked = [*self._waiters]
            try:
                apps = await self._statuses(asked)
            except CatalogUnavailable as error:
                _log.debug(
                    "prefer_wait poll failed, catalog unavailable: %s",
                    error,
                    extra=log_extra("prefer_wait.poll_failed"),
                )
            else:
                for app_id in asked:
                    app = apps.get(app_id)
                    if app is None or is_settled(app):
                        self._release(app_id)
            await asyncio.sleep(self._poll_seconds)

    def _release(self, app_id: str) -> None:
        for waiter in self._waiters.pop(app_id, set()):
            _let_go(waiter)


def _let_go(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
