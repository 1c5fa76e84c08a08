"""The content of a token: strict JSON, and the claims that count here.

Claims that no rule here uses are not judged, whatever they hold.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from specs.names import is_owner_id

PERMISSIONS = frozenset({"read", "write", "admin"})
# The permissions of a token without the claim.
DEFAULT_PERMISSIONS = frozenset({"read"})
NOT_BEFORE_LEEWAY_SECONDS = 30.0
_OWNER_CLAIMS = ("user_id", "entity_id", "sub")


class RejectionReason(StrEnum):
    """Why a token is rejected, for the client. No text repeats the token's content."""

    TOO_LONG = "the token is longer than 8 KiB"
    MALFORMED = "the token is not a signed JSON Web Token"
    NAMED_TWICE = "a header parameter or a claim is named twice"
    ALGORITHM = "alg is not an algorithm that this service accepts"
    CRITICAL = "the header holds crit or b64, which this service does not support"
    KEY_ID = "kid must be a string of at most 255 characters"
    UNKNOWN_KEY = "no key of the issuer has this kid"
    ALGORITHM_OF_KEY = "alg does not fit the issuer's key of this kid"
    NO_KEY_ID = "kid is missing, and not exactly one key of the issuer fits alg"
    SIGNATURE = "the signature does not match"
    NO_EXPIRY = "exp is missing"
    EXPIRY = "exp must be a number"
    EXPIRED = "the token has expired"
    VALID_TOO_LONG = "the token is valid for longer than {seconds} seconds"
    NOT_BEFORE = "nbf must be a number"
    NOT_YET_VALID = "the token is not valid yet"
    ISSUER = "iss is not the issuer that this service accepts"
    AUDIENCE = "aud does not name this service"
    NO_OWNER = "user_id is missing"
    OWNER = "user_id (else entity_id, else sub) must be a non-empty string of printable characters"
    PERMISSIONS = "permissions must be a list of names such as read and write"
    APP_ID = "app_id must be a non-empty string of printable characters"
    VERSION = "token_version must be an integer"
    REVOKED = "the token was revoked"


class InvalidToken(Exception):
    """The token does not count; the text says why, in words for the client."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller.

    Attributes:
        owner_id: owner of the apps.
        permissions: what the token allows.
        app_id: the one app that the token reaches; None for all apps of the owner.
        token_version: compared with the owner's minimum; None where the token has none.
    """

    owner_id: str
    permissions: frozenset[str]
    app_id: str | None = None
    token_version: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """The requirements for a token's claims.

    Attributes:
        issuer: required value of ``iss``; None accepts any.
        audience: required value, or element, of ``aud``; None accepts any.
        max_seconds: longest time between now and ``exp``.
    """

    issuer: str | None
    audience: str | None
    max_seconds: int


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in a header or payload. Raises InvalidToken."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidToken(RejectionReason.MALFORMED) from None
    if not isinstance(value, dict):
        raise InvalidToken(RejectionReason.MALFORMED)
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InvalidToken(RejectionReason.NAMED_TWICE)
    return value


def _no_constant(_name: str) -> NoReturn:
    raise InvalidToken(RejectionReason.MALFORMED)


def check_claims(claims: Mapping[str, Any], rules: ClaimRules, now: float) -> tuple[Principal, float]:
    """The caller, and ``exp`` in seconds since 1970; ``now`` likewise. Raises InvalidToken."""
    expiry = _check_times(claims, rules, now)
    if rules.issuer is not None and claims.get("iss") != rules.issuer:
        raise InvalidToken(RejectionReason.ISSUER)
    if rules.audience is not None and rules.audience not in _audiences(claims.get("aud")):
        raise InvalidToken(RejectionReason.AUDIENCE)
    return principal_of(claims), expiry


def _check_times(claims: Mapping[str, Any], rules: ClaimRules, now: float) -> float:
    if "exp" not in claims:
        raise InvalidToken(RejectionReason.NO_EXPIRY)
    expiry = _number(claims["exp"])
    if expiry is None:
        raise InvalidToken(RejectionReason.EXPIRY)
    if expiry <= now:
        raise InvalidToken(RejectionReason.EXPIRED)
    if expiry - now > rules.max_seconds:
        raise InvalidToken(RejectionReason.VALID_TOO_LONG.format(seconds=rules.max_seconds))
    if "nbf" in claims:
        not_before = _number(claims["nbf"])
        if not_before is None:
            raise InvalidToken(RejectionReason.NOT_BEFORE)
        if not_before > now + NOT_BEFORE_LEEWAY_SECONDS:
            raise InvalidToken(RejectionReason.NOT_YET_VALID)
    return expiry


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _audiences(value: object) -> list[str]:
    listed: list[object] = value if isinstance(value, list) else [value]
    names = [item for item in listed if isinstance(item, str)]
    return names if len(names) == len(listed) else []


def principal_of(claims: Mapping[str, Any]) -> Principal:
    """The caller that the claims name, whatever their times are. Raises InvalidToken."""
    name = next((name for name in _OWNER_CLAIMS if name in claims), None)
    if name is None:
        raise InvalidToken(RejectionReason.NO_OWNER)
    if not _is_name(claims[name]):
        raise InvalidToken(RejectionReason.OWNER)
    if "app_id" in claims and not _is_name(claims["app_id"]):
        raise InvalidToken(RejectionReason.APP_ID)
    version = claims.get("token_version", 0)
    if isinstance(version, bool) or not isinstance(version, int):
        raise InvalidToken(RejectionReason.VERSION)
    return Principal(claims[name], _permissions(claims), claims.get("app_id"), claims.get("token_version"))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_owner_id(value)


def _permissions(claims: Mapping[str, Any]) -> frozenset[str]:
    if "permissions" not in claims:
        return DEFAULT_PERMISSIONS
    listed = claims["permissions"]
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise InvalidToken(RejectionReason.PERMISSIONS)
    # A name that this program does not know grants nothing here.
    return PERMISSIONS.intersection(listed)
