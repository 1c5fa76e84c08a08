"""Errors as RFC 9457 problems: one table from errors to problem types.

``type`` is a path that never changes, ``detail`` is the action to take, and a 422 names the fields in ``errors``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.catalog.errors import (
    CreateLimitReached,
    IdempotencyKeyReused,
    InvalidCursor,
    KeyLimitReached,
    LimitReached,
    NameTaken,
    RequestRejected,
)
from reconciler.errors import CatalogUnavailable

RETRY_SECONDS = 2


class ProblemResponse(JSONResponse):
    """A response whose body is a problem."""

    media_type = "application/problem+json"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid field of a request."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One type of problem. A call returns one occurrence.

    Attributes:
        slug: the last part of ``type``.
        status: the HTTP status.
        title: the error, the same for each occurrence.
    """

    slug: str
    status: int
    title: str

    def __call__(
        self,
        detail: str,
        *,
        errors: tuple[FieldError, ...] = (),
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> ProblemError:
        """Return an occurrence; ``detail`` is the action to take."""
        return ProblemError(self, detail, errors, headers or {}, extensions or {})

    @property
    def type(self) -> str:
        """Return the URI reference of this type."""
        return f"/problems/{self.slug}"


MALFORMED_REQUEST = ProblemType("malformed-request", 400, "The request is not valid HTTP")
MALFORMED_BODY = ProblemType("malformed-body", 400, "The body is not valid JSON")
INVALID_IDEMPOTENCY_KEY = ProblemType("invalid-idempotency-key", 400, "The Idempotency-Key is not valid")
UNKNOWN_HOST = ProblemType("unknown-host", 400, "Unknown host")
UNAUTHORIZED = ProblemType("unauthorized", 401, "The request has no valid token")
FORBIDDEN = ProblemType("forbidden", 403, "The token does not allow this request")
APP_NOT_FOUND = ProblemType("app-not-found", 404, "The app does not exist")
NOT_FOUND = ProblemType("not-found", 404, "Not Found")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "Method Not Allowed")
HEAD_TOO_SLOW = ProblemType("head-too-slow", 408, "The head of the request was not complete in time")
BODY_TOO_SLOW = ProblemType("body-too-slow", 408, "The body was not complete in time")
NAME_TAKEN = ProblemType("name-taken", 409, "The name is taken by another app")
BODY_TOO_LARGE = ProblemType("body-too-large", 413, "The body is too large")
EXPECTATION_FAILED = ProblemType("expectation-failed", 417, "The expectation is not supported")
INVALID_REQUEST = ProblemType("invalid-request", 422, "The request is not valid")
TOO_MANY_REQUESTS = ProblemType("too-many-requests", 429, "Too many requests")
APP_LIMIT_REACHED = ProblemType("app-limit-reached", 429, "The limit of apps is reached")
CREATE_LIMIT_REACHED = ProblemType("create-limit-reached", 429, "The limit of creates in 24 hours is reached")
KEY_LIMIT_REACHED = ProblemType("idempotency-key-limit-reached", 429, "The limit of idempotency keys is reached")
HEAD_TOO_LARGE = ProblemType("head-too-large", 431, "The head of the request is too large")
INTERNAL_ERROR = ProblemType("internal-error", 500, "Internal error")
UNAVAILABLE = ProblemType("unavailable", 503, "Temporarily unavailable")


@dataclass(eq=False)
class ProblemError(Exception):
    """One occurrence of a problem, raised to become the response.

    Attributes:
        problem_type: the type.
        detail: the action to take.
        errors: the invalid fields.
        headers: further response headers.
        extensions: further members of the body (RFC 9457, section 3.2).
    """

    problem_type: ProblemType
    detail: str
    errors: tuple[FieldError, ...]
    headers: Mapping[str, str]
    extensions: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.problem_type.status} {self.problem_type.slug}: {self.detail}"

    def response(self) -> ProblemResponse:
        """Return the response."""
        document: dict[str, Any] = {
            "type": self.problem_type.type,
            "title": self.problem_type.title,
            "status": self.problem_type.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"field": error.field, "detail": error.detail} for error in self.errors]
        # HTTP allows caches to store a 404 or a 405 without this header.
        headers = {"Cache-Control": "no-store", **self.headers}
        return ProblemResponse(document | dict(self.extensions), status_code=self.problem_type.status, headers=headers)


