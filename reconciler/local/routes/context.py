"""The context of a request, and helpers that routes share."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.local.auth.models import KeyScope
from reconciler.local.errors import bad_request
from reconciler.local.protocol import Request, Response
from reconciler.local.schemas.responses import operation_document
from reconciler.local.state.account_state import AccountState
from reconciler.local.state.models import Json, Operation, Project

MAX_DIGITS = 18
"""Digits of a number in a query. Python parses at most 4,300."""


@dataclass(frozen=True)
class RequestContext:
    """One request with the state that its route reads and changes.

    Attributes:
        account: all projects.
        request: the request.
        now: seconds since the epoch.
        path: the parameters of the path.
        scope: the scope of the key.
    """

    account: AccountState
    request: Request
    now: float
    path: dict[str, str]
    scope: KeyScope

    def number(self, name: str, default: int, maximum: int, *, minimum: int = 1) -> int:
        """Read a number from the query, between ``minimum`` and ``maximum``.

        Raises:
            ApiError: 400.
        """
        text = self.request.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS) or not minimum <= int(text) <= maximum:
            raise bad_request(f"{name} must be between {minimum} and {maximum}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Read a boolean from the query, in upper or lower case, as clients in Python send it; absent is false.

        Raises:
            ApiError: 400.
        """
        text = self.request.query.get(name, "false").lower()
        if text not in {"true", "false"}:
            raise bad_request(f"{name} must be true or false")
        return text == "true"

    def required(self, name: str) -> str:
        """Read a required text from the query.

        Raises:
            ApiError: 400.
        """
        text = self.request.query.get(name)
        if not text:
            raise bad_request(f"{name} is required")
        return text


def with_operations(project: Project, body: Json, operations: list[Operation], status: int = 200) -> Response:
    """Return a response with a body and the operations that the request started."""
    rendered = [operation_document(project, operation) for operation in operations]
    return Response(status, body | {"operations": rendered})
