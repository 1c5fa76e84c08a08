"""The client against a server that misbehaves, over real sockets."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import traceback
from collections.abc import Awaitable

import httpx
import pytest
from pydantic import SecretStr

from reconciler import errors
from reconciler.neon import codec
from reconciler.neon.client import NeonClient
from specs import neon
from tests.integration.loopback import KEY, Peer, Script, Use, answers, head, loopback, project, run

URI = "postgresql://app_1:hidden-1@ep-a-1.x/app"
BRANCH = {"id": "br-1", "name": "main", "default": True}
SPEC = neon.ProjectCreate(
    name="shop-x",
    region_id="aws-us-east-2",
    pg_version=17,
    branch=neon.DefaultBranchSpec(name="main", role_name="app_1", database_name="app"),
)


def get(client: NeonClient) -> Awaitable[object]:
    return client.get_project("gentle-river-1")


def create(client: NeonClient) -> Awaitable[object]:
    return client.create_project(SPEC)


# What is sent


def test_a_request_carries_key_id_and_body_and_no_more() -> None:
    result, server, seen = run(answers((201, {"project": project("p-1"), "branch": BRANCH})), create)
    assert isinstance(result, neon.CreateProjectResponse)
    sent = server.requests[0]
    first, _, rest = sent.partition(b"\r\n")
    assert first == b"POST /api/v2/projects HTTP/1.1"
    assert b"authorization: bearer napi_hidden1\r\n" in rest.lower()
    assert b"x-request-id: req-1\r\n" in rest.lower()
    assert json.loads(sent.partition(b"\r\n\r\n")[2])["project"]["name"] == "shop-x"
    assert seen == [("/projects", 201)]


def test_names_are_encoded_in_the_query() -> None:
    def use(client: NeonClient) -> Awaitable[object]:
        return client.get_connection_string("p-1", database_name="a&b=c", role_name="ü ?#", pooled=True)

    result, server, _ = run(answers((200, {"uri": URI})), use)
    assert isinstance(result, SecretStr)
    assert result.get_secret_value() == URI
    target = server.requests[0].split(b" ")[1].decode()
    assert dict(httpx.URL(target).params) == {"database_name": "a&b=c", "role_name": "ü ?#", "pooled": "true"}


def test_one_connection_serves_many_requests() -> None:
    async def use(client: NeonClient) -> None:
        for _ in range(5):
            await client.get_project("p-1")

    _, server, seen = run(answers(*[(200, {"project": project("p-1")})] * 5), use)
    assert (server.connections, len(server.requests), len(seen)) == (1, 5, 5)


def test_an_id_that_cannot_be_one_is_not_sent() -> None:
    async def use(client: NeonClient) -> None:
        with pytest.raises(codec.InvalidNeonId):
            await client.delete_project("")

    _, server, seen = run(answers(), use)
    assert (server.connections, seen) == (0, [])


def test_every_method_reaches_its_route() -> None:
    branch = {"branch": BRANCH}
    changed = {"project": project("p-1"), "branches": []}
    endpoint = {"id": "ep-1", "branch_id": "br-1"}

    async def use(client: NeonClient) -> None:
        await client.update_project("p-1", neon.ProjectUpdate(name="n"))
        await client.delete_project("p-1")
        await client.recover_project("p-1")
        await client.list_projects(search="p")
        await client.create_branch("p-1", neon.BranchCreate())
        await client.update_branch("p-1", "br-1", protected=False)
        await client.list_endpoints("p-1")
        await client.create_endpoint("p-1", neon.EndpointCreate(branch_id="br-1"))
        await client.list_operations("p-1")
        await client.list_organizations()
        await client.get_auth()

    said: list[object] = [changed, changed, changed, {"projects": []}, branch, branch]
    said += [{"endpoints": []}, {"endpoint": endpoint}, {"operations": []}, {"organizations": []}]
    said += [{"account_id": "a"}]
    _, server, _ = run(answers(*[(200, body) for body in said]), use)
    assert [request.split(b" HTTP")[0].decode().replace("/api/v2", "") for request in server.requests] == [
        "PATCH /projects/p-1",
        "DELETE /projects/p-1",
        "POST /projects/p-1/recover",
        "GET /projects?search=p&limit=400",
        "POST /projects/p-1/branches",
        "PATCH /projects/p-1/branches/br-1",
        "GET /projects/p-1/endpoints",
        "POST /projects/p-1/endpoints",
        "GET /projects/p-1/operations?limit=100",
        "GET /users/me/organizations",
        "GET /auth",
    ]


# What goes wrong


async def reset_at_once(peer: Peer) -> None:
    peer.reset()


async def reset_before_answer(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def closed_before_answer(peer: Peer) -> None:
    await peer.request()


async def closed_inside_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 201 Crea")


async def closed_inside_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(head(201, "Content-Length: 500\r\n") + b'{"project": {"id": "p-')


async def not_http(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"\x16\x03\x01 hello\r\n\r\n")


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.reader.read()


async def oversized(peer: Peer) -> None:
    await peer.request()
    await peer.answer(200, b'"' + b"x" * 100_000 + b'"')


async def endless(peer: Peer) -> None:
    await peer.request()
    await peer.send(head(200, "Transfer-Encoding: chunked\r\n"))
    while not peer.writer.is_closing():
        await peer.send(b"400\r\n" + b"x" * 1024 + b"\r\n")


async def many_headers(peer: Peer) -> None:
    await peer.request()
    await peer.send(head(200, "".join(f"X-{n}: {'x' * 1000}\r\n" for n in range(1000))))


def dripping(status: int) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head(status, "Content-Length: 100000\r\nRetry-After: 3\r\n"))
        while not peer.writer.is_closing():
            await peer.send(b" ")
            await asyncio.sleep(0.01)

    return script


def whole(status: int, body: bytes, headers: str = "") -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.answer(status, body, headers)

    return script


@pytest.mark.parametrize("use", [get, create])
@pytest.mark.parametrize(
    ("script", "status"),
    [
        (reset_at_once, None),
        (reset_before_answer, None),
        (closed_before_answer, None),
        (closed_inside_head, None),
        (closed_inside_body, 201),
        (not_http, None),
        (oversized, 200),
        (endless, 200),
        (many_headers, None),
        (whole(200, b""), 200),
        (whole(200, b"x", "Transfer-Encoding: gzip, chunked\r\n"), None),
    ],
)
def test_what_may_have_happened_is_unknown_and_sent_once(script: Script, status: int | None, use: Use) -> None:
    result, server, seen = run(script, use, max_body_bytes=50_000)
    assert type(result) is errors.NeonOutcomeUnknown
    assert (result.status, result.request_id) == (status, "req-1")
    assert [each[1] for each in seen] == [status]
    assert len(server.requests) <= 1
    assert_no_secret(result)


HTML = b"<html>cloud</html>"


@pytest.mark.parametrize("use", [get, create])
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        *[(status, HTML, "Retry-After: 3\r\n") for status in (200, 403, 404, 405, 407, 423, 429, 502, 503, 524)],
        *[(status, b"", "Location: /api/v2/projects\r\n") for status in (302, 307)],
        (200, b'{"project": {}}', "Content-Encoding: gzip\r\n"),
        (200, b"", "Content-Encoding: identity\r\nContent-Encoding: br\r\n"),
        (404, b"", "Content-Encoding: identity, deflate\r\n"),
    ],
)
def test_what_an_intermediary_answered_is_unknown_and_sent_once(
    status: int, body: bytes, headers: str, use: Use
) -> None:
    result, server, seen = run(whole(status, body, headers), use)
    assert type(result) is errors.NeonIntermediaryError
    assert result.detail.startswith("an intermediary answered")
    assert (result.status, [each[1] for each in seen], len(server.requests)) == (status, [status], 1)
    assert_no_secret(result)


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "identity, gzip", "deflate", "x-new"])
def test_an_encoded_answer_is_refused_before_its_body_is_read(coding: str) -> None:
    """A megabyte of it could become a gigabyte; only its head is sent here, and that is enough."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head(200, f"Content-Length: 1000000\r\nContent-Encoding: {coding}\r\n"))
        await peer.reader.read()

    result, server, _ = run(script, get)
    assert type(result) is errors.NeonIntermediaryError
    assert b"accept-encoding: identity\r\n" in server.requests[0].lower()


