"""The superuser's sessions in the cluster that tenants share.

A database belongs to its tenant, who chooses what sessions in it start with (``ALTER DATABASE … SET``) and which
functions, operators and casts its schemas hold. So no superuser's session takes a name from a tenant's schema. Every
setting that a tenant could choose, and that changes what a statement means or whether it runs, comes with the start-up
packet, which PostgreSQL prefers to the settings of databases and roles (PostgreSQL documentation, 19.1.2 and 19.1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from psycopg import AsyncConnection

from reconciler.local.postgres.embedded import EmbeddedPostgres

PINNED: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Named, the schema of temporary objects comes last instead of first.
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
        # A tenant who keeps a lock delays its own operation, which is tried again, and not all later ones.
        "lock_timeout": "30s",
    }
)
_PINNED_FROM_17: Final[Mapping[str, str]] = MappingProxyType(
    {"event_triggers": "off", "transaction_timeout": "0", "restrict_nonsystem_relation_kind": ""}
)


def startup_options(version: int) -> str:
    """Return the ``options`` of a superuser's session for a major version of Postgres."""
    pinned = {**PINNED, **(_PINNED_FROM_17 if version >= 17 else {})}
    return " ".join(f"-c {name}={value}" for name, value in pinned.items())


async def superuser_session(postgres: EmbeddedPostgres, database: str = "postgres") -> AsyncConnection:
    """Open a superuser's session, in which nothing that a tenant has made is found or set."""
    options = startup_options(postgres.version)
    return await AsyncConnection.connect(postgres.dsn(database), autocommit=True, options=options)
