"""The response body of a probe."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from starlette.responses import Response

from api.http.response_model import ResponseModel


class Health(ResponseModel):
    """The state of the process, for a probe."""

    status: str
    stopped: str | None = Field(default=None, description="Why mutations are suspended; absent while they are not.")

    def to_response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return the response with this body."""
        return Response(self.model_dump_json(exclude_none=True), status, headers, "application/json")


def alive(_region: str) -> Health:
    """Return an example of the body of ``/healthz``."""
    return Health(status="ok")


def operational(_region: str) -> Health:
    """Return an example of the body of ``/readyz``."""
    return Health(status="ready")
