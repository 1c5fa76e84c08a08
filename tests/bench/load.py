"""Load from one process: keep-alive connections that each send the next request when the last one is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit


class UnexpectedAnswer(RuntimeError):
    """The server answered something else than what is measured."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent to a server.

    Attributes:
        url: the server, ``http://host:port``.
        requests: makes the bytes of the requests of one connection, by its number.
        status: the only status that counts.
    """

    url: str
    requests: Callable[[int], Iterator[bytes]]
    status: int


class _Connection(asyncio.Protocol):
    """Sends a request, waits for its whole answer, sends the next."""

    def __init__(self, requests: Iterator[bytes], status: int) -> None:
        self._requests = requests
        self._expected = b"HTTP/1.1 %d " % status
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self.answered = 0
        self.failure: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        _, _, rest = head.partition(b"content-length:")
        whole = end + 4 + int(rest.split(b"\r\n", 1)[0])
        if len(self._received) < whole:
            return
        assert self._transport is not None
        if not self._received.startswith(self._expected):
            self.failure = self._received.decode(errors="replace")
            self._transport.abort()
            return
        del self._received[:whole]
        self.answered += 1
        self._transport.write(next(self._requests))


async def rate(load: Load, *, connections: int, seconds: float) -> float:
    """Answers per second; the first half second is not counted.

    Raises:
        UnexpectedAnswer: an answer had another status.
    """
    where = urlsplit(load.url)
    opened: list[tuple[asyncio.BaseTransport, _Connection]] = []
    for number in range(connections):
        make = partial(_Connection, load.requests(number), load.status)
        loop = asyncio.get_running_loop()
        opened.append(await loop.create_connection(make, where.hostname or "", where.port or 80))
    await asyncio.sleep(0.5)
    before, begun = sum(connection.answered for _, connection in opened), time.perf_counter()
    await asyncio.sleep(seconds)
    after, ended = sum(connection.answered for _, connection in opened), time.perf_counter()
    for transport, connection in opened:
        if connection.failure is not None:
            raise UnexpectedAnswer(connection.failure)
        transport.close()
    return (after - before) / (ended - begun)
