"""What a route is given, and small helpers that routes share."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.local.neon.documents import operation_document
from reconciler.local.neon.messages import Request, Response
from reconciler.local.neon.problems import bad_request
from reconciler.local.neon.state import Json, Operation, Project
from reconciler.local.neon.tenancy import Access
from reconciler.local.neon.world import World

MOST_DIGITS = 18
"""Of a number in a query. Python refuses to read one of more than 4,300."""


@dataclass(frozen=True)
class Call:
    """One request on its way through a route."""

    world: World
    request: Request
    now: float
    path: dict[str, str]
    access: Access

    def number(self, name: str, default: int, highest: int, *, lowest: int = 1) -> int:
        """Read a number from the query, between ``lowest`` and ``highest``."""
        text = self.request.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS) or not lowest <= int(text) <= highest:
            raise bad_request(f"{name} must be between {lowest} and {highest}")
        return int(text)

    def flag(self, name: str) -> bool:
        """Read a boolean from the query, in any case, as clients in Python send it; absent is false."""
        text = self.request.query.get(name, "false").lower()
        if text not in {"true", "false"}:
            raise bad_request(f"{name} must be true or false")
        return text == "true"

    def required(self, name: str) -> str:
        """Read a text from the query that must be there."""
        text = self.request.query.get(name)
        if not text:
            raise bad_request(f"{name} is required")
        return text


def with_operations(project: Project, body: Json, operations: list[Operation], status: int = 200) -> Response:
    """Answer with a body and the operations that the request started."""
    rendered = [operation_document(project, operation) for operation in operations]
    return Response(status, body | {"operations": rendered})
