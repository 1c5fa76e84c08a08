"""Neon's responses, parsed leniently: unknown fields are ignored, null is absent, every status stays a plain string.

Neon adds fields and values without notice (Neon API reference, Projects, shows fields that its OpenAPI document does
not have). Ids are strict, since they become parts of paths and rows of the catalog.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from specs.neon.ids import NeonId
from specs.neon.lenient import (
    READABLE,
    Cu,
    LenientId,
    LenientText,
    LenientTimestamp,
    Number,
    Secret,
    Text,
    TextOrNone,
    UtcDatetime,
)
from specs.neon.requests import Quota

# "A failed operation is not terminal and may be retried" (Neon API reference, Operations).
_SUCCEEDED = frozenset({"finished", "skipped"})
_TERMINAL = _SUCCEEDED | {"error", "cancelled"}


class ResponseModel(BaseModel):
    """Base of responses: unknown fields are ignored, null counts as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


class ComputeSettingsResponse(ResponseModel):
    """Size and scale-to-zero as Neon reports them; the units of `ComputeSettings`."""

    autoscaling_limit_min_cu: Cu | None = None
    autoscaling_limit_max_cu: Cu | None = None
    suspend_timeout_seconds: Number | None = None


class QuotaResponse(ResponseModel):
    """A quota as Neon reports it: absent and null are 0, unlimited."""

    active_time_seconds: Number = 0
    compute_time_seconds: Number = 0
    written_data_bytes: Number = 0
    data_transfer_bytes: Number = 0
    logical_size_bytes: Number = 0


class ProjectSettingsResponse(ResponseModel):
    """The part of a project's settings that the reconciler compares."""

    quota: QuotaResponse = QuotaResponse()


class Project(ResponseModel):
    """A project, complete or as an item of a list (Neon OpenAPI document, Project and ProjectListItem).

    Only the list of recoverable projects contains ``deleted_at`` and ``recoverable_until``.
    """

    id: NeonId
    name: Text
    region_id: Text
    pg_version: Number
    org_id: NeonId | None = None
    owner_id: TextOrNone = None
    store_passwords: bool | None = None
    history_retention_seconds: Number | None = None
    default_endpoint_settings: ComputeSettingsResponse = ComputeSettingsResponse()
    settings: ProjectSettingsResponse | None = None
    created_at: UtcDatetime
    deleted_at: UtcDatetime | None = None
    recoverable_until: LenientTimestamp = None

    @property
    def quota(self) -> Quota:
        """Return the quota in the form of a request, so that the two compare; absent and negative values are 0."""
        read = QuotaResponse() if self.settings is None else self.settings.quota
        return Quota(**{field: max(0, amount) for field, amount in read.model_dump().items()})


class UnreadableProject(ResponseModel):
    """An item of a list that is not a valid `Project`: it exists, and may be any project. Invalid fields are None."""

    id: LenientId = None
    name: TextOrNone = None


class Branch(ResponseModel):
    """A branch; exactly one of a project is the default (Neon OpenAPI document, Branch)."""

    id: NeonId
    name: LenientText = ""
    project_id: LenientId = None
    default: bool = False
    protected: bool = False
    current_state: LenientText = ""
    parent_id: LenientId = None
    created_at: LenientTimestamp = None
    expires_at: LenientTimestamp = None


class Endpoint(ComputeSettingsResponse):
    """A compute of a branch; ``current_state`` is init, active, idle or something new.

    In a list, an unreadable one has no id, no branch and no type, and so may be any endpoint.
    """

    id: LenientText = ""
    branch_id: LenientId = None
    project_id: LenientId = None
    type: LenientText = ""
    host: LenientText = ""
    current_state: LenientText = ""
    disabled: bool = False


class Role(ResponseModel):
    """A role; Neon returns the password only when it has just generated it."""

    name: Text
    branch_id: LenientId = None
    password: Secret | None = None


class Database(ResponseModel):
    """A database of a branch and the role that owns it."""

    name: Text
    branch_id: LenientId = None
    owner_name: TextOrNone = None


class Operation(ResponseModel):
    """An asynchronous action of Neon on a project (Neon API reference, Operations).

    In a list, an unreadable one has no status, and so may still run.
    """

    id: LenientText = ""
    project_id: LenientId = None
    action: LenientText = ""
    status: LenientText = ""
    branch_id: LenientId = None
    endpoint_id: LenientId = None
    failures_count: Number = 0
    error: TextOrNone = None
    created_at: LenientTimestamp = None
    updated_at: LenientTimestamp = None

    @property
    def is_terminal(self) -> bool:
        """Whether its status is final; ``failed`` and unknown statuses still may change."""
        return self.status in _TERMINAL

    @property
    def succeeded(self) -> bool:
        """Whether it ended with success."""
        return self.status in _SUCCEEDED


