"""The calls of Neon's API. Pure: nothing here sends a request.

One function per call returns a `NeonCall`: the request and the parser of its response. `decode` converts a response
into the model, or raises an error (`reconciler.neon.protocol`). The network and the simulators both use these
functions, so they interpret responses identically.

Source: Neon OpenAPI document v2 (routes, parameters, bodies).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr

from reconciler.errors import InvalidNeonId
from reconciler.neon import decoders
from reconciler.neon.protocol import CONNECTION_URI_ROUTE, NeonCall, NeonRequest, decode, parse_retry_after
from specs.neon import (
    AuthDetails,
    BranchCreate,
    BranchList,
    CreateBranchResponse,
    CreateProjectResponse,
    Endpoint,
    EndpointCreate,
    EndpointResponse,
    Operation,
    Organization,
    Project,
    ProjectCreate,
    ProjectPage,
    ProjectUpdate,
    RecoverProjectResponse,
    UpdateBranchResponse,
    UpdateProjectResponse,
    is_neon_id,
)

__all__ = [
    "BRANCHES_PER_PAGE",
    "PROJECTS_PER_PAGE",
    "InvalidConnectionURI",
    "InvalidNeonId",
    "NeonCall",
    "NeonRequest",
    "build_connection_string",
    "create_branch",
    "create_endpoint",
    "create_project",
    "decode",
    "delete_project",
    "get_auth",
    "get_connection_uri",
    "get_project",
    "list_branches",
    "list_endpoints",
    "list_operations",
    "list_organizations",
    "list_projects",
    "parse_retry_after",
    "recover_project",
    "update_branch",
    "update_project",
]

PROJECTS_PER_PAGE: Final = 400
"""The maximum number of projects per page (Neon OpenAPI document, listProjects)."""

BRANCHES_PER_PAGE: Final = 1000
"""Requested branches per page; Neon allows 10,000, which would exceed the size limit of a response."""

_PROJECT: Final = "/projects/{project_id}"
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_URI_HOST = re.compile(_HOST)
_POSTGRES_URI = re.compile(
    r"(?P<before>postgres(?:ql)?://(?:[^/?#\x00-\x20\x7f]*@)?)"
    rf"{_HOST}"
    r"(?P<after>(?::[0-9]*)?(?:[/?][^\x00-\x20\x7f]*)?)"
)


class InvalidConnectionURI(ValueError):
    """Not a Postgres URI with one host, or an invalid host name. The message never contains the value."""


# The calls


def _request(
    method: str,
    route: str,
    *,
    params: Mapping[str, str | None] | None = None,
    body: dict[str, Any] | None = None,
    **ids: str,
) -> NeonRequest:
    """Raises `InvalidNeonId`: an empty id causes a redirect, and another text could select another route."""
    for name, value in ids.items():
        if not is_neon_id(value):
            raise InvalidNeonId(f"{name} is not an id of Neon")
    chosen = tuple((key, value) for key, value in (params or {}).items() if value is not None)
    return NeonRequest(method, route, route.format(**ids), chosen, body, method != "GET")


def _dump(model: BaseModel, *, exclude: set[str] | None = None) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True, exclude=exclude)


def list_projects(
    *,
    org_id: str | None = None,
    search: str | None = None,
    cursor: str | None = None,
    limit: int = PROJECTS_PER_PAGE,
    recoverable: bool = False,
) -> NeonCall[ProjectPage]:
    """List one page of projects; ``search`` is a part of a name or id, ``recoverable`` lists the deleted ones only."""
    params = {
        "org_id": org_id,
        "search": search,
        "cursor": cursor,
        "limit": str(limit),
        "recoverable": "true" if recoverable else None,
    }
    return NeonCall(_request("GET", "/projects", params=params), decoders.projects)


def get_project(project_id: str) -> NeonCall[Project]:
    """Read one project; a deleted one is not found."""
    request = _request("GET", _PROJECT, project_id=project_id)
    return NeonCall(request, decoders.project(project_id))


def create_project(spec: ProjectCreate) -> NeonCall[CreateProjectResponse]:
    """Create a project. A second request creates a second one: Neon has no idempotency keys or unique names."""
    request = _request("POST", "/projects", body={"project": _dump(spec)})
    return NeonCall(request, CreateProjectResponse.model_validate)


def update_project(project_id: str, spec: ProjectUpdate) -> NeonCall[UpdateProjectResponse]:
    """Set the fields of the spec that are not None."""
    request = _request("PATCH", _PROJECT, body={"project": _dump(spec)}, project_id=project_id)
    return NeonCall(request, decoders.of_project(UpdateProjectResponse, project_id))


def delete_project(project_id: str) -> NeonCall[Project]:
    """Delete a project, recoverably for 7 days. Neon returns a 422 while one of its branches is protected."""
    request = _request("DELETE", _PROJECT, project_id=project_id)
    return NeonCall(request, decoders.project(project_id))


def recover_project(project_id: str) -> NeonCall[RecoverProjectResponse]:
    """Recover a deleted project with its branches, computes and connection strings (beta)."""
    request = _request("POST", "/projects/{project_id}/recover", project_id=project_id)
    return NeonCall(request, decoders.of_project(RecoverProjectResponse, project_id))


def list_branches(project_id: str, cursor: str | None = None) -> NeonCall[BranchList]:
    """List one page of a project's branches, with their annotations."""
    params = {"cursor": cursor, "limit": str(BRANCHES_PER_PAGE)}
    request = _request("GET", "/projects/{project_id}/branches", params=params, project_id=project_id)
    return NeonCall(request, decoders.branches(project_id))


