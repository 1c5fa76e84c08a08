"""Wake-ups: a NOTIFY is a hint on a connection of its own, and polling behind it is the truth.

The connection sends itself a probe and expects it back, since a listener can go deaf without an error (a pooler, a
failover). While it is deaf, or gone, nothing is lost but a little time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

import psycopg

from reconciler.catalog.database import readable_url
from reconciler.logs import Troubles

CHANNEL = "morphik_apps_work"
PROBE = "probe"
PROBE_SECONDS = 20.0
RECONNECT_SECONDS = 2.0
log = logging.getLogger(__name__)


class Wakeup:
    """Listens for work and calls ``on_work``.

    Args:
        url: a direct address of the catalog; LISTEN does not pass through most poolers.
        on_work: called in the event loop for every hint.
    """

    def __init__(self, url: str, on_work: Callable[[], None]) -> None:
        self._url = readable_url(url)
        self._on_work = on_work
        self._troubles = Troubles(log)

    async def run(self) -> None:
        """Listen until cancelled, connecting again after every loss."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                text = f"not listening for wake-ups ({type(error).__name__}); polling goes on"
                self._troubles.met("deaf", logging.INFO, text)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=5,
            application_name="morphik-apps-wakeup",
        )
        try:
            await connection.execute(f"LISTEN {CHANNEL}")
            self._troubles.over("deaf", "listening for wake-ups")
            self._on_work()
            while True:
                heard = False
                async for notice in connection.notifies(timeout=PROBE_SECONDS, stop_after=1):
                    heard = True
                    if notice.payload != PROBE:
                        self._on_work()
                if not heard:
                    await self._probe(connection)
        finally:
            with suppress(psycopg.Error):
                await connection.close()

    async def _probe(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        async with asyncio.timeout(PROBE_SECONDS):
            await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, PROBE))
            async for notice in connection.notifies(timeout=PROBE_SECONDS, stop_after=1):
                if notice.payload != PROBE:
                    self._on_work()
                return
        raise TimeoutError
