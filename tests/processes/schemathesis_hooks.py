"""Adapts schemathesis to rules that the API's description gives in words.

Without them it reports a correct 422 for data that fits the schema.
"""

from __future__ import annotations

import hashlib
from typing import Any

import schemathesis
from pydantic import TypeAdapter, ValidationError
from schemathesis import Case, GenerationMode, HookContext

from api.http.prefer_wait import wait_seconds
from specs.app import AppName
from specs.names import is_app_name

KEY, PREFER = "Idempotency-Key", "Prefer"
_APP_NAME: TypeAdapter[str] = TypeAdapter(AppName)


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """Send no wait, and with valid data an accepted name and another key for each body."""
    if wait_seconds([str(case.headers.get(PREFER, ""))]):
        case.headers[PREFER] = "wait=0"  # no reconciler runs, and schemathesis gives up after ten seconds
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    app_name = case.body.get("app_name") if isinstance(case.body, dict) else None
    if isinstance(case.body, dict) and isinstance(app_name, str):
        case.body = case.body | {"app_name": _accepted(app_name)}
    name = case.query.get("name")
    if isinstance(name, str):
        case.query = case.query | {"name": _accepted(name)}
    if KEY in case.headers:
        digest = hashlib.sha256(repr(case.body).encode()).hexdigest()
        case.headers[KEY] = f"{case.headers[KEY][:100]}-{digest[:24]}"


def _accepted(name: str) -> str:
    try:
        _APP_NAME.validate_python(name)
    except ValidationError:
        return "".join(filter(is_app_name, name))[:50] or "notes"
    return name
