"""Outgoing HTTP: the clients' common configuration, and a reader of one bounded document."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from importlib.metadata import version

import httpx

USER_AGENT = f"morphik-apps/{version('morphik-apps')}"
"""Some servers reject the default agents of HTTP libraries with 403."""


class FetchFailed(Exception):
    """A document could not be read. The message contains no address, which may include credentials.

    Attributes:
        status: HTTP status of the response, or None without one.
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
    """Return a client that follows no redirects, requests no compression and uses no other proxy."""
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
    """Return the name of an exception, with the status of a proxy's response, and without an address."""
    status = str(error)[:3] if isinstance(error, httpx.ProxyError) else ""
    return f"{type(error).__name__} {status}" if status.isdecimal() else type(error).__name__


class DocumentSource:
    """Reads one small JSON document repeatedly.

    Args:
        url: its address.
        seconds: the total time of a read, from connecting to the last byte.
        max_bytes: the maximum size of the document.
        proxy: the egress proxy, or None.
        transport: replaces the network.
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
        """Close all connections. A later read opens new ones."""
        client, self._http = self._http, None
        if client is not None:
            await client.aclose()

    async def read(self) -> bytes:
        """Return the document as the server sends it now. Raises FetchFailed."""
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
            raise FetchFailed(f"no complete response within {self._seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise FetchFailed(f"the connection failed ({failure_of(error)})") from None

    async def _read(self, client: httpx.AsyncClient) -> bytes:
        async with client.stream("GET", self._url) as response:
            status = response.status_code
            if status != httpx.codes.OK:
                redirect = "; redirects are not followed" if response.is_redirect else ""
                raise FetchFailed(f"the server answered {status}{redirect}", status)
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise FetchFailed("the server sent a compressed response, which was not requested", status)
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > self._max_bytes:
                    raise FetchFailed(f"the response is longer than {self._max_bytes} bytes", status)
            return bytes(body)


def _with_system_authorities() -> ssl.SSLContext:
    """Trust httpx's authorities and the system's own (``SSL_CERT_FILE``): an issuer may be private."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
