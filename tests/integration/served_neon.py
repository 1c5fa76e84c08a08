"""Local Neon over HTTP on this machine, with its Postgres, and the requests that arrived."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from api.cli.process import listen, serve
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import LocalNeonServer
from reconciler.local.simulator import LocalNeon


@dataclass
class ServedNeon:
    """A running local Neon.

    Attributes:
        url: its API's address.
        arrived: method and path of every request, in order.
    """

    simulator: LocalNeon
    url: str
    arrived: list[tuple[str, str]] = field(default_factory=list)


class _Counted:
    def __init__(self, app: ASGIApp, arrived: list[tuple[str, str]]) -> None:
        self._app = app
        self._arrived = arrived

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._arrived.append((scope["method"], scope["path"]))
        await self._app(scope, receive, send)


@asynccontextmanager
async def served_neon(home: Path, options: LocalNeonOptions, seed: int = 1) -> AsyncIterator[ServedNeon]:
    """Serve until the block ends."""
    simulator = LocalNeon(options, seed)
    with listen("127.0.0.1", 0) as listener:
        served = ServedNeon(simulator, f"http://127.0.0.1:{listener.getsockname()[1]}/api/v2")
        async with LocalNeonServer(simulator, EmbeddedPostgres(home, durable=False)) as server:
            server.app.add_middleware(_Counted, arrived=served.arrived)
            ready = asyncio.Event()
            serving = asyncio.create_task(serve(server.app, listener, ready=ready.set))
            try:
                await ready.wait()
                yield served
            finally:
                serving.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await serving
