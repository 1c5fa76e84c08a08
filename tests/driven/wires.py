"""The two ways from the real client into the network of a run: through ``httpx.AsyncClient``, and past it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self
from urllib.parse import unquote

import httpx

from tests.driven.network import BASE, Answer, Network
from tests.driven.rules import Sent


class Wire:
    """In place of ``httpx.AsyncClient`` behind the real transport: the same calls without its making of bytes."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def stream(self, method: str, url: str, *, params: Any, headers: Mapping[str, str], content: Any) -> _Streaming:
        """A request whose answer is read piece by piece."""
        del headers
        query = {name: str(value) for name, value in params or ()}
        body = None if content is None else json.loads(content)
        return _Streaming(self._network, Sent(method, unquote(url.removeprefix(BASE)), query, body))

    async def aclose(self) -> None:
        """Nothing is open."""


class _Streaming:
    def __init__(self, network: Network, sent: Sent) -> None:
        self._network = network
        self._sent = sent

    async def __aenter__(self) -> Self:
        self._answer = await self._network.exchange(self._sent)
        self.status_code = self._answer.status
        self.headers = httpx.Headers(dict(self._answer.headers))
        return self

    async def __aexit__(self, *_error: object) -> None:
        return

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The body."""
        body = self._answer.body
        if self._answer.cut:
            yield body[: len(body) // 2]
            raise httpx.RemoteProtocolError("cut")
        yield body


class Transport(httpx.AsyncBaseTransport):
    """The same for runs that go through ``httpx.AsyncClient``."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request and its answer."""
        path = str(request.url.copy_with(query=None)).removeprefix(BASE)
        body = json.loads(request.content) if request.content else None
        sent = Sent(request.method, unquote(path), dict(request.url.params), body)
        answer = await self._network.exchange(sent)
        return httpx.Response(answer.status, headers=dict(answer.headers), stream=_Body(answer))


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._answer.body
        if self._answer.cut:
            yield body[: len(body) // 2]
            raise httpx.RemoteProtocolError("cut")
        yield body
