"""The issuer's keys over real sockets, from servers that hang, refuse, flood or lie."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from api.app import create_app
from api.auth.jwks import RemoteKeys, jwks_source
from api.auth.tokens import TokenVerifier
from api.cli.doctor.jwks import check_jwks as doctor_lines
from api.cli.doctor.result import CheckStatus
from reconciler.egress import USER_AGENT, DocumentSource, FetchFailed
from tests.integration.api_client import api_context
from tests.integration.loopback import Peer, Script, head, loopback
from tests.unit.test_jwks import EC_KEY, KEYS, RSA_KEY, SMALL_RSA, jwk, token
from tests.unit.test_tokens import settings

DOCUMENT = json.dumps({"keys": KEYS}).encode()
MEGABYTE = b"x" * 2**20


async def _hang(peer: Peer) -> None:
    await peer.request()
    await asyncio.sleep(3600)


async def _hang_in_the_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(head(200, f"Content-Length: {len(DOCUMENT)}\r\n") + DOCUMENT[:10])
    await asyncio.sleep(3600)


async def _drip(peer: Peer) -> None:
    await peer.request()
    await peer.send(head(200, "Content-Length: 100000\r\n"))
    while True:
        await peer.send(b" ")
        await asyncio.sleep(0.05)


async def _flood(peer: Peer) -> None:
    await peer.request()
    await peer.send(head(200, "Content-Length: 209715200\r\n"))
    for number in range(200):
        await peer.send(MEGABYTE)
        # Far more than any socket buffer holds.
        assert number < 100, "the client reads on"


async def _compressed(peer: Peer) -> None:
    request = await peer.request()
    assert request is not None
    assert b"accept-encoding: identity\r\n" in request.lower()
    await peer.answer(200, gzip.compress(b" " * 10**7), "Content-Encoding: gzip\r\n")


async def _browser_only(peer: Peer) -> None:
    while (request := await peer.request()) is not None:
        agent = next(line for line in request.lower().split(b"\r\n") if line.startswith(b"user-agent:"))
        refused = any(name in agent for name in (b"python", b"httpx", b"urllib"))
        await peer.answer(403 if refused else 200, b"" if refused else DOCUMENT)


def _answers(status: int, body: bytes = b"", headers: str = "") -> Script:
    async def script(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(status, body, headers)

    return script


async def _reset(peer: Peer) -> None:
    await peer.request()
    peer.reset()


FAILURES: dict[str, tuple[Script, str, int | None]] = {
    "hangs": (_hang, "no complete response within", None),
    "hangs in the body": (_hang_in_the_body, "no complete response within", None),
    "drips": (_drip, "no complete response within", None),
    "200 MB": (_flood, "longer than 1048576 bytes", 200),
    "compressed": (_compressed, "compressed", 200),
    "500": (_answers(500, DOCUMENT), "answered 500", 500),
    "403": (_answers(403, DOCUMENT), "answered 403", 403),
    "204": (_answers(204), "answered 204", 204),
    "redirect": (_answers(302, b"", "Location: http://127.0.0.1:1/secret\r\n"), "redirects are not followed", 302),
    "reset": (_reset, "connection failed", None),
}


@pytest.mark.parametrize("name", [*FAILURES])
def test_fetch_bad_server_fails_within_bounds(name: str) -> None:
    script, reason, status = FAILURES[name]

    async def run() -> None:
        async with loopback(script) as server:
            source = DocumentSource(server.url, seconds=1, max_bytes=2**20)
            with pytest.raises(FetchFailed, match=reason) as caught:
                await source.read()
            await source.aclose()
            assert caught.value.status == status
            assert (server.connections, "secret" in str(caught.value)) == (1, False)

    asyncio.run(run())


def test_fetch_server_that_refuses_library_agents_answers_us() -> None:
    async def run() -> None:
        async with loopback(_browser_only) as server:
            source = jwks_source(server.url)
            assert await source.read() == DOCUMENT
            await source.aclose()
            assert f"user-agent: {USER_AGENT}\r\n".encode() in server.requests[0].lower()

    asyncio.run(run())


def _verifier(url: str) -> TokenVerifier:
    return TokenVerifier(settings(jwt_secret_key=None, jwt_jwks_url=url))


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - the server is a script without events
            await asyncio.sleep(0.02)


def test_requests_never_wait_for_a_server_that_hangs(catalog_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Good tokens of known keys are answered, known before or not, and unknown kids get 503, while a fetch hangs."""
    monkeypatch.setattr("api.auth.jwks.PERIOD_SECONDS", 0.05)

    async def script(peer: Peer) -> None:
        await peer.request()
        if len(peer.server.requests) == 1:
            await peer.answer(200, DOCUMENT, "Connection: close\r\n")
        else:
            await asyncio.sleep(3600)

    async def run() -> None:
        async with loopback(script) as server:
            made = api_context(catalog_url)
            app = create_app(replace(made, tokens=_verifier(server.url)))
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://api.test") as client,
            ):
                await _until(lambda: len(server.requests) > 1)

                async def get(given: str) -> httpx.Response:
                    return await client.get("/ee/apps", headers={"Authorization": f"Bearer {given}"})

                unknown = [token(EC_KEY, "ES256", f"unknown-{number}") for number in range(10)]
                good = [token(RSA_KEY, "RS256", "rsa", jti=number) for number in range(8)]
                answers = await asyncio.gather(*map(get, unknown + good))
                assert [answer.status_code for answer in answers] == [503] * 10 + [200] * 8
                assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[:10])
                # All of it while one fetch hung.
                assert len(server.requests) == 2
            await made.database.close()

    asyncio.run(run())


