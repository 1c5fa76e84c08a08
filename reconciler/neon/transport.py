"""One request to Neon and its answer: a connection pool, a total deadline for each request, a bound on each answer.

An error says whether the request cannot have left (`NeonNotSent`), was answered, or may have taken effect
(`NeonOutcomeUnknown`). None holds the key: it is in no message, no repr and no exception's context.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, TypeVar

import httpx
from pydantic import SecretStr

from reconciler.egress import failure_of, http_client
from reconciler.errors import NeonAPIError, NeonIntermediaryAnswered, NeonNotSent, NeonOutcomeUnknown
from reconciler.neon.protocol import CompletedRequest, NeonCall, NeonRequest, decode

T = TypeVar("T")

MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""The longest answer that is read; a full page of projects is below 1 MiB."""

# A proxy refuses a tunnel (RFC 9110, 9.3.6) before anything is sent through it.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_CONNECTIONS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=30.0)


class _BodyTooLarge(Exception):
    """The body is longer than what is read."""


class _EncodedBody(Exception):
    """The body has a content coding."""


@dataclass(slots=True)
class _PartialResponse:
    """What has arrived so far; it outlives the exception that ended the reading."""

    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers)
    body: bytes = b""
    whole: bool = False


class NeonTransport:
    """Sends each request once.

    Args:
        base_url: the API's address; https, or http on this machine only.
        api_key: sent as ``Authorization: Bearer``.
        timeout_seconds: total time of one request, from connecting to the last byte of the answer.
        transport: carries the requests instead of the network.
        proxy: the proxy that requests go through; None for none.
        max_body_bytes: the longest answer that is read.
        request_ids: makes each ``X-Request-ID``; random by default.
        on_request: called after every request, in the sender's context; it must not raise.

    Raises:
        ValueError: the address or the key cannot be used; the message holds neither.
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
            # Connecting gives up first, so that a dead address is known as "not sent" before the deadline.
            timeout=httpx.Timeout(timeout_seconds, connect=timeout_seconds / 2, pool=timeout_seconds / 2),
            limits=_CONNECTIONS,
            transport=transport,
            proxy=proxy,
        )

    async def aclose(self) -> None:
        """Closes all connections; nothing can be sent any more."""
        await self._http.aclose()

    async def send(self, call: NeonCall[T]) -> T:
        """Sends one request once, and returns what its answer means.

        Raises:
            NeonNotSent: no connection could be made.
            NeonOutcomeUnknown: no whole answer came, or one that says nothing.
            NeonAPIError: Neon refused.
            asyncio.CancelledError: passes through; the outcome then is unknown too.
        """
        request_id = self._request_ids()
        answer = _PartialResponse()
        failure: tuple[type[NeonAPIError], str] | None = None
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                await self._exchange(call.request, request_id, answer)
        except _NOT_SENT as problem:
            failure = NeonNotSent, f"no connection ({failure_of(problem)})"
        except TimeoutError:
            failure = NeonOutcomeUnknown, f"no whole answer within {self._timeout:g} s"
        except _BodyTooLarge:
            failure = NeonOutcomeUnknown, f"the answer is longer than {self._max_body_bytes} bytes"
        except _EncodedBody:
            failure = NeonIntermediaryAnswered, "an intermediary answered: the body has a Content-Encoding"
        except (httpx.HTTPError, OSError) as problem:
            failure = NeonOutcomeUnknown, f"the connection failed ({type(problem).__name__})"
        except BaseException:
            self._completed(call.request, request_id, answer, began, None)
            raise
        # Outside of the handlers: a transport's exception carries the request and with it the key.
        try:
            result = _read(call, request_id, answer, failure)
        except NeonAPIError as error:
            no_answer = failure is not None or isinstance(error, NeonIntermediaryAnswered)
            self._completed(call.request, request_id, answer, began, type(error) if no_answer else None)
            raise
        self._completed(call.request, request_id, answer, began, None)
        return result

    def _completed(
        self,
        request: NeonRequest,
        request_id: str,
        answer: _PartialResponse,
        began: float,
        failure: type[NeonAPIError] | None,
    ) -> None:
        if self._on_request is not None:
            seconds = time.monotonic() - began
            self._on_request(
                CompletedRequest(request, request_id, answer.status, seconds, answer.whole, failure=failure)
            )

    async def _exchange(self, request: NeonRequest, request_id: str, answer: _PartialResponse) -> None:
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
            answer.headers, answer.status = response.headers, response.status_code
            codings = response.headers.get_list("content-encoding", split_commas=True)
            if any(coding.strip().lower() not in ("", "identity") for coding in codings):
                raise _EncodedBody
            body = bytearray()
            # Nothing is left to decode, so these are the bytes as they arrived.
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._max_body_bytes:
                    raise _BodyTooLarge
            answer.body, answer.whole = bytes(body), True


def _read(
    call: NeonCall[T], request_id: str, answer: _PartialResponse, failure: tuple[type[NeonAPIError], str] | None
) -> T:
    if failure is not None:
        raise error_of(call.request, *failure, status=answer.status, request_id=request_id)
    return decode(call, answer.status or 0, answer.headers, answer.body, request_id, datetime.now(UTC))


def error_of(
    request: NeonRequest,
    kind: type[NeonAPIError],
    detail: str,
    *,
    status: int | None = None,
    request_id: str | None = None,
) -> NeonAPIError:
    """An error about a request."""
    return kind(method=request.method, route=request.route, status=status, detail=detail, request_id=request_id)


def _checked_key(api_key: SecretStr | str) -> str:
    key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("the Neon API key is empty or holds characters that no key has")
    return key


def _checked_base_url(base_url: str) -> str:
    url: httpx.URL | None
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeError):
        url = None
    if url is None or not url.host or url.userinfo or url.query or url.fragment:
        raise ValueError("the address of the Neon API is not a plain URL")
    if url.scheme != "https" and not (url.scheme == "http" and _is_loopback(url.host)):
        raise ValueError("the address of the Neon API must be https; http is for this machine only")
    return str(url).rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
