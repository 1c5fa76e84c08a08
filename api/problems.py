"""Errors as RFC 9457 problems: one table from what went wrong to what the client is told.

``type`` is a path that stays the same for ever; ``detail`` says what to do; a 422 names the fields in ``errors``.
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
    """What is wrong with one field of a request."""

    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Kind:
    """What can go wrong, the same for every occurrence; calling it makes the problem of one.

    Attributes:
        slug: last part of ``type``.
        status: HTTP status.
        title: what happened.
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
        members: Mapping[str, Any] | None = None,
    ) -> ProblemError:
        """The problem that says in ``detail`` what to do."""
        return ProblemError(self, detail, errors, headers or {}, members or {})

    @property
    def type(self) -> str:
        """The URI reference that names it."""
        return f"/problems/{self.slug}"


MALFORMED_REQUEST = Kind("malformed-request", 400, "The request is not valid HTTP")
MALFORMED_BODY = Kind("malformed-body", 400, "The body cannot be read")
INVALID_IDEMPOTENCY_KEY = Kind("invalid-idempotency-key", 400, "The Idempotency-Key is not valid")
UNKNOWN_HOST = Kind("unknown-host", 400, "Unknown host")
UNAUTHORIZED = Kind("unauthorized", 401, "No valid token")
FORBIDDEN = Kind("forbidden", 403, "Not allowed")
APP_NOT_FOUND = Kind("app-not-found", 404, "No such app")
NOT_FOUND = Kind("not-found", 404, "Not Found")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "Method Not Allowed")
HEAD_TOO_SLOW = Kind("head-too-slow", 408, "The head of the request did not arrive")
BODY_TOO_SLOW = Kind("body-too-slow", 408, "The body did not arrive")
NAME_TAKEN = Kind("name-taken", 409, "The name is taken by another app")
BODY_TOO_LARGE = Kind("body-too-large", 413, "The body is too large")
EXPECTATION_FAILED = Kind("expectation-failed", 417, "The expectation cannot be met")
INVALID_REQUEST = Kind("invalid-request", 422, "The request is not valid")
TOO_MANY_REQUESTS = Kind("too-many-requests", 429, "Too many requests")
APP_LIMIT_REACHED = Kind("app-limit-reached", 429, "You have as many apps as you may have")
CREATE_LIMIT_REACHED = Kind("create-limit-reached", 429, "You created as many apps as you may create in a day")
KEY_LIMIT_REACHED = Kind("idempotency-key-limit-reached", 429, "You have as many idempotency keys as are kept")
HEAD_TOO_LARGE = Kind("head-too-large", 431, "The head of the request is too large")
INTERNAL_ERROR = Kind("internal-error", 500, "An error on our side")
UNAVAILABLE = Kind("unavailable", 503, "Not available at the moment")


@dataclass(eq=False)
class ProblemError(Exception):
    """A problem on its way to the client.

    Attributes:
        kind: what happened.
        detail: what to do about this one.
        errors: the fields at fault.
        headers: further response headers.
        members: further members of the document.
    """

    kind: Kind
    detail: str
    errors: tuple[FieldError, ...]
    headers: Mapping[str, str]
    members: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.kind.status} {self.kind.slug}: {self.detail}"

    def response(self) -> ProblemResponse:
        """The response that says it."""
        document: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"field": error.field, "detail": error.detail} for error in self.errors]
        # HTTP lets a cache keep a 404 or a 405 that does not say otherwise.
        headers = {"Cache-Control": "no-store", **self.headers}
        return ProblemResponse(document | dict(self.members), status_code=self.kind.status, headers=headers)


def invalid_fields(*errors: FieldError) -> ProblemError:
    """The problem of a request whose fields are wrong."""
    named = ", ".join(dict.fromkeys(error.field for error in errors))
    return INVALID_REQUEST(f"Correct {named}.", errors=errors)


def malformed_head() -> ProblemError:
    """The problem of a head that is not HTTP."""
    return MALFORMED_REQUEST("Send a request line and header fields as HTTP/1.1 defines them (RFC 9112).")


def head_too_slow(seconds: float) -> ProblemError:
    """The problem of a head that is not complete after ``seconds``."""
    return HEAD_TOO_SLOW(f"Send a whole request within {seconds:g} seconds.")


def head_too_large(limit: int) -> ProblemError:
    """The problem of a head over the cap of ``limit`` bytes."""
    return HEAD_TOO_LARGE(f"The head of a request may hold at most {limit} bytes.")


def body_too_slow() -> ProblemError:
    """The problem of a body that stopped arriving."""
    return BODY_TOO_SLOW("Send it in one go.")


def expectation_failed() -> ProblemError:
    """The problem of an ``Expect`` header with another value than ``100-continue``."""
    return EXPECTATION_FAILED("The only expectation that is met is 100-continue.")


def unknown_host() -> ProblemError:
    """The problem of a ``Host`` that ALLOWED_HOSTS does not list."""
    return UNKNOWN_HOST("Use one of this service's own names.")


def json_required() -> ProblemError:
    """The problem of a body of another media type."""
    return MALFORMED_BODY("Send the body as Content-Type: application/json.")


def invalid_idempotency_key() -> ProblemError:
    """The problem of a key that does not have the form of one, or of several keys."""
    return INVALID_IDEMPOTENCY_KEY("Send one, of 1 to 255 visible ASCII characters.")


