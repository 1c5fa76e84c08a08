"""uvicorn's HTTP protocol behind strict framing and deadlines.

A subclass receives the bytes of the transport before the parser does. It uses asyncio's protocol methods, and of
uvicorn ``on_headers_complete``, ``scope``, ``on_response_complete``, ``timeout_keep_alive_handler``,
``_unset_keepalive_if_required``, ``send_400_response``, ``flow`` and ``cycle.response_started``. A wrapper around the
protocol cannot observe the end of a response, and middleware receives only requests with a complete head.
"""

from __future__ import annotations

import asyncio
import secrets
import select
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from api.connections.framing import Framing
from api.connections.pool import Connections
from api.problems import MALFORMED_REQUEST, ProblemError, body_too_slow, head_too_slow

HEAD_SECONDS = 10.0  # for a head, from the start of the connection or the first byte of a later request
BODY_SECONDS = 20.0  # for a body, from the end of its head
WRITE_SECONDS = 30.0  # for a client to read, while writing is paused
REJECTION_LINGER_SECONDS = 2.0  # for a client to read the problem, before the connection is reset
_MAX_BUFFERED_BYTES = 64 * 1024  # of later requests, while one is in flight


class GuardedProtocol(HttpToolsProtocol):
    """One connection: framing, deadlines, and uvicorn's protocol for valid requests."""

    def __init__(
        self, *, config: Config, server_state: ServerState, app_state: dict[str, Any], connections: Connections
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._pool = connections
        self._framing = Framing()
        self._deadline: float | None = None  # for the current part of a request
        self._unread_since: float | None = None  # the first check at which the client did not read
        self._has_forwarded = False  # the current request has reached the parser
        self._has_responded = False  # its response is complete, perhaps before its body
        self._is_rejected = False
        self._has_ended = False  # the client has closed its side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the deadline of the first head."""
        super().connection_made(transport)
        self._deadline = self.loop.time() + HEAD_SECONDS
        self._pool.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the closed connection."""
        self._pool.remove(self)
        self._unset_keepalive_if_required()  # uvicorn leaves its timer, and so this connection, after a reset
        if not self._is_rejected:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Process bytes from the client; after a rejection they are discarded."""
        if not self._is_rejected:
            self._forward(self._framing.feed, data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client has closed its side, and may still read: respond to its requests, then close the connection.

        Returns:
            Whether the transport stays open.
        """
        self._has_ended = True
        return self._framing.is_complete and not self._is_rejected

    def on_headers_complete(self) -> None:
        """Start the request with its original method."""
        super().on_headers_complete()
        self.scope["method"] = self._framing.method

    def on_response_complete(self) -> None:
        """Start the next request, unless the body of the current one is incomplete."""
        super().on_response_complete()
        self._has_responded = True
        if self._framing.is_complete:
            self._next_request()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless a request has arrived or started."""
        if self._deadline is None and not self.has_unread():
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """Reject a request that the framing allowed and the parser did not."""
        self._reject(MALFORMED_REQUEST(f"Correct the request: {msg}"))

    def resume_writing(self) -> None:
        """Resume writing: the client has read enough."""
        self._unread_since = None
        super().resume_writing()

    def has_unread(self) -> bool:
        """Whether bytes have arrived that are not read yet, or the client has closed its side."""
        descriptor = self.transport.get_extra_info("socket").fileno()
        if descriptor < 0:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def is_unread(self) -> bool:
        """Whether the client does not read its response, so that writing is paused."""
        return self.flow.write_paused

    def abort(self) -> None:
        """Close without a response."""
        self.transport.abort()

    def check(self, now: float) -> None:
        """Close the connection if the client sends or reads too slowly.

        Args:
            now: the loop's time, in seconds.
        """
        if self._deadline is not None and now >= self._deadline:
            self._expire()
            return
        if not self._is_stuck():
            self._unread_since = None
        elif self._unread_since is None:
            self._unread_since = now
        elif now - self._unread_since >= WRITE_SECONDS:
            self.transport.abort()

    def _is_stuck(self) -> bool:
        """Whether the write buffer should shrink: it is not empty, and nothing is added to it."""
        if not self.transport.get_write_buffer_size():
            return False
        is_waiting = self._has_responded or not self._framing.is_complete
        return self.flow.write_paused or is_waiting or self.transport.is_closing()

    def _expire(self) -> None:
        if self._is_rejected:
            self.transport.abort()
        elif self._framing.has_head:
            self._reject(body_too_slow())
        elif self._framing.buffered:
            self._reject(head_too_slow(HEAD_SECONDS))
        else:
            self.transport.abort()

    def _forward(self, take: Callable[[bytes], bytes], data: bytes) -> None:
        """Forward framed bytes to the parser, and set the deadline of the next part."""
        try:
            output = take(data)
        except ProblemError as problem:
            self._reject(problem)
            return
        if self._framing.is_complete:
            self._deadline = None
            self._pool.works(self)
        elif self._framing.has_head:
            if not self._has_forwarded:
                self._deadline = self.loop.time() + BODY_SECONDS
        elif self._deadline is None and self._framing.buffered:
            self._deadline = self.loop.time() + HEAD_SECONDS
        if output:
            super().data_received(output)
            self._has_forwarded = True
        if self._framing.is_complete and not self._is_rejected:
            if self._has_responded:
                self._next_request()
            elif self._framing.buffered > _MAX_BUFFERED_BYTES:
                self.flow.pause_reading()

    def _next_request(self) -> None:
        if self.transport.is_closing() or self._is_rejected:
            return
        self._has_responded = self._has_forwarded = False
        self._pool.waits(self)
        self._forward(lambda _: self._framing.next_request(), b"")
        if self._has_ended and not self._framing.is_complete and not self._is_rejected:
            self.transport.close()

    def _reject(self, problem: ProblemError) -> None:
        """Respond with a problem and close. For a moment, bytes of the client are read and discarded.

        A close with unread bytes would reset the connection, and the client might lose the response. For uvicorn the
        connection is lost, so it can write nothing else.
        """
        can_respond = not self._has_responded and not (self._has_forwarded and self.cycle.response_started)
        self._is_rejected = True
        self.flow.resume_reading()
        super().connection_lost(problem)
        self._deadline = self.loop.time() + REJECTION_LINGER_SECONDS
        self._pool.waits(self)
        if can_respond:
            self.transport.write(_raw_response(problem))
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # the client has reset the connection, and the event loop has not noticed yet
            self.transport.abort()


def _raw_response(problem: ProblemError) -> bytes:
    """Return a complete response to a request that did not reach the application."""
    response = problem.response()
    response.headers["Connection"] = "close"
    response.headers["X-Request-ID"] = secrets.token_hex(16)
    response.headers["X-Content-Type-Options"] = "nosniff"
    fields = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
    reason = HTTPStatus(response.status_code).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (response.status_code, reason, fields, bytes(response.body))
