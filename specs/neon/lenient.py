"""Types for Neon's responses: each bounds the values that reach the catalog, the logs and the arithmetic of times.

Strict types reject an invalid value. Lenient ones replace it by a harmless one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from specs.neon.ids import NeonId

MAX_TEXT_LENGTH: Final = 256
"""Characters of a name or a status; Neon's names have at most 256 (Neon OpenAPI document, ProjectCreateRequest)."""

MAX_LIST_ITEMS: Final = 10_000
"""Items of one response, the maximum of any page (Neon OpenAPI document, LimitParam)."""

MAX_SECRET_LENGTH: Final = 4096
"""Characters of a password or a URI."""

_FIRST_YEAR, _LAST_YEAR = 2000, 2200


def _utc_datetime(at: datetime) -> datetime:
    """Return an aware time, so far from the ends of the calendar that no sum with a period leaves it."""
    if not _FIRST_YEAR <= at.year < _LAST_YEAR:
        raise ValueError("a time that no project can have")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _printable(value: object) -> object:
    """Return a text of at most one character more than Neon allows, without control characters and lone surrogates."""
    if not isinstance(value, str):
        return value
    text = value[: MAX_TEXT_LENGTH + 1]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _secret(secret: SecretStr) -> SecretStr:
    if not is_storable(secret.get_secret_value(), MAX_SECRET_LENGTH):
        raise ValueError("too long, or not text")
    return secret


def is_storable(text: str, max_length: int) -> bool:
    """Whether Postgres can store the text, and it has at most ``max_length`` characters."""
    return len(text) <= max_length and "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _none_if_invalid(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


def _empty_if_invalid(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return ""


def _readable(value: object, read: ValidatorFunctionWrapHandler) -> Any:
    """Return the valid items of a list."""
    if not isinstance(value, list | tuple):
        return read(value)
    if len(value) > MAX_LIST_ITEMS:
        raise ValueError("more items than a response has")
    items: list[Any] = []
    for item in value:
        try:
            items += read([item])
        except ValidationError:
            continue
    return tuple(items)


UtcDatetime = Annotated[datetime, AfterValidator(_utc_datetime)]
"""An aware time of the years 2000 to 2199."""

LenientTimestamp = Annotated[UtcDatetime | None, WrapValidator(_none_if_invalid)]
"""A time that only influences when to poll; an invalid one is None."""

Text = Annotated[str, BeforeValidator(_printable)]
"""A name or a status: printable, at most `MAX_TEXT_LENGTH` + 1 characters."""

LenientText = Annotated[Text, WrapValidator(_empty_if_invalid)]
"""A text; an invalid one is empty."""

TextOrNone = Annotated[Text | None, WrapValidator(_none_if_invalid)]
"""A text; an invalid one is None."""

LenientId = Annotated[NeonId | None, WrapValidator(_none_if_invalid)]
"""An id; an invalid one is None."""

Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A count that fits a column of the catalog."""

Cu = Annotated[float, Field(allow_inf_nan=False)]
"""Compute units."""

Secret = Annotated[SecretStr, AfterValidator(_secret)]
"""A password or a URI that the catalog can store."""

READABLE = WrapValidator(_readable)
"""Annotates a tuple: its invalid items are dropped."""
