"""Accepts the connections of a listener, up to the limit of the process.

asyncio's own server logs a record for each ``accept`` that fails without descriptors, and accepts more connections than
it can serve. This one closes a waiting connection first, and reports failures at growing intervals.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from api.connections.pool import Connections
from reconciler.logging import RepeatSuppressor

_MAX_BATCH_SIZE = 32  # connections accepted in one iteration of the event loop
_PAUSE_SECONDS = 0.05  # at the limit

log = logging.getLogger(__name__)


class Acceptor:
    """Accepts the connections of one listener until it is stopped.

    Args:
        listener: a listening socket; the caller closes it.
        connections: of the process.
        protocol: returns the protocol of a new connection, which calls ``connections.opened``.
    """

    def __init__(
        self, listener: socket.socket, connections: Connections, protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listener = listener
        self._connections = connections
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._next: socket.socket | None = None  # accepted, and over the limit
        self._pause: asyncio.TimerHandle | None = None
        self._issues = RepeatSuppressor(log)

    def start(self) -> None:
        """Start to accept."""
        self._pause = None
        self._listener.settimeout(0)
        self._loop.add_reader(self._listener, self._accept)
        self._accept()

    async def stop(self) -> None:
        """Accept all pending connections, which the kernel would reset, and stop."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()
        with contextlib.suppress(OSError):  # no connection is pending, or no descriptor is free
            while True:
                self._open(self._take())
        while self._opening:
            await asyncio.wait([*self._opening])

    def _take(self) -> socket.socket:
        """Return the next connection. Raises OSError if there is none."""
        if self._next is not None:
            taken, self._next = self._next, None
            return taken
        return self._listener.accept()[0]

    def _accept(self) -> None:
        for _ in range(_MAX_BATCH_SIZE):
            try:
                connection = self._take()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                # Other users have probably exhausted descriptors or buffers; a closed connection frees some.
                self._connections.close_oldest_waiting()
                message = f"accept failed: {error.strerror}."
                self._issues.report(
                    "connections.accept_failed", logging.ERROR, message, connections=len(self._connections)
                )
                self._suspend()
                return
            if not self._connections.reserve_slot():
                self._next = connection
                self._suspend()
                return
            self._open(connection)

    def _suspend(self) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self.start)

    def _open(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        self._connections.opening += 1
        task = self._loop.create_task(self._connect(connection))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection)
        except OSError:
            connection.close()
            self._connections.opening -= 1
