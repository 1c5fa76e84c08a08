"""The connections of a process: their limit, the choice of one to close at the limit, and their deadlines."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Protocol

from reconciler.logging import RepeatSuppressor
from specs.settings import ConnectionSettings

KEEP_ALIVE_SECONDS = 75
MAX_CONNECTIONS = 10_000
RESERVED_DESCRIPTORS = 256  # for the catalog, Neon, apps' databases, listeners and logs
_CHECK_SECONDS = 1.0
_MAX_SKIPPED = 16

log = logging.getLogger(__name__)


class Connection(Protocol):
    """The interface of a connection to the pool."""

    def check(self, now: float) -> None:
        """Close it if a deadline has passed; ``now`` is the loop's time in seconds."""

    def has_unread(self) -> bool:
        """Whether bytes have arrived that are not read yet."""

    def is_unread(self) -> bool:
        """Whether the client does not read its response, so that writing is paused."""

    def abort(self) -> None:
        """Close it without a response."""


class Connections:
    """All client connections of a process, over all of its listeners.

    A connection *waits* while the client has not sent a complete request; otherwise a request is in flight. At the
    limit, a new connection replaces the one that has waited longest. A connection with a request in flight is closed
    only if its client does not read the response, and only if no connection waits.

    Attributes:
        limit: the maximum number.
        keep_alive_seconds: the maximum idle time after a response.
        opening: the number of accepted connections without a transport.
    """

    def __init__(self, limit: int = MAX_CONNECTIONS, *, keep_alive_seconds: int = KEEP_ALIVE_SECONDS) -> None:
        self.limit = limit
        self.keep_alive_seconds = keep_alive_seconds
        self.opening = 0
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._in_flight: OrderedDict[Connection, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._issues = RepeatSuppressor(log)

    @classmethod
    def of(cls, settings: ConnectionSettings) -> Connections:
        """Return a pool with the limit that the settings and the descriptors allow; raise the latter first."""
        allowed = connection_limit(raise_descriptor_limit())
        limit = min(allowed, settings.max_connections or allowed)
        return cls(limit, keep_alive_seconds=settings.keep_alive_seconds)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight) + self.opening

    def __iter__(self) -> Iterator[Connection]:
        yield from (*self._waiting, *self._in_flight)

    def opened(self, connection: Connection) -> None:
        """Add an accepted connection that has its transport and waits for its first request."""
        self.opening -= 1
        self.waits(connection)

    def waits(self, connection: Connection) -> None:
        """Record that the connection waits for a complete request."""
        self._in_flight.pop(connection, None)
        self._waiting[connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check)

    def works(self, connection: Connection) -> None:
        """Record that a complete request of the connection is in flight."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._in_flight[connection] = None

    def remove(self, connection: Connection) -> None:
        """Remove a connection that is closed or about to be."""
        self._waiting.pop(connection, None)
        self._in_flight.pop(connection, None)

    def reserve_slot(self) -> bool:
        """Whether one more connection is allowed, possibly after another one was closed."""
        return len(self) < self.limit or self.close_oldest_waiting()

    def close_oldest_waiting(self) -> bool:
        """Close the connection that has waited longest for a request or for its client to read; False if none waits.

        A connection with unread bytes is skipped, since they may be a complete request.
        """
        oldest = [*islice(self._waiting, _MAX_SKIPPED)]
        idle = next((connection for connection in oldest if not connection.has_unread()), None)
        chosen = idle or next(
            chain(oldest, (connection for connection in self._in_flight if connection.is_unread())), None
        )
        if chosen is None:
            return False
        self.remove(chosen)
        chosen.abort()
        self._issues.report(
            "connections.limit_reached",
            logging.WARNING,
            "The connection limit is reached. The connection that waited longest for its client is closed.",
            limit=self.limit,
        )
        return True

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        # The timer is set first, so that an error in one connection's check does not end the deadlines of all.
        self._timer = loop.call_later(_CHECK_SECONDS, self._check) if len(self) else None
        now = loop.time()
        for connection in self:
            connection.check(now)


def connection_limit(descriptors: int) -> int:
    """Return the limit of connections for a number of descriptors."""
    return min(descriptors - min(descriptors // 2, RESERVED_DESCRIPTORS), MAX_CONNECTIONS)


def raise_descriptor_limit() -> int:
    """Raise the soft limit of descriptors to the hard one if the system allows it, and return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return MAX_CONNECTIONS + RESERVED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
