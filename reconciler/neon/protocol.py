"""What an answer of Neon's API says about the world, whatever carried it. Pure.

Only 423, 429 and 503 say that nothing was done and the same may be sent again (Neon OpenAPI document, description of
GeneralError, for 423 and 503; Neon API reference, Key concepts, for 429). A success that cannot be read did happen, so
it is never a failure.

A status counts only with Neon's error form: a JSON object whose ``code`` and ``message`` are texts (Neon OpenAPI
document, GeneralError). Anything else comes from an intermediary, which may have passed the request on before: Neon's
document says that a 503 of Neon's is safe to repeat, not one of a gateway that lost its connection to Neon.
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
    NeonIntermediaryAnswered,
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
"""Seconds; a longer request to wait counts as this."""

CONNECTION_URI_ROUTE: Final = "/projects/{project_id}/connection_uri"
"""Route template of the one call that reads a stored password."""

RETRYABLE_STATUSES: Final = frozenset({423, 429, 503})
"""Statuses by which Neon says that nothing was done."""

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
"""What may come of a request, as ``NeonExchange.outcome`` says it."""

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
        request: what was sent.
        request_id: its ``X-Request-ID``.
        status: of the answer, or None where none began.
        seconds: from the start to the end of it.
        whole: whether the answer arrived to its last byte.
        failure: why there is no whole answer of Neon's; None too where the sender broke the request off.
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
            return "intermediary" if self.failure is NeonIntermediaryAnswered else "unknown"
        if HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES:
            return "success"
        is_refusal = HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR
        return _OUTCOMES.get(self.status, "rejected" if is_refusal else "unknown")


class OtherThanRequested(ValueError):
    """An answer about another object than the request names; the message is the kind of object."""


@dataclass(frozen=True, slots=True)
class NeonCall(Generic[T]):
    """A request and the reader of its answer.

    Attributes:
        request: what is sent.
        parse: makes the model of an answer's JSON; raises pydantic's ValidationError for another shape, and
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
    """What the answer means.

    Args:
        call: what was asked.
        status: HTTP status.
        headers: the answer's headers; names in any case.
        body: the whole body.
        request_id: the ``X-Request-ID`` that was sent.
        now: the present, with a time zone; for a ``Retry-After`` date where the answer has no ``Date``.

    Raises:
        NeonAPIError: the answer is no success, or is a success that cannot be read (`NeonOutcomeUnknown`).
    """
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise _error_from_response(call.request, status, headers, body, request_id, now)
    kind: type[NeonOutcomeUnknown] = NeonOutcomeUnknown
    readable, data = _json(body)
    if readable:
        try:
            return call.parse(data)
        except ValidationError as problem:
            why = f"a success of another shape: {_locations(problem)}"
        except OtherThanRequested as problem:
            why = f"a success about another {problem}"
    elif body.strip():
        kind, why = NeonIntermediaryAnswered, "an intermediary answered: the body is not JSON"
    else:
        why = "a success without a body"
    # Raised outside of the handler: what could not be read may hold a password, and must not travel as the context.
    request = call.request
    raise kind(method=request.method, route=request.route, status=status, detail=why, request_id=request_id)


def parse_retry_after(value: str | None, now: datetime | None) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait (RFC 9110, 10.2.3).

    Args:
        value: the header: seconds or an HTTP date; None where there is none.
        now: the present, with a time zone; without it a date says nothing.

    Returns:
        0 to `LONGEST_RETRY_AFTER`, or None where nothing can be read.
    """
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return _bounded(float(text))
    then = _http_date(text)
    if then is None or now is None:
        return None
    return _bounded((then - now).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _http_date(text: str | None) -> datetime | None:
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
    """Whether a body is JSON that means one thing, and what: a name given twice, or no number at all, is none."""
    try:
        return True, json.loads(body, object_pairs_hook=_object, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return False, None


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise ValueError("a name is given twice")
    return read


def _no_number(constant: str) -> float:
    raise ValueError(constant)


def _locations(problem: ValidationError) -> str:
    """Where a body differs from what was expected, without any of its values."""
    found = problem.errors(include_url=False, include_context=False, include_input=False)
    return _sanitize(", ".join(".".join(map(str, each["loc"])) or "body" for each in found[:5]))


def _error_from_response(
    request: NeonRequest,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    request_id: str | None,
    now: datetime | None,
) -> NeonAPIError:
    said = _general_error(body)
    present = _http_date(_header(headers, "date")) or now
    code, message = said or ("", "")
    kind = NeonIntermediaryAnswered if said is None else _error_class(request, status, code, message.lower())
    none = "an intermediary answered" if said is None else "no message of Neon's"
    return kind(
        method=request.method,
        route=request.route,
        status=status,
        code=code,
        detail=_sanitize(message) or none,
        request_id=request_id,
        retry_after=parse_retry_after(_header(headers, "retry-after"), present),
    )


def _general_error(body: bytes) -> tuple[str, str] | None:
    """Code and message of Neon's error body, None for any other body; the code usually is empty."""
    _, data = _json(body)
    if not isinstance(data, dict):
        return None
    code, message = data.get("code"), data.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    return code if _CODE.fullmatch(code) else "", message


def _error_class(request: NeonRequest, status: int, code: str, message: str) -> type[NeonAPIError]:
    if not HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        # A redirect too: it is never followed.
        return _BY_STATUS.get(status, NeonOutcomeUnknown)
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return NeonIntermediaryAnswered
    if status == HTTPStatus.NOT_FOUND and "not allowed" in message:
        return NeonUnauthorized  # Neon hides a missing scope behind a 404
    told = _by_code(code.upper()) if status in _CODE_STATUSES else None
    if told is not None:
        return told
    if status == HTTPStatus.PRECONDITION_FAILED and request.route == CONNECTION_URI_ROUTE:
        return NeonPasswordsNotStored
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return _unprocessable(message)
    return _BY_STATUS.get(status, NeonInvalidRequest)


def _by_code(code: str) -> type[NeonAPIError] | None:
    """What Neon's own word for the error says; there usually is none."""
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
    """The message on one printable line, shortened, without anything that looks like a URI with credentials."""
    text = message[:_MAX_RAW_MESSAGE]
    words = text.split()
    if len(text) < len(message) and words:
        words.pop()  # it may be the first half of a URI
    scrubbed = " ".join(_without_credentials(word) for word in words)
    return "".join(each if each.isprintable() else "?" for each in scrubbed[:_MAX_MESSAGE])


def _without_credentials(word: str) -> str:
    before, separator, after = word.partition("://")
    return f"{before}://***" if separator and "@" in after else word
