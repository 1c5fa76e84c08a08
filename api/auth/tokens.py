"""Tokens: who calls, and what they may do.

The configuration alone says which algorithms count: HS256 with ``JWT_SECRET_KEY``, or asymmetric ones with the keys of
``JWT_JWKS_URL``. Nothing in a token chooses its own check, and nothing in it is fetched.
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
    Refusal,
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
# How long after a check a token counts without another.
_TRUSTED_SECONDS = 60.0
_MOST_KNOWN = 4096
_JWS = jwt.PyJWS()
# Whatever the library raises while it takes a token apart is the token's fault.
_NOT_A_TOKEN = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A good token: until when it counts, by the wall clock and by the monotonic one, and the key that signed it."""

    principal: Principal
    expiry: float
    until: float
    key: SigningKey | None


class TokenVerifier:
    """Checks tokens by the configuration; a good one is not checked again for a minute.

    It is not remembered beyond its ``exp`` nor beyond its key's place in the issuer's key set.

    Args:
        settings: the keys and what else is asked of a token.
        keys: for tests; otherwise made from the settings.
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
        self._known: OrderedDict[bytes, _Checked] = OrderedDict()

    @asynccontextmanager
    async def refreshing(self) -> AsyncIterator[None]:
        """Keep the issuer's keys current inside the block; nothing to do with a secret."""
        if self._keys is None:
            yield
            return
        async with self._keys.refreshing():
            yield

    def verify(self, token: str) -> Principal:
        """The caller that the token speaks for. Never waits.

        Raises:
            InvalidToken: it does not count.
            KeysUnavailable: it cannot be checked at the moment.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidToken(Refusal.TOO_LONG)
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None and self._still_counts(known):
            self._known.move_to_end(digest)
            return known.principal
        key, payload = self._signed_payload(token)
        principal, expiry = check_claims(parse_object(payload), self._rules, self._now())
        self._known[digest] = _Checked(principal, expiry, self._clock() + _TRUSTED_SECONDS, key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return principal

    def _still_counts(self, known: _Checked) -> bool:
        if self._now() >= known.expiry or self._clock() >= known.until:
            return False
        return known.key is None or (self._keys is not None and self._keys.holds(known.key))

    def _signed_payload(self, token: str) -> tuple[SigningKey | None, bytes]:
        header = _header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        if "crit" in header or "b64" in header:
            raise InvalidToken(Refusal.CRITICAL)
        if not isinstance(algorithm, str) or algorithm not in (_SYMMETRIC if self._keys is None else ASYMMETRIC):
            raise InvalidToken(Refusal.ALGORITHM)
        if "kid" in header and (not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_LENGTH):
            raise InvalidToken(Refusal.KEY_ID)
        key = None if self._keys is None else self._keys.find(algorithm, key_id)
        trusted: Any = self._secret if key is None else key.public_key
        try:
            payload: bytes = _JWS.decode_complete(token, trusted, algorithms=[algorithm])["payload"]
        except jwt.InvalidSignatureError:
            raise InvalidToken(Refusal.SIGNATURE) from None
        except _NOT_A_TOKEN:
            raise InvalidToken(Refusal.MALFORMED) from None
        return key, payload


def _header(token: str) -> dict[str, Any]:
    segment, _, _ = token.partition(".")
    try:
        # The library decodes it again and is strict about the alphabet.
        data = base64url_decode(segment.rstrip("="))
    except _NOT_A_TOKEN:
        raise InvalidToken(Refusal.MALFORMED) from None
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
    """A token for trying things, valid for ``ttl`` seconds.

    Raises:
        ValueError: a claim or the time would not be accepted, or there is no secret to sign with.
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
