"""What local Neon remembers: one document for each project, with everything below it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from reconciler.local.neon.meters import Usage

Fate = Literal["finish", "fail", "error", "cancel", "skip", "stick"]

Json = dict[str, object]


class Role(BaseModel):
    """A role of a branch. ``password`` is the newest one, ``next_password`` is what a running reset will make it."""

    name: str
    password: str = Field(repr=False)
    next_password: str | None = Field(default=None, repr=False)
    created_at: float
    updated_at: float


class Database(BaseModel):
    """A database of a branch, by its API name."""

    id: int
    name: str
    owner_name: str
    created_at: float
    updated_at: float


class Endpoint(BaseModel):
    """A compute. It is active or idle by when it was last started and how long it may idle."""

    id: str
    branch_id: str
    type: str
    name: str | None = None
    min_cu: float
    max_cu: float
    suspend_timeout_seconds: int
    settings: Json = Field(default_factory=dict)
    disabled: bool = False
    passwordless_access: bool = True
    starting: bool = True
    last_active: float | None = None
    created_at: float
    updated_at: float


class Branch(BaseModel):
    """A branch with its roles and databases."""

    id: str
    name: str
    parent_id: str | None = None
    parent_timestamp: float | None = None
    default: bool = False
    protected: bool = False
    ready: bool = False
    deleting: bool = False
    expires_at: str | None = None
    annotation: dict[str, str] = Field(default_factory=dict)
    roles: dict[str, Role] = Field(default_factory=dict)
    databases: dict[str, Database] = Field(default_factory=dict)
    state_changed_at: float
    created_at: float
    updated_at: float


class Operation(BaseModel):
    """A piece of work that takes its time. ``finish_by`` is set once it runs, ``fate`` says how it ends."""

    id: str
    seq: int
    action: str
    branch_id: str | None = None
    endpoint_id: str | None = None
    status: str = "scheduling"
    seconds: float
    finish_by: float | None = None
    retry_at: float | None = None
    carried_out: bool = False
    dropped_role: str | None = None
    dropped_database: str | None = None
    failures_count: int = 0
    error: str | None = None
    fate: Fate = "finish"
    created_at: float
    updated_at: float

    @property
    def unfinished(self) -> bool:
        """Whether it still runs, or will."""
        return self.status in {"scheduling", "running", "failed", "cancelling"}


class Project(BaseModel):
    """A project with everything in it. ``suspended`` names the quota that keeps its computes from starting."""

    id: str
    name: str
    region_id: str
    pg_version: int
    provisioner: str
    store_passwords: bool
    history_retention_seconds: int
    settings: Json
    default_endpoint_settings: Json
    branches: dict[str, Branch] = Field(default_factory=dict)
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    operations: list[Operation] = Field(default_factory=list)
    sequence: int = 0
    deleted_at: float | None = None
    purging: bool = False
    org_id: str = ""
    recovered_at: float | None = None
    suspended: str | None = None
    checked_at: float | None = None
    usage: Usage = Field(default_factory=Usage)
    created_at: float
    updated_at: float

    @property
    def default_branch(self) -> Branch:
        """The one branch with the default flag."""
        return next(branch for branch in self.branches.values() if branch.default)

    def unfinished(self) -> list[Operation]:
        """Return the operations that still run or wait, oldest first."""
        return [operation for operation in self.operations if operation.unfinished]
