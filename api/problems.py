"""Errors as RFC 9457 problems: one table from what went wrong to what the client is told.

``type`` is a path that stays the same for ever; ``detail`` says what to do; a 422 names the fields in ``errors``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reconciler.catalog.refusals import CatalogRefusal, IdempotencyKeyReused, InvalidCursor, LimitReached, NameTaken
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


@dataclass(eq=False)
class ProblemError(Exception):
    """A problem on its way to the client.

    Attributes:
        slug: last part of ``type``.
        status: HTTP status.
        title: what happened, the same for every occurrence.
        detail: what to do about this one.
        errors: the fields at fault.
        headers: further response headers.
        members: further members of the document.
    """

    slug: str
    status: int
    title: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status} {self.slug}: {self.detail}"

    def response(self) -> ProblemResponse:
        """The response that says it."""
        document: dict[str, Any] = {
            "type": f"/problems/{self.slug}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"field": error.field, "detail": error.detail} for error in self.errors]
        return ProblemResponse(document | dict(self.members), status_code=self.status, headers=dict(self.headers))


def invalid_fields(*errors: FieldError) -> ProblemError:
    """The problem of a request whose fields are wrong."""
    named = ", ".join(dict.fromkeys(error.field for error in errors))
    return ProblemError("invalid-request", 422, "The request is not valid", f"Correct {named}.", errors=errors)


def malformed_body(detail: str) -> ProblemError:
    """The problem of a body that is not the JSON object it should be."""
    return ProblemError("malformed-body", 400, "The body cannot be read", detail)


def app_not_found() -> ProblemError:
    """The problem of an id that is unknown to this caller: the same for every reason."""
    return ProblemError("app-not-found", 404, "No such app", "Check the id; GET /ee/apps lists your apps.")


def forbidden(needed: str) -> ProblemError:
    """The problem of a token without the permission."""
    return ProblemError(
        "forbidden",
        403,
        "Not allowed",
        f"The token lacks the permission {needed}; ask for one that has it.",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'},
    )


def too_many(detail: str, seconds: int) -> ProblemError:
    """The problem of a rate that is over its limit; ``seconds`` until it is not."""
    return ProblemError(
        "too-many-requests", 429, "Too many requests", detail, headers={"Retry-After": str(max(1, seconds))}
    )


def body_too_large(limit: int) -> ProblemError:
    """The problem of a body over the cap of ``limit`` bytes; the rest of it is not read."""
    detail = f"A body may hold at most {limit} bytes."
    return ProblemError("body-too-large", 413, "The body is too large", detail, headers={"Connection": "close"})


def unavailable(detail: str) -> ProblemError:
    """The problem of something of ours that does not answer at the moment."""
    return ProblemError(
        "unavailable", 503, "Not available at the moment", detail, headers={"Retry-After": str(RETRY_SECONDS)}
    )


def internal_error() -> ProblemError:
    """The problem of a mistake of ours; it tells nothing but where to look."""
    return ProblemError(
        "internal-error", 500, "An error on our side", "Report it with the X-Request-ID of this answer."
    )


def _name_taken(error: NameTaken) -> ProblemError:
    fields = ", ".join(error.differing)
    return ProblemError(
        "name-taken",
        409,
        "The name is taken by another app",
        f"App {error.app_id} has this name and differs in {fields}; use another name, or ask for the same fields.",
        members={"app_id": error.app_id, "fields": list(error.differing)},
    )


def _limit_reached(error: LimitReached) -> ProblemError:
    return ProblemError(
        "app-limit-reached",
        429,
        "You have as many apps as you may have",
        f"The limit is {error.limit} apps; delete one first.",
        members={"limit": error.limit},
    )


def _refusal(error: CatalogRefusal) -> ProblemError:
    match error:
        case NameTaken():
            return _name_taken(error)
        case LimitReached():
            return _limit_reached(error)
        case IdempotencyKeyReused():
            return invalid_fields(FieldError("Idempotency-Key", str(error)))
        case InvalidCursor():
            return invalid_fields(FieldError("cursor", str(error)))
    return internal_error()


def _http(error: HTTPException) -> ProblemError:
    status = HTTPStatus(error.status_code)
    details = {
        404: "There is nothing at this path; the apps are at /ee/apps.",
        405: "The path exists, the method does not; see the Allow header.",
    }
    slug = status.phrase.lower().replace(" ", "-").replace("'", "")
    detail = details.get(error.status_code, status.description or status.phrase)
    return ProblemError(slug, error.status_code, status.phrase, detail, headers=error.headers or {})


def problem_of(error: Exception) -> ProblemError:
    """What a client is told about an error."""
    match error:
        case ProblemError():
            return error
        case CatalogRefusal():
            return _refusal(error)
        case CatalogUnavailable():
            return unavailable("The catalog does not answer; send the same request again.")
        case HTTPException():
            return _http(error)
    return internal_error()


async def handle(_request: Request, error: Exception) -> Response:
    """Starlette's exception handler for everything in ``HANDLED``."""
    return problem_of(error).response()


HANDLED: Mapping[type[Exception], Callable[..., Any]] = dict.fromkeys(
    (ProblemError, CatalogRefusal, CatalogUnavailable, HTTPException), handle
)
