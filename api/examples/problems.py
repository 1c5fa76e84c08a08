"""Examples of problems for the API's description, made by the functions that make the problems which are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from api import problems
from api.bodies import field_problem
from api.connections.framing import MAX_HEAD_BYTES
from api.connections.protocol import HEAD_SECONDS
from api.examples.responses import APP_ID
from api.middleware import LARGEST_BODY
from api.operations import Operation
from api.problems import Kind, ProblemError, to_problem
from api.queries import read_query
from reconciler.catalog.errors import CreateLimitReached, KeyLimitReached, LimitReached, NameTaken
from reconciler.catalog.limits import MAX_KEYS
from reconciler.errors import CatalogUnavailable
from specs.settings import ApiSettings

_MAX_APPS: int = ApiSettings.model_fields["max_apps_per_owner"].default
_SENT: Mapping[Kind, ProblemError] = {
    problem.kind: problem
    for problem in (
        problems.malformed_head(),
        problems.json_required(),
        problems.invalid_idempotency_key(),
        problems.unknown_host(),
        problems.token_required(),
        problems.app_not_found(),
        problems.head_too_slow(HEAD_SECONDS),
        problems.body_too_slow(),
        problems.body_too_large(LARGEST_BODY),
        problems.expectation_failed(),
        problems.head_too_large(MAX_HEAD_BYTES),
        problems.too_many_requests(1),
        problems.internal_error(),
        problems.stopping(),
        to_problem(HTTPException(404)),
        to_problem(HTTPException(405)),
        to_problem(NameTaken(APP_ID, ("region",))),
        to_problem(LimitReached(_MAX_APPS)),
        to_problem(CreateLimitReached(2 * _MAX_APPS, 3600)),
        to_problem(KeyLimitReached(MAX_KEYS, 3600)),
    )
}


def problem_example(operation: Operation, kind: Kind) -> ProblemError:
    """The problem of a kind as this operation sends it.

    Raises:
        KeyError: there is no example of the kind.
    """
    if kind == problems.INVALID_REQUEST:
        return _invalid_request(operation)
    if kind == problems.FORBIDDEN and operation.permissions:
        return problems.forbidden(operation.permissions[0])
    if kind == problems.UNAVAILABLE and (operation.permissions or operation.name == "readyz"):
        return to_problem(CatalogUnavailable())
    if operation.name == "metrics" and kind == problems.UNAUTHORIZED:
        return problems.metrics_token_required()
    return _SENT[kind]


def _invalid_request(operation: Operation) -> ProblemError:
    """The problem of one wrong field: of the body, else of the query."""
    wrong: dict[str, Any] = {"app_name": ""} if operation.body else {"limit": "0"}
    try:
        if operation.body is not None:
            operation.body.model_validate(wrong)
        read_query(QueryParams(wrong), operation.query)
    except ValidationError as error:
        return field_problem(error)
    except ProblemError as problem:
        return problem
    raise LookupError(f"{operation.name} has no field that is known to be wrong")
