"""What a backing is asked to do, in terms of a Postgres cluster. Every command may be carried out more than once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

NAME_PATTERN = r"n[dr]_[0-9a-f]{24}"
DATABASE_PATTERN = r"nd_[0-9a-f]{24}"


@dataclass(frozen=True)
class Login:
    """A role of one branch."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Store:
    """A database of one branch, and the database it is first copied from."""

    name: str
    owner: str
    source: str | None = None


@dataclass(frozen=True)
class Ensure:
    """A branch's roles and databases are there, and can be connected to, or not.

    Attributes:
        operation_id: what to report the completion of.
        logins: all roles of the branch.
        stores: all its databases.
        open: whether connections are let in.
        source_open: whether the databases that are copied from are to be connected to afterwards.
        handover: in a copied database, what belonged to the first role of a pair belongs to the second.
    """

    operation_id: str
    logins: tuple[Login, ...]
    stores: tuple[Store, ...]
    open: bool
    source_open: bool = False
    handover: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class RemoveRole:
    """A role is gone; what it owned passes to the owner of the database that it is in."""

    operation_id: str
    role: str


@dataclass(frozen=True)
class Remove:
    """Databases and roles are gone, with all that they held."""

    operation_id: str
    databases: tuple[str, ...]
    roles: tuple[str, ...]


Command = Ensure | RemoveRole | Remove


def database_name(branch_id: str, name: str) -> str:
    """Derive the name that a branch's database has in the cluster that all branches share."""
    return "nd_" + _digest("database", branch_id, name)


def role_name(branch_id: str, name: str) -> str:
    """Derive the name that a branch's role has in the cluster that all branches share."""
    return "nr_" + _digest("role", branch_id, name)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
