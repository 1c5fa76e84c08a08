"""A JSON Web Key Set (RFC 7517): the keys of it that can check tokens, and the choice among them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK

from api.auth.claims import InvalidToken, parse_object

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# By curve, RFC 7518, 3.4 and RFC 8037, 3.1.
_BY_CURVE = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
ASYMMETRIC = frozenset(RSA_ALGORITHMS).union(*_BY_CURVE.values())
MAX_KEY_ID_LENGTH = 255
MAX_KEYS = 100
MIN_RSA_BITS = 2048
# A larger key makes every check slow.
MAX_RSA_BITS = 8192
# The maximum number of base64url characters of a member; a larger exponent than 64 bits makes every check slow.
_RSA_LENGTHS = (("n", MAX_RSA_BITS // 6 + 4), ("e", 12))
_MEMBERS = ("kty", "crv", "n", "e", "x", "y")
_BROKEN = (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, ArithmeticError, LookupError, AttributeError)


class MalformedKeySet(ValueError):
    """The document is not a JSON Web Key Set."""


class _Unusable(Exception):
    """The key cannot check tokens here; the text says why."""


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A public key.

    Attributes:
        key_id: its ``kid``, or None.
        algorithms: what it may check: its ``alg``, else everything that fits its type.
        names_algorithm: whether it has ``alg``.
        public_key: of the library ``cryptography``.
        fingerprint: SHA-256 over all of these; equal for the same key in the next set.
    """

    key_id: str | None
    algorithms: frozenset[str]
    names_algorithm: bool
    public_key: Any
    fingerprint: bytes


class KeySet:
    """The usable keys of one document.

    Attributes:
        keys: in the document's order.
        skipped: for each unusable key why; kids and types are public.
        key_ids: the kids of the usable keys.
        choices: each kid with each alg that a key of it checks, and None with each alg.
        fingerprints: of the usable keys.
    """

    def __init__(self, keys: tuple[SigningKey, ...] = (), skipped: tuple[str, ...] = ()) -> None:
        self.keys, self.skipped = keys, skipped
        self.fingerprints = frozenset(key.fingerprint for key in keys)
        self.choices: frozenset[tuple[str | None, str]] = frozenset(
            (key_id, algorithm) for key in keys for key_id in (None, key.key_id) for algorithm in key.algorithms
        )
        self._by_id: dict[str, list[SigningKey]] = {}
        for key in keys:
            if key.key_id is not None:
                self._by_id.setdefault(key.key_id, []).append(key)

    @property
    def key_ids(self) -> frozenset[str]:
        """The kids of the usable keys."""
        return frozenset(self._by_id)

    def named(self, key_id: str, algorithm: str) -> SigningKey | None:
        """The key of a kid that checks an algorithm; one that names the algorithm goes before one that fits it."""
        fitting = [key for key in self._by_id.get(key_id, ()) if algorithm in key.algorithms]
        return next((key for key in fitting if key.names_algorithm), fitting[0] if fitting else None)

    def only(self, algorithm: str) -> SigningKey | None:
        """The key that checks an algorithm, where exactly one does."""
        fitting = [key for key in self.keys if algorithm in key.algorithms]
        return fitting[0] if len(fitting) == 1 else None


def parse_key_set(document: bytes) -> KeySet:
    """The usable keys of a document; at most ``MAX_KEYS`` are read. Raises MalformedKeySet."""
    try:
        listed = parse_object(document).get("keys")
    except InvalidToken:
        raise MalformedKeySet("the document is not one JSON object with unique names") from None
    if not isinstance(listed, list):
        raise MalformedKeySet("the document has no list named keys")
    keys: list[SigningKey] = []
    skipped = []
    for number, item in enumerate(listed[:MAX_KEYS]):
        try:
            keys.append(_signing_key(item))
        except _Unusable as error:
            key_id = item.get("kid") if isinstance(item, dict) else None
            named = repr(key_id[:MAX_KEY_ID_LENGTH]) if isinstance(key_id, str) else f"number {number + 1}"
            skipped.append(f"{named}: {error}")
    if len(listed) > MAX_KEYS:
        skipped.append(f"{len(listed) - MAX_KEYS} keys beyond the first {MAX_KEYS}")
    return KeySet(tuple(keys), tuple(skipped))


def _signing_key(jwk: object) -> SigningKey:
    if not isinstance(jwk, dict):
        raise _Unusable("not a JSON object")
    key_id, algorithms = jwk.get("kid"), _algorithms(jwk)
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_LENGTH):
        raise _Unusable(f"kid is not a string of at most {MAX_KEY_ID_LENGTH} characters")
    try:
        public_key = PyJWK(jwk, min(algorithms)).key
        material = json.dumps([key_id, sorted(algorithms), [jwk.get(name) for name in _MEMBERS]])
    except _BROKEN:
        raise _Unusable("cannot be read as a key of its type") from None
    if jwk["kty"] == "RSA" and not MIN_RSA_BITS <= public_key.key_size <= MAX_RSA_BITS:
        raise _Unusable(f"an RSA key of {public_key.key_size} bits")
    return SigningKey(key_id, algorithms, "alg" in jwk, public_key, hashlib.sha256(material.encode()).digest())


def _algorithms(jwk: Mapping[str, Any]) -> frozenset[str]:
    """Return the algorithms that a key declares. Raises _Unusable."""
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if kind == "oct" or "d" in jwk or "k" in jwk:
        raise _Unusable("a secret or private key, which must not be published")
    if jwk.get("use", "sig") != "sig":
        raise _Unusable("use is not sig")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _Unusable("key_ops lacks verify")
    if kind == "RSA":
        # The sizes are checked before any computation with the key.
        if any(not isinstance(jwk.get(name), str) or len(jwk[name]) > limit for name, limit in _RSA_LENGTHS):
            raise _Unusable(f"not an RSA key of at most {MAX_RSA_BITS} bits")
        fitting: tuple[str, ...] = RSA_ALGORITHMS
    else:
        fitting = _BY_CURVE.get((kind, curve), ()) if isinstance(kind, str) and isinstance(curve, str) else ()
    if not fitting:
        raise _Unusable("an unknown type or curve")
    if "alg" not in jwk:
        return frozenset(fitting)
    if jwk["alg"] not in fitting:
        raise _Unusable("alg does not fit the key, or is not accepted")
    return frozenset({jwk["alg"]})
