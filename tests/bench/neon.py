"""Local Neon at Neon-like times: ``python -m tests.bench.neon FOLDER [--limits]``.

A create is answered after about 300 ms, everything else after about 30 ms; each operation takes 1 to 2 s, drawn at
random, so that no fixed poll fits. ``GET /calls`` tells which requests have come, and how they were answered. With
``--limits`` requests beyond those that Neon allows an account are refused.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
from pathlib import Path

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.cli.process import listen, run_until_signal, serve
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import PREFIX, LocalNeonServer
from reconciler.local.simulator import LocalNeon
from specs.settings import NEON_BURST_PER_SECOND, NEON_REQUESTS_PER_MINUTE

OPERATION_SECONDS = (1.0, 2.0)
CREATE_SECONDS = 0.3
OTHER_SECONDS = 0.03


class Distance:
    """Keeps every request on its way for a while, and remembers it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._calls: list[tuple[str, str, int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or tell which have come."""
        if scope["type"] == "http" and scope["path"] == "/calls":
            await Response(json.dumps(self._calls), media_type="application/json")(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"].removeprefix(PREFIX) + ("?" if scope["query_string"] else "")
        creates = scope["method"] == "POST" and path == "/projects"
        await asyncio.sleep((CREATE_SECONDS if creates else OTHER_SECONDS) * random.uniform(0.8, 1.2))

        async def heard(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._calls.append((scope["method"], path, message["status"]))
            await send(message)

        await self._app(scope, receive, heard)


async def _run(folder: Path, *, limits: bool) -> None:
    options = LocalNeonOptions(
        physical=True,
        operation_seconds=OPERATION_SECONDS,
        requests_per_minute=NEON_REQUESTS_PER_MINUTE if limits else None,
        burst=NEON_BURST_PER_SECOND,
    )
    machine = LocalNeon(options, seed=secrets.randbits(64), token=secrets.token_hex)
    async with LocalNeonServer(machine, EmbeddedPostgres(folder / "postgres")) as server:
        server.app.add_middleware(Distance)
        with listen("127.0.0.1", 0) as listener:

            def ready() -> None:
                sys.stderr.write(f"serving http://127.0.0.1:{listener.getsockname()[1]}\n")

            await serve(server.app, listener, ready=ready)


if __name__ == "__main__":
    run_until_signal(lambda: _run(Path(sys.argv[1]), limits="--limits" in sys.argv))
