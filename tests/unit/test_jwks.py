"""The issuer's keys: which are used, how the set changes, and what a request gets meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import RSAAlgorithm

from api.auth.jwks import KEEP_SECONDS, KeysUnavailable, RemoteKeys
from api.auth.keyset import MalformedKeySet, parse_key_set
from api.auth.tokens import InvalidToken, TokenVerifier
from reconciler.egress import FetchFailed
from tests.unit.test_tokens import claims, settings, signed

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be refused
EC_KEY = ec.generate_private_key(ec.SECP256R1())
EC_384 = ec.generate_private_key(ec.SECP384R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
ED_448 = ed448.Ed448PrivateKey.generate()
RSA_PUBLIC = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
Jwk = dict[str, Any]


def jwk(key: Any, algorithm: str, key_id: str | None = None, **changes: Any) -> Jwk:
    """A public key as the issuer publishes it; a value of None leaves the member out."""
    made: Jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    made = made | {"kid": key_id, "alg": algorithm, "use": "sig", "key_ops": None} | changes
    return {name: value for name, value in made.items() if value is not None}


KEYS = [jwk(RSA_KEY, "RS256", "rsa"), jwk(EC_KEY, "ES256", "ec"), jwk(ED_KEY, "EdDSA", "ed")]


def token(key: Any, algorithm: str, key_id: str | None = None, **changes: Any) -> str:
    """A token by a private key."""
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=None if key_id is None else {"kid": key_id})


class Issuer:
    """A document and its failures, in a time of its own, with a verifier that reads it.

    Attributes:
        now: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(self, *keys: Jwk) -> None:
        self.document: Any = {"keys": [*keys]}
        self.error: Exception | None = None
        self.reads: list[float] = []
        self.now, self.wall = 1000.0, time.time()
        self.keys = RemoteKeys(self, clock=lambda: self.now, sleep=self._sleep)
        self.verifier = TokenVerifier(
            settings(jwt_secret_key=None, jwt_jwks_url="https://keys.invalid/jwks"),
            keys=self.keys,
            now=lambda: self.wall,
            clock=lambda: self.now,
        )
        self._left = 0.0

    async def read(self) -> bytes:
        """The document."""
        self.reads.append(self.now)
        if self.error is not None:
            raise self.error
        return self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()

    async def aclose(self) -> None:
        """Holds nothing."""

    async def _sleep(self, seconds: float) -> None:
        if seconds > self._left:
            raise asyncio.CancelledError
        self._left -= seconds
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass without a fetch."""
        self.now += seconds
        self.wall += seconds

    def fetch(self) -> bool:
        """One fetch, whenever."""
        return asyncio.run(self.keys.refresh())

    def run(self, seconds: float) -> None:
        """The background task from its start, for so long."""

        async def run() -> None:
            self._left = seconds
            await asyncio.gather(self.keys._run(), return_exceptions=True)

        asyncio.run(run())

    def verify(self, given: str) -> str:
        """What becomes of a token: its owner, or the kind of refusal."""
        try:
            return self.verifier.verify(given).owner_id
        except InvalidToken:
            return "401"
        except KeysUnavailable as error:
            return "503" if 1 <= error.retry_after <= 62 else f"503 after {error.retry_after} s"


@pytest.fixture
def issuer() -> Issuer:
    """An issuer with a key of each kind, fetched once."""
    made = Issuer(*KEYS)
    assert made.fetch()
    return made


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"), [(RSA_KEY, "RS256", "rsa"), (EC_KEY, "ES256", "ec"), (ED_KEY, "EdDSA", "ed")]
)
def test_verify_token_of_a_published_key_counts(issuer: Issuer, key: Any, algorithm: str, key_id: str) -> None:
    assert issuer.verify(token(key, algorithm, key_id)) == "u1"


FORGED: dict[str, Callable[[], str]] = {
    "kid of another key": lambda: token(EC_KEY, "ES256", "rsa"),
    "a key of its own": lambda: token(OTHER_RSA, "RS256", "rsa"),
    "another algorithm of the same key": lambda: token(RSA_KEY, "PS256", "rsa"),
    "the public key as a secret": lambda: signed(header={"alg": "HS256", "kid": "rsa"}, secret=RSA_PUBLIC.decode()),
    "the public key's JWK as a secret": lambda: signed(
        header={"alg": "HS256", "kid": "rsa"}, secret=RSAAlgorithm.to_jwk(RSA_KEY.public_key())
    ),
    "alg none": lambda: jwt.encode(claims(), "", algorithm="none", headers={"kid": "rsa"}),
    "expired": lambda: token(RSA_KEY, "RS256", "rsa", exp=1),
    "kid empty": lambda: token(RSA_KEY, "RS512", ""),
    "kid of 300 characters": lambda: token(RSA_KEY, "RS256", "x" * 300),
    "kid a number": lambda: signed(header={"alg": "RS256", "kid": 1}),
}


@pytest.mark.parametrize("name", [*FORGED])
def test_verify_forged_token_is_refused(issuer: Issuer, name: str) -> None:
    given = FORGED[name]()
    issuer.verify(given)
    issuer.fetch()
    assert issuer.verify(given) == "401"
    assert len(issuer.reads) == 2


TWO = [jwk(RSA_KEY, "RS256", "a"), jwk(EC_KEY, "ES256", "a")]
CHOICES: dict[str, tuple[list[Any], str, str]] = {
    "one kid, two algorithms": (TWO, token(EC_KEY, "ES256", "a"), "u1"),
    "one kid, the other algorithm": (TWO, token(RSA_KEY, "RS256", "a"), "u1"),
    "no alg in the key": ([jwk(RSA_KEY, "RS256", "a", alg=None)], token(RSA_KEY, "PS384", "a"), "u1"),
    "no alg, another curve": ([jwk(EC_384, "ES384", "a", alg=None)], token(EC_KEY, "ES256", "a"), "401"),
    "named before fitting": (
        [jwk(OTHER_RSA, "RS256", "a", alg=None), jwk(RSA_KEY, "RS256", "a")], token(RSA_KEY, "RS256", "a"), "u1",
    ),
    "no kid, the only key of the alg": ([*KEYS], token(EC_KEY, "ES256"), "u1"),
    "no kid, the key has none either": ([jwk(RSA_KEY, "RS256")], token(RSA_KEY, "RS256"), "u1"),
    "no kid, two keys fit": ([KEYS[0], jwk(OTHER_RSA, "RS256", "b")], token(RSA_KEY, "RS256"), "401"),
    "no kid, none fits": ([jwk(RSA_KEY, "RS256", "a")], token(EC_KEY, "ES256"), "401"),
    "Ed448": ([jwk(ED_448, "EdDSA", "a", alg=None)], token(ED_448, "EdDSA", "a"), "u1"),
    "beside unusable ones": (
        [
            jwk(SMALL_RSA, "RS256", "small"), {"kty": "oct", "k": "c2VjcmV0", "kid": "oct"}, {"kid": "bare"},
            jwk(EC_KEY, "ES256", "enc", use="enc"), jwk(EC_KEY, "ES256", "curve", crv="P-9"), {"kty": ["RSA"]},
            jwk(EC_KEY, "ES256", "x", x="AAAA"), jwk(RSA_KEY, "RS256", "e", e="AQ"), jwk(RSA_KEY, "RS256", "n", n=7),
            jwk(RSA_KEY, "RS256", "huge", n="A" * 100_000), jwk(RSA_KEY, "RS256", "alg", alg="ES256"),
            jwk(RSA_KEY, "RS256", "none", alg="none"), jwk(RSA_KEY, "RS256", "ops", key_ops=["encrypt"]),
            {**RSAAlgorithm.to_jwk(RSA_KEY, as_dict=True), "kid": "private"}, jwk(RSA_KEY, "RS256", "kid", kid=7), 7,
            jwk(RSA_KEY, "RS256", "good"),
        ],
        token(RSA_KEY, "RS256", "good"),
        "u1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [*CHOICES])
def test_verify_key_is_chosen_by_kid_and_alg(name: str, caplog: pytest.LogCaptureFixture) -> None:
    keys, given, found = CHOICES[name]
    issuer = Issuer(*keys)
    assert issuer.fetch()
    issuer.verify(given)
    assert issuer.fetch()
    assert issuer.verify(given) == found
    if name == "beside unusable ones":
        assert len(issuer.keys._set.skipped) == len(keys) - 1
        issuer.fetch()
        skips = [record for record in caplog.records if "not used" in record.message]
        assert len(skips) == 10


MALFORMED = {
    "nothing": b"",
    "HTML": b"<html>",
    "a list": b"[]",
    "no keys": b"{}",
    "keys null": b'{"keys": null}',
    "keys an object": b'{"keys": {}}',
    "keys twice": b'{"keys": [], "keys": []}',
    "nested deep": b'{"keys": ' + b"[" * 100_000,
    "not UTF-8": b'{"keys": ["\xff"]}',
    "NaN": b'{"keys": [NaN]}',
}


@pytest.mark.parametrize("name", [*MALFORMED])
def test_malformed_document_is_a_failed_fetch(issuer: Issuer, name: str) -> None:
    with pytest.raises(MalformedKeySet):
        parse_key_set(MALFORMED[name])
    issuer.document = MALFORMED[name]
    assert not issuer.fetch()
    assert issuer.verify(token(RSA_KEY, "RS256", "rsa")) == "u1"


def test_parse_reads_a_bounded_number_of_keys() -> None:
    parsed = parse_key_set(json.dumps({"keys": [jwk(ED_KEY, "EdDSA", str(number)) for number in range(150)]}).encode())
    assert (len(parsed.keys), parsed.skipped) == (100, ("50 keys beyond the first 100",))


def test_withdrawn_key_is_refused_after_the_next_fetch_though_its_token_was_known(issuer: Issuer) -> None:
    given, other = token(RSA_KEY, "RS256", "rsa"), token(EC_KEY, "ES256", "ec")
    assert (issuer.verify(given), issuer.verify(other)) == ("u1", "u1")
    issuer.document = {"keys": KEYS[1:]}
    issuer.fetch()
    assert (issuer.verify(given), issuer.verify(other)) == ("401", "u1")
    # Neither a failure nor an empty set brings it back.
    issuer.error = FetchFailed("the server answered 500", 500)
    issuer.fetch()
    assert issuer.verify(given) == "401"
    issuer.error, issuer.document = None, {"keys": []}
    assert issuer.fetch()
    assert (issuer.verify(given), issuer.verify(other)) == ("401", "401")


def test_key_replaced_under_its_kid_is_refused_though_its_token_was_known(issuer: Issuer) -> None:
    given = token(RSA_KEY, "RS256", "rsa")
    assert issuer.verify(given) == "u1"
    issuer.document = {"keys": [jwk(OTHER_RSA, "RS256", "rsa")]}
    issuer.fetch()
    assert issuer.verify(given) == "401"
    assert issuer.verify(token(OTHER_RSA, "RS256", "rsa")) == "u1"


@pytest.mark.parametrize(
    ("key", "algorithm", "key_id"),
    [(OTHER_RSA, "RS256", "new"), (EC_KEY, "ES256", "rsa"), (EC_384, "ES384", None)],
    ids=["a new kid", "a new algorithm of a kid", "a new algorithm without a kid"],
)
def test_unknown_key_is_unavailable_until_a_later_fetch_shows_it_does_not_exist(
    issuer: Issuer, key: Any, algorithm: str, key_id: str | None
) -> None:
    new = token(key, algorithm, key_id)
    assert issuer.verify(new) == "503"
    issuer.error = FetchFailed("the server answered 500", 500)
    issuer.fetch()
    assert issuer.verify(new) == "503"
    issuer.error = None
    issuer.fetch()
    assert issuer.verify(new) == "401"
    issuer.document = {"keys": [*KEYS, jwk(key, algorithm, key_id)]}
    issuer.fetch()
    assert issuer.verify(new) == "u1"


def test_unknown_kid_first_seen_during_a_fetch_waits_for_the_next_one(issuer: Issuer) -> None:
    new = token(OTHER_RSA, "RS256", "new")

    async def run() -> None:
        read = issuer.read

        async def seen_meanwhile() -> bytes:
            assert issuer.verify(new) == "503"
            return await read()

        issuer.read = seen_meanwhile  # type: ignore[method-assign]
        await issuer.keys.refresh()

    asyncio.run(run())
    assert issuer.verify(new) == "503"


def test_unknown_kids_start_no_fetch_and_are_bounded(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.jwks.MAX_UNKNOWN_IDS", 10)
    good = token(RSA_KEY, "RS256", "rsa")
    for number in range(50):
        assert issuer.verify(token(EC_KEY, "ES256", f"unknown-{number}")) == "503"
        assert issuer.verify(good) == "u1"
    assert (len(issuer.reads), len(issuer.keys._unknown)) == (1, 10)


def test_withdrawn_kids_are_bounded(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An issuer may publish a hundred new kids in each document."""
    monkeypatch.setattr("api.auth.jwks.MAX_UNKNOWN_IDS", 10)
    for generation in range(5):
        issuer.document = {"keys": [jwk(EC_KEY, "ES256", f"{generation}-{number}") for number in range(5)]}
        assert issuer.fetch()
    assert len(issuer.keys._unknown) == 10


