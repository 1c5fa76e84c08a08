"""Where traffic is overheard: what ``NeonClient`` hands to the network, and what local Neon answers.

Local Neon is overheard at its application where it is served and else at the simulator, so that each answer counts once
and as its client gets it. With undocumented fields it is beyond the document on purpose,
as the real one is, and not judged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.local.protocol import Request, Response
from reconciler.local.server import PREFIX, LocalNeonServer
from reconciler.local.simulator import LocalNeon
from reconciler.neon.transport import NeonTransport
from tests.conformance.document import Document, Verdict
from tests.conformance.recording import Sighting, Tell

_served: ContextVar[bool] = ContextVar("served", default=False)


@contextmanager
def overheard(document: Document, tell: Tell) -> Iterator[None]:
    """Judge all traffic of this process until the block ends."""
    make, handle, serve = NeonTransport.__init__, LocalNeon.handle, LocalNeonServer.__init__

    def client(self: NeonTransport, base_url: str, *arguments: Any, **options: Any) -> None:
        make(self, base_url, *arguments, **options)
        base_path = httpx.URL(base_url.rstrip("/")).raw_path.decode()

        async def overhear(request: httpx.Request) -> None:
            tell(_judged_request(document, base_path, request, await request.aread()))

        hooks = self._http.event_hooks
        self._http.event_hooks = {**hooks, "request": [*hooks["request"], overhear]}

    def simulator(self: LocalNeon, request: Request, now: float) -> Response:
        response = handle(self, request, now)
        if not _served.get() and not self.options.undocumented_fields:
            verdict = document.answer(request.method, request.path, response.status, response.body)
            tell(_answer(request.method, response.status, verdict))
        return response

    def server(self: LocalNeonServer, *arguments: Any, **options: Any) -> None:
        serve(self, *arguments, **options)
        if not self.simulator.options.undocumented_fields:
            self.app.add_middleware(Overhearing, document=document, tell=tell)

    with (
        patch.object(NeonTransport, "__init__", client),
        patch.object(LocalNeon, "handle", simulator),
        patch.object(LocalNeonServer, "__init__", server),
    ):
        yield


class Overhearing:
    """Judges the answers of a served local Neon, as they leave it."""

    def __init__(self, app: ASGIApp, document: Document, tell: Tell) -> None:
        self._app = app
        self._document = document
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        path = scope.get("raw_path", b"").decode("ascii", "replace")
        if scope["type"] != "http" or not path.startswith(PREFIX + "/"):
            await self._app(scope, receive, send)
            return
        start: Message = {}
        content = bytearray()

        async def overhear(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                content.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    self._judge(scope["method"], path.removeprefix(PREFIX), start, bytes(content))
            await send(message)

        token = _served.set(True)
        try:
            await self._app(scope, receive, overhear)
        finally:
            _served.reset(token)

    def _judge(self, method: str, path: str, start: Message, content: bytes) -> None:
        status = start["status"]
        try:
            body = json.loads(content) if content else None
        except ValueError:
            verdict = Verdict(None, ("the body is not JSON",))
        else:
            verdict = self._document.answer(method, path, status, body)
        media = dict(start["headers"]).get(b"content-type", b"")
        if content and media != b"application/json":
            verdict = Verdict(verdict.route, (*verdict.problems, f"the body is of type {media.decode()!r}"))
        self._tell(_answer(method, status, verdict))


def _judged_request(document: Document, base_path: str, request: httpx.Request, content: bytes) -> Sighting:
    media = request.headers.get("content-type", "")
    verdict = document.request(
        request.method,
        request.url.raw_path.decode().partition("?")[0].removeprefix(base_path),
        request.url.params.multi_items(),
        json.loads(content) if content else None,
        media=media,
    )
    problems = list(verdict.problems)
    if not request.headers.get("authorization", "").startswith("Bearer "):
        problems.append("there is no key")
    return Sighting("request", request.method, verdict.route, 0, tuple(problems), _where())


def _answer(method: str, status: int, verdict: Verdict) -> Sighting:
    return Sighting("answer", method, verdict.route, status, verdict.problems, _where())


def _where() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "between the tests")
