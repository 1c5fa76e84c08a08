"""Helpers for tests over a real catalog."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from reconciler.catalog.apps import AppStore, CreateResult
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.limits import OwnerLimits
from specs.app import AppSpec, DesiredApp
from specs.names import app_id_from_bytes

REGION = "aws-us-east-1"
SPEC = AppSpec(region=REGION, pg_version=17)
SEALER = Sealer((b"t" * 32,))
Result = TypeVar("Result")


def new_app_id() -> str:
    """An app id."""
    return app_id_from_bytes(secrets.token_bytes(15))


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    """An open catalog."""
    database = Database(url, **options)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


def with_catalog(url: str, use: Callable[[AppStore], Awaitable[Result]]) -> Result:
    """What ``use`` returns, in a loop of its own."""

    async def run() -> Result:
        async with opened(url) as database:
            return await use(AppStore(database))

    return asyncio.run(run())


async def create(catalog: AppStore, name: str = "notes", owner: str = "alice", **changes: Any) -> CreateResult:
    """Ask for an app; ``changes`` go to ``AppCatalog.create``, ``max_apps`` and ``max_creates`` as its limits."""
    given: dict[str, Any] = {
        "provided": DesiredApp.model_fields,
        "limits": OwnerLimits(changes.pop("max_apps", 100), changes.pop("max_creates", 1_000_000)),
        "app_id": new_app_id(),
        "idempotency_key": None,
        "fingerprint": None,
        "request_id": "request-1",
    }
    desired = changes.pop("desired", None) or DesiredApp(app_name=name, region=REGION, pg_version=17)
    return await catalog.create(owner, desired, **(given | changes))


def execute(url: str, statement: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run one statement behind everybody's back, and return its rows."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []


NEON_URI = "postgresql://app_x_1:p%40ss@db.host:5433/app?sslmode=require&channel_binding=require"


def make_ready(url: str, app_id: str, uri: str = NEON_URI) -> None:
    """Do to a row what the reconciler does when the app's database has answered."""
    [row] = execute(url, "SELECT owner_id, incarnation FROM app_metadata WHERE app_id = %(app_id)s", {"app_id": app_id})
    key = SEALER.new_data_key(app_id, row["incarnation"])
    place: dict[str, Any] = {**row, "app_id": app_id, "org_id": "org-1", "project_id": f"project-{app_id[:8]}"}
    execute(
        url,
        """UPDATE app_metadata SET status = 'ready', connected_at = now(), observed_generation = generation,
               org_id = %(org_id)s, project_id = %(project_id)s, data_key_sealed = %(data_key)s,
               data_key_wrapped_by = %(wrapped_by)s, data_key_version = %(version)s, connection_uri_sealed = %(uri)s,
               pooled_uri_sealed = %(pooled)s
           WHERE app_id = %(app_id)s""",
        place
        | {
            "data_key": key.sealed,
            "wrapped_by": key.wrapped_by,
            "version": key.version,
            "uri": SEALER.seal(key.key, "connection_uri", uri, version=key.version, **place),
            "pooled": SEALER.seal(
                key.key, "pooled_uri", uri.replace("db.host", "db-pooler.host"), version=key.version, **place
            ),
        },
    )