@pytest.mark.parametrize(
    ("script", "status"),
    [(silent, None), *[(dripping(status), status) for status in (200, 404, 500, 423, 429, 503)]],
)
def test_an_answer_that_takes_too_long_is_unknown(script: Script, status: int | None) -> None:
    result, _, seen = run(script, create, timeout_seconds=1.0)
    assert type(result) is errors.NeonOutcomeUnknown
    assert (result.status, seen) == (status, [("/projects", status)])
    assert_no_secret(result)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (httpx.ConnectError("hidden"), errors.NeonNotSent),
        (httpx.ConnectTimeout("hidden"), errors.NeonNotSent),
        (httpx.PoolTimeout("hidden"), errors.NeonNotSent),
        (httpx.ReadTimeout("hidden"), errors.NeonOutcomeUnknown),
        (httpx.WriteTimeout("hidden"), errors.NeonOutcomeUnknown),
        (httpx.ReadError("hidden"), errors.NeonOutcomeUnknown),
        (httpx.WriteError("hidden"), errors.NeonOutcomeUnknown),
        (httpx.CloseError("hidden"), errors.NeonOutcomeUnknown),
        (httpx.ProxyError("hidden"), errors.NeonNotSent),
        (httpx.LocalProtocolError("hidden"), errors.NeonOutcomeUnknown),
        (httpx.RemoteProtocolError("hidden"), errors.NeonOutcomeUnknown),
        (httpx.DecodingError("hidden"), errors.NeonOutcomeUnknown),
        (ssl.SSLError("hidden"), errors.NeonOutcomeUnknown),
        (TimeoutError("hidden"), errors.NeonOutcomeUnknown),
    ],
)
def test_only_a_connection_that_was_never_made_is_not_sent(problem: Exception, kind: type[errors.NeonAPIError]) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {KEY}"
        raise problem

    result, _, seen = run(silent, create, transport=httpx.MockTransport(handler))
    assert type(result) is kind
    assert seen == [("/projects", None)]
    assert_no_secret(result)


