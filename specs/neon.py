"""The words of Neon's management API: what is sent, strictly, and what is read, leniently.

What we send refuses unknown fields and bad values here, before a byte leaves. What we read ignores unknown fields,
takes null as absent and keeps every state, status and type a plain string: Neon adds fields and values without
notice (Neon API reference, Projects, shows fields that its OpenAPI document does not have).

Passwords and URIs are ``SecretStr``: no repr, error or dump of a model shows one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, SecretStr, model_validator

# "A failed operation is not terminal and may be retried" (Neon API reference, Operations).
_SETTLED_WELL = frozenset({"finished", "skipped"})
_SETTLED = _SETTLED_WELL | {"error", "cancelled"}

_NeonId = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,60}$")]
_Name = Annotated[str, Field(min_length=1, max_length=256)]
_SqlName = Annotated[str, Field(min_length=1, max_length=63)]
_Cu = Annotated[float, Field(ge=0.25, allow_inf_nan=False)]
_Suspend = Annotated[int, Field(ge=-1, le=604_800)]
_History = Annotated[int, Field(ge=0, le=2_592_000)]
_Amount = Annotated[int, Field(ge=0)]
_Annotations = Annotated[dict[str, str], Field(max_length=50)]


_Instant = Annotated[datetime, AfterValidator(lambda at: at if at.tzinfo else at.replace(tzinfo=UTC))]
_WholeSecond = Annotated[AwareDatetime, AfterValidator(lambda at: at.replace(microsecond=0))]


class _Sent(BaseModel):
    """Base of what we send: unknown fields are an error, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class _Read(BaseModel):
    """Base of what we read: unknown fields are ignored, null counts as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


# What we send


class ComputeSettings(_Sent):
    """Size of a compute in compute units, and how long it may idle; None leaves a value to Neon.

    A suspend time-out of -1 is never, 0 is Neon's default of 300 s (Neon API reference, Projects).
    """

    autoscaling_limit_min_cu: _Cu | None = None
    autoscaling_limit_max_cu: _Cu | None = None
    suspend_timeout_seconds: _Suspend | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        low, high = self.autoscaling_limit_min_cu, self.autoscaling_limit_max_cu
        if low is not None and high is not None and low > high:
            raise ValueError("autoscaling_limit_min_cu is above autoscaling_limit_max_cu")
        return self


class Quota(_Sent):
    """Consumption limits of a project, always sent whole; 0 is unlimited (Neon docs, Consumption limits).

    Each counts the whole project per billing period (active is wall-clock, compute is CPU time), but
    ``logical_size_bytes`` is the size of any one branch and never resets.
    """

    active_time_seconds: _Amount = 0
    compute_time_seconds: _Amount = 0
    written_data_bytes: _Amount = 0
    data_transfer_bytes: _Amount = 0
    logical_size_bytes: _Amount = 0


class ProjectSettings(_Sent):
    """The settings of a project that we set."""

    quota: Quota = Quota()


class BranchOfProject(_Sent):
    """The default branch of a new project.

    No call can change the annotations later (Neon OpenAPI document, updateProjectBranch).
    """

    name: _Name
    role_name: _SqlName
    database_name: _SqlName
    annotations: _Annotations = Field(default_factory=dict)


class ProjectCreate(_Sent):
    """Body of ``POST /projects`` (Neon API reference, Projects).

    Attributes:
        name: not unique at Neon.
        org_id: owning organization; None lets an organization's key imply it.
        region_id: where it runs; can never change.
        pg_version: Postgres major version; can never change, and Neon's default moves, so it is always named.
        store_passwords: False makes passwords unreadable for ever.
        history_retention_seconds: point-in-time window in seconds, or None for the plan's default.
    """

    name: _Name
    org_id: _NeonId | None = None
    region_id: _NeonId
    pg_version: Annotated[int, Field(ge=14)]
    branch: BranchOfProject
    store_passwords: bool = True
    history_retention_seconds: _History | None = None
    default_endpoint_settings: ComputeSettings | None = None
    settings: ProjectSettings = ProjectSettings()


class ProjectUpdate(_Sent):
    """Body of ``PATCH /projects/{project_id}``: what is not None is sent, and nothing at all is a ValueError."""

    name: _Name | None = None
    settings: ProjectSettings | None = None
    default_endpoint_settings: ComputeSettings | None = None
    history_retention_seconds: _History | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(getattr(self, field) is None for field in type(self).model_fields):
            raise ValueError("an update that sets nothing")
        return self


class BranchCreate(_Sent):
    """What is asked of ``POST /projects/{project_id}/branches`` (Neon API reference, Branches).

    Attributes:
        name: None leaves it to Neon.
        parent_id: branch to start from, or None for the default branch.
        parent_timestamp: instant of the parent's history to start from, with a time zone, or None for its end.
        protected: True keeps it from being deleted, and blocks deletion of its project.
        expires_at: when Neon deletes it, with a time zone; kept in whole seconds, as Neon does.
        with_compute: True gives it a read-write compute; without one nobody can connect.
    """

    name: _Name | None = None
    parent_id: _NeonId | None = None
    parent_timestamp: AwareDatetime | None = None
    protected: bool | None = None
    expires_at: _WholeSecond | None = None
    annotations: _Annotations | None = None
    with_compute: bool = False


class EndpointCreate(ComputeSettings):
    """Body of ``POST /projects/{project_id}/endpoints``: a compute for a branch (Neon API reference, Computes)."""

    branch_id: _NeonId
    type: str = "read_write"


# What we read


class ComputeRead(_Read):
    """Size and scale-to-zero as Neon reports them; the units of `ComputeSettings`."""

    autoscaling_limit_min_cu: float | None = None
    autoscaling_limit_max_cu: float | None = None
    suspend_timeout_seconds: int | None = None


class QuotaRead(_Read):
    """A quota as Neon reports it: absent and null are 0, unlimited."""

    active_time_seconds: int = 0
    compute_time_seconds: int = 0
    written_data_bytes: int = 0
    data_transfer_bytes: int = 0
    logical_size_bytes: int = 0


class SettingsRead(_Read):
    """The part of a project's settings that we compare."""

    quota: QuotaRead = QuotaRead()


