"""How the answers of Neon's API are read.

A list is read item by item. An item that cannot be read counts as present and unknown, so that it neither stops the
reader nor proves that anything is absent. An answer about another project than the one in the path is no answer.

Every reader raises pydantic's ValidationError or `OtherThanRequested`.
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
"""Characters of a cursor, which becomes a part of the next address; Neon's are ids or names of fields and ids."""

MAX_ANNOTATION: Final = 4096
"""Characters of an annotation's value; ours are below 1,000."""

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
    """The reader of an answer that holds one project."""

    def read(data: object) -> Project:
        found = _ProjectEnvelope.model_validate(data).project
        _same("project", found.id, project_id)
        return found

    return read


def of_project(model: type[_OfOneProject], project_id: str) -> Callable[[object], _OfOneProject]:
    """The reader of an answer that holds one project and more."""

    def read(data: object) -> _OfOneProject:
        found = model.model_validate(data)
        _same("project", found.project.id, project_id)
        return found

    return read


def projects(data: object) -> ProjectPage:
    """One page of projects."""
    read = _ProjectsEnvelope.model_validate(data)
    found: list[Project] = []
    unreadable: list[UnreadableProject] = []
    for item in read.projects:
        whole = _none_if_invalid(Project, item)
        if whole is not None:
            found.append(whole)
        else:
            unreadable.append(_none_if_invalid(UnreadableProject, item) or UnreadableProject())
    return ProjectPage(
        projects=tuple(found),
        unavailable_project_ids=read.unavailable_project_ids or (),
        unreadable=tuple(unreadable),
        cursor=(read.pagination.cursor if read.pagination else None) or None,
    )


def branches(project_id: str) -> Callable[[object], BranchList]:
    """The reader of one page of a project's branches."""

    def read(data: object) -> BranchList:
        page = _BranchesEnvelope.model_validate(data)
        found = [each for item in page.branches if _is_of(each := _none_if_invalid(Branch, item), project_id)]
        given = {branch_id: item for branch_id, item in (page.annotations or {}).items() if item is not None}
        read_ones = {branch_id: _annotation(item) for branch_id, item in given.items()}
        annotations = {branch_id: texts for branch_id, texts in read_ones.items() if texts is not None}
        unreadable = len(page.branches) - len(found) + len(given) - len(annotations)
        after = (page.pagination.next if page.pagination else None) or None
        return BranchList(branches=tuple(found), annotations=annotations, unreadable=unreadable, next=after)

    return read


def created_branch(project_id: str) -> Callable[[object], CreateBranchResponse]:
    """The reader of the answer to a new branch."""

    def read(data: object) -> CreateBranchResponse:
        found = CreateBranchResponse.model_validate(data)
        _same("project", found.branch.project_id, project_id)
        return found

    return read


def updated_branch(project_id: str, branch_id: str) -> Callable[[object], UpdateBranchResponse]:
    """The reader of the answer to a change of a branch."""

    def read(data: object) -> UpdateBranchResponse:
        found = UpdateBranchResponse.model_validate(data)
        _same("project", found.branch.project_id, project_id)
        _same("branch", found.branch.id, branch_id)
        return found

    return read


def endpoints(project_id: str) -> Callable[[object], tuple[Endpoint, ...]]:
    """The reader of a project's computes; one that cannot be read may be any."""

    def read(data: object) -> tuple[Endpoint, ...]:
        items = [_none_if_invalid(Endpoint, item) for item in _EndpointsEnvelope.model_validate(data).endpoints]
        return tuple(each if each is not None and _is_of(each, project_id) else Endpoint() for each in items)

    return read


def endpoint_response(project_id: str) -> Callable[[object], EndpointResponse]:
    """The reader of the answer to a new or changed compute."""

    def read(data: object) -> EndpointResponse:
        found = EndpointResponse.model_validate(data)
        _same("project", found.endpoint.project_id, project_id)
        return found

    return read


def operations(project_id: str) -> Callable[[object], tuple[Operation, ...]]:
    """The reader of a project's operations; one that cannot be read may still run."""

    def read(data: object) -> tuple[Operation, ...]:
        items = [_none_if_invalid(Operation, item) for item in _OperationsEnvelope.model_validate(data).operations]
        return tuple(each if each is not None and _is_of(each, project_id) else Operation() for each in items)

    return read


def uri(data: object) -> SecretStr:
    """A connection URI."""
    return _UriEnvelope.model_validate(data).uri


def organizations(data: object) -> tuple[Organization, ...]:
    """The organizations of the key: one that cannot be read could be the one to choose, so all must be readable."""
    return _OrganizationsEnvelope.model_validate(data).organizations


def _none_if_invalid(model: type[_M], item: object) -> _M | None:
    try:
        return model.model_validate(item)
    except ValidationError:
        return None


def _is_of(item: Branch | Endpoint | Operation | None, project_id: str) -> bool:
    """Whether an item does not name another project."""
    return item is not None and item.project_id in (None, project_id)


def _same(what: str, found: str | None, requested: str) -> None:
    if found not in (None, requested):
        raise OtherThanRequested(what)


def _annotation(item: object) -> dict[str, str] | None:
    """The texts of one annotation, whose value may be null; None where it cannot be read."""
    value = (item.get("value") or {}) if isinstance(item, dict) else None
    if not isinstance(value, dict):
        return None
    texts = {key: text for key, text in value.items() if isinstance(text, str)}
    return texts if all(is_storable(text, MAX_ANNOTATION) for text in texts.values()) else None
