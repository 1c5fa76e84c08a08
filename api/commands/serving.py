"""Running ASGI applications and daemons in one event loop until a signal, and stopping them in order."""

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

from api.commands.server import Server
from api.connections.pool import Connections
from api.metrics import MetricsEndpoint, only_metrics
from reconciler.catalog.database import Database
from reconciler.logging import log_extra
from specs.settings import MetricsSettings

COMMAND_SECONDS = 9.0  # how long a command may take to end; what runs it usually kills it after ten seconds

log = logging.getLogger(__name__)


class PortInUse(OSError):
    """The port cannot be listened on; the text says which and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises PortInUse."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, since asyncio switches Nagle's algorithm off only where it sees TCP; else every answer waits for an ACK.
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
    """Serve until cancelled; then stop listening and let requests in flight end, for a few seconds at most.

    Args:
        app: what is served; ``app.state.waiting``, if it has one, holds half of the connections at most, and is closed
            first.
        listener: where; it listens already.
        ready: called once requests are accepted.
        connections: shared by all servers of the process, with their limit; None for one without the settings.
    """
    waiting: Any = getattr(app.state, "waiting", None)
    connections = Connections() if connections is None else connections
    if waiting is not None:
        # A request in flight never gives way, so held answers could take every connection.
        waiting.most_held = max(1, connections.limit // 2)

    async def let_go() -> None:
        if waiting is not None:
            await waiting.close()

    server = Server(app, ready=ready, let_go=let_go, connections=connections)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


def listen_for_metrics(host: str, settings: MetricsSettings) -> socket.socket | None:
    """A listening socket on METRICS_PORT; None without that setting. Raises PortInUse, which names the setting."""
    if settings.metrics_port is None:
        return None
    try:
        return listen(host, settings.metrics_port)
    except PortInUse as error:
        raise PortInUse(f"METRICS_PORT: {error}") from None


def on_metrics_port(
    listener: socket.socket | None, exposition: MetricsEndpoint, database: Database, *, connections: Connections
) -> list[Awaitable[None]]:
    """What serves ``/metrics`` on a listener, to be run beside the rest; empty without one."""
    if listener is None:
        return []
    return [serve(only_metrics(exposition, database), listener, connections=connections)]


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


def fast_loop() -> asyncio.AbstractEventLoop:
    """A new event loop of uvloop where that exists: it has no release for Windows or PyPy.

    It starts no process as another user, which a local Postgres needs.
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
    """Run ``main`` in a new event loop; the first SIGINT or SIGTERM cancels it, and its clean-up is waited for.

    Later signals change nothing, to the end of the process: what is being cleaned up stays so.

    Args:
        main: what to run.
        within: seconds that the clean-up may take; then the process ends with status 1, whatever it hangs in.
        new_loop: makes the event loop.
    """

    async def supervised() -> None:
        task = asyncio.ensure_future(_awaited(main()))
        loop = asyncio.get_running_loop()

        def stop(_number: int, _frame: FrameType | None) -> None:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            loop.call_soon_threadsafe(task.cancel)
            if within is not None:
                deadline = threading.Timer(within, _give_up, (within,))
                deadline.daemon = True
                deadline.start()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(supervised())


def _give_up(seconds: float) -> None:
    """End the process: its leases expire by themselves, and a killed one leaves no more behind than this."""
    log.error(
        "Shutdown exceeded %g s. Remaining tasks are cancelled.", seconds, extra=log_extra("process.stop_timed_out")
    )
    logging.shutdown()
    os._exit(1)
