"""The commands to the Postgres cluster. Every command is idempotent: it may be executed more than once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

NAME_PATTERN = r"n[dr]_[0-9a-f]{24}"
DATABASE_PATTERN = r"nd_[0-9a-f]{24}"
ROLE_PATTERN = r"nr_[0-9a-f]{24}"


@dataclass(frozen=True)
class RoleSpec:
    """A role of one branch, with or without the right to log in."""

    name: str
    password: str = field(repr=False)
    may_login: bool = True


@dataclass(frozen=True)
class DatabaseSpec:
    """A database of one branch, and the database that it is copied from.

    Attributes:
        name: name in the cluster.
        owner: role that owns it.
        source: the database that is copied; None for an empty one.
        ownership_map: pairs of roles; in the copy the second owns the objects of the first.
        schema_only: whether the copy has no rows.
    """

    name: str
    owner: str
    source: str | None = None
    ownership_map: tuple[tuple[str, str], ...] = ()
    schema_only: bool = False


@dataclass(frozen=True)
class EnsureDatabases:
    """Create or update the roles and databases of a branch, and open or close them for connections.

    Attributes:
        operation_id: the operation that completes with this command.
        roles: all roles of the branch.
        databases: all its databases.
        open: whether connections are allowed.
        source_open: whether connections to the copied databases are allowed afterwards.
        renamed_databases: pairs of old and new name, renamed first and in this order, unless the new name exists; a
            renamed database is closed for connections.
        renamed_roles: likewise.
        ends_sessions: whether existing connections are ended.
    """

    operation_id: str
    roles: tuple[RoleSpec, ...]
    databases: tuple[DatabaseSpec, ...]
    open: bool
    source_open: bool = False
    renamed_databases: tuple[tuple[str, str], ...] = ()
    renamed_roles: tuple[tuple[str, str], ...] = ()
    ends_sessions: bool = False


@dataclass(frozen=True)
class RemoveRole:
    """Remove a role; its objects pass to the owner of the database that contains them."""

    operation_id: str
    role: str


@dataclass(frozen=True)
class RemoveDatabases:
    """Remove databases and roles, with all their objects."""

    operation_id: str
    databases: tuple[str, ...]
    roles: tuple[str, ...]


Command = EnsureDatabases | RemoveRole | RemoveDatabases


def database_name(storage_key: str, name: str) -> str:
    """Derive the name of a database in the shared cluster from the storage key of its branch."""
    return "nd_" + _digest("database", storage_key, name)


def role_name(storage_key: str, name: str) -> str:
    """Derive the name of a role in the shared cluster from the storage key of its branch."""
    return "nr_" + _digest("role", storage_key, name)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
