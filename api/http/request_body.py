"""Strict request bodies: one JSON object, and a problem that names its invalid fields."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn

from pydantic import ValidationError
from starlette.datastructures import Headers

from api.problems import MALFORMED_BODY, FieldError, ProblemError, invalid_fields, json_required

MAX_DEPTH = 32
MAX_ERRORS = 20
MAX_FIELD_NAME = 100
# The pattern skips strings, so that only structural brackets remain. An unterminated string extends to the end of the
# text: if it had to end, every quote in it would start another scan.
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def require_media_type(headers: Headers, media_types: Collection[str]) -> None:
    """Raise a 400 unless the body has one of these media types and is encoded in UTF-8."""
    media_type, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").lower()
    if media_type.strip().lower() not in media_types or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise json_required()


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object; raises a 400 for a body that two parsers could understand differently."""
    try:
        text = body.decode("utf-8")
        if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
            raise MALFORMED_BODY(f"The body is nested deeper than {MAX_DEPTH} levels.")
        value = json.loads(text, object_pairs_hook=_reject_duplicates, parse_constant=_reject_constant)
        if "\\u" in text:  # Only an escape can contain a lone surrogate, which UTF-8 cannot encode.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise MALFORMED_BODY("The body must be one JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise MALFORMED_BODY("The body must be a JSON object, in braces.")
    return value


def _depth(text: str) -> int:
    depth = max_depth = 0
    for token in _STRUCTURE.finditer(text):
        match token[0][0]:
            case "[" | "{":
                depth += 1
                max_depth = max(max_depth, depth)
            case "]" | "}":
                depth -= 1
    return max_depth


def _reject_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MALFORMED_BODY("The body contains a field twice.")
    return value


def _reject_constant(name: str) -> NoReturn:
    raise MALFORMED_BODY(f"The body contains {name}, which is not JSON.")


def field_problem(
    error: ValidationError, *, unknown: str = "is not a field that can be set; leave it out"
) -> ProblemError:
    """Return a 422 that describes the invalid fields without their values; ``unknown`` is the text for unknown ones."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_ERRORS]
    return invalid_fields(*(_field_error(item["loc"], item["type"], item["msg"], unknown) for item in errors))


def _field_error(location: tuple[int | str, ...], kind: str, message: str, unknown: str) -> FieldError:
    name = ".".join(str(part) for part in location)[:MAX_FIELD_NAME] or "body"
    match kind:
        case "extra_forbidden":
            return FieldError(name, unknown)
        case "missing":
            return FieldError(name, "is required")
    return FieldError(name, message.removeprefix("Value error, "))
