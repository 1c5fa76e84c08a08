"""Listens for NOTIFY on a connection of its own. A notification only shortens the delay until the next poll.

The connection sends itself a probe and expects it back, since a listener can stop receiving without an error (behind a
pooler, after a failover). A lost notification costs one poll interval.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import LiteralString

import psycopg

from reconciler.catalog import session
from reconciler.catalog.address import validated_url
from reconciler.logging import RepeatSuppressor

CHANNEL: LiteralString = "morphik_apps_work"
PROBE: LiteralString = "probe"
PROBE_SECONDS = 20.0
STATEMENT_SECONDS = 10.0
RECONNECT_SECONDS = 2.0
log = logging.getLogger(__name__)


class NotificationListener:
    """Listens for work and calls ``on_work``.

    Args:
        url: a direct address of the catalog; most poolers do not support LISTEN.
        on_work: called in the event loop for every notification.
    """

    def __init__(self, url: str, on_work: Callable[[], None]) -> None:
        self._url = validated_url(url)
        self._on_work = on_work
        self._issues = RepeatSuppressor(log)

    async def run(self) -> None:
        """Listen until cancelled, and reconnect after every error."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError, TimeoutError) as error:
                text = f"Listening for wake-ups failed ({type(error).__name__}). Polling continues."
                self._issues.report("wakeup.listen_failed", logging.INFO, text)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen(self) -> None:
        connection = await psycopg.AsyncConnection.connect(
            self._url,
            connect_timeout=5,
            application_name="morphik-apps-wakeup",
            **session.CONNECT,
        )
        try:
            await _run(connection, f"LISTEN {CHANNEL}")
            self._issues.resolve("wakeup.listen_failed", "Listening for wake-ups.")
            self._on_work()
            while True:
                received = False
                async for notice in connection.notifies(timeout=PROBE_SECONDS, stop_after=1):
                    received = True
                    if notice.payload != PROBE:
                        self._on_work()
                if not received:
                    await self._probe(connection)
        finally:
            with suppress(psycopg.Error):
                await connection.close()

    async def _probe(self, connection: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        async with asyncio.timeout(PROBE_SECONDS):
            await _run(connection, f"NOTIFY {CHANNEL}, '{PROBE}'")
            async for notice in connection.notifies(timeout=PROBE_SECONDS, stop_after=1):
                if notice.payload != PROBE:
                    self._on_work()
                return
        raise TimeoutError


async def _run(connection: psycopg.AsyncConnection[tuple[object, ...]], statement: LiteralString) -> None:
    """Execute one statement in its own transaction, with its settings, in a single round trip."""
    pinned = session.pinned("pg_catalog", seconds=STATEMENT_SECONDS, server_version=connection.info.server_version)
    try:
        await connection.execute(f"{session.READ_WRITE}; {pinned}; {statement}; COMMIT")
    except psycopg.Error:
        with suppress(psycopg.Error):
            await connection.rollback()
        raise
