"""Running ASGI applications and daemons in one event loop until a signal, and stopping them in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from starlette.applications import Starlette

STOP_SECONDS = 5


class PortTaken(OSError):
    """The port cannot be listened on; the text says which and what to do."""


class _Server(uvicorn.Server):
    """A server that leaves signals to ``run_until_signal`` and says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None and self.started:
            self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio switches Nagle's algorithm off only where it sees TCP; else every answer waits for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host} port {port} ({error.strerror}); choose another port") from None
    listener.listen(1024)
    return listener


async def serve(app: Starlette, listener: socket.socket, *, ready: Callable[[], None] | None = None) -> None:
    """Serve until cancelled; then let requests in flight end, for a few seconds at most."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = _Server(config, ready)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        waiting: Any = getattr(app.state, "waiting", None)
        if waiting is not None:
            await waiting.close()
        await serving


async def together(*runs: Awaitable[None]) -> None:
    """Run all until one fails or this is cancelled, then stop the others; the first failure is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(_awaited(run))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _awaited(run: Awaitable[None]) -> None:
    await run


def run_until_signal(main: Callable[[], Awaitable[None]]) -> None:
    """Run ``main`` in a new event loop; SIGINT and SIGTERM cancel it, and its clean-up is waited for."""

    async def supervised() -> None:
        task = asyncio.ensure_future(_awaited(main()))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(supervised())
