"""Sends one request to Neon: a connection pool, a deadline per request, and a size limit per response.

An error distinguishes a request that was not sent (`NeonNotSent`), one with a response, and one that may have taken
effect (`NeonOutcomeUnknown`). No message, repr or exception context contains the key.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

import httpx
from pydantic import SecretStr

from reconciler.egress import failure_of, http_client
from reconciler.errors import NeonAPIError, NeonIntermediaryError, NeonNotSent, NeonOutcomeUnknown
from reconciler.neon.protocol import CompletedRequest, NeonCall, NeonRequest, decode
from specs.settings import is_loopback

T = TypeVar("T")

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""The maximum size of a response; a full page of projects is below 1 MiB."""

# A proxy rejects a tunnel (RFC 9110, 9.3.6) before anything is sent through it.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)


class _BodyTooLarge(Exception):
    """The body exceeds the size limit."""


class _EncodedBody(Exception):
    """The body has a content coding."""


@dataclass(slots=True)
class _PartialResponse:
    """The part of a response that has arrived. It outlives the exception that ended the read."""

    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    complete: bool = False


class NeonTransport:
    """Sends each request once.

    Args:
        base_url: the API's address; https, or http on loopback only.
        api_key: sent as ``Authorization: Bearer``.
        timeout_seconds: the total time of a request, from connecting to the last byte of the response.
        transport: replaces the network.
        proxy: the egress proxy, or None.
        max_body_bytes: the maximum size of a response.
        request_ids: returns each ``X-Request-ID``; random by default.
        on_request: called after every request, in the sender's context; it must not raise.

    Raises:
        ValueError: the address or the key is not valid. The message contains neither.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr | str,
        *,
        timeout_seconds: float = 20.0,
        transport: httpx.AsyncBaseTransport | None = None,
        proxy: str | None = None,
        max_body_bytes: int = MAX_BODY_BYTES,
        request_ids: Callable[[], str] | None = None,
        on_request: Callable[[CompletedRequest], None] | None = None,
    ) -> None:
        self.base_url = _checked_base_url(base_url)
        self._timeout = timeout_seconds
        self._max_body_bytes = max_body_bytes
        self._request_ids = request_ids or (lambda: uuid.uuid4().hex)
        self._on_request = on_request
        self._http = http_client(
            headers={"Authorization": f"Bearer {_checked_key(api_key)}", "Accept": "application/json"},
            # The connect timeout is shorter, so that an unreachable address is "not sent" before the deadline.
            timeout=httpx.Timeout(timeout_seconds, connect=timeout_seconds / 2, pool=timeout_seconds / 2),
            limits=_CONNECTIONS,
            transport=transport,
            proxy=proxy,
        )

    async def aclose(self) -> None:
        """Close all connections. The transport cannot be used again."""
        await self._http.aclose()

    async def send(self, call: NeonCall[T]) -> T:
        """Send one request once, and return the model of its response.

        Raises:
            NeonNotSent: no connection was made.
            NeonOutcomeUnknown: the response is missing, incomplete or unreadable.
            NeonAPIError: Neon rejected the request.
            asyncio.CancelledError: the outcome is unknown.
        """
        request_id = self._request_ids()
        partial = _PartialResponse()
        failure: tuple[type[NeonAPIError], str] | None = None
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(call.request, request_id, partial)
        except _NOT_SENT as problem:
            failure = NeonNotSent, f"no connection ({failure_of(problem)})"
        except TimeoutError:
            failure = NeonOutcomeUnknown, f"no complete response within {self._timeout:g} s"
        except _BodyTooLarge:
            failure = NeonOutcomeUnknown, f"the response is longer than {self._max_body_bytes} bytes"
        except _EncodedBody:
            failure = NeonIntermediaryError, "an intermediary answered: the body has a Content-Encoding"
        except (httpx.HTTPError, OSError) as problem:
            failure = NeonOutcomeUnknown, f"the connection failed ({type(problem).__name__})"
        except BaseException:
            self._completed(call.request, request_id, partial, began, None)
            raise
        # Outside of the handlers: a transport's exception refers to the request and its key.
        try:
            result = _decode(call, request_id, partial, failure)
        except NeonAPIError as error:
            no_response = failure is not None or isinstance(error, NeonIntermediaryError)
            self._completed(call.request, request_id, partial, began, type(error) if no_response else None)
            raise
        self._completed(call.request, request_id, partial, began, None)
        return result

    def _completed(
        self,
        request: NeonRequest,
        request_id: str,
        partial: _PartialResponse,
        began: float,
        failure: type[NeonAPIError] | None,
    ) -> None:
        if self._on_request is not None:
            seconds = time.monotonic() - began
            self._on_request(
                CompletedRequest(request, request_id, partial.status, seconds, partial.complete, failure=failure)
            )

    async def _exchange(self, request: NeonRequest, request_id: str, partial: _PartialResponse) -> None:
        headers = {"X-Request-ID": request_id}
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body, separators=(",", ":")).encode()
        async with self._http.stream(
            request.method,
            self.base_url + request.path,
            params=request.params or None,
            headers=headers,
            content=content,
        ) as response:
            partial.headers, partial.status = response.headers, response.status_code
            codings = response.headers.get_list("content-encoding", split_commas=True)
            if any(coding.strip().lower() not in ("", "identity") for coding in codings):
                raise _EncodedBody
            body = bytearray()
            # Without a content coding these are the bytes as they arrived.
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._max_body_bytes:
                    raise _BodyTooLarge
            partial.body, partial.complete = bytes(body), True


def _decode(
    call: NeonCall[T], request_id: str, partial: _PartialResponse, failure: tuple[type[NeonAPIError], str] | None
) -> T:
    if failure is not None:
        raise error_of(call.request, *failure, status=partial.status, request_id=request_id)
    return decode(call, partial.status or 0, partial.headers, partial.body, request_id, datetime.now(UTC))


def error_of(
    request: NeonRequest,
    kind: type[NeonAPIError],
    detail: str,
    *,
    status: int | None = None,
    request_id: str | None = None,
) -> NeonAPIError:
    """Return an error of a request."""
    return kind(method=request.method, route=request.route, status=status, detail=detail, request_id=request_id)


def _checked_key(api_key: SecretStr | str) -> str:
    key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the Neon API key is empty or contains characters that no key has")
    return key


def _checked_base_url(base_url: str) -> str:
    url: httpx.URL | None
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeError):
        url = None
    if url is None or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError("the address of the Neon API is not a plain URL")
    if url.scheme != "https" and not (url.scheme == "http" and is_loopback(base_url)):
        raise ValueError("the address of the Neon API must be https; http is allowed on loopback only")
    return str(url).rstrip("/")
