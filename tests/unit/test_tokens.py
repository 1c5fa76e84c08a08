"""Tokens are checked by the configuration alone, whatever they hold."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr
from starlette.requests import Request

from api.auth.authorizer import Authorizer
from api.auth.claims import RejectionReason
from api.auth.revocations import TokenRevocations
from api.auth.tokens import InvalidToken, Principal, TokenVerifier, issue_token
from api.problems import ProblemError
from specs.settings import ApiSettings, TokenSettings

SECRET = "k" * 32
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def settings(**values: Any) -> TokenSettings:
    """Settings that read nothing from this machine."""
    given = {"jwt_secret_key": SecretStr(SECRET)} | values
    return TokenSettings.model_construct(**given)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, changed; a value of None leaves the claim out."""
    good = {"user_id": "u1", "permissions": ["read", "write"], "exp": int(time.time()) + 86_400}
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(payload: object = None, header: dict[str, Any] | bytes | None = None, secret: str = SECRET) -> str:
    """An HS256 token over any JSON, or any bytes, correctly signed."""
    body = payload if isinstance(payload, bytes) else json.dumps(claims() if payload is None else payload).encode()
    named = {"alg": "HS256", "typ": "JWT"} if header is None else header
    head = named if isinstance(named, bytes) else json.dumps(named).encode()
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (head, body))
    mac = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def verify(token: str, verifier: TokenVerifier | None = None) -> Principal:
    """What a verifier finds."""
    return (verifier or TokenVerifier(settings())).verify(token)


async def no_minimums(_owner_ids: Sequence[str]) -> dict[str, int]:
    """Of no owner."""
    return {}


def guard(verifier: TokenVerifier, **http: Any) -> Authorizer:
    """A guard over a verifier, without revocations."""
    return Authorizer(verifier, TokenRevocations(no_minimums), ApiSettings.model_construct(**http))


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
    "alg twice": signed(header=b'{"alg": "none", "alg": "HS256"}'),
    "user_id twice": signed(b'{"user_id": "u2", "user_id": "u1", "exp": 4102444800}'),
    "a name twice deep inside": signed(b'{"user_id": "u1", "exp": 4102444800, "x": [{"a": 1, "a": 1}]}'),
    "app_id twice": signed(b'{"user_id": "u1", "exp": 4102444800, "app_id": "a", "app_id": "b"}'),
    "crit empty": signed(header={"alg": "HS256", "crit": []}),
    "crit of what is known": signed(header={"alg": "HS256", "crit": ["exp"]}),
    "b64 true": signed(header={"alg": "HS256", "b64": True}),
    "header nested deep": signed(header=b"[" * 4000),
    "not canonical base64": signed()[:-1] + ("B" if signed()[-1] == "A" else "A") + "==",
    "app_id null": signed(claims() | {"app_id": None}),
    "app_id a number": signed(claims(app_id=7)),
    "app_id a list": signed(claims(app_id=["a"])),
    "app_id empty": signed(claims(app_id="")),
    "token_version a string": signed(claims(token_version="2")),
    "token_version a fraction": signed(claims(token_version=2.5)),
    "token_version true": signed(claims(token_version=True)),
    "token_version null": signed(claims() | {"token_version": None}),
    "exp of a thousand digits": signed(b'{"user_id": "u1", "exp": ' + b"9" * 1000 + b"}"),
    "nbf null": signed(claims() | {"nbf": None}),
    "too long": signed(claims(filler="x" * 9000)),
}


@pytest.mark.parametrize("name", [*BAD])
def test_a_bad_token_is_refused_and_never_an_error_of_ours(name: str) -> None:
    with pytest.raises(InvalidToken):
        verify(BAD[name])


@pytest.mark.parametrize("name", [*BAD])
def test_at_the_door_it_is_a_401(name: str) -> None:
    header = b"Bearer " + BAD[name].encode("latin-1", errors="replace")
    request = Request({"type": "http", "headers": [(b"authorization", header)], "client": ("192.0.2.1", 1)})
    with pytest.raises(ProblemError) as caught:
        asyncio.run(guard(TokenVerifier(settings()), failed_tokens_per_minute=1000).authorize(request, "read"))
    assert caught.value.problem_type.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith('Bearer realm="morphik-apps", error="invalid_token"')