class ConnectionParameters(ResponseModel):
    """The parts of a connection URI as Neon names them."""

    database: TextOrNone = None
    role: TextOrNone = None
    password: Secret | None = None
    host: TextOrNone = None
    pooler_host: TextOrNone = None


class ConnectionDetails(ResponseModel):
    """A connection URI and its parts."""

    connection_uri: Secret
    connection_parameters: ConnectionParameters = ConnectionParameters()


class CreateBranchResponse(ResponseModel):
    """Response to ``POST /projects/{project_id}/branches``."""

    branch: Branch
    endpoints: Annotated[tuple[Endpoint, ...], READABLE] = ()
    operations: Annotated[tuple[Operation, ...], READABLE] = ()
    roles: Annotated[tuple[Role, ...], READABLE] = ()
    databases: Annotated[tuple[Database, ...], READABLE] = ()
    connection_uris: Annotated[tuple[ConnectionDetails, ...], READABLE] = ()


class CreateProjectResponse(CreateBranchResponse):
    """Response to ``POST /projects``: the project and its default branch with all its parts."""

    project: Project


class ProjectPage(ResponseModel):
    """One page of ``GET /projects``; even the last one has a cursor (Neon API reference, Projects).

    Unavailable projects exist, but Neon could not describe them in time; unreadable ones have an invalid description.
    """

    projects: tuple[Project, ...]
    unavailable_project_ids: tuple[str, ...] = ()
    unreadable: tuple[UnreadableProject, ...] = ()
    cursor: str | None = None


class ProjectListing(ResponseModel):
    """All pages of a list of projects.

    Attributes:
        unavailable_project_ids: projects that exist and that Neon did not describe.
        repeated_project_ids: projects on two pages: the list changed between them and may lack others.
        unreadable: items that are not valid projects.
    """

    projects: tuple[Project, ...]
    unavailable_project_ids: tuple[str, ...] = ()
    repeated_project_ids: tuple[str, ...] = ()
    unreadable: tuple[UnreadableProject, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether a project whose id the list lacks did not exist; only then does the list prove absence."""
        unidentified = any(item.id is None for item in self.unreadable)
        return not (self.unavailable_project_ids or self.repeated_project_ids or unidentified)

    @property
    def unreadable_ids(self) -> frozenset[str]:
        """Return the ids of projects that exist and are unreadable."""
        return frozenset(item.id for item in self.unreadable if item.id is not None)

    @property
    def seen_ids(self) -> frozenset[str]:
        """Return the ids of all listed projects, unreadable ones included."""
        return self.unreadable_ids | {project.id for project in self.projects}

    def may_lack_name(self, part: str) -> bool:
        """Whether a project whose name contains this part may exist in addition to the readable ones."""
        return not self.is_complete or any(item.name is None or part in item.name for item in self.unreadable)


class BranchList(ResponseModel):
    """Branches of a project, their annotations by branch id, and the cursor of the next page or None.

    ``unreadable`` counts the invalid branches and annotations.
    """

    branches: tuple[Branch, ...]
    annotations: dict[str, dict[str, str]] = Field(default_factory=dict)
    unreadable: int = 0
    next: str | None = None


class _MutationResponse(ResponseModel):
    operations: Annotated[tuple[Operation, ...], READABLE] = ()


class UpdateProjectResponse(_MutationResponse):
    """Response to a change of a project."""

    project: Project


class EndpointResponse(_MutationResponse):
    """Response to a change of a compute."""

    endpoint: Endpoint


class UpdateBranchResponse(_MutationResponse):
    """Response to a change of a branch."""

    branch: Branch


class RecoverProjectResponse(ResponseModel):
    """Response to ``POST /projects/{project_id}/recover`` (beta)."""

    project: Project
    branches: Annotated[tuple[Branch, ...], READABLE] = ()


class Organization(ResponseModel):
    """An organization that the key can see."""

    id: NeonId
    name: LenientText = ""


class AuthDetails(ResponseModel):
    """The account of the key; Neon returns it for every kind of key (Neon OpenAPI document, getAuthDetails)."""

    account_id: Text
    auth_method: LenientText = ""