def invalid_fields(*errors: FieldError) -> ProblemError:
    """Return the problem of a request with invalid fields."""
    named = ", ".join(dict.fromkeys(error.field for error in errors))
    return INVALID_REQUEST(f"Correct {named}.", errors=errors)


def malformed_head() -> ProblemError:
    """Return the problem of a head that is not valid HTTP."""
    return MALFORMED_REQUEST("Send a request line and header fields as HTTP/1.1 defines them (RFC 9112).")


def head_too_slow(seconds: float) -> ProblemError:
    """Return the problem of a head that is not complete after ``seconds``."""
    return HEAD_TOO_SLOW(f"Send a whole request within {seconds:g} seconds.")


def head_too_large(limit: int) -> ProblemError:
    """Return the problem of a head over the limit of ``limit`` bytes."""
    return HEAD_TOO_LARGE(f"The head of a request has at most {limit} bytes.")


def body_too_slow() -> ProblemError:
    """Return the problem of a body that did not arrive in time."""
    return BODY_TOO_SLOW("Send the body without pauses.")


def expectation_failed() -> ProblemError:
    """Return the problem of an ``Expect`` header with another value than ``100-continue``."""
    return EXPECTATION_FAILED("The only supported expectation is 100-continue.")


def unknown_host() -> ProblemError:
    """Return the problem of a ``Host`` that ALLOWED_HOSTS does not list."""
    return UNKNOWN_HOST("Use one of this service's own names.")


def json_required() -> ProblemError:
    """Return the problem of a body with another media type."""
    return MALFORMED_BODY("Send the body as Content-Type: application/json.")


def invalid_idempotency_key() -> ProblemError:
    """Return the problem of an invalid key, or of several keys."""
    return INVALID_IDEMPOTENCY_KEY("Send one, of 1 to 255 visible ASCII characters.")


def unauthorized(detail: str, *, error: str | None = None) -> ProblemError:
    """The problem of a missing token, or with ``error`` (RFC 6750) of a token that is not valid."""
    challenge = 'Bearer realm="morphik-apps"' + (f', error="{error}"' if error else "")
    return UNAUTHORIZED(detail, headers={"WWW-Authenticate": challenge})


def token_required() -> ProblemError:
    """Return the problem of a request without a token."""
    return unauthorized("Send a token: Authorization: Bearer <token>.")


def metrics_token_required() -> ProblemError:
    """Return the problem of a request for the metrics without METRICS_TOKEN."""
    return UNAUTHORIZED(
        "Send the token of METRICS_TOKEN: Authorization: Bearer <token>.",
        headers={"WWW-Authenticate": 'Bearer realm="morphik-apps metrics"'},
    )


def too_many_requests(seconds: int) -> ProblemError:
    """Return the problem of an owner over the rate limit; ``seconds`` until the next request is allowed."""
    return too_many("Send fewer requests a minute.", seconds)


def app_not_found() -> ProblemError:
    """Return the problem of an app id that this caller cannot see, the same for every reason."""
    return APP_NOT_FOUND("Check the id; GET /ee/apps lists your apps.")


def forbidden(needed: str) -> ProblemError:
    """Return the problem of a token without the permission."""
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
    return FORBIDDEN(f"The token lacks the permission {needed}; use a token with it.", headers=challenge)


def owner_token_required() -> ProblemError:
    """Return the problem of a token for one app at an endpoint for all apps of an owner."""
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    return FORBIDDEN("The token is for one app only; use a token without app_id.", headers=challenge)


def too_many(detail: str, seconds: int) -> ProblemError:
    """Return the problem of an exceeded rate limit; ``seconds`` until the next request is allowed."""
    return TOO_MANY_REQUESTS(detail, headers={"Retry-After": str(max(1, seconds))})


