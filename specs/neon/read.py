"""What Neon answers, read leniently: unknown fields are ignored, null is absent, every status stays a plain string.

Neon adds fields and values without notice (Neon API reference, Projects, shows fields that its OpenAPI document does
not have).
"""

from __future__ import annotations

from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Annotated, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from specs.neon.sent import Quota

# "A failed operation is not terminal and may be retried" (Neon API reference, Operations).
_SETTLED_WELL = frozenset({"finished", "skipped"})
_SETTLED = _SETTLED_WELL | {"error", "cancelled"}

_Item = TypeVar("_Item")
Listed: TypeAlias = Annotated[tuple[_Item, ...], Field(fail_fast=True)]
"""A list that ends at its first bad item: a body of 8 MB can hold millions, and each would cost an error."""


def _instant(at: datetime) -> datetime:
    """With a time zone, and far enough from the ends of the calendar to be added to."""
    if not MINYEAR < at.year < MAXYEAR:
        raise ValueError("is at an end of the calendar")
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_Instant = Annotated[datetime, AfterValidator(_instant)]


def _or_none(value: object, read: ValidatorFunctionWrapHandler) -> datetime | None:
    try:
        at: datetime = read(value)
    except ValidationError:
        return None
    return at


# A time that only guides when to look: one that cannot be read is none, and no error.
_Hint = Annotated[_Instant | None, WrapValidator(_or_none)]


class _Read(BaseModel):
    """Base of what we read: unknown fields are ignored, null counts as absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: object) -> object:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


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
    created_at: _Hint = None
    updated_at: _Hint = None

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
    endpoints: Listed[Endpoint] = ()
    operations: Listed[Operation] = ()
    roles: Listed[Role] = ()
    databases: Listed[Database] = ()
    connection_uris: Listed[ConnectionDetails] = ()


class CreatedProject(CreatedBranch):
    """Answer to ``POST /projects``: the project and its default branch with all that belongs to it."""

    project: Project


class ProjectPage(_Read):
    """One page of ``GET /projects``; the cursor is there even on the last one (Neon API reference, Projects).

    The unavailable projects exist, but could not be described in time.
    """

    projects: Listed[Project]
    unavailable_project_ids: Listed[str] = ()
    cursor: str | None = None


class ProjectListing(_Read):
    """All pages of a list of projects.

    Attributes:
        unavailable_project_ids: they exist but were not described.
        repeated_project_ids: met on two pages: the list moved under the reader and may lack others.
    """

    projects: Listed[Project]
    unavailable_project_ids: Listed[str] = ()
    repeated_project_ids: Listed[str] = ()

    @property
    def complete(self) -> bool:
        """True when a project that is not in it was not there: only then may absence be concluded."""
        return not self.unavailable_project_ids and not self.repeated_project_ids


class BranchList(_Read):
    """Branches of a project, their annotations by branch id, and the cursor of the next page, if there is one."""

    branches: Listed[Branch]
    annotations: dict[str, dict[str, str]] = Field(default_factory=dict)
    next: str | None = None


class _Changed(_Read):
    operations: Listed[Operation] = ()


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
    branches: Listed[Branch] = ()


class Organization(_Read):
    """An organization that the key may see."""

    id: str
    name: str = ""


class AuthDetails(_Read):
    """Whose key this is; answered to every kind of key (Neon OpenAPI document, getAuthDetails)."""

    account_id: str
    auth_method: str = ""
