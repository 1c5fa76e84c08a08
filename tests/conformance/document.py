"""Neon's OpenAPI document as a judge of requests and answers. Each schema is compiled once, when it is first needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import jsonschema_rs
import yaml

from tests.conformance.schemas import Json, translated

_OPEN, _CLOSED = "urn:neon:open", "urn:neon:closed"
_JSON = "application/json"
_LONGEST = 300
_MOST = 5


@dataclass(frozen=True)
class Verdict:
    """What the document says of a request or an answer.

    Attributes:
        route: the path template, None where the document has no such path or method.
        problems: what is wrong; empty where nothing is.
    """

    route: str | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Operation:
    route: str
    pattern: re.Pattern[str]
    parameters: tuple[Json, ...]
    content: Json
    body_required: bool
    responses: Json


class Document:
    """An OpenAPI 3.0 document.

    Args:
        raw: the whole document.

    Raises:
        UnknownKeyword: its schemas say something that could not be checked.
    """

    def __init__(self, raw: Json) -> None:
        self._raw = raw
        self._validators: dict[tuple[int, bool], jsonschema_rs.Validator] = {}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a document, JSON or YAML."""
        text = path.read_text()
        if path.suffix != ".json":
            # YAML reads a status as a number, and an example of a time as a time.
            text = json.dumps(yaml.load(text, yaml.CSafeLoader), default=str)
        return cls(json.loads(text))

    def routes(self) -> Iterator[tuple[str, str]]:
        """All methods and path templates."""
        return ((method, each.route) for method, found in self._operations.items() for each in found)

    def route(self, method: str, path: str) -> str | None:
        """The template of a path, None where the document has no such path or method."""
        operation = self._find(method, path)
        return None if operation is None else operation.route

    def request(
        self, method: str, path: str, query: Sequence[tuple[str, str]] = (), body: object = None, *, media: str = _JSON
    ) -> Verdict:
        """Judge a request; its fields and parameters are the document's own and no others.

        Args:
            method: HTTP method.
            path: the path below the API's address, as it was sent.
            query: all parameters, decoded, in their order.
            body: the JSON body, None for none.
            media: the type of the body.
        """
        operation = self._find(method, path)
        if operation is None:
            return Verdict(None, (f"no {method} {path} in the document",))
        problems = [*self._in_path(operation, path), *self._in_query(operation, query)]
        if body is None:
            problems += ["a body is required"] if operation.body_required else []
        elif media not in operation.content:
            problems.append(f"no body of type {media} is taken here")
        else:
            problems += self._errors(operation.content[media]["schema"], body, closed=True)
        return Verdict(operation.route, tuple(problems))

    def answer(self, method: str, path: str, status: int, body: object = None) -> Verdict:
        """Judge an answer: the status, and the body, None for none. Unknown paths are answered with an error."""
        operation = self._find(method, path)
        if operation is None:
            refused = status in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.UNAUTHORIZED}
            problems = [] if refused or status == HTTPStatus.TOO_MANY_REQUESTS else [f"{status} for an unknown path"]
            return Verdict(None, (*problems, *self._errors(_GENERAL_ERROR, body, closed=False)))
        described = operation.responses.get(str(status))
        if described is None:
            described = operation.responses["default"]
            if status < HTTPStatus.BAD_REQUEST:
                return Verdict(operation.route, (f"{status} is no success of this call",))
        schema = self._resolved(described).get("content", {}).get(_JSON, {}).get("schema")
        if schema is None:
            return Verdict(operation.route, () if body is None else (f"{status} has no body",))
        return Verdict(operation.route, tuple(self._errors(schema, body, closed=False)))

    @cached_property
    def _operations(self) -> dict[str, list[_Operation]]:
        found: dict[str, list[_Operation]] = {}
        for route, item in self._raw["paths"].items():
            for method in item.keys() & {"get", "post", "put", "patch", "delete"}:
                found.setdefault(method.upper(), []).append(self._operation(route, item, item[method]))
        for operations in found.values():
            # A literal segment is more than a parameter (OpenAPI 3.0.3, 4.7.8.2).
            operations.sort(key=lambda each: [part.startswith("{") for part in each.route.split("/")])
        return found

    def _operation(self, route: str, item: Json, operation: Json) -> _Operation:
        listed = [self._resolved(each) for each in [*item.get("parameters", []), *operation.get("parameters", [])]]
        parameters = {(each["in"], each["name"]): each for each in listed}
        body = self._resolved(operation.get("requestBody", {}))
        return _Operation(
            route,
            re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(route))),
            tuple(parameters.values()),
            body.get("content", {}),
            body.get("required", False),
            operation["responses"],
        )

    def _find(self, method: str, path: str) -> _Operation | None:
        operations = self._operations.get(method, [])
        return next((each for each in operations if each.pattern.fullmatch(path)), None)

    def _in_path(self, operation: _Operation, path: str) -> Iterator[str]:
        match = operation.pattern.fullmatch(path)
        given = match.groupdict() if match is not None else {}
        for parameter in operation.parameters:
            if parameter["in"] == "path":
                yield from self._value(parameter, [unquote(given[parameter["name"]])])

    def _in_query(self, operation: _Operation, query: Sequence[tuple[str, str]]) -> Iterator[str]:
        known = {each["name"]: each for each in operation.parameters if each["in"] == "query"}
        for name in dict.fromkeys(name for name, _ in query):
            if name not in known:
                yield f"no parameter {name} in the document"
        for name, parameter in known.items():
            values = [value for key, value in query if key == name]
            if values:
                yield from self._value(parameter, values)
            elif parameter.get("required"):
                yield f"the parameter {name} is required"

    def _value(self, parameter: Json, texts: list[str]) -> Iterator[str]:
        schema = self._resolved(parameter["schema"])
        if schema.get("type") == "array":
            value: object = [_read(self._resolved(schema["items"]), text) for text in texts]
        elif len(texts) == 1:
            value = _read(schema, texts[0])
        else:
            yield f"the parameter {parameter['name']} is there more than once"
            return
        for problem in self._errors(parameter["schema"], value, closed=True):
            yield f"{parameter['name']}: {problem}"

    def _resolved(self, value: Json) -> Json:
        while "$ref" in value:
            target: Any = self._raw
            for part in value["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            value = target
        return value

    def _errors(self, schema: Json, instance: object, *, closed: bool) -> list[str]:
        # By identity: the schemas are parts of the document, which lives as long as the validators.
        validator = self._validators.get((id(schema), closed))
        if validator is None:
            validator = self._validators[id(schema), closed] = self._compiled(schema, closed=closed)
        value: Any = instance
        if validator.is_valid(value):
            return []
        errors = [("/".join(map(str, each.instance_path)), each.message) for each in validator.iter_errors(value)]
        return [f"{where or 'body'}: {message}"[:_LONGEST] for where, message in errors[:_MOST]]

    def _compiled(self, schema: Json, *, closed: bool) -> jsonschema_rs.Validator:
        base = _CLOSED if closed else _OPEN
        made = translated(schema, base, closed=closed)
        return jsonschema_rs.Draft202012Validator(made, registry=self._registry, validate_formats=True)

    @cached_property
    def _registry(self) -> jsonschema_rs.Registry:
        schemas = self._raw["components"]["schemas"]

        def components(base: str, *, closed: bool) -> Json:
            made = {name: translated(each, base, closed=closed, part=True) for name, each in schemas.items()}
            return {"components": {"schemas": made}}

        resources = [(_OPEN, components(_OPEN, closed=False)), (_CLOSED, components(_CLOSED, closed=True))]
        return jsonschema_rs.Registry(resources, draft=jsonschema_rs.Draft202012)


_GENERAL_ERROR: Json = {"$ref": "#/components/schemas/GeneralError"}


def _read(schema: Json, text: str) -> object:
    """A parameter as its type; what cannot be read stays a text, which the schema then refuses."""
    kind = schema.get("type")
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind in {"integer", "number"}:
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    return text