def test_last_set_is_kept_for_an_hour_while_fetches_fail(issuer: Issuer) -> None:
    given = token(RSA_KEY, "RS256", "rsa")
    issuer.error = FetchFailed("no whole answer within 10 s")
    issuer.advance(KEEP_SECONDS - 1)
    issuer.fetch()
    # Known to the verifier from here on, and for less than a minute.
    assert issuer.verify(given) == "u1"
    issuer.advance(2)
    assert issuer.verify(given) == "503"
    issuer.error = None
    issuer.fetch()
    assert issuer.verify(given) == "u1"


def test_no_fetch_yet_every_token_is_unavailable_and_none_waits() -> None:
    issuer = Issuer(*KEYS)
    assert issuer.verify(token(RSA_KEY, "RS256", "rsa")) == "503"
    assert issuer.verify(token(RSA_KEY, "RS256")) == "503"
    # What no key could make good is refused all the same.
    assert issuer.verify(signed(header={"alg": "HS256", "kid": "rsa"})) == "401"
    assert issuer.reads == []


def test_fetches_start_every_minute_and_half_a_minute_after_a_failure() -> None:
    issuer = Issuer(*KEYS)
    issuer.run(125)
    assert [at - 1000 for at in issuer.reads] == [0, 60, 120]
    failing = Issuer(*KEYS)
    failing.error = FetchFailed("the server answered 403", 403)
    failing.run(65)
    assert [at - 1000 for at in failing.reads] == [0, 30, 60]


def test_failing_fetch_is_one_warning_with_the_status_and_a_defect_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    issuer = Issuer(*KEYS)
    issuer.error = FetchFailed("the server answered 403", 403)
    issuer.run(20)
    issuer.fetch()
    [record] = caplog.records
    assert (record.levelname, record.fields["status"]) == ("WARNING", 403)  # type: ignore[attr-defined]
    assert "JWT_JWKS_URL" in record.message
    issuer.error = RuntimeError("unexpected")
    issuer.run(29)
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
    issuer.error = None
    issuer.fetch()
    assert caplog.records[-1].levelname == "INFO"
    assert issuer.verify(token(RSA_KEY, "RS256", "rsa")) == "u1"