def unauthorized(detail: str, *, error: str | None = None) -> ProblemError:
    """The problem of a missing token, or with ``error`` (RFC 6750) of a token that is not valid."""
    challenge = 'Bearer realm="morphik-apps"' + (f', error="{error}"' if error else "")
    return UNAUTHORIZED(detail, headers={"WWW-Authenticate": challenge})


def token_required() -> ProblemError:
    """The problem of a request without a token."""
    return unauthorized("Send a token: Authorization: Bearer <token>.")


def metrics_token_required() -> ProblemError:
    """The problem of a request for the metrics without the token of METRICS_TOKEN."""
    return UNAUTHORIZED(
        "Send the token of METRICS_TOKEN: Authorization: Bearer <token>.",
        headers={"WWW-Authenticate": 'Bearer realm="morphik-apps metrics"'},
    )


def too_many_requests(seconds: int) -> ProblemError:
    """The problem of an owner who sends too many; ``seconds`` until the next one is allowed."""
    return too_many("Send fewer requests a minute.", seconds)


def app_not_found() -> ProblemError:
    """The problem of an id that is unknown to this caller: the same for every reason."""
    return APP_NOT_FOUND("Check the id; GET /ee/apps lists your apps.")


def forbidden(needed: str) -> ProblemError:
    """The problem of a token without the permission."""
    challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
    return FORBIDDEN(f"The token lacks the permission {needed}; ask for one that has it.", headers=challenge)


def owner_token_required() -> ProblemError:
    """The problem of a token for one app at a call that is about all of an owner's apps."""
    challenge = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    return FORBIDDEN("The token is for one app only; use a token without app_id.", headers=challenge)


def too_many(detail: str, seconds: int) -> ProblemError:
    """The problem of a rate that is over its limit; ``seconds`` until it is not."""
    return TOO_MANY_REQUESTS(detail, headers={"Retry-After": str(max(1, seconds))})


def body_too_large(limit: int) -> ProblemError:
    """The problem of a body over the cap of ``limit`` bytes; the rest of it is not read."""
    return BODY_TOO_LARGE(f"A body may hold at most {limit} bytes.", headers={"Connection": "close"})


def unavailable(detail: str, seconds: int = RETRY_SECONDS) -> ProblemError:
    """The problem of something of ours that does not answer at the moment; ``seconds`` until it probably does."""
    return UNAVAILABLE(detail, headers={"Retry-After": str(seconds)})


def stopping() -> ProblemError:
    """The problem of a request that a stopping process breaks off."""
    return unavailable("This process is stopping; send the same request again.")


def internal_error() -> ProblemError:
    """The problem of a mistake of ours; it tells nothing but where to look."""
    return INTERNAL_ERROR("Report it with the X-Request-ID of this answer.")


def _name_taken(error: NameTaken) -> ProblemError:
    fields = ", ".join(error.differing)
    return NAME_TAKEN(
        f"App {error.app_id} has this name and differs in {fields}; use another name, or ask for the same fields.",
        members={"app_id": error.app_id, "fields": list(error.differing)},
    )


def _limit_reached(error: LimitReached) -> ProblemError:
    return APP_LIMIT_REACHED(f"The limit is {error.limit} apps; delete one first.", members={"limit": error.limit})


def _create_limit_reached(error: CreateLimitReached) -> ProblemError:
    return CREATE_LIMIT_REACHED(
        f"The limit is {error.limit} creates in 24 hours, deleted apps included; try again after Retry-After seconds.",
        headers=_retry_after(error.retry_after),
        members={"limit": error.limit},
    )


def _key_limit_reached(error: KeyLimitReached) -> ProblemError:
    return KEY_LIMIT_REACHED(
        f"The limit is {error.limit} keys, each kept for 24 hours; send the request without an Idempotency-Key, or try "
        "again after Retry-After seconds.",
        headers=_retry_after(error.retry_after),
        members={"limit": error.limit},
    )


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _refusal(error: RequestRejected) -> ProblemError:
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


def _http(error: HTTPException) -> ProblemError:
    match error.status_code:
        case 404:
            return NOT_FOUND("There is nothing at this path; the apps are at /ee/apps.")
        case 405:
            detail = "The path exists, the method does not; see the Allow header."
            return METHOD_NOT_ALLOWED(detail, headers=error.headers)
    status = HTTPStatus(error.status_code)
    slug = status.phrase.lower().replace(" ", "-").replace("'", "")
    return Kind(slug, error.status_code, status.phrase)(status.description or status.phrase, headers=error.headers)


def to_problem(error: Exception) -> ProblemError:
    """What a client is told about an error."""
    match error:
        case ProblemError():
            return error
        case RequestRejected():
            return _refusal(error)
        case CatalogUnavailable():
            return unavailable("The catalog does not answer; send the same request again.")
        case HTTPException():
            return _http(error)
    return internal_error()


async def handle(_request: Request, error: Exception) -> Response:
    """Starlette's exception handler for everything in ``EXCEPTION_HANDLERS``."""
    return to_problem(error).response()


EXCEPTION_HANDLERS: Mapping[type[Exception], Callable[..., Any]] = dict.fromkeys(
    (ProblemError, RequestRejected, CatalogUnavailable, HTTPException), handle
)
