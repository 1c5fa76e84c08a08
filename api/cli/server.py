"""A uvicorn server that stops without losing a request.

It accepts all pending connections, closes its listener, and adds ``Connection: close`` to every response. It continues
to read for a moment, since clients may have sent a request before they received that header, and then closes the idle
connections. Requests that exceed the grace period are cancelled with a 503.
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

LINGER_SECONDS = 1.0  # how long a stopping server reads from idle connections
STOP_SECONDS = 5  # the maximum duration of requests in flight after that
CANCEL_GRACE_SECONDS = 1.0  # how long cancelled requests may take to send their 503
_CLOSE = (b"connection", b"close")


class _ConnectionCloseMiddleware:
    """Adds ``Connection: close`` to every response after ``begin``, so that no client reuses the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._begun = False

    def begin(self) -> None:
        """Start to add the header."""
        self._begun = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def closing(message: Message) -> None:
            if self._begun and message["type"] == "http.response.start":
                headers = message.get("headers", ())
                message["headers"] = [*(header for header in headers if header != _CLOSE), _CLOSE]
            await send(message)

        await self._app(scope, receive, closing)


class GracefulServer(uvicorn.Server):
    """A server without signal handlers that reports when it listens, and stops without losing a request.

    Args:
        app: the application.
        ready: called when the server listens.
        release_waiters: ends the waits of ``Prefer: wait``.
        connections: of the process; None for the default limit.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        ready: Callable[[], None] | None,
        release_waiters: Callable[[], Awaitable[None]],
        connections: Connections | None = None,
    ) -> None:
        self._closing = _ConnectionCloseMiddleware(app)
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
        self._release_waiters = release_waiters

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and call ``ready``."""
        await super().startup([])
        self._acceptors = [Acceptor(listener, self._connections, self._protocol) for listener in sockets or []]
        for acceptor in self._acceptors:
            acceptor.start()
        # Objects that exist now are permanent; the collector does not need to scan them again.
        gc.collect()
        gc.freeze()
        if self._ready is not None and self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop in the order that the module's docstring describes."""
        self._closing.begin()
        for acceptor in self._acceptors:
            await acceptor.stop()
        for listener in sockets or []:
            listener.close()
        await self._release_waiters()
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
