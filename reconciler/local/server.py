"""The HTTP server of local Neon, with an embedded Postgres."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from types import TracebackType
from typing import Self
from uuid import uuid4

from psycopg import Error as PostgresError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from reconciler.local.errors import general_error
from reconciler.local.loopback_hosts import LoopbackHosts
from reconciler.local.persistence import StateStore
from reconciler.local.postgres.commands import Command
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.postgres.executor import PostgresExecutor
from reconciler.local.protocol import Request, Response
from reconciler.local.simulator import LocalNeon

PREFIX = "/api/v2"
_MAX_BODY_BYTES = 1_000_000
_MAX_CONCURRENT_COMMANDS = 4
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_logger = logging.getLogger(__name__)


class LocalNeonServer:
    """The simulator with a clock, a Postgres server and an HTTP application.

    Args:
        simulator: a simulator whose options have ``physical`` set.
        postgres: the server of the databases. One that is not running is started, and later stopped, with this server.

    Raises:
        ValueError: ``physical`` is not set.
    """

    def __init__(self, simulator: LocalNeon, postgres: EmbeddedPostgres) -> None:
        if not simulator.options.physical:
            raise ValueError("a served simulator needs options with physical=True")
        self.simulator = simulator
        self.postgres = postgres
        self.app = Starlette(
            routes=[Route("/{path:path}", self._serve, methods=_METHODS)], middleware=[Middleware(LoopbackHosts)]
        )
        self._executor = PostgresExecutor(postgres, connections=_MAX_CONCURRENT_COMMANDS)
        self._store = StateStore(postgres)
        self._changed = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.Task[None] | None = None
        self._owns_postgres = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Load the stored state and resume its unfinished operations."""
        try:
            if not self.postgres.running:
                self._owns_postgres = True
                await self.postgres.start()
            self.simulator.port = self.postgres.port
            await self._executor.start()
            await self._store.start(self.simulator)
        except BaseException:
            await self.stop()
            raise
        self._ticker = asyncio.create_task(self._tick(), name="local-neon")

    async def stop(self) -> None:
        """Stop immediately. Commands under way are executed again after the next start."""
        tasks = [*self._running, *([] if self._ticker is None else [self._ticker])]
        self._ticker = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._store.stop()
        await self._executor.stop()
        if self._owns_postgres:
            self._owns_postgres = False
            await self.postgres.stop()

    async def _serve(self, http: HttpRequest) -> HttpResponse:
        request_id = http.headers.get("x-request-id", "")[:128] or uuid4().hex
        path = http.scope.get("raw_path", b"").decode("ascii", "replace") or http.url.path
        if not path.startswith(PREFIX + "/"):
            return _rendered(general_error(404, "path not found", request_id))
        try:
            body = await _body(http)
        except ValueError as error:
            return _rendered(general_error(400, str(error), request_id))
        except ClientDisconnect:
            return _rendered(general_error(400, "the body did not arrive", request_id))
        request = Request(
            method=http.method,
            path=path.removeprefix(PREFIX),
            query=_query(http),
            body=body,
            key=_key(http),
            request_id=request_id,
        )
        response = self.simulator.handle(request, time.time())
        try:
            await self._store.flush(self.simulator)
        except PostgresError:
            _logger.exception("local Neon could not store a change", extra={"event": "local_neon.store_failed"})
            response = general_error(500, "internal error", request_id)
        self._changed.set()
        return _rendered(response)

    async def _tick(self) -> None:
        """Run due operations, then sleep until the next one is due or a request changes the state."""
        while True:
            self._changed.clear()
            for command in self.simulator.advance(time.time()):
                task = asyncio.create_task(self._execute(command))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await self._persist()
            due = self.simulator.next_due()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._changed.wait(), None if due is None else max(0.001, min(due - time.time(), 3600))
                )

    async def _execute(self, command: Command) -> None:
        error: str | None = None
        try:
            await self._executor.execute(command)
        except PostgresError as failure:
            # A message of Postgres can quote a statement, so only its class and SQLSTATE are reported.
            error = f"{type(failure).__name__} ({failure.sqlstate or 'no response'})"
            _logger.warning(
                "local Neon: %s failed: %s",
                type(command).__name__,
                error,
                extra={"event": "local_neon.command_failed", "fields": {"operation_id": command.operation_id}},
            )
        self.simulator.complete(command.operation_id, time.time(), error)
        self._changed.set()

    async def _persist(self) -> None:
        try:
            await self._store.flush(self.simulator)
        except PostgresError as failure:
            _logger.warning(
                "local Neon could not store a change: %s",
                type(failure).__name__,
                extra={"event": "local_neon.store_failed"},
            )
            await asyncio.sleep(1)


def _key(http: HttpRequest) -> str | None:
    scheme, _, key = http.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def _query(http: HttpRequest) -> dict[str, str]:
    """Read the query; a repeated parameter is a list, joined with commas as clients also write it."""
    values: dict[str, list[str]] = {}
    for name, value in http.query_params.multi_items():
        values.setdefault(name, []).append(value)
    return {name: ",".join(items) for name, items in values.items()}


async def _body(http: HttpRequest) -> object | None:
    """Read a JSON body; None when there is none.

    Raises:
        ValueError: the body is too large or not JSON; the message says which.
    """
    content = bytearray()
    async for chunk in http.stream():
        content += chunk
        if len(content) > _MAX_BODY_BYTES:
            raise ValueError("the body is too large")
    if not content:
        return None
    try:
        parsed: object = json.loads(content)
        encoded = json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValueError("the body is not JSON") from None
    # Postgres cannot store NUL in jsonb, so every later write of the project would fail.
    if b"\\u0000" in encoded:
        raise ValueError("the body has a text with a NUL character")
    return parsed


def _rendered(response: Response) -> HttpResponse:
    headers = {"Cache-Control": "no-store", **response.headers}
    if response.body is None:
        return HttpResponse(status_code=response.status, headers=headers)
    content = json.dumps(response.body, ensure_ascii=False, separators=(",", ":"))
    return HttpResponse(content, response.status, headers, media_type="application/json")
