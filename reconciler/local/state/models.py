"""The stored models of local Neon: one document for each project, with all objects below it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from reconciler.local.state.usage import Usage

OperationOutcome = Literal["finish", "fail", "error", "cancel", "skip", "hang"]

Json = dict[str, object]


class Role(BaseModel):
    """A role of a branch. ``password`` is the current one, ``next_password`` the one of an unfinished reset.

    History entries share the object, so it is replaced and never changed.
    """

    name: str
    password: str = Field(repr=False)
    next_password: str | None = Field(default=None, repr=False)
    no_login: bool = False
    created_at: float
    updated_at: float


class Database(BaseModel):
    """A database of a branch, by its API name. Like a role it is replaced and never changed."""

    id: int
    name: str
    owner_name: str
    created_at: float
    updated_at: float


class Endpoint(BaseModel):
    """A compute. ``state.computes`` derives its state from its last start and its suspend timeout."""

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
    """The roles and databases of a branch until a time."""

    until: float
    roles: dict[str, Role]
    databases: dict[str, Database]


class Branch(BaseModel):
    """A branch with its roles and databases.

    Attributes:
        storage_override: the storage key of its databases, if it is not its own id: a restored branch takes over the
            connection strings of its target.
        history: its former roles and databases, oldest first.
        history_since: start of its history, which is later than its creation after a restore.
        removable: True for a root branch that may be deleted.
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
        """The key from which the names of its databases and roles in the shared cluster are derived."""
        return self.storage_override or self.id


class Snapshot(BaseModel):
    """A copy of a root branch, which outlives the branch. Its storage key is its own id."""

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
        """The key from which the names of its databases and roles in the shared cluster are derived."""
        return self.id


class DatabaseCopy(BaseModel):
    """The source of a copied database, in names of the shared cluster.

    Attributes:
        source: the copied database.
        ownership_map: pairs of roles; in the copy the second owns the objects of the first.
    """

    source: str
    ownership_map: list[tuple[str, str]]


class OperationPayload(BaseModel):
    """The part of an operation's command that the state of its branch does not determine, in names of the cluster.

    Attributes:
        snapshot_id: the snapshot that is created, in place of a branch.
        source_branch_id: the copied branch.
        database_copies: by API name, the sources of copied databases.
        schema_only: whether copies have no rows.
        renamed_databases: pairs of old and new name, renamed first.
        renamed_roles: likewise.
        removed_databases: databases to remove, with ``removed_roles``; the command then does nothing else.
        ends_sessions: whether all connections to the branch are ended.
        apply_at_end: whether the command is executed at the end of the operation, not at its start.
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
        """Whether the operation only removes databases and roles."""
        return bool(self.removed_databases or self.removed_roles)


class Operation(BaseModel):
    """An asynchronous operation.

    ``finish_by`` is set when it runs, ``outcome`` is how it ends, ``starts_compute`` whether ``apply_config`` starts a
    compute.
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
        """Whether it is not terminal."""
        return self.status in {"scheduling", "running", "failed", "cancelling"}


class Project(BaseModel):
    """A project with all its objects. ``suspended`` is the exceeded quota, because of which no compute starts."""

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
        """The default branch."""
        return next(branch for branch in self.branches.values() if branch.default)

    def unfinished(self) -> list[Operation]:
        """Return the operations that are not terminal, oldest first."""
        return [operation for operation in self.operations if operation.unfinished]
