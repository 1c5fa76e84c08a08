"""Tokens: the good ones say who calls, and every bad one is a 401, never an error of ours."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWK, PyJWKClient, PyJWKClientConnectionError
from jwt.algorithms import RSAAlgorithm
from pydantic import SecretStr
from starlette.requests import Request

from api.guard import Guard
from api.problems import ProblemError
from api.tokens import InvalidToken, KeysUnavailable, Principal, TokenVerifier, issue_token
from specs.settings import HttpSettings, TokenSettings

SECRET = "k" * 32
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
RSA_PUBLIC = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


def settings(**values: Any) -> TokenSettings:
    """Settings that read nothing from this machine."""
    given = {"jwt_secret_key": SecretStr(SECRET)} | values
    return TokenSettings.model_construct(**given)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, changed; a value of None leaves the claim out."""
    good = {"user_id": "u1", "permissions": ["read", "write"], "exp": int(time.time()) + 86_400}
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(payload: object = None, header: dict[str, Any] | None = None, secret: str = SECRET) -> str:
    """An HS256 token over any JSON, or any bytes, correctly signed."""
    body = payload if isinstance(payload, bytes) else json.dumps(claims() if payload is None else payload).encode()
    head = json.dumps({"alg": "HS256", "typ": "JWT"} if header is None else header).encode()
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head, body))
    mac = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def verify(token: str, verifier: TokenVerifier | None = None) -> Principal:
    """What a verifier says."""
    return asyncio.run((verifier or TokenVerifier(settings())).verify(token))


GOOD_PARTS = signed().split(".")
NOW = int(time.time())
BAD: dict[str, str] = {
    "empty": "",
    "not a token": "x",
    "two dots": "..",
    "one part": GOOD_PARTS[0],
    "two parts": ".".join(GOOD_PARTS[:2]),
    "four parts": ".".join([*GOOD_PARTS, "x"]),
    "no signature": ".".join([*GOOD_PARTS[:2], ""]),
    "signature of another key": signed(secret="j" * 32),
    "signature cut": signed()[:-4],
    "payload changed": ".".join([GOOD_PARTS[0], signed(claims(user_id="u2")).split(".")[1], GOOD_PARTS[2]]),
    "not base64": "%%%.%%%.%%%",
    "not ASCII": signed() + "\u00e9",
    "lone surrogate": "\udc80" * 3,
    "nul": "\0.\0.\0",
    "spaces": " . . ",
    "payload is not JSON": signed(b"user"),
    "payload is a list": signed([1]),
    "payload is a string": signed("u1"),
    "payload is a number": signed(1),
    "payload is null": signed(b"null"),
    "payload is not UTF-8": signed(b"\xff\xfe"),
    "payload nested deep": signed(b"[" * 5000),
    "header is not JSON": "eA." + GOOD_PARTS[1] + "." + GOOD_PARTS[2],
    "header is a list": base64.urlsafe_b64encode(b"[]").decode() + "." + ".".join(GOOD_PARTS[1:]),
    "alg none": jwt.encode(claims(), "", algorithm="none"),
    "alg none, other case": signed(header={"alg": "NoNe"}),
    "alg absent": signed(header={"typ": "JWT"}),
    "alg a list": signed(header={"alg": ["HS256"]}),
    "alg HS512": jwt.encode(claims(), "k" * 64, algorithm="HS512"),
    "alg HS384 of the same key": jwt.encode(claims(), SECRET + "k" * 16, algorithm="HS384"),
    "alg RS256": jwt.encode(claims(), RSA_KEY, algorithm="RS256"),
    "unknown crit": signed(header={"alg": "HS256", "crit": ["x"], "x": 1}),
    "b64 false": signed(header={"alg": "HS256", "crit": ["b64"], "b64": False}),
    "kid a number": signed(header={"alg": "HS256", "kid": 1}),
    "no exp": signed(claims(exp=None)),
    "exp null": signed({"user_id": "u1", "exp": None}),
    "expired": signed(claims(exp=NOW - 1)),
    "expired long ago": signed(claims(exp=0)),
    "exp negative": signed(claims(exp=-1)),
    "exp a string": signed(claims(exp=str(NOW + 86_400))),
    "exp a word": signed(claims(exp="tomorrow")),
    "exp true": signed(claims(exp=True)),
    "exp a list": signed(claims(exp=[NOW + 86_400])),
    "exp infinite": signed(b'{"user_id": "u1", "exp": Infinity}'),
    "exp overflows": signed(b'{"user_id": "u1", "exp": 1e400}'),
    "exp not a number": signed(b'{"user_id": "u1", "exp": NaN}'),
    "exp in the year 3000": signed(claims(exp=32_503_680_000)),
    "not yet valid": signed(claims(nbf=NOW + 43_200)),
    "nbf a word": signed(claims(nbf="soon")),
    "issued in the future": signed(claims(iat=NOW + 43_200)),
    "nobody": signed(claims(user_id=None)),
    "user_id empty": signed(claims(user_id="")),
    "user_id a number": signed(claims(user_id=7)),
    "user_id null": signed({"user_id": None, "sub": "u1", "exp": NOW + 86_400}),
    "user_id a list": signed(claims(user_id=["u1"])),
    "user_id with a control character": signed(claims(user_id="u\n1")),
    "user_id with nul": signed(claims(user_id="u\0")),
    "user_id with a lone surrogate": signed(claims(user_id="\ud800")),
    "user_id too long": signed(claims(user_id="u" * 256)),
    "user_id wrong and sub right": signed(claims(user_id=7, sub="u1")),
    "entity_id wrong": signed(claims(user_id=None, entity_id={})),
    "sub a number": signed(claims(user_id=None, sub=5)),
    "sub empty": signed(claims(user_id=None, sub="")),
    "permissions a word": signed(claims(permissions="write")),
    "permissions null": signed({"user_id": "u1", "permissions": None, "exp": NOW + 86_400}),
    "permissions of numbers": signed(claims(permissions=[1])),
    "permissions nested": signed(claims(permissions=[["write"]])),
    "permissions a mapping": signed(claims(permissions={"write": True})),
    "too long": signed(claims(filler="x" * 9000)),
}