def create_branch(project_id: str, spec: BranchCreate) -> NeonCall[CreateBranchResponse]:
    """Create a branch, with a compute only if the spec has one."""
    body: dict[str, Any] = {"branch": _dump(spec, exclude={"annotations", "with_compute"})}
    if spec.with_compute:
        body["endpoints"] = [{"type": "read_write"}]
    if spec.annotations:
        body["annotation_value"] = dict(spec.annotations)
    request = _request("POST", "/projects/{project_id}/branches", body=body, project_id=project_id)
    return NeonCall(request, decoders.created_branch(project_id))


def update_branch(project_id: str, branch_id: str, *, protected: bool) -> NeonCall[UpdateBranchResponse]:
    """Set or clear a branch's protection."""
    route = "/projects/{project_id}/branches/{branch_id}"
    body = {"branch": {"protected": protected}}
    request = _request("PATCH", route, body=body, project_id=project_id, branch_id=branch_id)
    return NeonCall(request, decoders.updated_branch(project_id, branch_id))


def list_endpoints(project_id: str) -> NeonCall[tuple[Endpoint, ...]]:
    """List all computes of a project; Neon does not page them."""
    request = _request("GET", "/projects/{project_id}/endpoints", project_id=project_id)
    return NeonCall(request, decoders.endpoints(project_id))


def create_endpoint(project_id: str, spec: EndpointCreate) -> NeonCall[EndpointResponse]:
    """Create a compute for a branch without one."""
    route = "/projects/{project_id}/endpoints"
    request = _request("POST", route, body={"endpoint": _dump(spec)}, project_id=project_id)
    return NeonCall(request, decoders.endpoint_response(project_id))


def list_operations(project_id: str, limit: int = 100) -> NeonCall[tuple[Operation, ...]]:
    """List the latest operations of a project, newest first."""
    route = "/projects/{project_id}/operations"
    request = _request("GET", route, params={"limit": str(limit)}, project_id=project_id)
    return NeonCall(request, decoders.operations(project_id))


def get_connection_uri(
    project_id: str,
    database_name: str,
    role_name: str,
    *,
    branch_id: str | None = None,
    endpoint_id: str | None = None,
    pooled: bool = False,
) -> NeonCall[SecretStr]:
    """Read the URI of a role and database, by default on the default branch. It resets no password."""
    params = {
        "database_name": database_name,
        "role_name": role_name,
        "branch_id": branch_id,
        "endpoint_id": endpoint_id,
        "pooled": "true" if pooled else None,
    }
    request = _request("GET", CONNECTION_URI_ROUTE, params=params, project_id=project_id)
    return NeonCall(request, decoders.uri)


def list_organizations() -> NeonCall[tuple[Organization, ...]]:
    """List the key's organizations; an organization's key has its own."""
    request = _request("GET", "/users/me/organizations")
    return NeonCall(request, decoders.organizations)


def get_auth() -> NeonCall[AuthDetails]:
    """Read the key's account. It succeeds for every valid key, which distinguishes a bad key from a missing project."""
    return NeonCall(_request("GET", "/auth"), AuthDetails.model_validate)


def build_connection_string(connection_uri: str, pooler_host: str | None) -> str:
    """Return the URI with its host replaced by the pooler's, and all else byte for byte unchanged.

    Args:
        connection_uri: as Neon returned it: ``postgres://`` or ``postgresql://``, with exactly one host.
        pooler_host: the ``pooler_host`` that Neon returned with it, or None to get the URI itself.

    Raises:
        InvalidConnectionURI: the URI or the host is not valid; the message contains neither.
    """
    parts = _POSTGRES_URI.fullmatch(connection_uri)
    if parts is None:
        raise InvalidConnectionURI("not a Postgres URI with one host")
    if pooler_host is None:
        return connection_uri
    if not _URI_HOST.fullmatch(pooler_host):
        raise InvalidConnectionURI("the pooler's host is not a valid host name")
    return f"{parts['before']}{pooler_host}{parts['after']}"
