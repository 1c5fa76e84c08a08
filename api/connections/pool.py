"""The connections of a process: how many there may be, which one gives way, and the clock of their deadlines."""

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
MOST_CONNECTIONS = 10_000
RESERVED_DESCRIPTORS = 256  # for the catalog, Neon, apps' databases, listeners and logs
_CHECK_SECONDS = 1.0
_MOST_PASSED_OVER = 16

log = logging.getLogger(__name__)


class Connection(Protocol):
    """What the pool needs of a connection."""

    def check(self, now: float) -> None:
        """Close it if a deadline has passed; ``now`` is the loop's time in seconds."""

    def has_unread(self) -> bool:
        """Whether bytes have arrived that nothing has read yet."""

    def is_unread(self) -> bool:
        """Whether so much of an answer is unread that nothing more of it is written."""

    def give_way(self) -> None:
        """Close it without an answer."""


class Connections:
    """All client connections of a process, over all of its listeners.

    A connection *waits* while the client has not sent a complete request; else a request is in flight. At the limit the
    connection that has waited longest gives way to a new one. One with a request in flight does so only where its
    client does not read the answer, and after all that wait.

    Attributes:
        limit: how many there may be.
        keep_alive_seconds: how long a connection may stay idle after an answer.
        opening: how many are accepted and have no transport yet.
    """

    def __init__(self, limit: int = MOST_CONNECTIONS, *, keep_alive_seconds: int = KEEP_ALIVE_SECONDS) -> None:
        self.limit = limit
        self.keep_alive_seconds = keep_alive_seconds
        self.opening = 0
        self._waiting: OrderedDict[Connection, None] = OrderedDict()
        self._in_flight: OrderedDict[Connection, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._troubles = RepeatSuppressor(log)

    @classmethod
    def of(cls, settings: ConnectionSettings) -> Connections:
        """As many as the settings and the process's limit on descriptors allow; that limit is raised first."""
        allowed = connection_limit(raise_descriptor_limit())
        limit = min(allowed, settings.max_connections or allowed)
        return cls(limit, keep_alive_seconds=settings.keep_alive_seconds)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._in_flight) + self.opening

    def __iter__(self) -> Iterator[Connection]:
        yield from (*self._waiting, *self._in_flight)

    def opened(self, connection: Connection) -> None:
        """One of those that were opening has its transport, and waits for its first request."""
        self.opening -= 1
        self.waits(connection)

    def waits(self, connection: Connection) -> None:
        """From now on the connection waits for a complete request."""
        self._in_flight.pop(connection, None)
        self._waiting[connection] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_CHECK_SECONDS, self._check)

    def works(self, connection: Connection) -> None:
        """A complete request of the connection is in flight."""
        if connection in self._waiting:
            del self._waiting[connection]
            self._in_flight[connection] = None

    def remove(self, connection: Connection) -> None:
        """The connection is closed, or about to be."""
        self._waiting.pop(connection, None)
        self._in_flight.pop(connection, None)

    def make_room(self) -> bool:
        """Whether there is room for one more, if need be after another has given way."""
        return len(self) < self.limit or self.close_longest_waiting()

    def close_longest_waiting(self) -> bool:
        """Close the connection that has waited longest, for a request or for its client to read; False if none waits.

        One from which something has arrived is passed over, since that may be a whole request.
        """
        oldest = [*islice(self._waiting, _MOST_PASSED_OVER)]
        idle = next((connection for connection in oldest if not connection.has_unread()), None)
        chosen = idle or next(chain(oldest, (each for each in self._in_flight if each.is_unread())), None)
        if chosen is None:
            return False
        self.remove(chosen)
        chosen.give_way()
        self._troubles.report(
            "connections.limit_reached",
            logging.WARNING,
            "The connection limit is reached. The connection that waited longest for its client is closed.",
            limit=self.limit,
        )
        return True

    def _check(self) -> None:
        loop = asyncio.get_running_loop()
        # First, so that no error in a connection's check ends the deadlines of all.
        self._timer = loop.call_later(_CHECK_SECONDS, self._check) if len(self) else None
        now = loop.time()
        for connection in self:
            connection.check(now)


def connection_limit(descriptors: int) -> int:
    """How many connections a process with so many descriptors may have."""
    return min(descriptors - min(descriptors // 2, RESERVED_DESCRIPTORS), MOST_CONNECTIONS)


def raise_descriptor_limit() -> int:
    """Raise the soft limit on descriptors to the hard one, where the system lets us; the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return MOST_CONNECTIONS + RESERVED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
