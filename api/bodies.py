"""Reading bodies strictly: one JSON object, and what pydantic finds wrong with it."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from pydantic import ValidationError
from starlette.datastructures import Headers

from api.problems import MALFORMED_BODY, FieldError, ProblemError, invalid_fields, json_required

MAX_DEPTH = 32
_MOST_ERRORS = 20
LONGEST_NAME = 100
# Strings are skipped, so that only brackets of the structure are left. A string without an end reaches to the end of
# the text: if it had to end, every quote in it would start another scan.
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def require_json(headers: Headers) -> None:
    """Raise a 400 unless the body is said to be JSON in UTF-8."""
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").lower()
    if kind.strip().lower() != "application/json" or (charset and charset not in ("charset=utf-8", 'charset="utf-8"')):
        raise json_required()


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises a 400 for anything that two readers could understand differently."""
    try:
        text = body.decode("utf-8")
        if text.count("[") + text.count("{") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
            raise MALFORMED_BODY(f"The body is nested deeper than {MAX_DEPTH} levels.")
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        if "\\u" in text:  # the only way to half a character, which nothing could write again
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise MALFORMED_BODY("The body must be one JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise MALFORMED_BODY("The body must be a JSON object, in braces.")
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _STRUCTURE.finditer(text):
        match token[0][0]:
            case "[" | "{":
                depth += 1
                deepest = max(deepest, depth)
            case "]" | "}":
                depth -= 1
    return deepest


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise MALFORMED_BODY("The body names a field twice.")
    return value


def _no_constant(name: str) -> NoReturn:
    raise MALFORMED_BODY(f"The body holds {name}, which is not JSON.")


def field_problem(
    error: ValidationError, *, unknown: str = "is not a field that can be set; leave it out"
) -> ProblemError:
    """The 422 that says what pydantic found, without repeating any value; ``unknown`` is said of what nobody knows."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return invalid_fields(*(_field_error(one["loc"], one["type"], one["msg"], unknown) for one in found[:_MOST_ERRORS]))


def _field_error(location: tuple[int | str, ...], kind: str, message: str, unknown: str) -> FieldError:
    name = ".".join(str(part) for part in location)[:LONGEST_NAME] or "body"
    match kind:
        case "extra_forbidden":
            return FieldError(name, unknown)
        case "missing":
            return FieldError(name, "is required")
    return FieldError(name, message.removeprefix("Value error, "))
