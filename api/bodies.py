"""Reading requests strictly: JSON bodies, query parameters, and what pydantic finds wrong with them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any, NoReturn

from pydantic import ValidationError
from starlette.datastructures import Headers, QueryParams

from api.problems import FieldError, ProblemError, invalid_fields, malformed_body

DEEPEST = 32
_MOST_ERRORS = 20
_LONGEST_NAME = 100
# Strings are skipped, so that only brackets of the structure are left.
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def require_json(headers: Headers) -> None:
    """Raise a 400 unless the body is said to be JSON in UTF-8."""
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").lower()
    if kind.strip().lower() != "application/json" or (charset and charset not in ("charset=utf-8", 'charset="utf-8"')):
        raise malformed_body("Send the body as Content-Type: application/json.")


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises a 400 for anything that two readers could understand differently."""
    try:
        text = body.decode("utf-8")
        if _depth(text) > DEEPEST:
            raise malformed_body(f"The body is nested deeper than {DEEPEST} levels.")
        value = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise malformed_body("The body must be one JSON object in UTF-8.") from None
    if not isinstance(value, dict):
        raise malformed_body("The body must be a JSON object, in braces.")
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
        raise malformed_body("The body names a field twice.")
    return value


def _no_constant(name: str) -> NoReturn:
    raise malformed_body(f"The body holds {name}, which is not JSON.")


def field_problem(error: ValidationError) -> ProblemError:
    """The 422 that says what pydantic found, without repeating any value."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return invalid_fields(*(_field_error(one["loc"], one["type"], one["msg"]) for one in found[:_MOST_ERRORS]))


def _field_error(location: tuple[int | str, ...], kind: str, message: str) -> FieldError:
    name = ".".join(str(part) for part in location)[:_LONGEST_NAME] or "body"
    match kind:
        case "extra_forbidden":
            return FieldError(name, "is not a field that can be set; leave it out")
        case "missing":
            return FieldError(name, "is required")
    return FieldError(name, message.removeprefix("Value error, "))


def query_values(query: QueryParams, known: Collection[str]) -> dict[str, str]:
    """The query parameters, each known and given once; raises a 422 otherwise."""
    wrong = [
        FieldError(name[:_LONGEST_NAME], "is not a parameter of this call" if name not in known else "is given twice")
        for name in dict.fromkeys(query.keys())
        if name not in known or len(query.getlist(name)) > 1
    ]
    if wrong:
        raise invalid_fields(*wrong[:_MOST_ERRORS])
    return dict(query)


def limit_of(values: dict[str, str]) -> int:
    """The parameter ``limit``, 1 to 200, 50 when absent; raises a 422 otherwise."""
    text = values.get("limit", "50")
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 200:
        raise invalid_fields(FieldError("limit", "must be a number from 1 to 200"))
    return int(text)
