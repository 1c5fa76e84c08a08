"""What a backing is asked to do, in terms of a Postgres cluster. Every command may be carried out more than once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

NAME_PATTERN = r"n[dr]_[0-9a-f]{24}"
DATABASE_PATTERN = r"nd_[0-9a-f]{24}"
ROLE_PATTERN = r"nr_[0-9a-f]{24}"


@dataclass(frozen=True)
class RoleSpec:
    """A role of one branch, which may be one that nobody can log in as."""

    name: str
    password: str = field(repr=False)
    may_login: bool = True


@dataclass(frozen=True)
class DatabaseSpec:
    """A database of one branch, and the database it is first copied from.

    Attributes:
        name: the database.
        owner: its owner.
        source: what it is copied from; None for a new one.
        handover: in a copy, what belonged to the first role of a pair belongs to the second.
        schema_only: whether a copy is without rows.
    """

    name: str
    owner: str
    source: str | None = None
    ownership_map: tuple[tuple[str, str], ...] = ()
    schema_only: bool = False


@dataclass(frozen=True)
class EnsureDatabases:
    """A branch's roles and databases are there, and can be connected to, or not.

    Attributes:
        operation_id: what to report the completion of.
        logins: all roles of the branch.
        stores: all its databases.
        open: whether connections are let in.
        source_open: whether the databases that are copied from are to be connected to afterwards.
        renamed_databases: pairs of names, from and to. Before all else the first is renamed, in this order, unless
            there is the second already; it is closed then.
        renamed_roles: likewise.
        ends_sessions: whether connections that there are already are ended.
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
    """A role is gone; what it owned passes to the owner of the database that it is in."""

    operation_id: str
    role: str


@dataclass(frozen=True)
class RemoveDatabases:
    """Databases and roles are gone, with all that they held."""

    operation_id: str
    databases: tuple[str, ...]
    roles: tuple[str, ...]


Command = EnsureDatabases | RemoveRole | RemoveDatabases


def database_name(storage_key: str, name: str) -> str:
    """Derive the name that a database has in the cluster that all branches share, from the place of its branch."""
    return "nd_" + _digest("database", storage_key, name)


def role_name(storage_key: str, name: str) -> str:
    """Derive the name that a role has in the cluster that all branches share, from the place of its branch."""
    return "nr_" + _digest("role", storage_key, name)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
