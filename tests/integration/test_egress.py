"""Requests to Neon through a real proxy on this machine, or past it, as one setting says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.auth.tokens import TokenVerifier
from api.cli.doctor.jwks import check_jwks
from api.cli.doctor.result import CheckStatus
from api.cli.doctor.settings import LoadedSettings, _egress
from reconciler.egress_proxy import egress_proxy
from reconciler.errors import NeonNotSent
from reconciler.neon.client import NeonClient
from specs.settings import EgressSettings, ReconcilerSettings, SettingsError, TokenSettings

NEON = "https://neon.example.test/api/v2"
ON, OFF = EgressSettings(egress_proxy_from_environment=True), EgressSettings(egress_proxy_from_environment=False)
JWKS = "https://neon.example.test/jwks"
# What the server answers to everything: an account for Neon's client, and a key set.
ANSWER = b'{"account_id":"org-1","auth_method":"api_key_org","keys":[]}'


@dataclass
class Proxy:
    """A CONNECT proxy that leads every tunnel to one server, or answers with ``refusal``."""

    refusal: bytes = b""
    url: str = ""
    arrived: list[bytes] = field(default_factory=list)


def _certificate(folder: Path) -> Path:
    """A certificate and its key for the name in ``NEON``, in one file; it is its own root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "neon.example.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("neon.example.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "neon.pem"
    file.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return file


