"""What local Neon remembers: one document for each project, with everything below it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from reconciler.local.state.usage import Usage

OperationOutcome = Literal["finish", "fail", "error", "cancel", "skip", "hang"]

Json = dict[str, object]


class Role(BaseModel):
    """A role of a branch. ``password`` is the one that works, ``next_password`` is what a running reset will make it.

    What the past knows of it is the same object: it is replaced, and never changed.
    """

    name: str
    password: str = Field(repr=False)
    next_password: str | None = Field(default=None, repr=False)
    no_login: bool = False
    created_at: float
    updated_at: float


class Database(BaseModel):
    """A database of a branch, by its API name. Like a role it is replaced, and never changed."""

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


class HistoryEntry(BaseModel):
    """Which roles and databases a branch had, until a moment."""

    until: float
    roles: dict[str, Role]
    databases: dict[str, Database]


class Branch(BaseModel):
    """A branch with its roles and databases.

    Attributes:
        home: where its databases are, when that is not at its own id: a restored branch takes over what connection
            strings name.
        past: which roles and databases it had before, oldest first.
        history_since: when its history begins, which is later than itself after a restore.
        removable: True for a root branch that may be deleted all the same.
    """

    id: str
    storage_override: str | None = None
    history: list[HistoryEntry] = Field(default_factory=list)
    history_since: float | None = None
    removable: bool = False
    init_source: str = "parent-data"
    resetting: bool = False
    last_reset_at: float | None = None
    ttl_interval_seconds: int | None = None
    restore_status: str | None = None
    restored_from: str | None = None
    restored_as: str | None = None
    name: str
    parent_id: str | None = None
    parent_timestamp: float | None = None
    default: bool = False
    protected: bool = False
    ready: bool = False
    deleting: bool = False
    expires_at: float | None = None
    annotation: dict[str, str] = Field(default_factory=dict)
    roles: dict[str, Role] = Field(default_factory=dict)
    databases: dict[str, Database] = Field(default_factory=dict)
    state_changed_at: float
    created_at: float
    updated_at: float

    @property
    def storage_key(self) -> str:
        """Where its databases and roles are in the cluster that all branches share."""
        return self.storage_override or self.id


class Snapshot(BaseModel):
    """A copy of a root branch, which is kept whatever becomes of the branch. Its databases are at its own id."""

    id: str
    name: str
    source_branch_id: str
    taken_at: float
    expires_at: float | None = None
    roles: dict[str, Role]
    databases: dict[str, Database]
    created_at: float

    @property
    def storage_key(self) -> str:
        """Where its databases and roles are in the cluster that all branches share."""
        return self.id


class DatabaseCopy(BaseModel):
    """Where a database comes from: names in the shared cluster.

    Attributes:
        source: the database that is copied.
        handover: what belongs to the first role of a pair belongs to the second in the copy.
    """

    source: str
    ownership_map: list[tuple[str, str]]


class OperationPayload(BaseModel):
    """What an operation does beyond what its branch should be, in names of the shared cluster.

    Attributes:
        snapshot_id: the snapshot that is made, instead of a branch.
        source_branch_id: the branch that is copied.
        copies: by API name, where databases come from.
        schema_only: whether copies are without rows.
        databases: renamed, from and to, before anything else.
        roles: renamed likewise.
        removed_databases: gone, with ``removed_roles``; then nothing else is done.
        ends_sessions: whether all connections to the branch are ended.
        late: whether it takes effect at the operation's end, and not before.
    """

    snapshot_id: str | None = None
    source_branch_id: str | None = None
    database_copies: dict[str, DatabaseCopy] = Field(default_factory=dict)
    schema_only: bool = False
    renamed_databases: list[tuple[str, str]] = Field(default_factory=list)
    renamed_roles: list[tuple[str, str]] = Field(default_factory=list)
    removed_databases: list[str] = Field(default_factory=list)
    removed_roles: list[str] = Field(default_factory=list)
    ends_sessions: bool = False
    apply_at_end: bool = False

    @property
    def removes(self) -> bool:
        """Whether something is to be gone."""
        return bool(self.removed_databases or self.removed_roles)


class Operation(BaseModel):
    """A piece of work that takes its time.

    ``finish_by`` is set once it runs, ``fate`` says how it ends, ``wakes`` whether a configuration starts a compute.
    """

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
    payload: OperationPayload | None = None
    dropped_role: str | None = None
    dropped_database: str | None = None
    failures_count: int = 0
    error: str | None = None
    outcome: OperationOutcome = "finish"
    starts_compute: bool = True
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
    snapshots: dict[str, Snapshot] = Field(default_factory=dict)
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
