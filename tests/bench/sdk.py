"""The least that gets a database from Neon: the same create, the wait of Neon's own SDK, one connection as proof."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime

import httpx
from pydantic import SecretStr

from api.composition import new_app_id
from reconciler.app_database.probe import probe
from reconciler.core.context import ControlPlane, CreateIntent
from reconciler.core.diff import project_to_create
from reconciler.core.host_allow_list import AddressRule, CheckedURI
from reconciler.neon.codec import create_project
from specs.app import DesiredApp
from specs.metadata import AppMetadata
from specs.settings import LOOPBACK_HOSTS, NEON_HOST_SUFFIXES

# @neon/sdk 6.1.2, dist/neon/wait.js: it sleeps, then asks for each operation that was pending, one by one.
POLL_SECONDS = 1.0
_DONE = ("finished", "skipped")


async def database(http: httpx.AsyncClient, region: str, org_id: str) -> None:
    """Make a project as the product would, and come back when its database has answered."""
    now = datetime.now(UTC)
    desired = DesiredApp(app_name="bare", region=region, pg_version=17)
    app = AppMetadata(app_id=new_app_id(), owner_id="bare", created_at=now, updated_at=now, **desired.model_dump())
    plane = ControlPlane("bare", "bare", 30.0, ())
    intent = CreateIntent(1, 1, secrets.token_hex(16), "open", now)
    request = create_project(project_to_create(app, plane, intent, org_id)).request
    created = (await http.request(request.method, request.path, json=request.body)).raise_for_status().json()
    pending = [operation for operation in created["operations"] if operation["status"] not in _DONE]
    while pending:
        await asyncio.sleep(POLL_SECONDS)
        pending = [operation for operation in pending if not await _is_done(http, operation)]
    uri = SecretStr(created["connection_uris"][0]["connection_uri"])
    await probe(CheckedURI(uri, AddressRule((*NEON_HOST_SUFFIXES, *LOOPBACK_HOSTS), app.role, app.database)))


async def _is_done(http: httpx.AsyncClient, operation: dict[str, str]) -> bool:
    answer = await http.get(f"/projects/{operation['project_id']}/operations/{operation['id']}")
    return answer.raise_for_status().json()["operation"]["status"] in _DONE