async def _head(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def _proxied(certificate: Path, proxy: Proxy) -> AsyncIterator[None]:
    tunnels: set[asyncio.Task[None] | None] = set()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def neon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _head(reader)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
        writer.write(head.encode() + ANSWER)
        await _closed(writer)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        await _closed(writer)

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.add(asyncio.current_task())
        proxy.arrived.append(await _head(reader))
        if proxy.refusal:
            writer.write(proxy.refusal)
            await writer.drain()
        else:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(pump(reader, up_writer), pump(up_reader, writer))
        await _closed(writer)

    server = await asyncio.start_server(neon, "127.0.0.1", 0, ssl=context)
    front = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    proxy.url = f"http://user:word@127.0.0.1:{front.sockets[0].getsockname()[1]}"
    async with server, front:
        yield
        await asyncio.gather(*filter(None, tunnels))


def _asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> str:
    """Ask who one is, as a daemon does; the account of the answer."""
    certificate = _certificate(tmp_path)
    monkeypatch.setattr(certifi, "where", lambda: str(certificate))

    async def scenario() -> str:
        async with _proxied(certificate, proxy):
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            async with NeonClient(NEON, "key", timeout_seconds=5, proxy=egress_proxy(NEON, ON)) as client:
                return (await client.get_auth()).account_id

    return asyncio.run(scenario())


def test_requests_go_through_the_proxy_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy sees where to, with its own credentials, and not the key."""
    proxy = Proxy()
    assert _asked(tmp_path, monkeypatch, proxy) == "org-1"
    assert proxy.arrived[0].startswith(b"CONNECT neon.example.test:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic" in proxy.arrived[0].lower()
    assert b"key" not in proxy.arrived[0]


@pytest.mark.parametrize("status", [403, 407, 502])
def test_what_a_proxy_answers_is_no_answer_of_neons(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused tunnel has carried no request, so the request is known not to be sent."""
    page = b"<html>no</html>"
    proxy = Proxy(refusal=b"HTTP/1.1 %d No\r\nContent-Length: %d\r\n\r\n%s" % (status, len(page), page))
    with pytest.raises(NeonNotSent, match=f"ProxyError {status}") as refused:
        _asked(tmp_path, monkeypatch, proxy)
    assert "word" not in str(refused.value)


def test_keys_are_fetched_through_the_proxy_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxies: None, caplog: pytest.LogCaptureFixture
) -> None:
    """By ``serve`` and by ``doctor``; a refusal of the proxy is logged with its status and without its password."""
    certificate = _certificate(tmp_path)
    monkeypatch.setattr(certifi, "where", lambda: str(certificate))

    async def scenario(proxy: Proxy) -> tuple[bool, str]:
        async with _proxied(certificate, proxy):
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            settings = TokenSettings.load(jwt_jwks_url=JWKS, egress_proxy_from_environment=True)
            verifier = TokenVerifier(settings)
            async with verifier.refreshing():
                assert verifier._keys is not None
                await verifier._keys._attempted.wait()
            [line] = await check_jwks(settings)
            return verifier._keys._set_from is not None, line.message

    proxy = Proxy()
    assert asyncio.run(scenario(proxy)) == (True, "0 usable keys")
    assert [head.split(b"\r\n")[0] for head in proxy.arrived] == [b"CONNECT neon.example.test:443 HTTP/1.1"] * 2
    proxy = Proxy(refusal=b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
    fetched, says = asyncio.run(scenario(proxy))
    assert not fetched
    assert "ProxyError 407" in says
    assert "ProxyError 407" in caplog.text
    assert "word" not in says + caplog.text


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, NEON, "http://p:3128"),
        ({"https_proxy": "p:3128"}, NEON, "http://p:3128"),
        ({"ALL_PROXY": "https://p"}, NEON, "https://p"),
        ({"HTTP_PROXY": "http://p"}, NEON, None),
        ({}, NEON, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".example.test"}, NEON, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "neon.example.test"}, NEON, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, NEON, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "example.com"}, NEON, "http://p"),
        ({"HTTPS_PROXY": "http://p", "HTTP_PROXY": "http://p"}, "http://127.0.0.1:8080/api/v2", None),
        ({"HTTPS_PROXY": "http://p"}, "https://localhost:8080/api/v2", None),
        ({"HTTPS_PROXY": "socks5://p:1080"}, NEON, SettingsError),
        ({"ALL_PROXY": "http://"}, NEON, SettingsError),
        ({"HTTPS_PROXY": " http://p:3128\n"}, NEON, "http://p:3128"),
        ({"HTTPS_PROXY": "http://[p"}, NEON, SettingsError),
        ({"HTTPS_PROXY": "http://p:word"}, NEON, SettingsError),
        ({"HTTPS_PROXY": "http://p q"}, NEON, SettingsError),
    ],
)
def test_the_environment_counts_when_the_setting_says_so(
    environment: dict[str, str],
    url: str,
    expected: str | type[SettingsError] | None,
    monkeypatch: pytest.MonkeyPatch,
    no_proxies: None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert egress_proxy(url, OFF) is None
    if isinstance(expected, type):
        with pytest.raises(expected, match=r"^[A-Z]+_PROXY: must be"):
            egress_proxy(url, ON)
    else:
        assert egress_proxy(url, ON) == expected


def test_doctor_shows_which_way_each_request_goes(monkeypatch: pytest.MonkeyPatch, no_proxies: None) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@p:3128")
    monkeypatch.setenv("NO_PROXY", "keys.example.test")
    said = {}
    for on in (True, False):
        loop = ReconcilerSettings.load(neon_api_key="key", neon_api_url=NEON, egress_proxy_from_environment=on)
        jwks = "https://keys.example.test/jwks"
        tokens = TokenSettings.load(jwt_jwks_url=jwks, egress_proxy_from_environment=on)
        line = _egress(LoadedSettings(loop=loop, tokens=tokens))
        assert line.status is CheckStatus.OK
        said[on] = line.message
    assert said[True] == "Neon through the proxy p:3128, JWKS directly"
    assert said[False] == "Neon directly (the environment's proxy is not used), JWKS directly"
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p")
    unused = ReconcilerSettings.load(neon_api_key="k", egress_proxy_from_environment=False)
    assert _egress(LoadedSettings(loop=unused)).message == "Neon directly (the environment's proxy is not used)"
    assert _egress(
        LoadedSettings(loop=ReconcilerSettings.load(neon_api_key="k", egress_proxy_from_environment=True))
    ).status is (CheckStatus.FAILED)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names no proxy."""
    for scheme in ("HTTP", "HTTPS", "ALL", "NO"):
        for name in (f"{scheme}_PROXY", f"{scheme}_proxy".lower()):
            monkeypatch.delenv(name, raising=False)
