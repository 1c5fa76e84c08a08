"""The hint to the workers after a commit: at once for the first, together for those that follow closely."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

DEBOUNCE_SECONDS = 0.02


class WakeupNotifier:
    """Sends hints beside the request that causes them, so that no client waits for one.

    Args:
        notify: sends one hint; its failures are its own business.
    """

    def __init__(self, notify: Callable[[], Awaitable[None]]) -> None:
        self._notify = notify
        self._again = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """See to it that a hint is sent after this moment."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name="hint to the workers")

    async def close(self) -> None:
        """Wait for a hint that is on its way."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self) -> None:
        while self._again:
            self._again = False
            await self._notify()
            await asyncio.sleep(DEBOUNCE_SECONDS)
