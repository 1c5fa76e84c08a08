"""Outgoing HTTP: the place that makes clients, and the reading of one document within bounds."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from importlib.metadata import version

import httpx

USER_AGENT = f"morphik-apps/{version('morphik-apps')}"
"""Some servers refuse the default agents of HTTP libraries with 403."""


class FetchFailed(Exception):
    """A document could not be read. The text names no address, which may hold a credential.

    Attributes:
        status: HTTP status of the answer, or None without one.
    """

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


def http_client(
    *,
    timeout: httpx.Timeout | float,
    headers: Mapping[str, str] | None = None,
    limits: httpx.Limits | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    proxy: str | None = None,
    verify: ssl.SSLContext | bool = True,
) -> httpx.AsyncClient:
    """A client that follows no redirect, asks for no compression and uses no proxy but the given one."""
    return httpx.AsyncClient(
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})},
        timeout=timeout,
        limits=limits or httpx.Limits(),
        transport=transport,
        proxy=proxy,
        verify=verify,
        follow_redirects=False,
        trust_env=False,
    )


def failure_of(error: Exception) -> str:
    """Name an exception of a request, with the status where it is the answer of a proxy; repeats no address."""
    status = str(error)[:3] if isinstance(error, httpx.ProxyError) else ""
    return f"{type(error).__name__} {status}" if status.isdecimal() else type(error).__name__


class DocumentSource:
    """Reads one small JSON document, again and again.

    Args:
        url: its address.
        seconds: total time of one reading, from connecting to the last byte.
        max_bytes: the longest document that is read.
        proxy: the proxy that requests go through; None for none.
        transport: carries the requests instead of the network.
    """

    def __init__(
        self,
        url: str,
        *,
        seconds: float,
        max_bytes: int,
        proxy: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._proxy = proxy
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._transport = transport
        self._http: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Closes all connections; a later reading opens new ones."""
        client, self._http = self._http, None
        if client is not None:
            await client.aclose()

    async def read(self) -> bytes:
        """The document, as the server sends it now. Raises FetchFailed."""
        if self._http is None:
            self._http = http_client(
                timeout=self._seconds,
                headers={"Accept": "application/json"},
                transport=self._transport,
                proxy=self._proxy,
                verify=_with_system_authorities(),
            )
        try:
            async with asyncio.timeout(self._seconds):
                return await self._read(self._http)
        except TimeoutError:
            raise FetchFailed(f"no whole answer within {self._seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise FetchFailed(f"the connection failed ({failure_of(error)})") from None

    async def _read(self, client: httpx.AsyncClient) -> bytes:
        async with client.stream("GET", self._url) as response:
            status = response.status_code
            if status != httpx.codes.OK:
                redirect = "; redirects are not followed" if response.is_redirect else ""
                raise FetchFailed(f"the server answered {status}{redirect}", status)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("the server sent a compressed answer, which was not requested", status)
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._max_bytes:
                    raise FetchFailed(f"the answer is longer than {self._max_bytes} bytes", status)
            return bytes(body)


def _with_system_authorities() -> ssl.SSLContext:
    """Trust what httpx brings along, and the system's own authorities (``SSL_CERT_FILE``): an issuer may be private."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