class Project(_Read):
    """A project, whole or as an item of a list (Neon OpenAPI document, Project and ProjectListItem).

    ``deleted_at`` and ``recoverable_until`` come only in the list of recoverable projects.
    """

    id: str
    name: str
    region_id: str
    pg_version: int
    org_id: str | None = None
    owner_id: str | None = None
    store_passwords: bool | None = None
    history_retention_seconds: int | None = None
    default_endpoint_settings: ComputeRead = ComputeRead()
    settings: SettingsRead | None = None
    created_at: _Instant
    deleted_at: _Instant | None = None
    recoverable_until: _Instant | None = None

    @property
    def quota(self) -> Quota:
        """The quota in the form that we send, so that the two compare; absent and below 0 are 0."""
        read = QuotaRead() if self.settings is None else self.settings.quota
        return Quota(**{field: max(0, amount) for field, amount in read.model_dump().items()})


class Branch(_Read):
    """A branch; exactly one of a project is the default (Neon OpenAPI document, Branch)."""

    id: str
    name: str
    default: bool = False
    protected: bool = False
    current_state: str = ""
    parent_id: str | None = None
    created_at: _Instant | None = None
    expires_at: _Instant | None = None


class Endpoint(ComputeRead):
    """A compute of a branch; ``current_state`` is init, active, idle or something new."""

    id: str
    branch_id: str
    type: str = ""
    host: str = ""
    current_state: str = ""
    disabled: bool = False


class Role(_Read):
    """A role; Neon shows the password only where it has just been made."""

    name: str
    branch_id: str | None = None
    password: SecretStr | None = None


class Database(_Read):
    """A database of a branch and the role that owns it."""

    name: str
    branch_id: str | None = None
    owner_name: str | None = None


class Operation(_Read):
    """Something that Neon is doing to a project (Neon API reference, Operations)."""

    id: str
    action: str = ""
    status: str = ""
    branch_id: str | None = None
    endpoint_id: str | None = None
    failures_count: int = 0
    error: str | None = None

    @property
    def is_settled(self) -> bool:
        """True once its status will not change; ``failed`` and unknown statuses still may."""
        return self.status in _SETTLED

    @property
    def is_ok(self) -> bool:
        """True once it has done what it was for."""
        return self.status in _SETTLED_WELL


class ConnectionParameters(_Read):
    """The parts of a connection URI as Neon names them."""

    database: str | None = None
    role: str | None = None
    password: SecretStr | None = None
    host: str | None = None
    pooler_host: str | None = None


class ConnectionDetails(_Read):
    """A connection URI and its parts."""

    connection_uri: SecretStr
    connection_parameters: ConnectionParameters = ConnectionParameters()


class CreatedBranch(_Read):
    """Answer to ``POST /projects/{project_id}/branches``."""

    branch: Branch
    endpoints: tuple[Endpoint, ...] = ()
    operations: tuple[Operation, ...] = ()
    roles: tuple[Role, ...] = ()
    databases: tuple[Database, ...] = ()
    connection_uris: tuple[ConnectionDetails, ...] = ()


class CreatedProject(CreatedBranch):
    """Answer to ``POST /projects``: the project and its default branch with all that belongs to it."""

    project: Project


class ProjectPage(_Read):
    """One page of ``GET /projects``; the cursor is there even on the last one (Neon API reference, Projects).

    The unavailable projects exist, but could not be described in time.
    """

    projects: tuple[Project, ...]
    unavailable_project_ids: tuple[str, ...] = ()
    cursor: str | None = None


class ProjectListing(_Read):
    """All pages of a list of projects.

    Attributes:
        unavailable_project_ids: they exist but were not described.
        repeated_project_ids: met on two pages: the list moved under the reader and may lack others.
    """

    projects: tuple[Project, ...]
    unavailable_project_ids: tuple[str, ...] = ()
    repeated_project_ids: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True when a project that is not in it was not there: only then may absence be concluded."""
        return not self.unavailable_project_ids and not self.repeated_project_ids


class BranchList(_Read):
    """Branches of a project, their annotations by branch id, and the cursor of the next page, if there is one."""

    branches: tuple[Branch, ...]
    annotations: dict[str, dict[str, str]] = Field(default_factory=dict)
    next: str | None = None


class _Changed(_Read):
    operations: tuple[Operation, ...] = ()


class ProjectChanged(_Changed):
    """Answer to a change of a project."""

    project: Project


class EndpointChanged(_Changed):
    """Answer to a change of a compute."""

    endpoint: Endpoint


class BranchChanged(_Changed):
    """Answer to a change of a branch."""

    branch: Branch


class RecoveredProject(_Read):
    """Answer to ``POST /projects/{project_id}/recover`` (beta)."""

    project: Project
    branches: tuple[Branch, ...] = ()


class Organization(_Read):
    """An organization that the key may see."""

    id: str
    name: str = ""


class AuthDetails(_Read):
    """Whose key this is; answered to every kind of key (Neon OpenAPI document, getAuthDetails)."""

    account_id: str
    auth_method: str = ""
