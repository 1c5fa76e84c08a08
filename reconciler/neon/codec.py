"""What each call of Neon's API is, and what its answer means. Pure: nothing here sends anything.

A function per call builds a `NeonCall`: the request and the reader of its answer. `decode` turns an answer into the
model, or raises what it says about the world (`reconciler.neon.protocol`). Whatever carries the bytes, a network or a
simulator, goes through these two, so both mean the same.

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
"""The most projects that a page may hold (Neon OpenAPI document, listProjects)."""

BRANCHES_PER_PAGE: Final = 1000
"""Branches asked for at once; Neon allows 10,000, which a bounded answer could not hold."""

_PROJECT: Final = "/projects/{project_id}"
_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)"
_URI_HOST = re.compile(_HOST)
_POSTGRES_URI = re.compile(
    r"(?P<before>postgres(?:ql)?://(?:[^/?#\x00-\x20\x7f]*@)?)"
    rf"{_HOST}"
    r"(?P<after>(?::[0-9]*)?(?:[/?][^\x00-\x20\x7f]*)?)"
)


class InvalidConnectionURI(ValueError):
    """Not a Postgres URI with one host, or a host that is none. The message never holds the value."""


# The calls


def _request(
    method: str,
    route: str,
    *,
    params: Mapping[str, str | None] | None = None,
    body: dict[str, Any] | None = None,
    **ids: str,
) -> NeonRequest:
    """Raises `InvalidNeonId`: an empty id would be answered by a redirect, another could name another route."""
    for name, value in ids.items():
        if not is_neon_id(value):
            raise InvalidNeonId(f"{name} is not an id of Neon's")
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
    """One page of projects; ``search`` is a part of a name or id, ``recoverable`` asks for the deleted ones only."""
    params = {
        "org_id": org_id,
        "search": search,
        "cursor": cursor,
        "limit": str(limit),
        "recoverable": "true" if recoverable else None,
    }
    return NeonCall(_request("GET", "/projects", params=params), decoders.projects)


def get_project(project_id: str) -> NeonCall[Project]:
    """One project; a deleted one is absent."""
    request = _request("GET", _PROJECT, project_id=project_id)
    return NeonCall(request, decoders.project(project_id))


def create_project(spec: ProjectCreate) -> NeonCall[CreateProjectResponse]:
    """A new project. Sent twice it makes two: Neon has no idempotency key and names are not unique."""
    request = _request("POST", "/projects", body={"project": _dump(spec)})
    return NeonCall(request, CreateProjectResponse.model_validate)


def update_project(project_id: str, spec: ProjectUpdate) -> NeonCall[UpdateProjectResponse]:
    """Sets what is not None in the spec."""
    request = _request("PATCH", _PROJECT, body={"project": _dump(spec)}, project_id=project_id)
    return NeonCall(request, decoders.of_project(UpdateProjectResponse, project_id))


def delete_project(project_id: str) -> NeonCall[Project]:
    """Deletes a project, recoverably for 7 days; answered by 422 while any branch of it is protected."""
    request = _request("DELETE", _PROJECT, project_id=project_id)
    return NeonCall(request, decoders.project(project_id))


def recover_project(project_id: str) -> NeonCall[RecoverProjectResponse]:
    """Brings a deleted project back with its branches, computes and connection strings (beta)."""
    request = _request("POST", "/projects/{project_id}/recover", project_id=project_id)
    return NeonCall(request, decoders.of_project(RecoverProjectResponse, project_id))


def list_branches(project_id: str, cursor: str | None = None) -> NeonCall[BranchList]:
    """One page of a project's branches, with their annotations."""
    params = {"cursor": cursor, "limit": str(BRANCHES_PER_PAGE)}
    request = _request("GET", "/projects/{project_id}/branches", params=params, project_id=project_id)
    return NeonCall(request, decoders.branches(project_id))


def create_branch(project_id: str, spec: BranchCreate) -> NeonCall[CreateBranchResponse]:
    """A new branch, with a compute only where the spec asks for one."""
    body: dict[str, Any] = {"branch": _dump(spec, exclude={"annotations", "with_compute"})}
    if spec.with_compute:
        body["endpoints"] = [{"type": "read_write"}]
    if spec.annotations:
        body["annotation_value"] = dict(spec.annotations)
    request = _request("POST", "/projects/{project_id}/branches", body=body, project_id=project_id)
    return NeonCall(request, decoders.created_branch(project_id))


def update_branch(project_id: str, branch_id: str, *, protected: bool) -> NeonCall[UpdateBranchResponse]:
    """Sets or clears a branch's protection."""
    route = "/projects/{project_id}/branches/{branch_id}"
    body = {"branch": {"protected": protected}}
    request = _request("PATCH", route, body=body, project_id=project_id, branch_id=branch_id)
    return NeonCall(request, decoders.updated_branch(project_id, branch_id))


def list_endpoints(project_id: str) -> NeonCall[tuple[Endpoint, ...]]:
    """All computes of a project; Neon does not page them."""
    request = _request("GET", "/projects/{project_id}/endpoints", project_id=project_id)
    return NeonCall(request, decoders.endpoints(project_id))


def create_endpoint(project_id: str, spec: EndpointCreate) -> NeonCall[EndpointResponse]:
    """A compute for a branch that has none."""
    route = "/projects/{project_id}/endpoints"
    request = _request("POST", route, body={"endpoint": _dump(spec)}, project_id=project_id)
    return NeonCall(request, decoders.endpoint_response(project_id))


def list_operations(project_id: str, limit: int = 100) -> NeonCall[tuple[Operation, ...]]:
    """The latest operations of a project, newest first."""
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
    """The URI of a role and database; on the default branch where none is named. It resets no password."""
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
    """The organizations that the key may see; an organization's key sees its own."""
    request = _request("GET", "/users/me/organizations")
    return NeonCall(request, decoders.organizations)


def get_auth() -> NeonCall[AuthDetails]:
    """Whose key this is; answered to every valid key, so it tells a bad key from an absent project."""
    return NeonCall(_request("GET", "/auth"), AuthDetails.model_validate)


def build_connection_string(connection_uri: str, pooler_host: str | None) -> str:
    """The URI with its host replaced by the pooler's; all else stays byte for byte.

    Args:
        connection_uri: as Neon returned it: ``postgres://`` or ``postgresql://``, with exactly one host.
        pooler_host: the ``pooler_host`` that Neon returned with it, or None to get the URI itself.

    Raises:
        InvalidConnectionURI: the URI is not such a one, or the host is none; the message holds neither.
    """
    parts = _POSTGRES_URI.fullmatch(connection_uri)
    if parts is None:
        raise InvalidConnectionURI("not a Postgres URI with one host")
    if pooler_host is None:
        return connection_uri
    if not _URI_HOST.fullmatch(pooler_host):
        raise InvalidConnectionURI("the pooler's host is not a host name")
    return f"{parts['before']}{pooler_host}{parts['after']}"
