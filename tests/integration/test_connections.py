"""Slow, silent and broken clients over real sockets: deadlines, the limit on connections, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from api.cli.process import listen
from api.cli.server import GracefulServer
from api.connections import pool, protocol
from api.connections.pool import Connections
from tests.unit.test_framing import REFUSED

GET = b"GET /hello HTTP/1.1\r\nHost: api\r\n\r\n"
SLOW = b"GET /held HTTP/1.1\r\nHost: api\r\n\r\n"
LARGE = 30_000_000
Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Served:
    """A server with one route of each kind.

    Attributes:
        server: serves until the block ends.
        release: lets ``/held`` answer.
        arrived: how many requests ``/held`` has.
        begun: whether a large answer is being written.
        connections: all of the server.
    """

    def __init__(self, connections: Connections) -> None:
        self.release, self.arrived, self.begun = asyncio.Event(), 0, False
        self.listening, self.connections = asyncio.Event(), connections
        routes = [
            Route("/hello", self._hello, methods=["GET", "POST"]),
            Route("/held", self._held),
            Route("/read", self._read, methods=["POST"]),
            Route("/large", self._large),
        ]
        self.server = GracefulServer(
            Starlette(routes=routes), ready=self.listening.set, release_waiters=self._nothing, connections=connections
        )

    async def _nothing(self) -> None:
        """No request waits of its own will."""

    async def _hello(self, _request: Request) -> Response:
        return PlainTextResponse("hello")

    async def _held(self, _request: Request) -> Response:
        self.arrived += 1
        await self.release.wait()
        return PlainTextResponse("released")

    async def _read(self, request: Request) -> Response:
        return PlainTextResponse(await request.body())

    async def _large(self, _request: Request) -> Response:
        self.begun = True

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(LARGE // 100_000):
                yield b"x" * 100_000

        return StreamingResponse(pieces())


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for."""
    monkeypatch.setattr(pool, "_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 0.3)
    monkeypatch.setattr(protocol, "REJECTION_LINGER_SECONDS", 0.3)


def run(use: Callable[[Served, Callable[[], Awaitable[Client]]], Coroutine[Any, Any, None]], **limits: int) -> None:
    """Serve, and use the server with clients that it can connect."""

    async def main() -> None:
        served = Served(Connections(**limits))
        listener = listen("127.0.0.1", 0)
        address: tuple[str, int] = listener.getsockname()
        serving = asyncio.create_task(served.server.serve(sockets=[listener]))
        await served.listening.wait()
        clients: list[Client] = []

        async def connect() -> Client:
            clients.append(await asyncio.open_connection(*address))
            return clients[-1]

        async with asyncio.timeout(60):
            await use(served, connect)
        for _, writer in clients:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        served.release.set()
        served.server.should_exit = True
        await serving

    asyncio.run(main())


async def until(look: Callable[[], object]) -> None:
    """Wait until something is so."""
    while not look():  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)


async def rest(client: Client) -> bytes:
    """All that the server still sends, up to its end of the connection."""
    with contextlib.suppress(ConnectionResetError):
        return await client[0].read()
    return b"reset"


async def answer(client: Client) -> bytes:
    """One whole answer."""
    head = await client[0].readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    return head + await client[0].readexactly(length)


def check_problem(sent: bytes, status: int, slug: str) -> None:
    """What was sent is one problem, and says that the connection is closed."""
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    for field in (b"connection: close", b"content-type: application/problem+json", b"x-request-id: "):
        assert field in head.lower()
    assert json.loads(body)["type"] == f"/problems/{slug}"


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
def test_refused_request_is_answered_once_and_closed(sent: bytes, status: int) -> None:
    """A request behind it, which a proxy may have taken for its body, is not served."""
    slug = {400: "malformed-request", 417: "expectation-failed", 431: "head-too-large"}[status]

    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client[1].write(sent + b"0\r\n\r\n" + GET)
        answered = await rest(client)
        # The body's error may come after the application has answered; then only the connection ends.
        if answered.startswith(b"HTTP/1.1 404"):
            assert answered.count(b"HTTP/1.1 ") == 1
        else:
            check_problem(answered, status, slug)

    run(use)


