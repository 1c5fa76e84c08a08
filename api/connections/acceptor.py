"""Accepting connections on a listener, as many as there may be.

asyncio's own server logs a record for each ``accept`` that fails for want of descriptors and takes in more connections
than can be served; this one makes room first, and reports failures at growing intervals.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from api.connections.pool import Connections
from reconciler.logging import RepeatSuppressor

_MOST_AT_ONCE = 32  # accepted in one turn of the loop
_PAUSE_SECONDS = 0.05  # while there is no room

log = logging.getLogger(__name__)


class Acceptor:
    """Takes the connections of one listener until it is stopped.

    Args:
        listener: it listens already; closed by its owner.
        connections: all of the process.
        protocol: makes the protocol of a new connection, which tells ``connections`` when it has opened.
    """

    def __init__(
        self, listener: socket.socket, connections: Connections, protocol: Callable[[], asyncio.Protocol]
    ) -> None:
        self._listener = listener
        self._connections = connections
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._next: socket.socket | None = None  # accepted, while there is no room for it
        self._pause: asyncio.TimerHandle | None = None
        self._troubles = RepeatSuppressor(log)

    def start(self) -> None:
        """Accept from now on."""
        self._pause = None
        self._listener.settimeout(0)
        self._loop.add_reader(self._listener, self._accept)
        self._accept()

    async def stop(self) -> None:
        """Accept no more, after taking in each client that is connected by now: the kernel would reset it."""
        self._loop.remove_reader(self._listener)
        if self._pause is not None:
            self._pause.cancel()
        with contextlib.suppress(OSError):  # none is left, or there are no descriptors for more
            while True:
                self._open(self._take())
        while self._opening:
            await asyncio.wait([*self._opening])

    def _take(self) -> socket.socket:
        """The next connection. Raises OSError where there is none."""
        if self._next is not None:
            taken, self._next = self._next, None
            return taken
        return self._listener.accept()[0]

    def _accept(self) -> None:
        for _ in range(_MOST_AT_ONCE):
            try:
                connection = self._take()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                # Most likely something else has used up descriptors or buffers; a closed connection gives some back.
                self._connections.close_longest_waiting()
                message = f"A connection cannot be accepted: {error.strerror}."
                self._troubles.report(
                    "connections.accept_failed", logging.ERROR, message, connections=len(self._connections)
                )
                self._rest()
                return
            if not self._connections.make_room():
                self._next = connection
                self._rest()
                return
            self._open(connection)

    def _rest(self) -> None:
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
