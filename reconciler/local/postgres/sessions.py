"""Superuser sessions in the cluster that tenants share.

A database belongs to its tenant. The tenant chooses the settings of its sessions (``ALTER DATABASE … SET``) and the
functions, operators and casts in its schemas. So a superuser session resolves no name in a tenant's schema. The
start-up packet pins every setting that a tenant can choose and that changes the meaning or the execution of a
statement. PostgreSQL prefers it to the settings of databases and roles (PostgreSQL documentation, 19.1.2 and 19.1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from psycopg import AsyncConnection

from reconciler.local.postgres.embedded import EmbeddedPostgres

PINNED: Final[Mapping[str, str]] = MappingProxyType(
    {
        # An explicit pg_temp is searched last instead of first.
        "search_path": "pg_catalog,pg_temp",
        "role": "none",
        "local_preload_libraries": "",
        "session_replication_role": "origin",
        "client_encoding": "UTF8",
        "standard_conforming_strings": "on",
        "default_tablespace": "",
        "default_transaction_isolation": "read\\ committed",
        "default_transaction_read_only": "off",
        "default_transaction_deferrable": "off",
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "idle_session_timeout": "0",
        # A tenant that holds a lock delays its own operation, which is retried, and not all later ones.
        "lock_timeout": "30s",
    }
)
_PINNED_FROM_17: Final[Mapping[str, str]] = MappingProxyType(
    {"event_triggers": "off", "transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
)


def startup_options(version: int) -> str:
    """Return the ``options`` of a superuser session for a major version of Postgres."""
    pinned = {**PINNED, **(_PINNED_FROM_17 if version >= 17 else {})}
    return " ".join(f"-c {name}={value}" for name, value in pinned.items())


async def superuser_session(postgres: EmbeddedPostgres, database: str = "postgres") -> AsyncConnection:
    """Open a superuser session that uses no object and no setting of a tenant."""
    options = startup_options(postgres.version)
    return await AsyncConnection.connect(postgres.dsn(database), autocommit=True, options=options)
