"""uvicorn's HTTP protocol behind strict framing and deadlines.

The guard is a subclass, which sees what comes from the transport before the parser does. Of uvicorn it uses asyncio's
protocol methods, ``on_headers_complete``, ``scope``, ``on_response_complete``, ``timeout_keep_alive_handler``,
``_unset_keepalive_if_required``, ``send_400_response``, ``flow`` and ``cycle.response_started``. A wrapper around the
protocol could not tell when an answer ends, and middleware comes too late: it sees only requests with a complete head.
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

HEAD_SECONDS = 10.0  # for a head, from the connection's start or from the first byte of a later request
BODY_SECONDS = 20.0  # for a body, from the end of its head
WRITE_SECONDS = 30.0  # for a client to read what stands in the way of more
REFUSED_SECONDS = 2.0  # for a client to read why it was refused, before the connection is reset
_MOST_KEPT_BYTES = 64 * 1024  # of later requests, while one is in flight


class GuardedProtocol(HttpToolsProtocol):
    """One connection: its framing, its deadlines, and uvicorn's protocol for what passes."""

    def __init__(
        self, *, config: Config, server_state: ServerState, app_state: dict[str, Any], connections: Connections
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._pool = connections
        self._framing = Framing()
        self._deadline: float | None = None  # for the part of a request that is under way
        self._unread_since: float | None = None  # when a check first found the client not reading
        self._has_passed = False  # the present request has reached the parser
        self._is_answered = False  # the present request is, perhaps before its body was complete
        self._is_refused = False
        self._has_ended = False  # the client sends no more

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected: the deadline of its first head begins."""
        super().connection_made(transport)
        self._deadline = self.loop.time() + HEAD_SECONDS
        self._pool.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._pool.remove(self)
        self._unset_keepalive_if_required()  # uvicorn leaves its timer, and so this connection, after a reset
        if not self._is_refused:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; after a refusal they are discarded."""
        if not self._is_refused:
            self._pass(self._framing.feed, data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends no more, and may still read: what has arrived is answered, then the connection is closed.

        Returns:
            Whether the transport stays open.
        """
        self._has_ended = True
        return self._framing.is_complete and not self._is_refused

    def on_headers_complete(self) -> None:
        """The request begins, with its own method."""
        super().on_headers_complete()
        self.scope["method"] = self._framing.method

    def on_response_complete(self) -> None:
        """The present request is answered; the next one begins, unless a body is still to come."""
        super().on_response_complete()
        self._is_answered = True
        if self._framing.is_complete:
            self._next_request()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, but not one on which a request has arrived or begun."""
        if self._deadline is None and not self.has_unread():
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """The parser refuses what the framing let pass."""
        self._refuse(MALFORMED_REQUEST(f"Correct the request: {msg}"))

    def resume_writing(self) -> None:
        """The client has read enough for more to be written."""
        self._unread_since = None
        super().resume_writing()

    def has_unread(self) -> bool:
        """Whether bytes have arrived that are not read yet, or the client's end."""
        descriptor = self.transport.get_extra_info("socket").fileno()
        if descriptor < 0:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def is_unread(self) -> bool:
        """Whether so much of an answer is unread that nothing more of it is written."""
        return self.flow.write_paused

    def give_way(self) -> None:
        """Close without an answer."""
        self.transport.abort()

    def check(self, now: float) -> None:
        """Close the connection if the client is too slow at sending or reading.

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
        """Whether something is to be written and nothing is added to it: then it ought to shrink."""
        if not self.transport.get_write_buffer_size():
            return False
        is_waiting = self._is_answered or not self._framing.is_complete
        return self.flow.write_paused or is_waiting or self.transport.is_closing()

    def _expire(self) -> None:
        if self._is_refused:
            self.transport.abort()
        elif self._framing.has_head:
            self._refuse(body_too_slow())
        elif self._framing.kept:
            self._refuse(head_too_slow(HEAD_SECONDS))
        else:
            self.transport.abort()

    def _pass(self, take: Callable[[bytes], bytes], data: bytes) -> None:
        """Give the parser what the framing lets pass, and set the deadline for what is still to come."""
        try:
            passed = take(data)
        except ProblemError as problem:
            self._refuse(problem)
            return
        if self._framing.is_complete:
            self._deadline = None
            self._pool.works(self)
        elif self._framing.has_head:
            if not self._has_passed:
                self._deadline = self.loop.time() + BODY_SECONDS
        elif self._deadline is None and self._framing.kept:
            self._deadline = self.loop.time() + HEAD_SECONDS
        if passed:
            super().data_received(passed)
            self._has_passed = True
        if self._framing.is_complete and not self._is_refused:
            if self._is_answered:
                self._next_request()
            elif self._framing.kept > _MOST_KEPT_BYTES:
                self.flow.pause_reading()

    def _next_request(self) -> None:
        if self.transport.is_closing() or self._is_refused:
            return
        self._is_answered = self._has_passed = False
        self._pool.waits(self)
        self._pass(lambda _: self._framing.next_request(), b"")
        if self._has_ended and not self._framing.is_complete and not self._is_refused:
            self.transport.close()

    def _refuse(self, problem: ProblemError) -> None:
        """Answer with a problem and close; what the client still sends is read and discarded for a moment.

        Closing with unread bytes would reset the connection, and the client might lose the answer.
        To uvicorn the connection is lost from here on, so nothing else can be written to it.
        """
        can_answer = not self._is_answered and not (self._has_passed and self.cycle.response_started)
        self._is_refused = True
        self.flow.resume_reading()
        super().connection_lost(problem)
        self._deadline = self.loop.time() + REFUSED_SECONDS
        self._pool.waits(self)
        if can_answer:
            self.transport.write(_answer(problem))
        if self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # the client has reset the connection, and the loop has not seen it yet
            self.transport.abort()


def _answer(problem: ProblemError) -> bytes:
    """A whole response, for a request that no application has seen."""
    response = problem.response()
    response.headers["Connection"] = "close"
    response.headers["X-Request-ID"] = secrets.token_hex(16)
    response.headers["X-Content-Type-Options"] = "nosniff"
    fields = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
    reason = HTTPStatus(response.status_code).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (response.status_code, reason, fields, bytes(response.body))
