"""Tokens: verification, and a cache of verified tokens.

The settings alone choose the algorithms: HS256 with ``JWT_SECRET_KEY``, or asymmetric ones with the keys of
``JWT_JWKS_URL``. Nothing in a token selects how it is verified, and no URL in it is fetched.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.utils import base64url_decode

from api.auth.claims import (
    PERMISSIONS,
    ClaimRules,
    InvalidToken,
    Principal,
    RejectionReason,
    check_claims,
    parse_object,
    principal_of,
)
from api.auth.jwks import KeysUnavailable, RemoteKeys, jwks_source
from api.auth.keyset import ASYMMETRIC, MAX_KEY_ID_LENGTH, SigningKey
from reconciler.egress_proxy import egress_proxy
from specs.settings import TokenSettings

__all__ = ["InvalidToken", "KeysUnavailable", "Principal", "TokenVerifier", "issue_token"]

MAX_TOKEN_LENGTH = 8192
_SYMMETRIC = frozenset({"HS256"})
# How long a verified token counts without another verification.
_CACHE_TTL_SECONDS = 60.0
_MAX_CACHED_TOKENS = 4096
_JWS = jwt.PyJWS()
# Any of these errors while the library parses a token means that the token is malformed.
_MALFORMED_TOKEN_ERRORS = (
    jwt.PyJWTError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class _VerifiedToken:
    """A valid token: its expiry by the wall clock, the cache's by the monotonic one, and the key that signed it."""

    principal: Principal
    expiry: float
    until: float
    key: SigningKey | None


class TokenVerifier:
    """Verifies tokens by the settings. A valid one is cached for a minute.

    A token is not cached beyond its ``exp``, nor after its key left the issuer's key set.

    Args:
        settings: the keys and the required claims.
        keys: for tests; None uses the settings.
        now: seconds since 1970.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        settings: TokenSettings,
        *,
        keys: RemoteKeys | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secret = settings.jwt_secret_key.get_secret_value() if settings.jwt_secret_key is not None else None
        self._keys = keys
        if self._keys is None and settings.jwt_jwks_url is not None:
            self._keys = RemoteKeys(jwks_source(settings.jwt_jwks_url, egress_proxy(settings.jwt_jwks_url, settings)))
        self._rules = ClaimRules(settings.jwt_issuer, settings.jwt_audience, settings.max_token_seconds)
        self._now = now
        self._clock = clock
        self._cache: OrderedDict[bytes, _VerifiedToken] = OrderedDict()

    @asynccontextmanager
    async def refreshing(self) -> AsyncIterator[None]:
        """Refresh the issuer's keys inside the block; nothing happens with a secret."""
        if self._keys is None:
            yield
            return
        async with self._keys.refreshing():
            yield

    def verify(self, token: str) -> Principal:
        """Return the caller of a token, without waiting.

        Raises:
            InvalidToken: the token is not valid.
            KeysUnavailable: the token cannot be verified now.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken(RejectionReason.TOO_LONG)
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        cached = self._cache.get(digest)
        if cached is not None and self._is_valid(cached):
            self._cache.move_to_end(digest)
            return cached.principal
        key, payload = self._signed_payload(token)
        principal, expiry = check_claims(parse_object(payload), self._rules, self._now())
        self._cache[digest] = _VerifiedToken(principal, expiry, self._clock() + _CACHE_TTL_SECONDS, key)
        if len(self._cache) > _MAX_CACHED_TOKENS:
            self._cache.popitem(last=False)
        return principal

    def _is_valid(self, cached: _VerifiedToken) -> bool:
        if self._now() >= cached.expiry or self._clock() >= cached.until:
            return False
        return cached.key is None or (self._keys is not None and self._keys.holds(cached.key))

    def _signed_payload(self, token: str) -> tuple[SigningKey | None, bytes]:
        header = _header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if "crit" in header or "b64" in header:
            raise InvalidToken(RejectionReason.CRITICAL)
        if not isinstance(algorithm, str) or algorithm not in (_SYMMETRIC if self._keys is None else ASYMMETRIC):
            raise InvalidToken(RejectionReason.ALGORITHM)
        if "kid" in header and (not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_LENGTH):
            raise InvalidToken(RejectionReason.KEY_ID)
        key = None if self._keys is None else self._keys.find(algorithm, key_id)
        trusted: Any = self._secret if key is None else key.public_key
        try:
            payload: bytes = _JWS.decode_complete(token, trusted, algorithms=[algorithm])["payload"]
        except jwt.InvalidSignatureError:
            raise InvalidToken(RejectionReason.SIGNATURE) from None
        except _MALFORMED_TOKEN_ERRORS:
            raise InvalidToken(RejectionReason.MALFORMED) from None
        return key, payload


def _header(token: str) -> dict[str, Any]:
    segment, _, _ = token.partition(".")
    try:
        # The library decodes it again, with a strict alphabet.
        data = base64url_decode(segment.rstrip("="))
    except _MALFORMED_TOKEN_ERRORS:
        raise InvalidToken(RejectionReason.MALFORMED) from None
    return parse_object(data)


def issue_token(
    settings: TokenSettings,
    user: str,
    permissions: Iterable[str],
    ttl: int,
    *,
    app_id: str | None = None,
    token_version: int | None = None,
) -> str:
    """Return a token for tests, valid for ``ttl`` seconds.

    Raises:
        ValueError: a claim or the time is not valid, or no secret is configured.
    """
    if settings.jwt_secret_key is None:
        raise ValueError("only JWT_SECRET_KEY can sign tokens; with JWT_JWKS_URL the Morphik instance issues them")
    if not 0 < ttl <= settings.max_token_seconds:
        raise ValueError(f"a token may be valid for 1 to {settings.max_token_seconds} seconds")
    if not PERMISSIONS.issuperset(permissions := frozenset(permissions)):
        raise ValueError("the permissions are read, write and admin")
    claims: dict[str, Any] = {"user_id": user, "permissions": sorted(permissions), "exp": int(time.time()) + ttl}
    optional = {
        "app_id": app_id,
        "token_version": token_version,
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
    }
    claims |= {name: value for name, value in optional.items() if value is not None}
    try:
        principal_of(claims)
    except InvalidToken as error:
        raise ValueError(str(error)) from None
    return jwt.encode(claims, settings.jwt_secret_key.get_secret_value(), algorithm="HS256")