@pytest.mark.parametrize("name", [*BAD])
def test_a_bad_token_is_refused_and_never_an_error_of_ours(name: str) -> None:
    with pytest.raises(InvalidToken):
        verify(BAD[name])


@pytest.mark.parametrize("name", [*BAD])
def test_at_the_door_it_is_a_401(name: str) -> None:
    http = HttpSettings.model_construct(failed_tokens_per_minute=1000)
    header = b"Bearer " + BAD[name].encode("latin-1", errors="replace")
    request = Request({"type": "http", "headers": [(b"authorization", header)], "client": ("192.0.2.1", 1)})
    with pytest.raises(ProblemError) as caught:
        asyncio.run(Guard(TokenVerifier(settings()), http).admit(request, "read"))
    assert caught.value.kind.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith('Bearer realm="morphik-apps", error="invalid_token"')


@pytest.mark.parametrize(
    ("payload", "owner"),
    [
        (claims(user_id="u1", entity_id="e1", sub="s1"), "u1"),
        (claims(user_id=None, entity_id="e1", sub="s1"), "e1"),
        (claims(user_id=None, sub="s1"), "s1"),
        (claims(user_id="\u00fcser \u540d"), "\u00fcser \u540d"),
        (claims(aud="anybody", iss="anybody"), "u1"),
    ],
)
def test_a_good_token_says_who_calls(payload: dict[str, Any], owner: str) -> None:
    assert verify(signed(payload)).owner_id == owner


@pytest.mark.parametrize(
    ("listed", "permissions"),
    [(None, {"read"}), ([], set()), (["write", "root"], {"write"}), (["admin", "read", "read"], {"admin", "read"})],
)
def test_permissions_are_what_is_listed(listed: list[str] | None, permissions: set[str]) -> None:
    assert verify(signed(claims(permissions=listed))).permissions == permissions


