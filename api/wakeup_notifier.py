"""Notifies the workers after a commit: immediately, and then at most once per ``DEBOUNCE_SECONDS``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

DEBOUNCE_SECONDS = 0.02


class WakeupNotifier:
    """Sends notifications in the background, so that no client waits for one.

    Args:
        notify: sends one notification, and handles its own errors.
    """

    def __init__(self, notify: Callable[[], Awaitable[None]]) -> None:
        self._notify = notify
        self._pending = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        """Schedule a notification."""
        self._pending = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._send(), name="notify workers")

    async def close(self) -> None:
        """Wait for a notification in flight."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self) -> None:
        while self._pending:
            self._pending = False
            await self._notify()
            await asyncio.sleep(DEBOUNCE_SECONDS)