def test_pipelined_requests_are_answered_in_order() -> None:
    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        read = b"POST /read HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\na: b\r\n\r\n"
        unknown = GET.replace(b"GET", b"QUERY") + GET.replace(b"GET", b"get")  # to the parser, not to the routes
        client[1].write(
            GET + read + unknown + GET + b"GET /hello HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n" + GET
        )
        said = await rest(client)
        assert [said.count(body) for body in (b"1.1 200 OK", b"hello", b"abc", b"1.1 405 ")] == [4, 3, 1, 2]

    run(use)


@pytest.mark.parametrize("begun", [b"", GET[:9]])
def test_client_that_shuts_down_its_writing_gets_every_answer(begun: bytes) -> None:
    """Half-closed while its answer is held (RFC 9112 9.6): each whole request is answered, and the rest is dropped."""

    async def use(served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client[1].write(SLOW + GET + begun)
        client[1].write_eof()
        await until(lambda: served.arrived)
        await asyncio.sleep(0.1)
        served.release.set()
        said = await rest(client)
        assert [said.count(body) for body in (b"HTTP/1.1 200 OK", b"released", b"hello")] == [2, 1, 1]

    run(use)


@pytest.mark.parametrize("protocol_name", ["h2c", "websocket"])
def test_upgrade_is_ignored(protocol_name: str) -> None:
    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        upgrade = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol_name}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        client[1].write(GET[:-2] + upgrade.encode())
        assert (await answer(client)).startswith(b"HTTP/1.1 200 OK")

    run(use)


@pytest.mark.parametrize("begin", [b"", b"GET /hea", b"\r\n"])
def test_first_head_that_does_not_arrive_ends_the_connection(begin: bytes) -> None:
    """Where a head has begun the client learns why; bytes that drip in do not extend the deadline."""

    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client[1].write(begin)
        sending = asyncio.create_task(_drip(client[1])) if begin == b"GET /hea" else None
        said = await rest(client)
        if sending is not None:
            sending.cancel()
            check_problem(said, 408, "head-too-slow")
        else:
            assert said == b""

    run(use)


async def _drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"l")
        await asyncio.sleep(0.02)


def test_later_head_has_the_deadline_from_its_first_byte() -> None:
    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        for _ in range(2):
            client[1].write(GET)
            assert (await answer(client)).endswith(b"hello")
            await asyncio.sleep(2 * protocol.HEAD_SECONDS)  # idle, for longer than a head may take
        client[1].write(GET[:-1])
        check_problem(await rest(client), 408, "head-too-slow")

    run(use)


def test_later_head_that_was_pipelined_in_part_has_a_deadline() -> None:
    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client[1].write(GET + GET[:9])
        assert (await answer(client)).endswith(b"hello")
        check_problem(await rest(client), 408, "head-too-slow")

    run(use)