def test_a_refused_connection_was_not_sent() -> None:
    async def use(_client: NeonClient) -> object:
        async with loopback(silent) as gone:
            pass
        async with NeonClient(gone.url, KEY) as client:
            return await client.create_project(SPEC)

    result, _, _ = run(silent, use)
    assert type(result) is errors.NeonNotSent
    assert_no_secret(result)


def test_a_refusal_is_told_with_neons_words() -> None:
    said = {"request_id": "r", "code": "", "message": f"org_id is required {URI}"}
    result, _, _ = run(answers((400, said)), create)
    assert type(result) is errors.NeonInvalidRequest
    assert result.detail == "org_id is required postgresql://***"
    assert_no_secret(result)


def test_a_cancelled_request_ends_as_cancelled() -> None:
    async def use(client: NeonClient) -> object:
        task = asyncio.ensure_future(client.create_project(SPEC))
        await arrived.wait()
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        return outcome

    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.reader.read()

    result, _, seen = run(script, use)
    assert isinstance(result, asyncio.CancelledError)
    assert seen == [("/projects", None)]


def assert_no_secret(error: errors.NeonAPIError) -> None:
    """No text that a log could make of the error, nor its context, holds the key or a password."""
    assert error.__context__ is None
    text = "".join(traceback.format_exception(error)) + repr(vars(error)) + str(error)
    assert "hidden" not in text


def test_the_key_is_in_no_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        run(answers((200, {"project": project("p-1")})), get)
    assert "hidden" not in caplog.text
    client = NeonClient("http://127.0.0.1:1/api/v2", KEY)
    assert repr(client) == "NeonClient('http://127.0.0.1:1/api/v2')"


@pytest.mark.parametrize("key", ["", "a b", "hidden\n", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="API key") as raised:
        NeonClient("https://console.neon.tech/api/v2", key)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "console.neon.tech",
        "http://console.neon.tech/api/v2",
        "http://127.0.0.1.evil.example/api/v2",
        "ftp://127.0.0.1/",
        "https://user:hidden@console.neon.tech/",
        "https://console.neon.tech/?x=1",
        "https://:443/",
        "https://[::1",
    ],
)
def test_an_address_that_would_show_the_key_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address of the Neon API") as raised:
        NeonClient(url, KEY)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("url", ["https://console.neon.tech/api/v2/", "http://localhost:1", "http://[::1]:1/api/v2"])
def test_an_address_that_keeps_the_key_is_taken(url: str) -> None:
    assert repr(NeonClient(url, KEY)) == f"NeonClient({url.rstrip('/')!r})"
