"""A server on this machine that answers each connection with a script, byte for byte, however wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from reconciler import errors
from reconciler.neon.client import NeonClient
from reconciler.neon.protocol import CompletedRequest, NeonRequest
from reconciler.neon.retry import NoGate

KEY = "napi_hidden1"

Script = Callable[["Peer"], Awaitable[None]]
"""What the server does with one connection."""


@dataclass
class Peer:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Loopback

    async def request(self) -> bytes | None:
        """Head and body of the next request, or None when the client has closed."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        body = await self.reader.readexactly(int(length[0].partition(b":")[2]) if length else 0)
        self.server.requests.append(head + body)
        return head + body

    async def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes | object = b"", headers: str = "") -> None:
        """Sends a whole answer; a body that is not bytes goes out as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.send(head(status, f"Content-Length: {len(content)}\r\n{headers}") + content)

    def reset(self) -> None:
        """Ends the connection at once, with what was not sent."""
        self.writer.transport.abort()


@dataclass
class Loopback:
    """The running server: its address, and what it was sent."""

    url: str
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


def head(status: int, headers: str = "") -> bytes:
    """The head of an answer; the headers each end with CRLF."""
    return f"HTTP/1.1 {status} Said\r\n{headers}\r\n".encode()


@contextlib.asynccontextmanager
async def loopback(script: Script) -> AsyncIterator[Loopback]:
    """Serves every connection by the script until the block ends."""
    running: set[asyncio.Task[None]] = set()
    state = Loopback(url="")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        state.connections += 1
        try:
            with contextlib.suppress(ConnectionError):
                await script(Peer(reader, writer, state))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        running.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    state.url = f"http://{host}:{port}/api/v2"
    try:
        yield state
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


Use = Callable[[NeonClient], Awaitable[object]]
"""What a test does with a client."""

Seen = list[tuple[str, int | None]]
"""Route and status of each request, as the client counted them."""


def project(name: str) -> dict[str, Any]:
    """The least that a project may say."""
    return {
        "id": name,
        "name": name,
        "region_id": "aws-us-east-2",
        "pg_version": 17,
        "created_at": "2025-01-15T10:30:00Z",
    }


class Once(NoGate):
    """Lets every request pass, and none again."""

    def retry_window(self, request: NeonRequest) -> float:  # noqa: ARG002 - every request has the same
        """No time at all."""
        return -1.0


def run(script: Script, use: Use, **options: Any) -> tuple[object, Loopback, Seen]:
    """What the use returned or raised, what the server saw, and what was counted; each request is sent once."""
    seen: Seen = []
    options.setdefault("gate", Once())

    def count(exchange: CompletedRequest) -> None:
        seen.append((exchange.request.route, exchange.status))

    async def main() -> tuple[object, Loopback, Seen]:
        async with (
            loopback(script) as server,
            NeonClient(server.url, SecretStr(KEY), request_ids=lambda: "req-1", on_request=count, **options) as client,
        ):
            try:
                result: object = await use(client)
            except errors.NeonAPIError as error:
                result = error
            return result, server, seen

    return asyncio.run(main())


def answers(*bodies: tuple[int, object]) -> Script:
    """Answers one request after another, over as many connections as it takes."""
    left = iter(bodies)

    async def script(peer: Peer) -> None:
        while await peer.request() is not None:
            status, body = next(left)
            await peer.answer(status, body)

    return script