def test_connection_that_its_client_has_just_closed_spoils_no_other_deadline() -> None:
    """The answer to it brings a reset before the server shuts its side down."""

    async def use(served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        address = (await connect())[1].get_extra_info("peername")
        closed = socket.create_connection(address)
        closed.sendall(GET[:9])
        await until(lambda: len(served.connections) == 2)
        silent = await connect()
        silent[1].write(GET[:9])
        await asyncio.sleep(0.1)
        closed.close()  # the loop sees it only after this callback
        for each in served.connections:
            each.check(asyncio.get_running_loop().time() + protocol.HEAD_SECONDS)
        check_problem(await rest(silent), 408, "head-too-slow")

    run(use)


@pytest.mark.parametrize("framing", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
def test_body_that_does_not_arrive_ends_the_connection(framing: bytes) -> None:
    """With a 408 where a handler reads it; after the answer where none does."""

    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        read, unread = await connect(), await connect()
        read[1].write(b"POST /read HTTP/1.1\r\nHost: api\r\n" + framing + b"\r\n\r\n2")
        unread[1].write(b"POST /hello HTTP/1.1\r\nHost: api\r\n" + framing + b"\r\n\r\n2")
        check_problem(await rest(read), 408, "body-too-slow")
        assert (await answer(unread)).endswith(b"hello")
        assert await rest(unread) == b""

    run(use)


def test_body_behind_its_answer_is_read_before_the_next_request() -> None:
    async def use(_served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client[1].write(b"POST /hello HTTP/1.1\r\nHost: api\r\nContent-Length: 9\r\n\r\n1234")
        assert (await answer(client)).endswith(b"hello")
        client[1].write(b"56789" + GET)
        assert (await answer(client)).endswith(b"hello")

    run(use)


@pytest.mark.parametrize("path", [b"/large", b"/hello"])
def test_client_that_does_not_read_is_dropped(path: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """While more is to be written, and also when the whole answer is in the buffer."""
    if path == b"/hello":
        monkeypatch.setattr(Served, "_hello", _in_one_piece)

    async def use(served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client[0]._transport.pause_reading()  # type: ignore[attr-defined]
        client[1].write(b"GET " + path + b" HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n")
        await until(lambda: served.begun)
        await until(lambda: not served.server.server_state.connections)
        client[0]._transport.resume_reading()  # type: ignore[attr-defined]
        assert len(await rest(client)) < LARGE

    run(use)


async def _in_one_piece(served: Served, _request: Request) -> Response:
    served.begun = True
    return PlainTextResponse("x" * 20_000_000)


def test_client_that_reads_slowly_gets_everything() -> None:
    """A long stream, and a request that is held, outlast every deadline."""

    async def use(served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        held, slow = await connect(), await connect()
        held[1].write(SLOW)
        slow[1].write(b"GET /large HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n")
        received, began = 0, asyncio.get_running_loop().time()
        while piece := await slow[0].read(1_000_000):
            received += len(piece)
            await asyncio.sleep(0.02)
        assert received > LARGE
        assert asyncio.get_running_loop().time() - began > protocol.WRITE_SECONDS
        served.release.set()
        assert (await answer(held)).endswith(b"released")

    run(use)


def test_at_the_limit_the_longest_waiting_connection_gives_way() -> None:
    """Idle ones included, requests in flight never; a new client waits until there is room, and none is refused."""

    async def use(served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        busy, silent, idle = [await connect() for _ in range(3)]
        busy[1].write(SLOW)
        idle[1].write(GET)
        await answer(idle)
        await until(lambda: served.arrived == 1)
        others = [await connect() for _ in range(2)]
        assert (await rest(silent), await rest(idle)) == (b"", b"")
        for other in others:
            other[1].write(SLOW)
        await until(lambda: served.arrived == 3)
        last = await connect()
        last[1].write(GET)
        await asyncio.sleep(0.2)
        assert not last[0]._buffer  # type: ignore[attr-defined]
        served.release.set()
        assert [(await answer(one))[-8:] for one in (busy, *others)] == [b"released"] * 3
        assert (await answer(last)).endswith(b"hello")

    run(use, limit=3)


def test_at_the_limit_a_client_that_does_not_read_its_answer_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "WRITE_SECONDS", 60.0)

    async def use(served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        busy, *deaf = [await connect() for _ in range(3)]
        busy[1].write(SLOW)
        await until(lambda: served.arrived == 1)
        for client in deaf:
            client[1].write(b"GET /large HTTP/1.1\r\nHost: api\r\n\r\n")
        in_flight = served.connections._in_flight
        await until(lambda: sum(connection.is_unread() for connection in in_flight) == 2)
        for _ in range(2):
            last = await connect()
            last[1].write(GET)
            assert (await answer(last)).endswith(b"hello")
        served.release.set()
        assert (await answer(busy)).endswith(b"released")

    run(use, limit=3)


def test_request_that_arrived_is_not_lost_to_the_keep_alive_timeout() -> None:
    """The timer fires after the request has arrived and before anything has read it; later it closes the idle one."""

    async def use(served: Served, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client[1].write(GET)
        await answer(client)
        client[1].write(GET)  # at the server's socket in this turn of the loop
        [connection] = served.server.server_state.connections
        assert isinstance(connection, protocol.GuardedProtocol)
        connection.timeout_keep_alive_handler()
        assert (await answer(client)).endswith(b"hello")
        assert await rest(client) == b""

    run(use, keep_alive_seconds=1)
