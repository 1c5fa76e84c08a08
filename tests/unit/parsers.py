"""Every parser of input, what its grammar is made of, and its worst inputs that were found by hand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from prometheus_client import CollectorRegistry
from pydantic import SecretStr, ValidationError
from starlette.datastructures import Headers, QueryParams
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from api.auth.authorizer import _bearer
from api.auth.rate_limit import ClientAddress
from api.auth.tokens import InvalidToken, TokenVerifier
from api.cli.logs import JsonFormatter, TextFormatter
from api.http.idempotency import read_idempotency_key
from api.http.prefer_wait import wait_seconds
from api.http.query_params import read_query
from api.http.request_body import field_problem, parse_object, require_media_type
from api.metrics import HttpMetrics
from api.middleware import AllowedHosts, RequestContext
from api.problems import ProblemError
from api.resources.apps.queries import AppsQuery, EventsQuery
from reconciler.catalog.cursors import decode_app_cursor, decode_event_cursor
from reconciler.catalog.errors import InvalidCursor
from reconciler.core.fleet.resync import diff_fleet
from reconciler.core.neon_operations import check_operations
from reconciler.core.ownership import parse_annotations
from reconciler.errors import NeonAPIError
from reconciler.local.server import _query
from reconciler.logging import log_extra
from reconciler.neon import codec
from reconciler.neon.protocol import parse_http_date
from specs.app import AppRequest, DesiredApp
from specs.names import is_app_id, parse_project_name
from specs.neon import CreateProjectResponse, ProjectListing
from specs.settings import TokenSettings
from specs.status import Reason
from specs.uri import InvalidURI, MorphikURI
from tests.unit.core_passes import snapshot
from tests.unit.framing_parsers import FRAMING_PARSERS
from tests.unit.parser import NUMBER, Parser
from tests.unit.test_core_recovering import app

LARGEST_ANSWER = 262_144
_MARKS = "\u0300\u0345"  # combining marks out of their canonical order, which normalizing has to sort
_JSON = ("[", "[" * 33, "]", "{", "}", '"', '\\"', "\\", "\\u", "d800", "0000", ",", ":", "0", "9", "-", "e", NUMBER)
_URI = (":", "/", "@", "[", "]", "%", "%41", "?", "#", "&", "=", ".", "a", "9", _MARKS, NUMBER)
_PROJECT = '"name":"a","region_id":"r","pg_version":17,"created_at":"2026-01-01T00:00:00Z"'
_NOW = datetime(2026, 5, 4, tzinfo=UTC)
_SECRET = "0123456789abcdef" * 2
_VERIFIER = TokenVerifier(TokenSettings.model_construct(jwt_secret_key=SecretStr(_SECRET)))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def _request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), _bytes(value)) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw})


def _served(layer: Callable[[Any], Any], **headers: str) -> None:
    """One request through a layer of the application."""

    async def inner(_scope: Scope, _receive: Receive, _send: Send) -> None:
        pass

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        pass

    asyncio.run(layer(inner)(_request(**headers).scope, receive, send))


def _read_body(text: str) -> None:
    try:
        AppRequest.model_validate(parse_object(_bytes(text)))
    except ValidationError as error:
        raise field_problem(error) from None


def _answered(call: codec.NeonCall[Any], text: str, status: int = 200) -> Any:
    headers = {"Date": text, "Retry-After": text} if status != 200 else {}
    return codec.decode(call, status, headers, _bytes(text), now=_NOW)


def _read_projects(text: str) -> None:
    page = _answered(codec.list_projects(), text)
    listing = ProjectListing(projects=page.projects, unavailable_project_ids=page.unavailable_project_ids)
    diff_fleet([], listing, known_orphans=frozenset(), listed_from=_NOW, settle_window=timedelta(seconds=30))


def _read_operations(text: str) -> None:
    steps = check_operations(snapshot(app(Reason.UP_TO_DATE)), "p-1")
    next(steps)
    with contextlib.suppress(StopIteration):
        steps.send(_answered(codec.list_operations("p-1"), text))


def _verified(token: str) -> None:
    _VERIFIER.verify(token)


def _record(text: str) -> logging.LogRecord:
    return logging.getLogger("tests").makeRecord(
        "tests", 30, __file__, 1, "%s", (text,), None, extra=log_extra("test.event", a=text)
    )


def _hosts(inner: Any) -> AllowedHosts:
    return AllowedHosts(inner, ["api.test", "*.example.org"])


_CREATE = codec.NeonRequest("POST", "/projects", "/projects", mutates=True)
_METRICS = HttpMetrics(CollectorRegistry())
_PROXIED = ClientAddress(("0.0.0.0/0", "::/0"))
_TOKEN_WORST = (("", "a.", ""), ("", ".", ""), ("eyJhbGciOiJIUzI1NiJ9.", "eyJ", ".a"), ("", "=", ""), ("", "é", ""))

PARSERS = FRAMING_PARSERS | {
    "body": Parser(
        _read_body,
        (*_JSON, " ", "a", _MARKS, '"app_name":"'),
        (
            ("[" * 33 + '"', '\\"', ""),
            ("[" * 33, '"\\', ""),
            ("{", f'"{NUMBER}":0,', '"a":0}'),
            ('{"a":[', '"\\ud800",', "0]}"),
            ('{"a":', "[", ""),
            ('{"a":', "9", "}"),
            ('{"a":[', "9" * 4300 + ",", "0]}"),
            ('{"app_name":"', _MARKS, '"}'),
            ("", "\n", ""),
        ),
        (ProblemError,),
    ),
    "query": Parser(
        lambda text: read_query(QueryParams(text), AppsQuery),
        ("a", "=", "&", "%41", "%CC%80%CD%85", "name=", "limit=", NUMBER),
        (("", f"{NUMBER}&", ""), ("", "a&", ""), ("name=", "%CC%80%CD%85", ""), ("cursor=", "9", ""), ("", "%", "")),
        (ProblemError,),
    ),
    "query of events": Parser(
        lambda text: read_query(QueryParams(text), EventsQuery),
        ("a", "=", "&", "%", "limit=", "cursor=", "9", NUMBER),
        (("", f"{NUMBER}=1&", ""), ("limit=", "1", "")),
        (ProblemError,),
    ),
    "cursor of apps": Parser(
        decode_app_cursor, ("9", "-", "a2", NUMBER), (("", "9", ""), ("1-", "a", "")), (InvalidCursor,)
    ),
    "cursor of events": Parser(decode_event_cursor, ("9", "-", "a"), (("", "9", ""),), (InvalidCursor,)),
    "content-type": Parser(
        lambda text: require_media_type(Headers({"content-type": text}), ("application/json",)),
        ("application/json", ";", "charset=utf-8", "=", " ", '"'),
        (("application/json;", " ", "x"), ("", ";", "")),
        (ProblemError,),
    ),
    "prefer": Parser(
        lambda text: wait_seconds([text]),
        ("wait", "=", " ", "\t", '"', "\\", ",", ";", "1"),
        (
            ('"', '\\"', ""),
            ("wait=", "1", " x"),
            ("wait", " ", "x"),
            ("wait=1", " ", "x"),
            ("", 'wait="1,', ""),
            ("", "wait=x,", ""),
            ("", '"', ""),
        ),
    ),
    "idempotency-key": Parser(
        lambda text: read_idempotency_key(_request(idempotency_key=text).headers),
        ("a", " ", "é"),
        (("", "a", ""),),
        (ProblemError,),
    ),
    "authorization": Parser(
        lambda text: _bearer(_request(authorization=text)),
        ("Bearer", " ", "\t", "a", "."),
        (("Bearer", " ", ""), ("Bearer a", " ", "a"), ("", "Bearer ", "")),
        (ProblemError,),
    ),
    "token": Parser(_verified, ("eyJ", ".", "-", "_", "a", "=", "é", "\ud800"), _TOKEN_WORST, (InvalidToken,)),
    "claims of a token": Parser(
        lambda text: _verified(jwt.PyJWS().encode(_bytes(text), _SECRET, algorithm="HS256")),
        (*_JSON, '"user_id":"', '"exp":', _MARKS),
        (('{"user_id":"', _MARKS, '","exp":9}'), ("", "[", ""), ('{"exp":', "9", "}"), ('{"exp":1e', "9", "}")),
        (InvalidToken,),
        size=5600,
    ),
    "host": Parser(
        lambda text: _served(_hosts, host=text),
        (":", "0", "a", ".", "example.org"),
        (("a:", "0", "x"), ("", ":0", "x"), ("", ":", ""), ("", "a.", "example.org")),
    ),
    "x-request-id": Parser(
        lambda text: _served(lambda inner: RequestContext(inner, _METRICS), x_request_id=text),
        ("a", " ", "é", "."),
        (("", "a", " "),),
    ),
    "x-forwarded-for": Parser(
        lambda text: _PROXIED.of("127.0.0.1", [text]),
        (",", " ", "1", ".", ":", "1.1.1.1", "::1", "%"),
        (("", "1.1.1.1,", "1.1.1.1"), ("", ",", ""), ("", "1", ""), ("", ":", ""), ("", "1.", ""), ("::1%", "a", "")),
    ),
    "retry-after": Parser(
        lambda text: codec.parse_retry_after(text, _NOW),
        ("0", "1", " ", ",", ":", "-", "+", ".", "(", ")", "\\", '"', "GMT", "Sun, ", "Jan "),
        (
            ("", "1", ""),
            ("1.", "0", "1"),
            ("Sun, ", ":", ""),
            ("", "1-", ""),
            ("Sun, 06 Nov 1994 ", "1:", ""),
            ("", "(", ""),
        ),
    ),
    "date": Parser(
        parse_http_date,
        ("0", "1", " ", ",", ":", "-", "+", "GMT", "Sun, ", "Jan "),
        (("Sun, 06 Nov ", "9", " 08:49:37 GMT"), ("Sun, 06 Nov 1994 08:49:37 +", "9", "")),
    ),
    "uri": Parser(
        lambda text: MorphikURI.parse(f"morphik://{text}"),
        _URI,
        (("a:b@", _MARKS, "/x"), ("a:b@h:", "9", "/x"), ("", "@", ""), ("a:b@", "[", ""), ("a:b@h/", "%41", "")),
        (InvalidURI,),
    ),
    "uri of neon": Parser(
        lambda text: MorphikURI.from_postgresql(f"postgresql://{text}"),
        _URI,
        (("a:b@", _MARKS, "/x"), ("a:b@h/x?", f"{NUMBER}=1&", ""), ("", "a:b@", "h/x")),
        (InvalidURI,),
    ),
    "host of a pooler": Parser(
        lambda text: codec.build_connection_string(f"postgresql://{text}", "h"),
        _URI,
        (("", "a@", ""), ("", "@", ""), ("", "a", "@"), ("a@h:", "0", "x"), ("", "a:0@", "a:0x")),
        (codec.InvalidConnectionURI,),
    ),
    "name of an app": Parser(
        lambda text: AppRequest(app_name=text),
        ("a", " ", "\u200c", _MARKS, "\U0001d160", "\xa0", "\u1100\u1161", "\x00"),
        (("a", _MARKS, ""), ("a", "\u200c", ""), ("", "a", "\x00"), ("", "\U0001d160", "")),
        (ValidationError,),
    ),
    "name of a desired app": Parser(
        lambda text: DesiredApp(app_name=text, region=text, pg_version=17),
        ("a", " ", _MARKS, "\U0001d160"),
        (("a", _MARKS, ""),),
        (ValidationError,),
    ),
    "name of a project": Parser(
        parse_project_name,
        ("a", "-", "2", "a2" * 12, "A"),
        (("", "a-", "A"), ("", "a", "-"), ("", f"a-{'a2' * 12}-", "")),
    ),
    "id of an app": Parser(is_app_id, ("a", "2", "A"), (("", "a", ""),)),
    "log line as JSON": Parser(
        lambda text: JsonFormatter().format(_record(text)),
        ("-", "eyJ", ".", ":", "/", "://", "a", "@", "Bearer", " ", "\n", "'", '"', "\\", "+"),
        (
            ("", "-eyJ", ""),
            ("", "eyJa.", ""),
            ("", "-eyJ-.", ""),
            ("", "a.", "://x"),
            ("", "a://", "b"),
            ("a://", "b", ""),
            ("Bearer", " ", ""),
            ("", "Bearer ", ""),
        ),
    ),
    "log line as text": Parser(
        lambda text: TextFormatter().format(_record(text)),
        ("-", "eyJ", ".", ":", "/", "a", "@", "Bearer", " ", "\n", '"', "="),
        (("", "-eyJ", ""), ("", "a://", "b"), ("", "Bearer ", "")),
    ),
    "projects of neon": Parser(
        _read_projects,
        (*_JSON, '{"projects":[', '"name":', "null", "true"),
        (
            ('{"projects":[', "{},", "{}]}"),
            ('{"projects":[', f'{{"id":"{NUMBER}",{_PROJECT}}},', "]}"),
            ('{"projects":[', f'{{"id":"{NUMBER}",{_PROJECT}}},', f'{{"id":"a",{_PROJECT}}}]}}'),
            ('{"projects":[', f'{{"id":"a",{_PROJECT}}},', f'{{"id":"a",{_PROJECT}}}]}}'),
            ('{"projects":[],"unavailable_project_ids":[', "1,", "1]}"),
            ('{"projects":[],"a":"', "\\\\", '\\u0000"}'),
            ('{"projects":[],"a":"', "\\u0041", '"}'),
            ("", "[", ""),
            ('{"projects":[],"a":[', "9" * 4300 + ",", "0]}"),
            ("{", f'"{NUMBER}":0,', '"projects":[]}'),
        ),
        (NeonAPIError,),
        size=LARGEST_ANSWER,
    ),
    "branches of neon": Parser(
        lambda text: parse_annotations(_answered(codec.list_branches("p-1"), text)),
        (*_JSON, '{"branches":[],"annotations":{', '"value":', "null"),
        (
            ('{"branches":[],"annotations":{', f'"{NUMBER}":1,', '"a":1}}'),
            ('{"branches":[],"annotations":{', f'"{NUMBER}":{{"value":{{"a":"b"}}}},', '"a":{}}}'),
            ('{"branches":[', f'{{"id":"{NUMBER}","name":"a"}},', '{"id":"a","name":"a"}],"annotations":{}}'),
            ('{"branches":[],"annotations":{"a":{"value":{', f'"{NUMBER}":"1",', '"a":1}}}}'),
            ('{"branches":[],"annotations":{"a":{"value":{"morphik_plane":"a","morphik_create_seq":"', "9", '"}}}}'),
        ),
        (NeonAPIError,),
        size=LARGEST_ANSWER,
    ),
    "operations of neon": Parser(
        _read_operations,
        (*_JSON, '{"operations":[', '"id":', "null"),
        (
            ('{"operations":[', '{"id":"a","created_at":"2020-01-01T00:00:00Z"},{"id":"b"},', '{"id":"c"}]}'),
            ('{"operations":[', f'{{"id":"a","action":"{NUMBER}","status":"error"}},', '{"id":"c"}]}'),
            ('{"operations":[{"id":"a","created_at":', "9", "}]}"),
        ),
        (NeonAPIError,),
        size=LARGEST_ANSWER,
    ),
    "created project of neon": Parser(
        lambda text: _answered(codec.NeonCall(_CREATE, CreateProjectResponse.model_validate), text),
        (*_JSON, '"operations":[', '"branch":', "null"),
        (
            ('{"operations":[', "{},", "{}]}"),
            ('{"connection_uris":[', "{},", "{}]}"),
            ('{"project":{', f'"{NUMBER}":null,', f'"id":"a",{_PROJECT}}},"branch":{{"id":"a","name":"b"}}}}'),
        ),
        (NeonAPIError,),
        size=LARGEST_ANSWER,
    ),
    "refusal of neon": Parser(
        lambda text: _answered(codec.list_projects(), text, 429),
        (*_JSON, '{"message":"', '"code":"', " ", "://", "@", "a"),
        (
            ('{"message":"', "a://@ ", '"}'),
            ('{"message":"', "not allowe", '"}'),
            ('{"code":"', "A", '","message":"a"}'),
        ),
        (NeonAPIError,),
        size=LARGEST_ANSWER,
    ),
    "query to local neon": Parser(
        lambda text: _query(Request({"type": "http", "headers": [], "query_string": _bytes(text)})),
        ("a", "=", "&", "%", NUMBER),
        (("", f"{NUMBER}&", ""), ("", "a&", "")),
    ),
}
"""By name."""