@pytest.mark.parametrize(
    ("payload", "owner"),
    [
        (claims(user_id="u1", entity_id="e1", sub="s1"), "u1"),
        (claims(user_id=None, entity_id="e1", sub="s1"), "e1"),
        (claims(user_id=None, sub="s1"), "s1"),
        (claims(user_id="\u00fcser \u540d"), "\u00fcser \u540d"),
        (claims(aud="anybody", iss="anybody"), "u1"),
        # What no rule uses is not judged.
        (claims(sub=7, jti=8, iat="yesterday"), "u1"),
        (claims(iat=NOW + 43_200, aud=7, iss=["x"]), "u1"),
        (claims(sub={}, entity_id=None, typ="x", scope=1), "u1"),
        (claims(nbf=NOW + 25), "u1"),
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
    scoped = issue_token(configured, "u1", ["write"], 60, app_id="a1", token_version=2)
    assert verify(scoped, TokenVerifier(configured)) == Principal("u1", frozenset({"write"}), "a1", 2)


@pytest.mark.parametrize(
    ("user", "permissions", "ttl"), [("", ["read"], 60), ("u", ["root"], 60), ("u", [], 0), ("u", [], 10**9)]
)
def test_token_does_not_print_what_would_be_refused(user: str, permissions: list[str], ttl: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each says something else
        issue_token(settings(), user, permissions, ttl)


def test_the_limit_on_failed_tokens_leaves_good_ones_alone() -> None:
    guarded = guard(TokenVerifier(settings()), failed_tokens_per_minute=2)

    def status(token: str) -> int:
        header = (b"authorization", b"Bearer " + token.encode())
        request = Request({"type": "http", "headers": [header], "client": ("192.0.2.1", 1), "state": SimpleNamespace()})
        try:
            asyncio.run(guarded.authorize(request, "read"))
        except ProblemError as problem:
            return problem.problem_type.status
        return 200

    assert [status("bad") for _ in range(3)] == [401, 401, 429]
    assert status(signed()) == 200


class Clocks:
    """A wall clock and a monotonic one."""

    def __init__(self) -> None:
        self.wall = time.time()
        self.steady = 1000.0

    def verifier(self, **values: Any) -> TokenVerifier:
        """A verifier that lives by them."""
        return TokenVerifier(settings(**values), now=lambda: self.wall, clock=lambda: self.steady)

    def advance(self, seconds: float) -> None:
        """Let time pass on both."""
        self.wall += seconds
        self.steady += seconds


def test_remembered_token_counts_for_a_minute_and_never_beyond_exp(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()
    verifier = clocks.verifier()
    long, short = (signed(claims(exp=int(clocks.wall) + seconds)) for seconds in (3600, 30))
    assert verify(long, verifier) == verify(short, verifier)
    # From here on the key is another one: a token that still counts was remembered.
    monkeypatch.setattr(verifier, "_secret", "another key that signs nothing of this")
    assert verify(long, verifier).owner_id == "u1"
    with pytest.raises(InvalidToken):
        verify(long[:-2] + ("AA" if long[-2:] != "AA" else "BB"), verifier)
    clocks.advance(31)
    assert verify(long, verifier).owner_id == "u1"
    with pytest.raises(InvalidToken):
        verify(short, verifier)
    clocks.advance(30)
    with pytest.raises(InvalidToken):
        verify(long, verifier)


def test_remembered_token_wall_clock_set_back_does_not_count_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks()
    verifier, token = clocks.verifier(), signed()
    verify(token, verifier)
    monkeypatch.setattr(verifier, "_secret", "another key that signs nothing of this")
    clocks.wall -= 3600
    clocks.steady += 61
    with pytest.raises(InvalidToken):
        verify(token, verifier)


def test_remembered_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.tokens._MAX_CACHED_TOKENS", 2)
    verifier = TokenVerifier(settings())
    tokens = [signed(claims(user_id=f"u{number}")) for number in range(3)]
    for token in tokens:
        verify(token, verifier)
    monkeypatch.setattr(verifier, "_secret", "another key that signs nothing of this")
    with pytest.raises(InvalidToken):
        verify(tokens[0], verifier)
    assert [verify(token, verifier).owner_id for token in tokens[1:]] == ["u1", "u2"]


@pytest.mark.parametrize(
    ("seconds", "counts"), [({"nbf": 29}, True), ({"nbf": 31}, False), ({"exp": 1}, True), ({"exp": 0}, False)]
)
def test_leeway_is_half_a_minute_for_nbf_and_none_for_exp(seconds: dict[str, int], counts: bool) -> None:
    clocks = Clocks()
    clocks.wall = float(NOW)
    token = signed(claims(**{name: NOW + ahead for name, ahead in seconds.items()}))
    if counts:
        assert clocks.verifier().verify(token).owner_id == "u1"
    else:
        with pytest.raises(InvalidToken):
            clocks.verifier().verify(token)


REASONS: dict[str, tuple[str, RejectionReason]] = {
    "expired": (signed(claims(exp=NOW - 1, note="canary")), RejectionReason.EXPIRED),
    "no exp": (signed(claims(exp=None, note="canary")), RejectionReason.NO_EXPIRY),
    "exp a word": (signed(claims(exp="canary")), RejectionReason.EXPIRY),
    "not yet valid": (signed(claims(nbf=NOW + 43_200, note="canary")), RejectionReason.NOT_YET_VALID),
    "another issuer": (signed(claims(iss="canary", aud="apps")), RejectionReason.ISSUER),
    "another audience": (signed(claims(iss="morphik", aud=["canary"])), RejectionReason.AUDIENCE),
    "another key": (signed(claims(note="canary"), secret="j" * 32), RejectionReason.SIGNATURE),
    "another algorithm": (signed(header={"alg": "canary"}), RejectionReason.ALGORITHM),
    "crit": (signed(header={"alg": "HS256", "crit": ["canary"]}), RejectionReason.CRITICAL),
    "named twice": (signed(b'{"canary": 1, "canary": 2}'), RejectionReason.NAMED_TWICE),
    "no owner": (signed(claims(user_id=None, iss="morphik", aud="apps", note="canary")), RejectionReason.NO_OWNER),
    "owner": (signed(claims(user_id="canary\n", iss="morphik", aud="apps")), RejectionReason.OWNER),
    "permissions": (signed(claims(permissions="canary", iss="morphik", aud="apps")), RejectionReason.PERMISSIONS),
    "app_id": (signed(claims(app_id=["canary"], iss="morphik", aud="apps")), RejectionReason.APP_ID),
    "token_version": (signed(claims(token_version="canary", iss="morphik", aud="apps")), RejectionReason.VERSION),
    "no token": ("canary", RejectionReason.MALFORMED),
    "too long": ("canary" * 2000, RejectionReason.TOO_LONG),
}


@pytest.mark.parametrize("name", [*REASONS])
def test_refused_token_answer_names_the_reason_and_nothing_of_the_token(name: str) -> None:
    token, reason = REASONS[name]
    guarded = guard(TokenVerifier(settings(jwt_issuer="morphik", jwt_audience="apps")), failed_tokens_per_minute=9)
    header = (b"authorization", b"Bearer " + token.encode())
    request = Request({"type": "http", "headers": [header], "client": ("192.0.2.1", 1)})
    with pytest.raises(ProblemError) as caught:
        asyncio.run(guarded.authorize(request, "read"))
    assert caught.value.detail == f"Send a valid token: {reason}."
    assert "canary" not in caught.value.detail + str(caught.value.headers)


def test_token_for_one_app_is_recognized_with_its_version() -> None:
    found = verify(signed(claims(app_id="a1", token_version=3)))
    assert found == Principal("u1", frozenset({"read", "write"}), "a1", 3)
