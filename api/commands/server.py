"""A uvicorn server that stops without losing a request.

It closes its listener after taking in everybody who is connected, says ``Connection: close`` in every answer from then
on, reads on for a moment, since clients may have sent a request before they could know, and only then closes the
connections on which nothing is asked. Requests that take longer than the rest of the time are broken off with a 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_SECONDS = 1.0  # how long a stopping server reads on from connections on which nothing is asked
STOP_SECONDS = 5  # how long requests in flight may take from then on
BROKEN_OFF_SECONDS = 1.0  # how long those that took longer have for their last word
_CLOSE = (b"connection", b"close")


class _Closing:
    """Says ``Connection: close`` in every answer from ``begin`` on, so that no client sends another request there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._begun = False

    def begin(self) -> None:
        """From now on."""
        self._begun = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def closing(message: Message) -> None:
            if self._begun and message["type"] == "http.response.start":
                headers = message.get("headers", ())
                message["headers"] = [*(header for header in headers if header != _CLOSE), _CLOSE]
            await send(message)

        await self._app(scope, receive, closing)


class Server(uvicorn.Server):
    """A server that leaves signals to ``run_until_signal``, says when it listens, and stops without losing a request.

    Args:
        app: what is served.
        ready: called once it listens.
        let_go: ends what requests wait for of their own will.
    """

    def __init__(
        self, app: ASGIApp, *, ready: Callable[[], None] | None, let_go: Callable[[], Awaitable[None]]
    ) -> None:
        self._closing = _Closing(app)
        config = uvicorn.Config(
            self._closing,
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        super().__init__(config)
        self._ready = ready
        self._let_go = let_go

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup(sockets)
        # What is there by now stays: the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        if self._ready is not None and self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, in the order that the module's head tells."""
        self._closing.begin()
        await self._stop_listening(sockets or [])
        await self._let_go()
        until = time.monotonic() + LINGER_SECONDS
        while self.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait([*self.server_state.tasks], timeout=BROKEN_OFF_SECONDS)

    async def _stop_listening(self, listeners: Iterable[socket.socket]) -> None:
        """Close the listeners, and serve everybody who was connected by then.

        The kernel resets whoever it has connected and nobody has accepted. asyncio's own ``Server.close`` leaves those
        to it, and drops those that it has accepted in the same turn of the loop.
        """
        loop = asyncio.get_running_loop()
        for listener in listeners:
            loop.remove_reader(listener)
        for _ in range(3):  # turns of the loop, in which what is accepted already gets its transport
            await asyncio.sleep(0)
        connected = [connection for listener in listeners for connection in _backlog(listener)]
        for server in self.servers:
            server.close()
        for connection in connected:
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return protocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _backlog(listener: socket.socket) -> Iterator[socket.socket]:
    """Those who are connected and not yet accepted."""
    with contextlib.suppress(OSError):  # nobody is left, or there is no room for more
        while True:
            connection, _address = listener.accept()
            connection.settimeout(0)
            yield connection
