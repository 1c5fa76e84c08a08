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
from collections.abc import Awaitable, Callable, Iterator

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.connections.acceptor import Acceptor
from api.connections.pool import Connections
from api.connections.protocol import GuardedProtocol

LINGER_SECONDS = 1.0  # how long a stopping server reads on from connections on which nothing is asked
STOP_SECONDS = 5  # how long requests in flight may take from then on
CANCEL_GRACE_SECONDS = 1.0  # how long those that took longer have for their last word
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
        connections: all of the process; None for a limit that does not know of other servers.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ready: Callable[[], None] | None,
        let_go: Callable[[], Awaitable[None]],
        connections: Connections | None = None,
    ) -> None:
        self._closing = _Closing(app)
        self._connections = Connections() if connections is None else connections
        self._acceptors: list[Acceptor] = []
        config = uvicorn.Config(
            self._closing,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="on",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=self._connections.keep_alive_seconds,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        super().__init__(config)
        self._ready = ready
        self._let_go = let_go

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup([])
        self._acceptors = [Acceptor(listener, self._connections, self._protocol) for listener in sockets or []]
        for acceptor in self._acceptors:
            acceptor.start()
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
        for acceptor in self._acceptors:
            await acceptor.stop()
        for listener in sockets or []:
            listener.close()
        await self._let_go()
        until = time.monotonic() + LINGER_SECONDS
        while self.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)
        if self.server_state.tasks:
            await asyncio.wait([*self.server_state.tasks], timeout=CANCEL_GRACE_SECONDS)

    def _protocol(self) -> asyncio.Protocol:
        return GuardedProtocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            connections=self._connections,
        )
