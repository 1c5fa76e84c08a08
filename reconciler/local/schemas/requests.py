"""Request bodies. They are strict: an unknown field is an error of the client."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reconciler.local.errors import bad_request, unprocessable

Cu = Annotated[float, Field(ge=0.25, le=56)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Count = Annotated[int, Field(ge=0)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,60}$")]
PgName = Annotated[str, Field(min_length=1, max_length=63)]
Retention = Annotated[int, Field(ge=0, le=2_592_000)]
Suspend = Annotated[int, Field(ge=-1, le=604_800)]
Annotations = Annotated[dict[str, str], Field(max_length=50)]


class Body(BaseModel):
    """Base of all bodies: no unknown fields, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Compute(Body):
    """The size and the suspend timeout of a compute."""

    autoscaling_limit_min_cu: Cu | None = None
    autoscaling_limit_max_cu: Cu | None = None
    suspend_timeout_seconds: Suspend | None = None

    @model_validator(mode="after")
    def _fits(self) -> Compute:
        low, high = self.autoscaling_limit_min_cu, self.autoscaling_limit_max_cu
        if low is not None and high is not None and not low <= high <= max(low, low + 8):
            raise ValueError("autoscaling_limit_max_cu must be between the minimum and the minimum plus 8")
        if self.suspend_timeout_seconds is not None and 0 < self.suspend_timeout_seconds < 60:
            raise ValueError("suspend_timeout_seconds must be -1, 0 or at least 60")
        return self


class Quota(Body):
    """Limits of consumption; 0 is unlimited."""

    active_time_seconds: Count | None = None
    compute_time_seconds: Count | None = None
    written_data_bytes: Count | None = None
    data_transfer_bytes: Count | None = None
    logical_size_bytes: Count | None = None


class AllowedIps(Body):
    """The addresses from which computes accept connections; an empty list allows all."""

    ips: list[str] | None = None
    protected_branches_only: bool | None = None


class MaintenanceWindow(Body):
    """The time window in which computes may be restarted."""

    weekdays: list[Annotated[int, Field(ge=1, le=7)]]
    start_time: str
    end_time: str


class PreloadLibraries(Body):
    """Libraries that a compute loads at its start."""

    use_defaults: bool | None = None
    enabled_libraries: list[str] | None = None


class Settings(Body):
    """A project's settings."""

    quota: Quota | None = None
    allowed_ips: AllowedIps | None = None
    enable_logical_replication: bool | None = None
    maintenance_window: MaintenanceWindow | None = None
    block_public_connections: bool | None = None
    block_vpc_connections: bool | None = None
    audit_log_level: Literal["base", "extended", "full"] | None = None
    hipaa: bool | None = None
    preload_libraries: PreloadLibraries | None = None


class EndpointDefaults(Compute):
    """The defaults of new computes of a project."""

    pg_settings: dict[str, str] | None = None
    pgbouncer_settings: dict[str, str] | None = None


class FirstBranch(Body):
    """The default branch of a new project."""

    name: Name | None = None
    role_name: PgName | None = None
    database_name: PgName | None = None
    annotations: Annotations | None = None


class ProjectCreate(Compute):
    """``POST /projects``."""

    name: Name | None = None
    org_id: Identifier | None = None
    region_id: str | None = None
    pg_version: Annotated[int, Field(ge=14, le=18)] | None = None
    provisioner: str | None = None
    store_passwords: bool | None = None
    history_retention_seconds: Retention | None = None
    settings: Settings | None = None
    default_endpoint_settings: EndpointDefaults | None = None
    branch: FirstBranch | None = None


class ProjectUpdate(Body):
    """``PATCH /projects/{id}``."""

    name: Name | None = None
    settings: Settings | None = None
    default_endpoint_settings: EndpointDefaults | None = None
    history_retention_seconds: Retention | None = None


class BranchFields(Body):
    """A new branch."""

    parent_id: Identifier | None = None
    name: Name | None = None
    parent_lsn: str | None = None
    parent_timestamp: str | None = None
    protected: bool | None = None
    archived: bool | None = None
    init_source: str | None = None
    expires_at: str | None = None


class EndpointSettings(Body):
    """Settings of a compute."""

    pg_settings: dict[str, str] | None = None
    pgbouncer_settings: dict[str, str] | None = None
    preload_libraries: PreloadLibraries | None = None


class EndpointUpdate(Compute):
    """``PATCH …/endpoints/{id}``."""

    branch_id: Identifier | None = None
    provisioner: str | None = None
    settings: EndpointSettings | None = None
    pooler_enabled: bool | None = None
    pooler_mode: Literal["transaction"] | None = None
    disabled: bool | None = None
    passwordless_access: bool | None = None
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None


class BranchEndpoint(Compute):
    """A compute of a new branch."""

    type: Literal["read_write", "read_only"]
    settings: EndpointSettings | None = None
    provisioner: str | None = None


class EndpointCreate(EndpointUpdate):
    """``POST …/endpoints``."""

    branch_id: Identifier
    type: Literal["read_write", "read_only"]
    region_id: str | None = None


class BranchCreate(Body):
    """``POST …/branches``; the fields are the whole body, which may be empty."""

    branch: BranchFields | None = None
    endpoints: list[BranchEndpoint] | None = None
    annotation_value: Annotations | None = None


class BranchUpdate(Body):
    """``PATCH …/branches/{id}``."""

    name: Name | None = None
    protected: bool | None = None
    expires_at: str | None = None


class RoleCreate(Body):
    """``POST …/roles``."""

    name: PgName
    no_login: bool | None = None


class DatabaseCreate(Body):
    """``POST …/databases``."""

    name: PgName
    owner_name: PgName


class DatabaseUpdate(Body):
    """``PATCH …/databases/{name}``."""

    name: PgName | None = None
    owner_name: PgName | None = None


class BranchRestore(Body):
    """``POST …/branches/{id}/restore``; the fields are the whole body."""

    source_branch_id: Identifier
    source_lsn: str | None = None
    source_timestamp: str | None = None
    preserve_under_name: Annotated[str, Field(max_length=256)] | None = None


class FinalizeRestore(Body):
    """``POST …/branches/{id}/finalize_restore``; the fields are the whole body, which may be empty."""

    name: Name | None = None


class SnapshotRestore(Body):
    """``POST …/snapshots/{id}/restore``; the fields are the whole body, which may be empty."""

    name: Name | None = None
    target_branch_id: Identifier | None = None
    finalize_restore: bool | None = None


class SnapshotUpdate(Body):
    """``PATCH …/snapshots/{id}``."""

    name: Name | None = None


B = TypeVar("B", bound=Body)


def parse(model: type[B], body: object, key: str | None) -> B:
    """Validate a body; with a ``key``, its content is the value of that only field.

    Raises:
        ApiError: 400 for a wrong type or an unknown field, 422 for a value out of range.
    """
    content = body if body is not None or key is not None else {}
    if key is not None:
        if not isinstance(body, dict) or set(body) != {key}:
            raise bad_request(f"the body must be an object with the one field {key!r}")
        content = body[key]
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in ([key] if key else []) + list(first["loc"]))
        shape = first["type"] in {"extra_forbidden", "missing"} or first["type"].endswith("_type")
        message = f"{where}: {first['msg']}"
        raise (bad_request(message) if shape else unprocessable(message)) from None