@pytest.mark.parametrize("name", ["iss", "aud"])
def test_issuer_and_audience_are_checked_where_configured(name: str) -> None:
    setting = {"iss": "jwt_issuer", "aud": "jwt_audience"}[name]
    verifier = TokenVerifier(settings(**{setting: "morphik"}))
    assert verify(signed(claims(**{name: "morphik"})), verifier).owner_id == "u1"
    bad: list[object] = [None, "other", "", 7, "morphik2", "morphi", ["morphik", 7] if name == "aud" else ["morphik"]]
    for value in bad:
        with pytest.raises(InvalidToken):
            verify(signed(claims(**{name: value})), verifier)


def test_the_lifetime_is_capped() -> None:
    verifier = TokenVerifier(settings(max_token_seconds=60))
    assert verify(signed(claims(exp=int(time.time()) + 50)), verifier).owner_id == "u1"
    with pytest.raises(InvalidToken, match="60 seconds"):
        verify(signed(claims(exp=int(time.time()) + 120)), verifier)


def test_what_token_prints_is_good() -> None:
    configured = settings(jwt_issuer="morphik", jwt_audience="apps")
    principal = verify(issue_token(configured, "u1", ["write"], 60), TokenVerifier(configured))
    assert principal == Principal("u1", frozenset({"write"}))


@pytest.mark.parametrize(
    ("user", "permissions", "ttl"), [("", ["read"], 60), ("u", ["root"], 60), ("u", [], 0), ("u", [], 10**9)]
)
def test_token_does_not_print_what_would_be_refused(user: str, permissions: list[str], ttl: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        issue_token(settings(), user, permissions, ttl)


class Keys(PyJWKClient):
    """A key set that answers from memory, or not at all."""

    def __init__(self, keys: dict[str, PyJWK]) -> None:
        super().__init__("https://keys.invalid/jwks")
        self.keys = keys
        self.error: Exception | None = None
        self.asked = 0

    def get_signing_keys(self, refresh: bool = False) -> list[PyJWK]:  # noqa: ARG002 - the library's signature
        """The keys."""
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [*self.keys.values()]


def _jwk(algorithm: str, key: Any, key_id: str) -> PyJWK:
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return PyJWK.from_dict({**made, "kid": key_id, "alg": algorithm, "use": "sig"})


@pytest.fixture
def keys() -> Keys:
    """One key of each kind."""
    return Keys(
        {"rsa": _jwk("RS256", RSA_KEY, "rsa"), "ec": _jwk("ES256", EC_KEY, "ec"), "ed": _jwk("EdDSA", ED_KEY, "ed")}
    )


def by_keys(keys: Keys) -> TokenVerifier:
    """A verifier that knows public keys only."""
    return TokenVerifier(settings(jwt_secret_key=None, jwt_jwks_url="https://keys.invalid/jwks"), jwks=keys)


SIGNERS: dict[str, tuple[Any, str]] = {"rsa": (RSA_KEY, "RS256"), "ec": (EC_KEY, "ES256"), "ed": (ED_KEY, "EdDSA")}


@pytest.mark.parametrize("key_id", [*SIGNERS])
def test_a_token_signed_with_a_listed_key_is_good(keys: Keys, key_id: str) -> None:
    key, algorithm = SIGNERS[key_id]
    token = jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": key_id})
    assert verify(token, by_keys(keys)).owner_id == "u1"


FORGED: dict[str, Callable[[], str]] = {
    "no kid": lambda: jwt.encode(claims(), RSA_KEY, algorithm="RS256"),
    "unknown kid": lambda: jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "x"}),
    "kid of another key": lambda: jwt.encode(claims(), EC_KEY, algorithm="ES256", headers={"kid": "rsa"}),
    "another algorithm of the same key": lambda: jwt.encode(
        claims(), RSA_KEY, algorithm="PS256", headers={"kid": "rsa"}
    ),
    "the public key as a secret": lambda: signed(header={"alg": "HS256", "kid": "rsa"}, secret=RSA_PUBLIC.decode()),
    "the public key's JWK as a secret": lambda: signed(
        header={"alg": "HS256", "kid": "rsa"}, secret=RSAAlgorithm.to_jwk(RSA_KEY.public_key())
    ),
    "alg none": lambda: jwt.encode(claims(), "", algorithm="none", headers={"kid": "rsa"}),
    "a key of its own": lambda: jwt.encode(
        claims(), ED_KEY, algorithm="EdDSA", headers={"kid": "x", "jku": "https://evil.invalid", "jwk": {"kty": "OKP"}}
    ),
    "expired": lambda: jwt.encode(claims(exp=1), RSA_KEY, algorithm="RS256", headers={"kid": "rsa"}),
}


