"""The parsers that see a request before its body: forwarding headers, the head, and the chunks."""

from __future__ import annotations

from api.auth.rate_limit import ClientAddress
from api.connections.framing import Framing
from api.problems import ProblemError
from tests.unit.parser import Parser

_PROXIED = ClientAddress(("0.0.0.0/0", "::/0"))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


FRAMING_PARSERS = {
    "forwarded": Parser(
        lambda text: _PROXIED.of("127.0.0.1", [text]),
        ("for=", ";", ",", '"', "\\", "proto=https", "=", "[::1]", ":1", " ", "1.1.1.1"),
        (
            ("", "for=1.1.1.1,", "for=1.1.1.1"),
            ("", "for=1;", ""),
            ("", "a=b;", "for=::1"),
            ('for="', '\\"', ""),
            ("for=[::1]:", "1", ""),
            ("", " ", "="),
        ),
    ),
    "head of a request": Parser(
        lambda text: Framing().feed(_bytes(f"GET / HTTP/1.1\r\n{text}\r\n\r\n")),
        ("Host:", "a", ":", " ", "\t", "\r\n", "\r", "\n", "content-length:", "transfer-encoding:", "1", ","),
        (
            ("Host: a", "\r\na:b", ""),
            ("Host: a\r\n", "a", ""),
            ("Host: a\r\nb:", " ", ""),
            ("Host: a", "\r\nhost: a", ""),
            ("Host: a\r\ncontent-length:", "1", ""),
            ("Host: a\r\ntransfer-encoding:", "chunked,", ""),
            ("Host: ", "a.", ""),
            ("", "\r\n", ""),
        ),
        (ProblemError,),
    ),
    "chunked body": Parser(
        lambda text: Framing().feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + _bytes(text)),
        ("1\r\na\r\n", "0", "1", ";", "a=b", "\r\n", "\r", "\n", "a:b\r\n"),
        (
            ("", "1\r\na\r\n", "0\r\n\r\n"),
            ("1", ";a", "\r\n"),
            ("0\r\n", "a:b\r\n", "\r\n"),
            ("", "0", ""),
            ("", "\r", ""),
        ),
        (ProblemError,),
    ),
}