def test_start_while_the_server_hangs_serves_503_and_stops_cleanly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.jwks.START_SECONDS", 0.1)

    async def run() -> None:
        async with loopback(_hang) as server:
            keys = RemoteKeys(jwks_source(server.url))
            verifier = TokenVerifier(settings(jwt_secret_key=None, jwt_jwks_url=server.url), keys=keys)
            before = asyncio.all_tasks()
            async with verifier.refreshing():
                with pytest.raises(Exception, match="retry in"):
                    verifier.verify(token(RSA_KEY, "RS256", "rsa"))
                await _until(lambda: server.connections == 1)
            left = {task for task in asyncio.all_tasks() - before if "jwks" in task.get_name()}
            assert left == set()

    asyncio.run(run())


def test_start_waits_for_the_first_fetch() -> None:
    async def run() -> None:
        async with loopback(_answers(200, DOCUMENT)) as server:
            verifier = _verifier(server.url)
            async with verifier.refreshing():
                assert verifier.verify(token(RSA_KEY, "RS256", "rsa")).owner_id == "u1"

    asyncio.run(run())


DOCTOR = {
    "good": (_browser_only, CheckStatus.OK, "3 usable keys for ES256, EdDSA, RS256"),
    "one is small": (
        _answers(200, json.dumps({"keys": [*KEYS, jwk(SMALL_RSA, "RS256", "small")]}).encode()),
        CheckStatus.WARNING,
        "'small': an RSA key of 1024 bits",
    ),
    "none": (_answers(200, b'{"keys": []}'), CheckStatus.FAILED, "0 usable keys"),
    "403": (_answers(403), CheckStatus.FAILED, "answered 403"),
    "HTML": (_answers(200, b"<html>"), CheckStatus.FAILED, "serves no key set"),
}


@pytest.mark.parametrize("name", [*DOCTOR])
def test_doctor_fetches_the_keys(name: str) -> None:
    script, state, says = DOCTOR[name]

    async def run() -> None:
        async with loopback(script) as server:
            [line] = await doctor_lines(settings(jwt_secret_key=None, jwt_jwks_url=server.url))
        assert (line.check, line.status) == ("JWKS", state)
        assert says in line.message

    asyncio.run(run())


def test_doctor_without_the_setting_has_no_line() -> None:
    assert asyncio.run(doctor_lines(settings())) == asyncio.run(doctor_lines(None)) == []
