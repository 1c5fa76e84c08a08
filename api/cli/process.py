"""Runs ASGI applications and daemons in one event loop until a signal, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

from starlette.applications import Starlette

from api.cli.server import GracefulServer
from api.connections.pool import Connections
from api.metrics import MetricsEndpoint, create_metrics_app
from reconciler.catalog.database import Database
from reconciler.logging import log_extra
from specs.settings import MetricsSettings

COMMAND_SECONDS = 9.0  # the maximum shutdown time; supervisors usually kill a process after ten seconds

log = logging.getLogger(__name__)


class PortInUse(OSError):
    """The port is not available. The message names it and the remedy."""


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is TCP; otherwise each response waits for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise PortInUse(f"cannot listen on {host} port {port} ({error.strerror}); choose another port") from None
    listener.listen(1024)
    return listener


async def serve(
    app: Starlette,
    listener: socket.socket,
    *,
    ready: Callable[[], None] | None = None,
    connections: Connections | None = None,
) -> None:
    """Serve until cancelled; then stop listening and wait a few seconds for requests in flight.

    Args:
        app: the application; ``app.state.waiter``, if there is one, uses at most half of the connections, and is closed
            first.
        listener: a listening socket.
        ready: called when requests are accepted.
        connections: shared by all servers of the process, with their limit; None for the defaults.
    """
    waiter: Any = getattr(app.state, "waiter", None)
    connections = Connections() if connections is None else connections
    if waiter is not None:
        # The pool never closes a connection with a request in flight, so delayed responses could use all of them.
        waiter.max_waiters = max(1, connections.limit // 2)

    async def release_waiters() -> None:
        if waiter is not None:
            await waiter.close()

    server = GracefulServer(app, ready=ready, release_waiters=release_waiters, connections=connections)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


def listen_for_metrics(host: str, settings: MetricsSettings) -> socket.socket | None:
    """Return a listening socket on METRICS_PORT, or None without that setting. Raises PortInUse, which names it."""
    if settings.metrics_port is None:
        return None
    try:
        return listen(host, settings.metrics_port)
    except PortInUse as error:
        raise PortInUse(f"METRICS_PORT: {error}") from None


def on_metrics_port(
    listener: socket.socket | None, metrics: MetricsEndpoint, database: Database, *, connections: Connections
) -> list[Awaitable[None]]:
    """Return the server of ``/metrics`` on a listener, or an empty list without one."""
    if listener is None:
        return []
    return [serve(create_metrics_app(metrics, database), listener, connections=connections)]


async def run_all(*runs: Awaitable[None]) -> None:
    """Run all until one fails or this task is cancelled; then stop the others, and raise the first error."""
    try:
        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(_awaited(run))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _awaited(run: Awaitable[None]) -> None:
    await run


def fast_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop, of uvloop if it is installed: it has no release for Windows or PyPy.

    uvloop cannot start a process as another user, which a local Postgres needs.
    """
    try:
        import uvloop  # noqa: PLC0415 - it may be absent
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run_until_signal(
    main: Callable[[], Awaitable[None]],
    *,
    within: float | None = None,
    new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    """Run ``main`` in a new event loop. The first SIGINT or SIGTERM cancels it; then wait for its cleanup.

    Later signals are ignored until the process ends.

    Args:
        main: the coroutine function.
        within: the maximum seconds of the cleanup; then the process exits with status 1.
        new_loop: returns the event loop.
    """

    async def supervised() -> None:
        task = asyncio.ensure_future(_awaited(main()))
        loop = asyncio.get_running_loop()

        def stop(_number: int, _frame: FrameType | None) -> None:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            loop.call_soon_threadsafe(task.cancel)
            if within is not None:
                deadline = threading.Timer(within, _force_exit, (within,))
                deadline.daemon = True
                deadline.start()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(supervised())


def _force_exit(seconds: float) -> None:
    """Exit immediately. The leases expire, as after a kill."""
    log.error(
        "Shutdown exceeded %g s. Remaining tasks are cancelled.", seconds, extra=log_extra("process.stop_timed_out")
    )
    logging.shutdown()
    os._exit(1)
