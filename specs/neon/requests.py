"""Requests to Neon: the models reject unknown fields and invalid values before anything is sent."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from specs.neon.ids import NeonId

_Name = Annotated[str, Field(min_length=1, max_length=256)]
_SqlName = Annotated[str, Field(min_length=1, max_length=63)]
_Cu = Annotated[float, Field(ge=0.25, allow_inf_nan=False)]
_Suspend = Annotated[int, Field(ge=-1, le=604_800)]
_History = Annotated[int, Field(ge=0, le=2_592_000)]
_Amount = Annotated[int, Field(ge=0)]
_Annotations = Annotated[dict[str, str], Field(max_length=50)]
_WholeSecond = Annotated[AwareDatetime, AfterValidator(lambda at: at.replace(microsecond=0))]


class RequestModel(BaseModel):
    """Base of requests: unknown fields are an error, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ComputeSettings(RequestModel):
    """Size of a compute in compute units, and its suspend timeout in seconds; None selects Neon's default.

    A suspend timeout of -1 means never, 0 means Neon's default of 300 s (Neon API reference, Projects).
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


class Quota(RequestModel):
    """Consumption limits of a project, always sent completely; 0 is unlimited (Neon docs, Consumption limits).

    Each counts the whole project per billing period (active is wall-clock, compute is CPU time), but
    ``logical_size_bytes`` is the size of any one branch and never resets.
    """

    active_time_seconds: _Amount = 0
    compute_time_seconds: _Amount = 0
    written_data_bytes: _Amount = 0
    data_transfer_bytes: _Amount = 0
    logical_size_bytes: _Amount = 0


class ProjectSettings(RequestModel):
    """The settings of a project that the reconciler sets."""

    quota: Quota = Quota()


class DefaultBranchSpec(RequestModel):
    """The default branch of a new project.

    No call can change the annotations later (Neon OpenAPI document, updateProjectBranch).
    """

    name: _Name
    role_name: _SqlName
    database_name: _SqlName
    annotations: _Annotations = Field(default_factory=dict)


class ProjectCreate(RequestModel):
    """Body of ``POST /projects`` (Neon API reference, Projects).

    Attributes:
        name: not unique at Neon.
        org_id: owning organization; None is valid with an organization's key, which implies it.
        region_id: Neon's region; immutable.
        pg_version: Postgres major version; immutable, and always sent because Neon's default changes.
        store_passwords: False makes passwords permanently unreadable.
        history_retention_seconds: point-in-time window in seconds, or None for the plan's default.
    """

    name: _Name
    org_id: NeonId | None = None
    region_id: NeonId
    pg_version: Annotated[int, Field(ge=14)]
    branch: DefaultBranchSpec
    store_passwords: bool = True
    history_retention_seconds: _History | None = None
    default_endpoint_settings: ComputeSettings | None = None
    settings: ProjectSettings = ProjectSettings()


class ProjectUpdate(RequestModel):
    """Body of ``PATCH /projects/{project_id}``: fields that are not None; without any, raises ValueError."""

    name: _Name | None = None
    settings: ProjectSettings | None = None
    default_endpoint_settings: ComputeSettings | None = None
    history_retention_seconds: _History | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(getattr(self, field) is None for field in type(self).model_fields):
            raise ValueError("an update that sets nothing")
        return self


class BranchCreate(RequestModel):
    """The request to ``POST /projects/{project_id}/branches`` (Neon API reference, Branches).

    Attributes:
        name: None lets Neon choose it.
        parent_id: branch to start from, or None for the default branch.
        parent_timestamp: instant of the parent's history to start from, with a time zone, or None for its end.
        protected: True blocks the deletion of the branch and of its project.
        expires_at: when Neon deletes it, with a time zone; cut to whole seconds, as Neon does.
        with_compute: True adds a read-write compute; without one no client can connect.
    """

    name: _Name | None = None
    parent_id: NeonId | None = None
    parent_timestamp: AwareDatetime | None = None
    protected: bool | None = None
    expires_at: _WholeSecond | None = None
    annotations: _Annotations | None = None
    with_compute: bool = False


class EndpointCreate(ComputeSettings):
    """Body of ``POST /projects/{project_id}/endpoints``: a compute for a branch (Neon API reference, Computes)."""

    branch_id: NeonId
    type: str = "read_write"
