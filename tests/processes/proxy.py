"""A reverse proxy in front of local Neon that counts calls, and answers or holds them up when told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx


@dataclass(frozen=True)
class Call:
    """A call that went through.

    Attributes:
        path: below the API's prefix.
        body: what was sent, parsed.
        status: of the answer.
        answer: the answer's body, parsed.
        request_id: the ``X-Request-ID`` of the request.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    body: Any
    status: int
    answer: Any
    request_id: str | None


@dataclass(frozen=True)
class Refusal:
    """An answer that the proxy gives itself."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        url: what to name as ``NEON_API_URL``.
        calls: all calls that went through, in their order.
        gate: looks at method and path before a call goes through; a Refusal is answered instead.
    """

    url: str
    calls: list[Call] = field(default_factory=list)
    gate: Callable[[str, str], Refusal | None] = lambda _method, _path: None


@contextmanager
def proxied(neon_url: str) -> Iterator[Proxy]:
    """A proxy in front of a local Neon."""
    prefix = urlsplit(neon_url).path
    with httpx.Client(timeout=60, trust_env=False) as upstream:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            timeout = 60

            def _pass_on(self) -> None:
                sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                where = urlsplit(self.path)
                path = where.path.removeprefix(prefix)
                refusal = proxy.gate(self.command, path)
                if refusal is not None:
                    self._answer(refusal.status, refusal.headers, b'{"code": "", "message": "refused by the test"}')
                    return
                headers = {n: v for n, v in self.headers.items() if n.lower() not in ("host", "connection")}
                try:
                    answer = upstream.request(
                        self.command, neon_url + self.path.removeprefix(prefix), content=sent, headers=headers
                    )
                except httpx.HTTPError:
                    self.close_connection = True
                    return
                body = json.loads(sent) if sent else None
                query, named = parse_qs(where.query), self.headers.get("X-Request-ID")
                proxy.calls.append(Call(self.command, path, query, body, answer.status_code, answer.json(), named))
                self._answer(answer.status_code, {"Content-Type": "application/json"}, answer.content)

            do_GET = do_POST = do_PATCH = do_DELETE = _pass_on  # noqa: N815 - the names of http.server

            def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                try:
                    self.send_response(status)
                    for name, value in (headers | {"Content-Length": str(len(body))}).items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # the client did not wait

            def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - the name of http.server
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, _request: object, _address: object) -> None:
                """A client that went away is no error."""

        with Server(("127.0.0.1", 0), Handler) as server:
            proxy = Proxy(f"http://127.0.0.1:{server.server_address[1]}{prefix}")
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield proxy
            finally:
                server.shutdown()
                thread.join()