def body_too_large(limit: int) -> ProblemError:
    """Return the problem of a body over the limit of ``limit`` bytes. The server does not read the rest."""
    return BODY_TOO_LARGE(f"A body has at most {limit} bytes.", headers={"Connection": "close"})


def unavailable(detail: str, seconds: int = RETRY_SECONDS) -> ProblemError:
    """Return the problem of a dependency that does not respond; retry after ``seconds``."""
    return UNAVAILABLE(detail, headers={"Retry-After": str(seconds)})


def stopping() -> ProblemError:
    """Return the problem of a request that a stopping process cancels."""
    return unavailable("This process is stopping; send the same request again.")


def internal_error() -> ProblemError:
    """Return the problem of a defect. It reveals only the request's id."""
    return INTERNAL_ERROR("Report it with the X-Request-ID of this response.")


def _name_taken(error: NameTaken) -> ProblemError:
    fields = ", ".join(error.mismatches)
    return NAME_TAKEN(
        f"App {error.app_id} has this name and differs in {fields}; use another name, or send the same fields.",
        extensions={"app_id": error.app_id, "fields": list(error.mismatches)},
    )


def _limit_reached(error: LimitReached) -> ProblemError:
    return APP_LIMIT_REACHED(f"The limit is {error.limit} apps; delete one first.", extensions={"limit": error.limit})


def _create_limit_reached(error: CreateLimitReached) -> ProblemError:
    return CREATE_LIMIT_REACHED(
        f"The limit is {error.limit} creates in 24 hours, deleted apps included; retry after Retry-After seconds.",
        headers=_retry_after(error.retry_after),
        extensions={"limit": error.limit},
    )


def _key_limit_reached(error: KeyLimitReached) -> ProblemError:
    return KEY_LIMIT_REACHED(
        f"The limit is {error.limit} keys, each stored for 24 hours; send the request without an Idempotency-Key, or "
        "retry after Retry-After seconds.",
        headers=_retry_after(error.retry_after),
        extensions={"limit": error.limit},
    )


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _from_rejection(error: RequestRejected) -> ProblemError:
    match error:
        case NameTaken():
            return _name_taken(error)
        case LimitReached():
            return _limit_reached(error)
        case CreateLimitReached():
            return _create_limit_reached(error)
        case KeyLimitReached():
            return _key_limit_reached(error)
        case IdempotencyKeyReused():
            return invalid_fields(FieldError("Idempotency-Key", str(error)))
        case InvalidCursor():
            return invalid_fields(FieldError("cursor", str(error)))
    return internal_error()


def _from_http_exception(error: HTTPException) -> ProblemError:
    match error.status_code:
        case 404:
            return NOT_FOUND("There is nothing at this path; the apps are at /ee/apps.")
        case 405:
            detail = "The path exists, the method does not; see the Allow header."
            return METHOD_NOT_ALLOWED(detail, headers=error.headers)
    status = HTTPStatus(error.status_code)
    slug = status.phrase.lower().replace(" ", "-").replace("'", "")
    problem_type = ProblemType(slug, error.status_code, status.phrase)
    return problem_type(status.description or status.phrase, headers=error.headers)


def to_problem(error: Exception) -> ProblemError:
    """Return the problem of an error."""
    match error:
        case ProblemError():
            return error
        case RequestRejected():
            return _from_rejection(error)
        case CatalogUnavailable():
            return unavailable("The catalog does not respond; send the same request again.")
        case HTTPException():
            return _from_http_exception(error)
    return internal_error()


async def handle(_request: Request, error: Exception) -> Response:
    """Return the response of an error: the handler of all ``EXCEPTION_HANDLERS``."""
    return to_problem(error).response()


EXCEPTION_HANDLERS: Mapping[type[Exception], Callable[..., Any]] = dict.fromkeys(
    (ProblemError, RequestRejected, CatalogUnavailable, HTTPException), handle
)
