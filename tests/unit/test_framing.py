"""Framing: one spelling of every request reaches the parser, in whatever pieces it arrives; the rest is refused."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.connections.framing import MAX_HEAD_BYTES, Framing
from api.problems import ProblemError

GET = b"GET /x HTTP/1.1\r\nHost: api\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: api\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
PASSED = [
    (POST.replace(b"POST", b"BREW") + b"\r\n", POST + b"\r\n"),
    (GET, GET),
    (b"\r\n" + GET, GET),
    (
        GET.replace(b"\r\n\r\n", b"\r\nUPGRADE: websocket\r\nConnection: upgrade\r\n\r\n"),
        GET.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\n\r\n"),
    ),
    (b"GET /x HTTP/1.0\r\n\r\n", b"GET /x HTTP/1.0\r\n\r\n"),
    (b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
    (b"GET HTTP://API/x?y HTTP/1.1\r\nhost:api\r\n\r\n", b"GET /x?y HTTP/1.1\r\nhost:api\r\n\r\n"),
    (b"GET http://api HTTP/1.1\r\nHost: api\r\n\r\n", b"GET / HTTP/1.1\r\nHost: api\r\n\r\n"),
    (POST + b"Content-Length: 3\r\n\r\nabc", POST + b"Content-Length: 3\r\n\r\nabc"),
    (POST + b"Content-Length: 0\r\n\r\n", POST + b"Content-Length: 0\r\n\r\n"),
    (POST + b"Expect: 100-Continue\r\n\r\n", POST + b"Expect: 100-Continue\r\n\r\n"),
    (CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"),
    (CHUNKED + b'1;a="b"\r\na\r\n002\r\nbc\r\n0;c\r\nHost: evil\r\n\r\n', CHUNKED + b"3\r\nabc\r\n0\r\n\r\n"),
]
REFUSED = {
    "both length and coding": (CHUNKED.replace(b"Host", b"Content-Length: 3\r\nHost"), 400),
    "two lengths": (POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400),
    "one length twice": (POST + b"Content-Length: 3\r\ncontent-length: 3\r\n\r\n", 400),
    "a list of lengths": (POST + b"Content-Length: 3, 3\r\n\r\n", 400),
    "a length with a sign": (POST + b"Content-Length: +3\r\n\r\n", 400),
    "a length in hexadecimal": (POST + b"Content-Length: 0x3\r\n\r\n", 400),
    "an endless length": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "no length": (POST + b"Content-Length:\r\n\r\n", 400),
    "another coding": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "a coding with a tab inside": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "a coding in HTTP/1.0": (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "a folded line": (POST + b"X: a\r\n b\r\n\r\n", 400),
    "a folded first line": (b"GET /x HTTP/1.1\r\n Host: api\r\n\r\n", 400),
    "white space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n", 400),
    "no name": (POST + b": x\r\n\r\n", 400),
    "a bare CR": (POST + b"X: a\rContent-Length: 3\r\n\r\n", 400),
    "a bare LF": (POST + b"X: a\nContent-Length: 3\r\n\r\n", 400),
    "bare LFs alone": (b"GET /x HTTP/1.1\nHost: api\n\n", 400),
    "a NUL": (POST + b"X: a\0b\r\n\r\n", 400),
    "a NUL in a head that has not ended": (b"\x16\x03\x01\x00", 400),
    "no host": (b"GET /x HTTP/1.1\r\n\r\n", 400),
    "two hosts": (POST + b"Host: api\r\n\r\n", 400),
    "two hosts in HTTP/1.0": (POST.replace(b"1.1", b"1.0") + b"Host: evil\r\n\r\n", 400),
    "a list of hosts": (b"GET /x HTTP/1.1\r\nHost: api, evil\r\n\r\n", 400),
    "an empty host": (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a host with a user": (b"GET /x HTTP/1.1\r\nHost: api@evil\r\n\r\n", 400),
    "another host in the target": (b"GET http://evil/x HTTP/1.1\r\nHost: api\r\n\r\n", 400),
    "a target of CONNECT": (b"CONNECT api:80 HTTP/1.1\r\nHost: api:80\r\n\r\n", 400),
    "a fragment": (b"GET /x#y HTTP/1.1\r\nHost: api\r\n\r\n", 400),
    "bytes beyond ASCII in the target": (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: api\r\n\r\n", 400),
    "two spaces": (b"GET  /x HTTP/1.1\r\nHost: api\r\n\r\n", 400),
    "no version": (b"GET /x\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "another expectation": (POST + b"Expect: 200-ok\r\n\r\n", 417),
    "a head over 64 KiB": (POST + b"X: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    "a head over 64 KiB without an end": (POST + b"X: a\r\n" * 20_000, 431),
    "a chunk without a size": (CHUNKED + b";a\r\n", 400),
    "a size with a sign": (CHUNKED + b"-1\r\n", 400),
    "a size with 0x": (CHUNKED + b"0x1\r\na\r\n", 400),
    "a size that overflows": (CHUNKED + b"fffffffffffffffff\r\n", 400),
    "a size and white space": (CHUNKED + b"1 \r\na\r\n", 400),
    "a size with a bare LF": (CHUNKED + b"1\na\r\n", 400),
    "an extension with a bare LF": (CHUNKED + b"1;a\nb\r\nc\r\n", 400),
    "an extension without an end": (CHUNKED + b"1;" + b"a" * 300, 400),
    "many extensions": (CHUNKED + (b"1;" + b"a" * 200 + b"\r\na\r\n") * 6, 400),
    "many chunks": (CHUNKED + b"1\r\na\r\n" * 5000, 400),
    "data that is longer than its size": (CHUNKED + b"1\r\nabc\r\n", 400),
    "a trailer that is no field": (CHUNKED + b"0\r\nGET /x HTTP/1.1\r\n\r\n", 400),
    "many trailers": (CHUNKED + b"0\r\n" + b"a: b\r\n" * 3000, 400),
}


def _passed(framing: Framing, pieces: list[bytes]) -> bytes:
    return b"".join(framing.feed(piece) for piece in pieces)


@pytest.mark.parametrize(("sent", "seen"), PASSED)
def test_feed_valid_request_passes_one_spelling(sent: bytes, seen: bytes) -> None:
    framing = Framing()
    assert framing.feed(sent + b"next") == seen
    assert (framing.is_complete, framing.buffered) == (True, 4)


@pytest.mark.parametrize(("sent", "status"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("whole", [True, False])
def test_feed_ambiguous_request_is_refused(sent: bytes, status: int, whole: bool) -> None:
    framing = Framing()
    with pytest.raises(ProblemError) as refused:
        _passed(framing, [sent] if whole else [sent[i : i + 1] for i in range(len(sent))])
    assert refused.value.problem_type.status == status
    assert not framing.is_complete


@given(st.sampled_from([sent for sent, _ in PASSED]), st.lists(st.integers(0, 200), max_size=6))
def test_feed_in_pieces_gives_the_same_request(sent: bytes, cuts: list[int]) -> None:
    """The body's chunks may be cut otherwise; head, data and end are the same."""
    bounds = [0, *sorted(cut % len(sent) for cut in cuts), len(sent)]
    pieces = [sent[a:b] for a, b in pairwise(bounds)]
    framing, whole, again = Framing(), Framing(), Framing()
    passed = _passed(framing, pieces)
    assert framing.is_complete
    assert again.feed(passed) == whole.feed(sent)


def test_next_request_keeps_back_what_was_pipelined() -> None:
    framing = Framing()
    assert framing.feed(GET * 3) == GET
    assert framing.feed(GET) == b""
    assert [framing.next_request() for _ in range(4)] == [GET, GET, GET, b""]
    assert (framing.buffered, framing.has_head) == (0, False)


def test_head_of_64_kib_passes() -> None:
    head = POST + b"X: " + b"a" * (MAX_HEAD_BYTES - len(POST) - 7) + b"\r\n\r\n"
    assert len(head) == MAX_HEAD_BYTES
    assert Framing().feed(head) == head
