"""Schemas of an OpenAPI 3.0 document as JSON Schema 2020-12, which validators understand.

The differences that matter: ``nullable``; siblings of ``$ref`` say nothing; formats of numbers are ranges; and in a
*closed* schema, which is for what we send, a field that no part of an object names is a mistake.
"""

from __future__ import annotations

from typing import Any, Final

Json = dict[str, Any]

_KEPT: Final = frozenset({
    "type", "required", "enum", "pattern", "format", "minLength", "maxLength", "minimum", "maximum", "multipleOf",
    "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties",
})  # fmt: skip
_SAYS_NOTHING: Final = frozenset({
    "title", "description", "default", "example", "deprecated", "externalDocs", "discriminator", "readOnly",
    "writeOnly", "nullable", "xml",
})  # fmt: skip
_COMPOSED: Final = frozenset({"allOf", "oneOf", "anyOf"})
_RANGES: Final = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
    "uint64": {"minimum": 0, "maximum": 2**64 - 1},
}


class UnknownKeyword(ValueError):
    """A keyword that is not translated; to leave it out would let wrong bodies pass."""


def translated(schema: Json, base: str, *, closed: bool, part: bool = False) -> Json:
    """The schema as JSON Schema 2020-12.

    Args:
        schema: a Schema Object or a reference to one (OpenAPI 3.0.3, 4.7.24 and 4.7.23).
        base: the address of the resource in which the document's components are.
        closed: whether fields that the schema does not name are refused, at any depth.
        part: whether it is one of several that describe the same object, so that it cannot close it alone.

    Raises:
        UnknownKeyword: there is a keyword that has no translation here.
    """
    if "$ref" in schema:
        made: Json = {"$ref": base + schema["$ref"]}
    else:
        made = {}
        for keyword, value in schema.items():
            if not keyword.startswith("x-") and keyword not in _SAYS_NOTHING:
                made[keyword] = _keyword(keyword, value, base, closed=closed)
        for keyword, value in _RANGES.get(schema.get("format", ""), {}).items():
            made.setdefault(keyword, value)
        if _is_free(schema):
            made["additionalProperties"] = True
    if closed and not part:
        made["unevaluatedProperties"] = False
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") and "$ref" not in schema else made


def _keyword(keyword: str, value: Any, base: str, *, closed: bool) -> Any:
    if keyword in _KEPT and not isinstance(value, dict):
        return value
    if keyword == "properties":
        return {name: translated(each, base, closed=closed) for name, each in value.items()}
    if keyword in _COMPOSED:
        return [translated(each, base, closed=closed, part=True) for each in value]
    if keyword == "additionalProperties" and isinstance(value, bool):
        return value
    if keyword in {"items", "additionalProperties"}:
        return translated(value, base, closed=closed)
    raise UnknownKeyword(keyword)


def _is_free(schema: Json) -> bool:
    """Whether it is an object of which nothing is said, so that it may hold anything."""
    return schema.get("type") == "object" and not schema.keys() & {"properties", "additionalProperties", *_COMPOSED}
