"""Every call that ``NeonClient`` can send, as the package that makes them says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_origin, get_type_hints

from pydantic import BaseModel

from reconciler import neon
from reconciler.neon.protocol import NeonCall
from tests.conformance.document import Document

_EXAMPLES: dict[type, object] = {str: "an-id", int: 1, bool: True}


def can_be_sent(document: Document) -> set[tuple[str, str]]:
    """Methods and the document's routes of all calls that `reconciler.neon` makes, found by making each."""
    requests = [_made(call).request for call in _calls()]
    return {(request.method, document.route(request.method, request.path) or request.route) for request in requests}


def _calls() -> list[Callable[..., NeonCall[Any]]]:
    modules = [import_module(each.name) for each in iter_modules(neon.__path__, f"{neon.__name__}.")]
    return [
        each
        for module in modules
        for name, each in inspect.getmembers(module, inspect.isfunction)
        if each.__module__ == module.__name__ and not name.startswith("_")
        if get_origin(get_type_hints(each).get("return")) is NeonCall
    ]


def _made(call: Callable[..., NeonCall[Any]]) -> NeonCall[Any]:
    hints = get_type_hints(call)
    needed = [each for each in inspect.signature(call).parameters.values() if each.default is each.empty]
    given = {each.name: _example(hints[each.name]) for each in needed}
    return call(**given)


def _example(kind: type) -> object:
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        return kind.model_construct()
    return _EXAMPLES[kind]
