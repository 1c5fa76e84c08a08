"""Parsers of the responses of Neon's API.

Lists are parsed item by item. An unreadable item counts as present and unknown: it neither fails the parser nor proves
that anything is absent. A response about another project than the one in the path is not valid. Every parser raises
pydantic's ValidationError or `OtherThanRequested`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from reconciler.neon.protocol import OtherThanRequested
from specs.neon import (
    Branch,
    BranchList,
    CreateBranchResponse,
    Endpoint,
    EndpointResponse,
    Operation,
    Organization,
    Project,
    ProjectPage,
    RecoverProjectResponse,
    UnreadableProject,
    UpdateBranchResponse,
    UpdateProjectResponse,
)
from specs.neon.lenient import MAX_LIST_ITEMS, LenientText, Secret, is_storable

MAX_CURSOR: Final = 2048
"""Characters of a cursor, which becomes part of the next URL; Neon's are ids or names of fields and ids."""

MAX_ANNOTATION: Final = 4096
"""Characters of an annotation's value; this product's are below 1,000."""

_Items = Annotated[list[Any], Field(max_length=MAX_LIST_ITEMS)]
_M = TypeVar("_M", bound=BaseModel)
_OfOneProject = TypeVar("_OfOneProject", UpdateProjectResponse, RecoverProjectResponse)


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class _ProjectEnvelope(_Envelope):
    project: Project


class _UriEnvelope(_Envelope):
    uri: Secret


class _EndpointsEnvelope(_Envelope):
    endpoints: _Items


class _OperationsEnvelope(_Envelope):
    operations: _Items


class _OrganizationsEnvelope(_Envelope):
    organizations: Annotated[tuple[Organization, ...], Field(max_length=MAX_LIST_ITEMS, fail_fast=True)]


_Cursor = Annotated[str, Field(max_length=MAX_CURSOR, pattern=r"^[ -~]*$")]


class _Pagination(_Envelope):
    cursor: _Cursor | None = None
    next: _Cursor | None = None


class _ProjectsEnvelope(_Envelope):
    projects: _Items
    unavailable_project_ids: Annotated[tuple[LenientText, ...], Field(max_length=MAX_LIST_ITEMS)] | None = None
    pagination: _Pagination | None = None


class _BranchesEnvelope(_Envelope):
    branches: _Items
    annotations: Annotated[dict[str, Any], Field(max_length=MAX_LIST_ITEMS)] | None = None
    pagination: _Pagination | None = None


def project(project_id: str) -> Callable[[object], Project]:
    """Return the parser of a response with one project."""

    def read(data: object) -> Project:
        parsed = _ProjectEnvelope.model_validate(data).project
        _require_same("project", parsed.id, project_id)
        return parsed

    return read


def of_project(model: type[_OfOneProject], project_id: str) -> Callable[[object], _OfOneProject]:
    """Return the parser of a response with one project and more."""

    def read(data: object) -> _OfOneProject:
        parsed = model.model_validate(data)
        _require_same("project", parsed.project.id, project_id)
        return parsed

    return read


def projects(data: object) -> ProjectPage:
    """Parse one page of projects."""
    envelope = _ProjectsEnvelope.model_validate(data)
    readable: list[Project] = []
    unreadable: list[UnreadableProject] = []
    for item in envelope.projects:
        parsed = _none_if_invalid(Project, item)
        if parsed is not None:
            readable.append(parsed)
        else:
            unreadable.append(_none_if_invalid(UnreadableProject, item) or UnreadableProject())
    return ProjectPage(
        projects=tuple(readable),
        unavailable_project_ids=envelope.unavailable_project_ids or (),
        unreadable=tuple(unreadable),
        cursor=(envelope.pagination.cursor if envelope.pagination else None) or None,
    )


