"""Decodes responses of Neon's API into models or errors, independent of the transport. Pure.

Only 423, 429 and 503 mean that nothing was executed and the request can be repeated (Neon OpenAPI document, description
of GeneralError, for 423 and 503; Neon API reference, Key concepts, for 429). A success with an unreadable body did
happen, so it is never a rejection.

A status counts only with Neon's error body: a JSON object whose ``code`` and ``message`` are strings (Neon OpenAPI
document, GeneralError). Any other body comes from an intermediary, which may have forwarded the request before. Neon's
document calls a 503 of Neon safe to repeat, not a 503 of a gateway that lost its connection to Neon.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from reconciler.errors import (
    NeonAPIError,
    NeonBranchProtected,
    NeonConflict,
    NeonIntermediaryError,
    NeonInvalidRequest,
    NeonLimitReached,
    NeonLocked,
    NeonNotFound,
    NeonNotSent,
    NeonOutcomeUnknown,
    NeonPasswordsNotStored,
    NeonProjectLimitReached,
    NeonQuotaExceeded,
    NeonRateLimited,
    NeonUnauthorized,
    NeonUnavailable,
)

T = TypeVar("T")

MAX_RETRY_AFTER: Final = 86_400.0
"""Seconds; a longer ``Retry-After`` counts as this."""

CONNECTION_URI_ROUTE: Final = "/projects/{project_id}/connection_uri"
"""Route template of the one call that reads a stored password."""

RETRYABLE_STATUSES: Final = frozenset({423, 429, 503})
"""The statuses that mean that Neon executed nothing."""

_CODE_STATUSES: Final = frozenset({400, 402, 403, 409, 422})
_QUOTA_CODES: Final = frozenset(
    {"COMPUTE_TIME_EXCEEDED", "NON_PRIMARY_BRANCH_COMPUTE_TIME_EXCEEDED", "DATA_TRANSFER_LIMIT_EXCEEDED"}
)
_MAX_MESSAGE = 300
_MAX_RAW_MESSAGE = 4000
_SECONDS = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_BY_STATUS: Final[Mapping[int, type[NeonAPIError]]] = {
    401: NeonUnauthorized,
    403: NeonUnauthorized,
    404: NeonNotFound,
    408: NeonOutcomeUnknown,
    409: NeonConflict,
    410: NeonNotFound,
    423: NeonLocked,
    429: NeonRateLimited,
    503: NeonUnavailable,
}


@dataclass(frozen=True, slots=True)
class NeonRequest:
    """One request, ready to be sent.

    Attributes:
        method: HTTP method.
        route: path template, such as ``/projects/{project_id}``; for metrics and messages.
        path: the path below the API's base address.
        params: query parameters, not yet encoded.
        body: JSON object, or None for no body.
        mutates: whether it may change anything at Neon.
    """

    method: str
    route: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    mutates: bool = False


OUTCOMES: Final = (
    "success", "rejected", "unauthorized", "not_found",
    "locked", "rate_limited", "unavailable", "not_sent", "unknown", "intermediary", "broken_off",
)  # fmt: skip
"""The values of ``CompletedRequest.outcome``."""

_OUTCOMES: Final[Mapping[int, str]] = {
    401: "unauthorized",
    403: "unauthorized",
    404: "not_found",
    408: "unknown",
    410: "not_found",
    423: "locked",
    429: "rate_limited",
    503: "unavailable",
}


@dataclass(frozen=True, slots=True)
class CompletedRequest:
    """A request that has ended, for metrics and logs.

    Attributes:
        request: the request.
        request_id: its ``X-Request-ID``.
        status: of the response, or None without one.
        seconds: its duration.
        complete: whether the response arrived to its last byte.
        failure: why there is no complete response of Neon; also None if the sender cancelled the request.
    """

    request: NeonRequest
    request_id: str
    status: int | None
    seconds: float
    complete: bool
    failure: type[NeonAPIError] | None

    @property
    def may_have_been_sent(self) -> bool:
        """Whether it may have reached Neon."""
        return self.failure is not NeonNotSent

    @property
    def outcome(self) -> str:
        """One of ``OUTCOMES``."""
        if not self.may_have_been_sent:
            return "not_sent"
        if self.status is None or not self.complete:
            return "broken_off" if self.failure is None else "unknown"
        if self.failure is not None:
            return "intermediary" if self.failure is NeonIntermediaryError else "unknown"
        if HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES:
            return "success"
        is_client_error = HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return _OUTCOMES.get(self.status, "rejected" if is_client_error else "unknown")


class OtherThanRequested(ValueError):
    """A response about another object than the request names. The message is the kind of object."""


@dataclass(frozen=True, slots=True)
class NeonCall(Generic[T]):
    """A request and the parser of its response.

    Attributes:
        request: the request.
        parse: returns the model of the response's JSON; raises pydantic's ValidationError for another shape, and
            `OtherThanRequested`.
    """

    request: NeonRequest
    parse: Callable[[object], T]


def decode(
    call: NeonCall[T],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    request_id: str | None = None,
    now: datetime | None = None,
) -> T:
    """Return the model of a response.

    Args:
        call: the request and its parser.
        status: HTTP status.
        headers: the response's headers; names in any case.
        body: the complete body.
        request_id: the request's ``X-Request-ID``.
        now: the current time, aware; for a ``Retry-After`` date if the response has no ``Date``.

    Raises:
        NeonAPIError: the response is not a success, or is a success with an unreadable body (`NeonOutcomeUnknown`).
    """
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise _error_from_response(call.request, status, headers, body, request_id, now)
    kind: type[NeonOutcomeUnknown] = NeonOutcomeUnknown
    readable, data = _json(body)
    if readable:
        try:
            return call.parse(data)
        except ValidationError as problem:
            reason = f"a success of another shape: {_locations(problem)}"
        except OtherThanRequested as problem:
            reason = f"a success about another {problem}"
    elif body.strip():
        kind, reason = NeonIntermediaryError, "an intermediary answered: the body is not JSON"
    else:
        reason = "a success without a body"
    # Raised outside of the handler: the unreadable body may contain a password, which must not be in the context.
    request = call.request
    raise kind(method=request.method, route=request.route, status=status, detail=reason, request_id=request_id)


def parse_retry_after(value: str | None, now: datetime | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header (RFC 9110, 10.2.3).

    Args:
        value: the header: seconds or an HTTP date; None without one.
        now: the current time, aware; without it a date is ignored.

    Returns:
        0 to `MAX_RETRY_AFTER`, or None if the value is not valid.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return _bounded(float(text))
    then = parse_http_date(text)
    if then is None or now is None:
        return None
    return _bounded((then - now).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def parse_http_date(text: str | None) -> datetime | None:
    """Return the time of an HTTP date (RFC 9110, 5.6.7), or None if it is not valid."""
    if text is None:
        return None
    try:
        read = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _json(body: bytes) -> tuple[bool, object]:
    """Return whether a body is unambiguous JSON, and its value. Repeated names and NaN are not allowed."""
    try:
        return True, json.loads(body, object_pairs_hook=_object, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        return False, None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name occurs twice")
    return read


def _reject_constant(constant: str) -> float:
    raise ValueError(constant)


def _locations(problem: ValidationError) -> str:
    """Return the locations of unexpected values in a body, without the values."""
    errors = problem.errors(include_url=False, include_context=False, include_input=False)
    return _sanitize(", ".join(".".join(map(str, error["loc"])) or "body" for error in errors[:5]))


def _error_from_response(
    request: NeonRequest,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    request_id: str | None,
    now: datetime | None,
) -> NeonAPIError:
    general_error = _general_error(body)
    sent_at = parse_http_date(_header(headers, "date")) or now
    code, message = general_error or ("", "")
    kind = NeonIntermediaryError if general_error is None else _error_class(request, status, code, message.lower())
    default = "an intermediary answered" if general_error is None else "without a message"
    return kind(
        method=request.method,
        route=request.route,
        status=status,
        code=code,
        detail=_sanitize(message) or default,
        request_id=request_id,
        retry_after=parse_retry_after(_header(headers, "retry-after"), sent_at),
    )


def _general_error(body: bytes) -> tuple[str, str] | None:
    """Return code and message of Neon's error body, or None for any other body. The code is usually empty."""
    _, data = _json(body)
    if not isinstance(data, dict):
        return None
    code, message = data.get("code"), data.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    return code if _CODE.fullmatch(code) else "", message