@pytest.mark.parametrize("name", [*FORGED])
def test_a_forged_one_is_not(keys: Keys, name: str) -> None:
    with pytest.raises(InvalidToken):
        verify(FORGED[name](), by_keys(keys))


def test_a_token_of_a_kind_that_cannot_be_good_asks_nobody(keys: Keys) -> None:
    with pytest.raises(InvalidToken):
        verify(signed(header={"alg": "HS256", "kid": "rsa"}), by_keys(keys))
    assert keys.asked == 0


@pytest.mark.parametrize("error", [PyJWKClientConnectionError("down"), ValueError("not JSON")])
def test_keys_that_cannot_be_fetched_say_nothing_about_the_token(keys: Keys, error: Exception) -> None:
    token = jwt.encode(claims(), RSA_KEY, algorithm="RS256", headers={"kid": "rsa"})
    other = jwt.encode(claims(), EC_KEY, algorithm="ES256", headers={"kid": "ec"})
    verifier = by_keys(keys)
    assert verify(token, verifier).owner_id == "u1"
    keys.error = error
    assert verify(token, verifier).owner_id == "u1"
    with pytest.raises(KeysUnavailable):
        verify(other, verifier)


def test_the_limit_on_failed_tokens_leaves_good_ones_alone() -> None:
    guard = Guard(TokenVerifier(settings()), HttpSettings.model_construct(failed_tokens_per_minute=2))

    def status(token: str) -> int:
        header = (b"authorization", b"Bearer " + token.encode())
        request = Request({"type": "http", "headers": [header], "client": ("192.0.2.1", 1), "state": SimpleNamespace()})
        try:
            asyncio.run(guard.admit(request, "read"))
        except ProblemError as problem:
            return problem.kind.status
        return 200

    assert [status("bad") for _ in range(3)] == [401, 401, 429]
    assert status(signed()) == 200


def test_a_good_token_is_remembered_for_a_minute_but_never_beyond_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, start = TokenVerifier(settings()), time.time()
    long, short = (signed(claims(exp=int(start) + seconds)) for seconds in (3600, 30))
    assert verify(long, verifier) == verify(short, verifier)
    # From here on the key is another one: whoever still passes was remembered.
    monkeypatch.setattr(verifier, "_secret", "another key that signs nothing of this")
    assert verify(long, verifier).owner_id == "u1"
    with pytest.raises(InvalidToken):
        verify(long[:-2] + ("AA" if long[-2:] != "AA" else "BB"), verifier)
    monkeypatch.setattr("api.tokens.time.time", lambda: start + 31)
    assert verify(long, verifier).owner_id == "u1"
    with pytest.raises(InvalidToken):
        verify(short, verifier)
    monkeypatch.setattr("api.tokens.time.time", lambda: start + 61)
    with pytest.raises(InvalidToken):
        verify(long, verifier)


def test_remembered_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.tokens._MOST_KNOWN", 2)
    verifier = TokenVerifier(settings())
    tokens = [signed(claims(user_id=f"u{number}")) for number in range(3)]
    for token in tokens:
        verify(token, verifier)
    monkeypatch.setattr(verifier, "_secret", "another key that signs nothing of this")
    with pytest.raises(InvalidToken):
        verify(tokens[0], verifier)
    assert [verify(token, verifier).owner_id for token in tokens[1:]] == ["u1", "u2"]
