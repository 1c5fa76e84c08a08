"""Middleware of every request: request id, metrics, allowed hosts, body size, unhandled exceptions."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from itertools import count

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.headers import REQUEST_ID_PATTERN
from api.metrics import HttpMetrics
from api.problems import body_too_large, internal_error, stopping, unknown_host
from reconciler.logging import log_context, log_extra

MAX_BODY_BYTES = 64 * 1024
REQUEST_ID = "x-request-id"

_log = logging.getLogger(__name__)
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")
_REQUEST_ID = re.compile(REQUEST_ID_PATTERN)
# Probes use the address of the process, whatever the service's host name.
_ANY_HOST = frozenset({"/healthz", "/readyz", "/metrics"})


class RequestContext:
    """The outermost middleware: adds ``X-Request-ID`` to the response and to all log records, and measures the request.

    An unhandled exception is logged and becomes a 500. An incomplete request is neither an error nor counted.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._process, self._count = secrets.token_hex(10), count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        header = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = header if _REQUEST_ID.fullmatch(header) else f"{self._process}{next(self._count):012x}"
        scope.setdefault("state", {})["request_id"] = request_id
        started, status, delayed = time.perf_counter(), 0, False

        async def send_with_headers(message: Message) -> None:
            nonlocal status, delayed
            if message["type"] == "http.response.start":
                status = message["status"]
                headers: list[tuple[bytes, bytes]] = message.setdefault("headers", [])
                delayed = any(name == b"preference-applied" for name, _ in headers)
                headers += [(b"x-request-id", request_id.encode()), _NO_SNIFFING]
                if scope["path"].startswith("/ee") and _NO_STORE not in headers:
                    headers.append(_NO_STORE)
            await send(message)

        try:
            with log_context(request_id=request_id):
                await self._serve(scope, receive, send_with_headers, lambda: status != 0)
        finally:
            if status:
                self._metrics.observe(scope, status, None if delayed else time.perf_counter() - started)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, started: Callable[[], bool]) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            # The client disconnected before the end of its body: nothing was executed, and a response has no receiver.
            _log.debug(
                "The client disconnected before its request was complete.",
                extra=log_extra("request.client_disconnected"),
            )
        except Exception:
            # The response reveals only the request's id, and the process continues.
            _log.exception("unhandled exception while serving request", extra=log_extra("request.crashed"))
            if started():
                raise
            await internal_error().response()(scope, receive, send)
        except asyncio.CancelledError:
            # Only a stopping server cancels requests, after its grace period.
            if started():
                raise
            await stopping().response()(scope, receive, send)


class AllowedHosts:
    """Rejects requests for other hosts; ``*.example.org`` is every name below it."""

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self._app = app
        self._allowed = tuple(name.lower() for name in allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["path"] not in _ANY_HOST:
            host = re.sub(r":[0-9]*$", "", Headers(scope=scope).get("host", "")).lower()
            if not any(self._matches(host, pattern) for pattern in self._allowed):
                problem = unknown_host()
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    @staticmethod
    def _matches(host: str, pattern: str) -> bool:
        return pattern in ("*", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))


class BodyLimit:
    """Rejects bodies over the limit, by ``Content-Length`` and by the bytes that arrive."""

    def __init__(self, app: ASGIApp, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdigit() and (len(length) > len(str(self._limit)) or int(length) > self._limit):
            await body_too_large(self._limit).response()(scope, receive, send)
            return
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._limit:
                raise body_too_large(self._limit)
            return message

        await self._app(scope, counted, send)