def _error_class(request: NeonRequest, status: int, code: str, message: str) -> type[NeonAPIError]:
    if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        # This includes redirects, which are never followed.
        return _BY_STATUS.get(status, NeonOutcomeUnknown)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return NeonIntermediaryError
    if status == HTTPStatus.NOT_FOUND and "not allowed" in message:
        return NeonUnauthorized  # Neon hides a missing scope behind a 404
    by_code = _class_of_code(code.upper()) if status in _CODE_STATUSES else None
    if by_code is not None:
        return by_code
    if status == HTTPStatus.PRECONDITION_FAILED and request.route == CONNECTION_URI_ROUTE:
        return NeonPasswordsNotStored
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return _unprocessable(message)
    return _BY_STATUS.get(status, NeonInvalidRequest)


def _class_of_code(code: str) -> type[NeonAPIError] | None:
    """Return the class of Neon's error code, which is usually empty."""
    if code == "PROJECTS_LIMIT_EXCEEDED":
        return NeonProjectLimitReached
    if code in _QUOTA_CODES or "QUOTA_EXCEEDED" in code:
        return NeonQuotaExceeded
    return NeonLimitReached if "LIMIT_EXCEEDED" in code else None


def _unprocessable(message: str) -> type[NeonAPIError]:
    if "limit exceeded" in message:
        return NeonProjectLimitReached if "projects limit" in message else NeonLimitReached
    if "quota" in message and "exceeded" in message:
        return NeonQuotaExceeded
    if "branch not ready yet" in message:
        return NeonLocked
    return NeonBranchProtected if "protected" in message else NeonInvalidRequest


def _sanitize(message: str) -> str:
    """Return the message as one printable, shortened line, without URIs that contain credentials."""
    text = message[:_MAX_RAW_MESSAGE]
    parts = text.split()
    if len(text) < len(message) and parts:
        parts.pop()  # it may be the first half of a URI
    redacted = " ".join(_without_credentials(part) for part in parts)
    return "".join(character if character.isprintable() else "?" for character in redacted[:_MAX_MESSAGE])


def _without_credentials(text: str) -> str:
    before, separator, after = text.partition("://")
    return f"{before}://***" if separator and "@" in after else text
