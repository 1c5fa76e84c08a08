"""Strict framing of HTTP/1.1 requests (RFC 9112), before any parser sees them.

The parser receives one request at a time: a complete, valid head, then exactly the bytes of its body. Bytes of a later
request are buffered until the response to the earlier one is complete. A message that two parsers could delimit
differently is rejected, so no request can be smuggled past a proxy. Every step is linear in its input.

A chunked body reaches the parser as chunks written here: extensions and trailers are checked and dropped (RFC 9112
7.1.1 and 7.1.2 allow both). Upgrades, including h2c, are ignored (RFC 9110 7.8): the parser does not see the field. It
does not see methods that it may not know either; ``Framing.method`` is the method.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from api.problems import MALFORMED_REQUEST, expectation_failed, head_too_large, malformed_head

MAX_HEAD_BYTES = 64 * 1024
_MAX_CHUNK_LINE_BYTES = 256
_MAX_EXTENSION_BYTES = 1024  # of all chunks of a body
_MAX_CHUNKS = 4096  # of a body: small chunks cost far more than their bytes
_MAX_TRAILER_BYTES = 8 * 1024

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
_FIELD = _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n"
_HEAD = re.compile(
    rb"(" + _TOKEN + rb"{1,32}+) ([\x21-\x7e]++) HTTP/1\.([01])\r\n(?:" + _FIELD + rb")*+\r\n",
)
_FRAMING_FIELDS = re.compile(rb"\n(host|content-length|transfer-encoding|expect|upgrade):([^\r]*+)")
_UPGRADE = re.compile(rb"\nupgrade:[^\r]*+\r(?=\n)", re.IGNORECASE)
_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE"})
_BROKEN_LINE = re.compile(rb"\r[^\n]|(?<!\r)\n|\0")
_HOST = re.compile(rb"(?:[a-z0-9._~-]++|\[[0-9a-f:.]++\])(?::[0-9]{1,5}+)?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*+)(.*)", re.IGNORECASE)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})((?:;[\t\x20-\x7e]*+)?)")
_TRAILER = re.compile(_FIELD)


class _Part(Enum):
    """The part of a request that the next byte belongs to."""

    HEAD = auto()
    BODY = auto()  # of a known length
    CHUNK_LINE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILERS = auto()
    NONE = auto()  # the request is complete; the next byte belongs to the next one


class Framing:
    """The requests on one connection, in sequence.

    Attributes:
        method: of the current request, when its head is complete.
    """

    __slots__ = (
        "_blank",
        "_buffer",
        "_chunk_count",
        "_extensions",
        "_left",
        "_part",
        "_searched",
        "_trailers",
        "method",
    )

    def __init__(self) -> None:
        self.method = ""
        self._buffer = bytearray()
        self._begin()

    @property
    def has_head(self) -> bool:
        """Whether the head of the current request is complete."""
        return self._part is not _Part.HEAD

    @property
    def is_complete(self) -> bool:
        """Whether the current request is complete."""
        return self._part is _Part.NONE

    @property
    def buffered(self) -> int:
        """Return the number of buffered bytes: of an incomplete head, or of later requests."""
        return len(self._buffer)

    def feed(self, data: bytes) -> bytes:
        """Add bytes from the client. Return the bytes for the parser.

        Raises:
            ProblemError: the request is rejected, and nothing after it on this connection can be delimited.
        """
        self._buffer += data
        return self._advance()

    def next_request(self) -> bytes:
        """Start the next request with the buffered bytes. Return the bytes for the parser. Raises as ``feed`` does."""
        self._begin()
        return self._advance()

    def _begin(self) -> None:
        self._part = _Part.HEAD
        self._searched = 0  # of the buffer, for the end of the head
        self._blank = True  # one empty line before a request is ignored (RFC 9112 2.2)
        self._left = 0  # bytes of the body, or of the chunk
        self._chunk_count = 0
        self._extensions = self._trailers = 0  # bytes of this body

    def _advance(self) -> bytes:
        output = b""
        if self._part is _Part.HEAD:
            output = self._head()
        if self._part is _Part.BODY:
            return output + self._body()
        if self._part in (_Part.HEAD, _Part.NONE):
            return output
        return output + self._chunks()

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _head(self) -> bytes:
        buffer = self._buffer
        if self._blank and buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._blank = False
        end = buffer.find(b"\r\n\r\n", max(0, self._searched - 3), MAX_HEAD_BYTES)
        if end >= 0:
            return self._checked(self._take(end + 4))
        if len(buffer) >= MAX_HEAD_BYTES:
            raise head_too_large(MAX_HEAD_BYTES)
        if _BROKEN_LINE.search(buffer, max(0, self._searched - 1)):
            raise MALFORMED_REQUEST("End each line of the head with CR LF, and send no CR, LF or NUL inside one.")
        self._searched = len(buffer)
        return b""

    def _checked(self, head: bytes) -> bytes:
        """Return the head for the parser, and read the body's framing from it."""
        parsed = _HEAD.fullmatch(head)
        if parsed is None:
            raise malformed_head()
        method, target, minor = parsed.groups()
        fields: dict[bytes, list[bytes]] = {}
        for field in _FRAMING_FIELDS.finditer(head.lower()):
            fields.setdefault(field[1], []).append(field[2].strip(b" \t"))
        host = _host(fields.get(b"host", []), required=minor == b"1")
        expectations = fields.get(b"expect")
        if expectations and minor == b"1" and expectations != [b"100-continue"]:
            raise expectation_failed()
        if not target.startswith(b"/") or b"#" in target:
            head = head.replace(target, _origin_form(method, target, host), 1)
        self.method = method.decode("ascii")
        if method not in _METHODS:
            head = b"POST" + head[len(method) :]
        self._delimit(fields, chunked_allowed=minor == b"1")
        return _UPGRADE.sub(b"", head) if b"upgrade" in fields else head

    def _delimit(self, fields: dict[bytes, list[bytes]], *, chunked_allowed: bool) -> None:
        lengths, codings = fields.get(b"content-length"), fields.get(b"transfer-encoding")
        if codings is not None:
            if lengths is not None or not chunked_allowed or codings != [b"chunked"]:
                raise MALFORMED_REQUEST(
                    "Delimit the body by one Content-Length, or by Transfer-Encoding: chunked alone."
                )
            self._part = _Part.CHUNK_LINE
        elif lengths is not None:
            if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
                raise MALFORMED_REQUEST("Send one Content-Length, in decimal digits.")
            self._left = int(lengths[0])
            self._part = _Part.BODY if self._left else _Part.NONE
        else:
            self._part = _Part.NONE

    def _body(self) -> bytes:
        data = self._take(self._left)
        self._left -= len(data)
        if not self._left:
            self._part = _Part.NONE
        return data

    def _chunks(self) -> bytes:
        """Return the buffered data as one chunk, and the last chunk after the end."""
        data, before = bytearray(), -1
        while self._part is not _Part.NONE and len(self._buffer) != before:
            before = len(self._buffer)
            if self._part is _Part.CHUNK_LINE:
                self._chunk_line()
            elif self._part is _Part.CHUNK_DATA:
                piece = self._take(self._left)
                self._left -= len(piece)
                data += piece
                if not self._left:
                    self._part = _Part.CHUNK_END
            elif self._part is _Part.CHUNK_END:
                if len(self._buffer) >= 2:
                    if self._take(2) != b"\r\n":
                        raise MALFORMED_REQUEST("End the data of each chunk with CR LF.")
                    self._part = _Part.CHUNK_LINE
            else:
                self._trailer()
        output = b"%x\r\n%b\r\n" % (len(data), bytes(data)) if data else b""
        return output + b"0\r\n\r\n" if self._part is _Part.NONE else output

    def _line(self, limit: int) -> bytes | None:
        """Return the next line without its end, or None before it is complete."""
        end = self._buffer.find(b"\r\n", 0, limit)
        if end >= 0:
            return self._take(end + 2)[:-2]
        if len(self._buffer) >= limit or b"\n" in self._buffer:
            raise MALFORMED_REQUEST("Send chunks and trailers as HTTP/1.1 defines them (RFC 9112).")
        return None

    def _chunk_line(self) -> None:
        line = self._line(_MAX_CHUNK_LINE_BYTES)
        if line is None:
            return
        parsed = _CHUNK_LINE.fullmatch(line)
        self._extensions += len(parsed[2]) if parsed else 0
        if parsed is None or self._extensions > _MAX_EXTENSION_BYTES:
            raise MALFORMED_REQUEST("Begin each chunk with its size in hexadecimal digits and CR LF.")
        self._chunk_count += 1
        if self._chunk_count > _MAX_CHUNKS:
            raise MALFORMED_REQUEST(f"Send the body in at most {_MAX_CHUNKS} chunks.")
        self._left = int(parsed[1], 16)
        self._part = _Part.CHUNK_DATA if self._left else _Part.TRAILERS

    def _trailer(self) -> None:
        line = self._line(_MAX_TRAILER_BYTES)
        if line is None:
            return
        self._trailers += len(line)
        if not line:
            self._part = _Part.NONE
        elif self._trailers > _MAX_TRAILER_BYTES or not _TRAILER.fullmatch(line + b"\r\n"):
            raise MALFORMED_REQUEST("Send trailers as header fields, and at most 8 KiB of them.")


def _host(hosts: list[bytes], *, required: bool) -> bytes | None:
    """Return the request's host in lowercase, or None for an HTTP/1.0 request without one."""
    if not hosts and not required:
        return None
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise MALFORMED_REQUEST("Send one Host header with the name and port of this service.")
    return hosts[0]


def _origin_form(method: bytes, target: bytes, host: bytes | None) -> bytes:
    """Return the target as path and query; ``http://host/path`` is valid if its host is that of the Host header."""
    if method == b"OPTIONS" and target == b"*":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or b"#" in target or (host is not None and absolute[1].lower() != host):
        raise MALFORMED_REQUEST("Send the path as the request's target.")
    return absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
