"""Clients that hang up: in the middle of a body, while their answer is held, and while it is written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.types import Message

from api.app import create_app
from api.cli.process import listen, serve
from api.connections.pool import Connections
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.embedded import EmbeddedPostgres
from reconciler.local.server import LocalNeonServer
from reconciler.local.simulator import LocalNeon
from tests.integration.api_client import api_context, token

CLIENTS = 20
DEADLINE_SECONDS = 20
REQUESTS = "morphik_apps_http_requests_total"
UNFINISHED = "The client disconnected before its request was complete."


def _head(request: str) -> str:
    """The first lines of a request with a fresh token, without the empty line at their end."""
    return f"{request} HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {token()}\r\n"


def _post(body: str) -> str:
    return f"{_head('POST /ee/apps')}Content-Type: application/json\r\n{body}"


@asynccontextmanager
async def _served(catalog_url: str) -> AsyncIterator[tuple[int, CollectorRegistry]]:
    """The port of the real server over a real catalog, and what it measures."""
    async with _running(catalog_url) as (port, app):
        yield port, app.state.registry


@asynccontextmanager
async def _running(catalog_url: str, connections: Connections | None = None) -> AsyncIterator[tuple[int, Starlette]]:
    context, listening = api_context(catalog_url), asyncio.Event()
    app = create_app(context)
    app.state.registry = context.registry
    listener = listen("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    serving = asyncio.create_task(serve(app, listener, ready=listening.set, connections=connections))
    try:
        await listening.wait()
        yield port, app
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        await context.database.close()


async def _hang_up(port: int, request: str, *, reset: bool, when: Callable[[], bool] | None = None) -> None:
    """Send a request and hang up a moment later, or when something has happened."""
    _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    await writer.drain()
    await (asyncio.sleep(0.05) if when is None else _until(when))
    if reset:
        writer.transport.abort()
    else:
        writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def _until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not happened():  # noqa: ASYNC110 - a log and a metric have no event
            await asyncio.sleep(0.02)


def _answers(registry: CollectorRegistry, method: str, route: str, status: str) -> float:
    return registry.get_sample_value(REQUESTS, {"method": method, "route": route, "status": status}) or 0.0


def _loud(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "body", [f"Content-Length: 60000\r\n\r\n{{{' ' * 5000}", 'Transfer-Encoding: chunked\r\n\r\n5\r\n{"app']
)
@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_hangs_up_mid_body_is_neither_an_error_nor_an_answer(
    catalog_url: str, caplog: pytest.LogCaptureFixture, body: str, reset: bool
) -> None:
    async def run() -> None:
        async with _served(catalog_url) as (port, registry):
            await asyncio.gather(*(_hang_up(port, _post(body), reset=reset) for _ in range(CLIENTS)))
            await _until(lambda: sum(UNFINISHED in each.getMessage() for each in caplog.records) == CLIENTS)
            for status in ("2xx", "4xx", "5xx"):
                assert _answers(registry, "POST", "/ee/apps", status) == 0

    caplog.set_level(logging.DEBUG)
    asyncio.run(run())
    assert _loud(caplog) == []


@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_hangs_up_while_its_answer_is_held_is_no_error(
    catalog_url: str, caplog: pytest.LogCaptureFixture, reset: bool
) -> None:
    async def run() -> None:
        async with _running(catalog_url) as (port, app):
            registry = app.state.registry
            content = '{"app_name": "notes"}'
            held = _post(f"Prefer: wait=4\r\nContent-Length: {len(content)}\r\n\r\n{content}")

            def all_wait() -> bool:
                return sum(map(len, app.state.waiter._waiters.values())) == CLIENTS

            await asyncio.gather(*(_hang_up(port, held, reset=reset, when=all_wait) for _ in range(CLIENTS)))
            await _until(lambda: _answers(registry, "POST", "/ee/apps", "2xx") == CLIENTS)
            assert _answers(registry, "POST", "/ee/apps", "5xx") == 0

    caplog.set_level(logging.DEBUG)
    asyncio.run(run())
    assert _loud(caplog) == []


def test_held_answers_leave_connections_for_others(catalog_url: str) -> None:
    """What waits longest is answered early, since no request in flight gives way to a new connection."""
    content = '{"app_name": "notes"}'
    held = _post(f"Prefer: wait=60\r\nContent-Length: {len(content)}\r\n\r\n{content}").encode()

    async def run() -> None:
        async with _running(catalog_url, Connections(4)) as (port, app):
            clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for _, writer in clients:
                writer.write(held)
            assert (await asyncio.wait_for(clients[0][0].readline(), DEADLINE_SECONDS)).startswith(b"HTTP/1.1 20")
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(held)
                clients.append((reader, writer))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: api.test\r\n\r\n")
            assert await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS) == b"HTTP/1.1 200 OK\r\n"
            assert sum(map(len, app.state.waiter._waiters.values())) <= 2
            for _, each in (*clients, (reader, writer)):
                each.close()

    asyncio.run(run())


@pytest.mark.parametrize("reset", [True, False])
def test_a_client_that_hangs_up_while_answers_are_written_is_no_error(
    catalog_url: str, caplog: pytest.LogCaptureFixture, reset: bool
) -> None:
    async def run() -> None:
        async with _served(catalog_url) as (port, registry):
            asked = f"{_head('GET /openapi.json')}\r\n" * 10
            await asyncio.gather(*(_hang_up(port, asked, reset=reset) for _ in range(CLIENTS)))
            await _until(lambda: _answers(registry, "GET", "/openapi.json", "2xx") >= CLIENTS)
            assert _answers(registry, "GET", "/openapi.json", "5xx") == 0

    caplog.set_level(logging.DEBUG)
    asyncio.run(run())
    assert _loud(caplog) == []


def test_a_client_that_hangs_up_mid_body_is_no_error_of_local_neon(tmp_path: Path) -> None:
    server = LocalNeonServer(LocalNeon(LocalNeonOptions(physical=True), 1), EmbeddedPostgres(tmp_path))
    answered: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answered.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/v2/projects", "raw_path": b"/api/v2/projects"}
    named = {"headers": [(b"host", b"localhost:80")], "server": ("127.0.0.1", 80), "query_string": b""}
    asyncio.run(server.app(scope | named, receive, send))
    assert answered[0]["status"] == 400
