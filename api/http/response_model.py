"""The base of response bodies, and the body of a problem."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response


class ResponseModel(BaseModel):
    """Base of every response body. The models build the responses, and their schemas the OpenAPI document."""

    model_config = ConfigDict(frozen=True)

    def to_response(self, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """Return the response with this body."""
        return Response(self.model_dump_json(), status, headers, "application/json")


class FieldProblem(ResponseModel):
    """An error in one field of a request."""

    field: str
    detail: str


class Problem(BaseModel):
    """An error (RFC 9457). Some types have further members: `app_id`, `fields` and `limit`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(pattern="^/problems/[a-z0-9-]+$", description="The problem's type; it never changes.")
    title: str = Field(description="The error, the same for each problem of the type.")
    status: int = Field(ge=400, le=599, description="The status of the response.")
    detail: str = Field(description="The action that the client can take.")
    errors: tuple[FieldProblem, ...] = Field(default=(), description="The fields that are not valid.")
