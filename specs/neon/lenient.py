"""Types for what Neon answers: each bounds what the catalog, the logs and the arithmetic of times have to bear.

Strict types refuse a value. Lenient ones turn it into what cannot do harm.
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

LONGEST_TEXT: Final = 256
"""Characters of a name or a status; Neon's names have at most 256 (Neon OpenAPI document, ProjectCreateRequest)."""

LONGEST_LIST: Final = 10_000
"""Items of one answer, the most that any page has (Neon OpenAPI document, LimitParam)."""

LONGEST_SECRET: Final = 4096
"""Characters of a password or a URI."""

_FIRST_YEAR, _LAST_YEAR = 2000, 2200


def _utc_datetime(at: datetime) -> datetime:
    """Aware, and far enough from the ends of the calendar that no sum with a period leaves it."""
    if not _FIRST_YEAR <= at.year < _LAST_YEAR:
        raise ValueError("a time that no project can have")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _printable(value: object) -> object:
    """A text cut to one character more than Neon allows, without control characters and lone surrogates."""
    if not isinstance(value, str):
        return value
    text = value[: LONGEST_TEXT + 1]
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)


def _secret(secret: SecretStr) -> SecretStr:
    if not is_storable(secret.get_secret_value(), LONGEST_SECRET):
        raise ValueError("too long, or not text")
    return secret


def is_storable(text: str, longest: int) -> bool:
    """Whether Postgres can hold the text, which has at most so many characters."""
    return len(text) <= longest and "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


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
    """The items of a list that can be read, one by one."""
    if not isinstance(value, list | tuple):
        return read(value)
    if len(value) > LONGEST_LIST:
        raise ValueError("more items than an answer has")
    found: list[Any] = []
    for item in value:
        try:
            found += read([item])
        except ValidationError:
            continue
    return tuple(found)


UtcDatetime = Annotated[datetime, AfterValidator(_utc_datetime)]
"""An aware time of the years 2000 to 2199."""

LenientTimestamp = Annotated[UtcDatetime | None, WrapValidator(_none_if_invalid)]
"""A time that only guides when to look: one that cannot be read is None."""

Text = Annotated[str, BeforeValidator(_printable)]
"""A name or a status: printable, at most `LONGEST_TEXT` characters and one."""

LenientText = Annotated[Text, WrapValidator(_empty_if_invalid)]
"""A text that is empty where it cannot be read."""

TextOrNone = Annotated[Text | None, WrapValidator(_none_if_invalid)]
"""A text that is None where it cannot be read."""

LenientId = Annotated[NeonId | None, WrapValidator(_none_if_invalid)]
"""An id that is None where it cannot be read."""

Number = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""A count that fits a column of the catalog."""

Cu = Annotated[float, Field(allow_inf_nan=False)]
"""Compute units."""

Secret = Annotated[SecretStr, AfterValidator(_secret)]
"""A password or a URI that the catalog can hold."""

READABLE = WrapValidator(_readable)
"""Annotates a tuple, of which the items that cannot be read are left out."""
