"""The declaration of one API endpoint: one method of one path.

The router, the methods of a 405, authorization, the OpenAPI document and the reference page derive from it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from api.auth.tokens import Principal
from api.http.query_params import EmptyQuery
from api.http.response_model import ResponseModel
from api.problems import ProblemType
from api.services import Services

JSON: Final = "application/json"

QueryT = TypeVar("QueryT", bound=EmptyQuery)
BodyT = TypeVar("BodyT", bound=BaseModel | None)


@dataclass(frozen=True, slots=True)
class Call(Generic[QueryT, BodyT]):
    """One request that is authorized and valid.

    Attributes:
        request: as it was received.
        services: what the handlers share.
        caller: from the token; None where the endpoint needs none.
        query: the query parameters.
        body: the body; None for an endpoint without one.
        idempotency_key: the header ``Idempotency-Key`` of an endpoint that declares it.
    """

    request: Request
    services: Services
    caller: Principal | None
    query: QueryT
    body: BodyT
    idempotency_key: str | None = None

    @property
    def principal(self) -> Principal:
        """Return the caller. Raises RuntimeError if the endpoint needs no token, which is a defect."""
        if self.caller is None:
            raise RuntimeError("the endpoint declares no permissions")
        return self.caller

    @property
    def request_id(self) -> str:
        """Return the ``X-Request-ID``."""
        return cast("str", self.request.state.request_id)


@dataclass(frozen=True, slots=True)
class ResponseSpec:
    """One response that is not a problem.

    Attributes:
        description: its meaning.
        model: of its body; None for a body without a schema.
        example: builds such a body for a region.
        headers: in addition to those of every response.
        media_type: of its body.
    """

    description: str
    model: type[BaseModel] | None = None
    example: Callable[[str], ResponseModel] | None = None
    headers: tuple[str, ...] = ()
    media_type: str = JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint(Generic[QueryT, BodyT]):
    """One method of one path.

    Attributes:
        name: the OpenAPI ``operationId``.
        tag: the group in the reference.
        responses: by status; problems are not among them.
        handler: returns the response, or raises a ProblemError or a ReconcileError.
        query: the model of the query parameters.
        permissions: a token must have one of them, the least first; None where no token is needed.
        app_token: whether a token for one app is allowed; the request then reaches that app alone.
        body: the model of the body; None for a request without one.
        media_types: of the body.
        body_example: builds a body for a region.
        headers: that the handler reads, in addition to ``X-Request-ID``.
        problems: in addition to those of every endpoint.
    """

    name: str
    tag: str
    method: str
    path: str
    summary: str
    description: str
    responses: Mapping[int, ResponseSpec]
    handler: Callable[[Call[QueryT, BodyT]], Awaitable[Response]]
    query: type[QueryT]
    permissions: tuple[str, ...] | None = None
    app_token: bool = True
    body: type[BodyT] | None = None
    media_types: tuple[str, ...] = (JSON,)
    body_example: Callable[[str], BaseModel] | None = None
    headers: tuple[str, ...] = ()
    problems: tuple[ProblemType, ...] = ()


AnyEndpoint = Endpoint[Any, Any]
