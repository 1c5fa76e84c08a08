"""Examples of problems for the OpenAPI document, built by the functions that build real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from api import problems
from api.connections.framing import MAX_HEAD_BYTES
from api.connections.protocol import HEAD_SECONDS
from api.endpoint import AnyEndpoint
from api.http.headers import EXAMPLE_APP_ID
from api.http.query_params import read_query
from api.http.request_body import field_problem
from api.middleware import MAX_BODY_BYTES
from api.problems import ProblemError, ProblemType, to_problem
from reconciler.catalog.errors import CreateLimitReached, KeyLimitReached, LimitReached, NameTaken
from reconciler.catalog.limits import MAX_KEYS
from reconciler.errors import CatalogUnavailable
from specs.settings import ApiSettings

_MAX_APPS: int = ApiSettings.model_fields["max_apps_per_owner"].default
_EXAMPLES: Mapping[ProblemType, ProblemError] = {
    problem.problem_type: problem
    for problem in (
        problems.malformed_head(),
        problems.json_required(),
        problems.invalid_idempotency_key(),
        problems.unknown_host(),
        problems.token_required(),
        problems.app_not_found(),
        problems.head_too_slow(HEAD_SECONDS),
        problems.body_too_slow(),
        problems.body_too_large(MAX_BODY_BYTES),
        problems.expectation_failed(),
        problems.head_too_large(MAX_HEAD_BYTES),
        problems.too_many_requests(1),
        problems.internal_error(),
        problems.stopping(),
        to_problem(HTTPException(404)),
        to_problem(HTTPException(405)),
        to_problem(NameTaken(EXAMPLE_APP_ID, ("region",))),
        to_problem(LimitReached(_MAX_APPS)),
        to_problem(CreateLimitReached(2 * _MAX_APPS, 3600)),
        to_problem(KeyLimitReached(MAX_KEYS, 3600)),
    )
}


def problem_example(endpoint: AnyEndpoint, problem_type: ProblemType) -> ProblemError:
    """Return a problem of a type as this endpoint sends it.

    Raises:
        KeyError: the type has no example.
    """
    if problem_type == problems.INVALID_REQUEST:
        return _invalid_request(endpoint)
    if problem_type == problems.FORBIDDEN and endpoint.permissions:
        return problems.forbidden(endpoint.permissions[0])
    if problem_type == problems.UNAVAILABLE and (endpoint.permissions or endpoint.name == "readyz"):
        return to_problem(CatalogUnavailable())
    if endpoint.name == "metrics" and problem_type == problems.UNAUTHORIZED:
        return problems.metrics_token_required()
    return _EXAMPLES[problem_type]


def _invalid_request(endpoint: AnyEndpoint) -> ProblemError:
    """Return the problem of one invalid field: of the body, else of the query."""
    invalid: dict[str, Any] = {"app_name": ""} if endpoint.body else {"limit": "0"}
    try:
        if endpoint.body is not None:
            endpoint.body.model_validate(invalid)
        read_query(QueryParams(invalid), endpoint.query)
    except ValidationError as error:
        return field_problem(error)
    except ProblemError as problem:
        return problem
    raise LookupError(f"{endpoint.name} has no field that is known to be invalid")