def branches(project_id: str) -> Callable[[object], BranchList]:
    """Return the parser of one page of a project's branches."""

    def read(data: object) -> BranchList:
        page = _BranchesEnvelope.model_validate(data)
        readable = [branch for item in page.branches if _is_of(branch := _none_if_invalid(Branch, item), project_id)]
        items = {branch_id: item for branch_id, item in (page.annotations or {}).items() if item is not None}
        parsed = {branch_id: _annotation(item) for branch_id, item in items.items()}
        annotations = {branch_id: texts for branch_id, texts in parsed.items() if texts is not None}
        unreadable = len(page.branches) - len(readable) + len(items) - len(annotations)
        after = (page.pagination.next if page.pagination else None) or None
        return BranchList(branches=tuple(readable), annotations=annotations, unreadable=unreadable, next=after)

    return read


def created_branch(project_id: str) -> Callable[[object], CreateBranchResponse]:
    """Return the parser of the response to a new branch."""

    def read(data: object) -> CreateBranchResponse:
        parsed = CreateBranchResponse.model_validate(data)
        _require_same("project", parsed.branch.project_id, project_id)
        return parsed

    return read


def updated_branch(project_id: str, branch_id: str) -> Callable[[object], UpdateBranchResponse]:
    """Return the parser of the response to a change of a branch."""

    def read(data: object) -> UpdateBranchResponse:
        parsed = UpdateBranchResponse.model_validate(data)
        _require_same("project", parsed.branch.project_id, project_id)
        _require_same("branch", parsed.branch.id, branch_id)
        return parsed

    return read


def endpoints(project_id: str) -> Callable[[object], tuple[Endpoint, ...]]:
    """Return the parser of a project's computes; an unreadable one is of unknown type."""

    def read(data: object) -> tuple[Endpoint, ...]:
        items = [_none_if_invalid(Endpoint, item) for item in _EndpointsEnvelope.model_validate(data).endpoints]
        return tuple(item if item is not None and _is_of(item, project_id) else Endpoint() for item in items)

    return read


def endpoint_response(project_id: str) -> Callable[[object], EndpointResponse]:
    """Return the parser of the response to a new or changed compute."""

    def read(data: object) -> EndpointResponse:
        parsed = EndpointResponse.model_validate(data)
        _require_same("project", parsed.endpoint.project_id, project_id)
        return parsed

    return read


def operations(project_id: str) -> Callable[[object], tuple[Operation, ...]]:
    """Return the parser of a project's operations; an unreadable one may be running."""

    def read(data: object) -> tuple[Operation, ...]:
        items = [_none_if_invalid(Operation, item) for item in _OperationsEnvelope.model_validate(data).operations]
        return tuple(item if item is not None and _is_of(item, project_id) else Operation() for item in items)

    return read


def uri(data: object) -> SecretStr:
    """Parse a connection URI."""
    return _UriEnvelope.model_validate(data).uri


def organizations(data: object) -> tuple[Organization, ...]:
    """Parse the key's organizations. An unreadable one could be the one to use, so all must be readable."""
    return _OrganizationsEnvelope.model_validate(data).organizations


def _none_if_invalid(model: type[_M], item: object) -> _M | None:
    try:
        return model.model_validate(item)
    except ValidationError:
        return None


def _is_of(item: Branch | Endpoint | Operation | None, project_id: str) -> bool:
    """Whether an item does not name another project."""
    return item is not None and item.project_id in (None, project_id)


def _require_same(kind: str, returned: str | None, requested: str) -> None:
    if returned not in (None, requested):
        raise OtherThanRequested(kind)


def _annotation(item: object) -> dict[str, str] | None:
    """Return the texts of one annotation, whose value may be null; None if it is unreadable."""
    value = (item.get("value") or {}) if isinstance(item, dict) else None
    if not isinstance(value, dict):
        return None
    texts = {key: text for key, text in value.items() if isinstance(text, str)}
    return texts if all(is_storable(text, MAX_ANNOTATION) for text in texts.values()) else None
