"""Tokens: who calls, and what they may do.

The configuration alone says which algorithms count: HS256 with ``JWT_SECRET_KEY``, or asymmetric ones with the keys of
``JWT_JWKS_URL``. Nothing in a token chooses its own check, and nothing in it is fetched.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt import PyJWK, PyJWKClient, PyJWKClientConnectionError

from specs.settings import TokenSettings

PERMISSIONS = frozenset({"read", "write", "admin"})
# What a token of the Morphik instance without the claim may do.
DEFAULT_PERMISSIONS = frozenset({"read"})
LONGEST_TOKEN = 8192
LONGEST_OWNER = 255
_OWNER_CLAIMS = ("user_id", "entity_id", "sub")
_SYMMETRIC = ("HS256",)
_ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_JWKS_SECONDS = 5.0
# How long after a check a token counts without another: a key that was withdrawn is noticed within a minute.
_TRUSTED_SECONDS = 60.0
_MOST_KNOWN = 4096
# Whatever the library trips over while it takes a token apart is the token's fault.
_NOT_A_TOKEN = (
    jwt.PyJWTError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


class InvalidToken(Exception):
    """The token does not count; the text says why, in words for the client."""


class KeysUnavailable(Exception):
    """The keys that tokens are checked with could not be fetched: no word about the token."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the owner of apps, and the permissions of the token."""

    owner_id: str
    permissions: frozenset[str]


class _Known:
    """Tokens that were found good a short while ago, by their digest; the least recently used are forgotten."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def find(self, digest: bytes) -> Principal | None:
        principal, until = self._until.get(digest, (None, 0.0))
        if principal is None or time.time() >= until:
            return None
        self._until.move_to_end(digest)
        return principal

    def keep(self, digest: bytes, principal: Principal, expiry: float) -> None:
        self._until[digest] = principal, min(expiry, time.time() + _TRUSTED_SECONDS)
        if len(self._until) > _MOST_KNOWN:
            self._until.popitem(last=False)


class TokenVerifier:
    """Checks tokens by the configuration; a good one is not checked again for a minute, nor beyond its ``exp``.

    Args:
        settings: the keys and what else is asked of a token.
        jwks: for tests; otherwise made from the settings.
    """

    def __init__(self, settings: TokenSettings, *, jwks: PyJWKClient | None = None) -> None:
        self._settings = settings
        self._secret = settings.jwt_secret_key.get_secret_value() if settings.jwt_secret_key is not None else None
        self._jwks = jwks
        if self._jwks is None and settings.jwt_jwks_url is not None:
            self._jwks = PyJWKClient(settings.jwt_jwks_url, timeout=_JWKS_SECONDS)
        self._seen_keys: dict[str, PyJWK] = {}
        self._known = _Known()

    async def verify(self, token: str) -> Principal:
        """Who the token speaks for.

        Raises:
            InvalidToken: it does not count.
            KeysUnavailable: it cannot be checked at the moment.
        """
        if len(token) > LONGEST_TOKEN:
            raise InvalidToken("the token is longer than 8 KiB")
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._known.find(digest)
        if known is not None:
            return known
        try:
            if self._secret is not None:
                claims = self._decode(token, self._secret, _SYMMETRIC)
            else:
                claims = self._decode(token, await asyncio.to_thread(self._public_key, token), _ASYMMETRIC)
            principal = Principal(_owner(claims), _permissions(claims))
        except jwt.ExpiredSignatureError:
            raise InvalidToken("the token has expired") from None
        except _NOT_A_TOKEN:
            raise InvalidToken("the token is not valid here") from None
        self._known.keep(digest, principal, claims["exp"])
        return principal

    def _public_key(self, token: str) -> PyJWK:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in _ASYMMETRIC or not isinstance(header.get("kid"), str) or self._jwks is None:
            raise InvalidToken("the token is not signed with a key of this instance")
        key_id = header["kid"]
        try:
            key = self._jwks.get_signing_key(key_id)
        except (PyJWKClientConnectionError, jwt.PyJWKSetError, ValueError, OSError):
            # A key that was good goes on being good while the place that lists them does not answer.
            if key_id in self._seen_keys:
                return self._seen_keys[key_id]
            raise KeysUnavailable from None
        self._seen_keys[key_id] = key
        return key

    def _decode(self, token: str, key: str | PyJWK, algorithms: tuple[str, ...]) -> dict[str, Any]:
        audience, issuer = self._settings.jwt_audience, self._settings.jwt_issuer
        required = ["exp", *(["aud"] if audience else []), *(["iss"] if issuer else [])]
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(algorithms),
            audience=audience,
            issuer=issuer,
            leeway=0,
            options={"require": required, "verify_aud": audience is not None},
        )
        self._check_lifetime(claims["exp"])
        return claims

    def _check_lifetime(self, expiry: object) -> None:
        if isinstance(expiry, bool) or not isinstance(expiry, int | float) or not math.isfinite(expiry):
            raise InvalidToken("exp must be a number")
        if expiry - time.time() > self._settings.max_token_seconds:
            raise InvalidToken(f"the token is valid for longer than {self._settings.max_token_seconds} seconds")


def _owner(claims: Mapping[str, Any]) -> str:
    for name in _OWNER_CLAIMS:
        if name in claims:
            owner = claims[name]
            if not isinstance(owner, str) or not 0 < len(owner) <= LONGEST_OWNER or not owner.isprintable():
                raise InvalidToken(f"{name} must be a non-empty string of printable characters")
            return owner
    raise InvalidToken("the token names nobody: user_id is missing")


def _permissions(claims: Mapping[str, Any]) -> frozenset[str]:
    if "permissions" not in claims:
        return DEFAULT_PERMISSIONS
    listed = claims["permissions"]
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise InvalidToken("permissions must be a list of names such as read and write")
    # A name that this program does not know grants nothing here.
    return PERMISSIONS.intersection(listed)


def issue_token(settings: TokenSettings, user: str, permissions: Iterable[str], ttl: int) -> str:
    """A token for trying things, valid for ``ttl`` seconds.

    Raises:
        ValueError: the user, a permission or the time would not be accepted, or there is no secret to sign with.
    """
    if settings.jwt_secret_key is None:
        raise ValueError("only JWT_SECRET_KEY can sign tokens; with JWT_JWKS_URL the Morphik instance issues them")
    if not 0 < ttl <= settings.max_token_seconds:
        raise ValueError(f"a token may be valid for 1 to {settings.max_token_seconds} seconds")
    if not PERMISSIONS.issuperset(permissions := frozenset(permissions)):
        raise ValueError("the permissions are read, write and admin")
    claims: dict[str, Any] = {"user_id": user, "permissions": sorted(set(permissions)), "exp": int(time.time()) + ttl}
    try:
        _owner(claims)
        _permissions(claims)
    except InvalidToken as error:
        raise ValueError(str(error)) from None
    if settings.jwt_issuer is not None:
        claims["iss"] = settings.jwt_issuer
    if settings.jwt_audience is not None:
        claims["aud"] = settings.jwt_audience
    return jwt.encode(claims, settings.jwt_secret_key.get_secret_value(), algorithm="HS256")
