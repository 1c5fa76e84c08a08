"""The catalog's Postgres, which is stopped, broken off and killed, and keeps what it acknowledged."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from reconciler.local.postgres.embedded import EmbeddedPostgres
from tests.processes.running import children_of, is_alive
from tests.soak.schedule import What

_SIGNALS: Mapping[What, signal.Signals] = {
    What.CATALOG_FAST: signal.SIGINT,
    What.CATALOG_IMMEDIATE: signal.SIGQUIT,
    What.CATALOG_KILL: signal.SIGKILL,
}
# What was written survives the server's death without these; they are for the death of the machine.
_QUICK = {"fsync": "off", "full_page_writes": "off"}


class Catalog:
    """A Postgres of its own at one address, whatever happens to it.

    Args:
        folder: where its data is.
        port: where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self._postgres = EmbeddedPostgres(folder, port=port, settings=_QUICK)
        self._turn = asyncio.Lock()

    @property
    def url(self) -> str:
        """Its address, with a password."""
        return self._postgres.dsn()

    async def open(self) -> None:
        """Start it."""
        await self._postgres.start()

    async def close(self) -> None:
        """Stop it."""
        await self._postgres.stop()

    async def restart(self, how: What, seconds: float) -> None:
        """Stop it in one of three ways, and start it after a while."""
        async with self._turn:
            process = self._postgres._process
            assert process is not None
            below = children_of(process.pid)
            process.send_signal(_SIGNALS[how])
            await process.wait()
            # Two servers over one folder would ruin it: what is left of the killed one ends by itself.
            while any(is_alive(pid) for pid in below):  # noqa: ASYNC110 - the system has no event
                await asyncio.sleep(0.02)
            await asyncio.sleep(seconds)
            await self._postgres.stop()
            await self._postgres.start()

    async def ask(self, statement: str) -> list[dict[str, Any]]:
        """What one statement returns, once the server is there."""
        async with self._turn:
            connection = await psycopg.AsyncConnection.connect(self.url, autocommit=True, row_factory=dict_row)
            async with connection:
                return await (await connection.execute(statement.encode())).fetchall()
