"""The split of the columns is real: each role writes its own and is refused the other's."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from reconciler.catalog.apps import AppStore
from reconciler.catalog.control_plane_store import Binding, ControlPlaneStore
from reconciler.catalog.database import Database
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.limits import OwnerLimits
from reconciler.catalog.migrate import schema_is_current
from reconciler.catalog.rate_limit import RateLimitStore
from reconciler.catalog.revocations import RevocationStore
from reconciler.catalog.status_store import StatusStore
from reconciler.catalog.work_queue import WorkQueue
from reconciler.core.context import Event, Result, StatusUpdate
from reconciler.core.effects import OpenIntent, RecordProject
from reconciler.core.rate_limit import BucketConfig, Priority
from specs.app import DesiredApp
from specs.names import app_id_from_bytes
from specs.status import AppStatus
from tests.environment import with_options

API, RECONCILER = "morphik_apps_api", "morphik_apps_reconciler"
DESIRED = DesiredApp(app_name="mine", region="aws-us-east-1", pg_version=17)
APP_ID = app_id_from_bytes(bytes(range(15)))


def _as(url: str, role: str) -> str:
    return with_options(url, f"-c role={role}")


async def _life(url: str) -> None:
    api, loop = Database(_as(url, API)), Database(_as(url, RECONCILER))
    await api.open()
    await loop.open()
    try:
        assert await schema_is_current(api)
        apps = AppStore(api)
        assert await RevocationStore(api).minimums(["o"]) == {}
        for key in ("k", "k", "another"):
            await apps.create(
                "o",
                DESIRED,
                provided=("app_name",),
                app_id=APP_ID,
                idempotency_key=key,
                fingerprint=b"f",
                limits=OwnerLimits(5, 5),
                request_id=None,
            )
        fleet = ControlPlaneStore(loop, owner="d", lease_seconds=9)
        await fleet.bind(Binding("org-1", "https://x", "morphik"))
        standing = await fleet.identity.read()
        assert await fleet.identity.record_verified(standing, standing.created_at)
        # Both logins read the server's words alike.
        assert await ControlPlaneStore(api, owner="a", lease_seconds=9).identity.read() == await fleet.identity.read()
        work, records = (
            WorkQueue(loop, owner="d", lease_seconds=9),
            StatusStore(loop, Sealer((b"k" * 32,)), lease_seconds=9),
        )
        terms = BucketConfig.from_limits(requests_per_minute=700, burst=40)
        await RateLimitStore(loop, terms).lease({Priority.USER: 1})
        await RateLimitStore(loop, terms).close(1)
        [claimed] = await work.claim(1)
        intent = await records.open_intent(claimed.lease, OpenIntent("nonce", None))
        said = StatusUpdate(AppStatus.PROVISIONING, (), 0, events=(Event("A", "B", "c"),))
        effect = RecordProject(intent.create_seq, "p-1", "org-1", None, said)
        await records.record_project(claimed.lease, claimed.app, effect)
        assert await work.release(claimed.lease, Result(None))
        await apps.request_delete("o", APP_ID, None)
        await fleet.purge_tombstones()
        assert await fleet.expire_keys(("", "")) == ("o", "k")
        assert [row.app_id async for row in fleet.rows()] == [APP_ID]
        assert await fleet.identity.quarantine(await fleet.identity.read(), "lost")
        assert await fleet.identity.resume_command() == "morphik-apps catalog promote"
    finally:
        await api.close()
        await loop.close()


def test_each_role_can_do_all_of_its_own_work(catalog_url: str) -> None:
    """A life of an app, the API's part under its role and the daemon's under the other."""
    asyncio.run(_life(catalog_url))


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (API, "UPDATE app_metadata SET status = 'ready'"),
        (API, "UPDATE app_metadata SET project_id = 'p-2'"),
        (API, "UPDATE app_metadata SET connection_uri_sealed = ''"),
        (API, "UPDATE app_work SET lease_token = 0"),
        (API, "DELETE FROM app_events"),
        (API, "INSERT INTO token_minimums VALUES ('o', 0)"),
        (API, "UPDATE token_minimums SET minimum_version = 0"),
        (API, "DELETE FROM token_minimums"),
        (API, "SELECT * FROM token_minimum_changes"),
        (RECONCILER, "SELECT * FROM token_minimums"),
        (API, "DELETE FROM idempotency_keys"),
        (RECONCILER, "UPDATE idempotency_keys SET app_id = ''"),
        (RECONCILER, "UPDATE app_owners SET creates = '{}'"),
        (API, "UPDATE catalog_identity SET org_id = 'x'"),
        (API, "UPDATE neon_rate_limit SET tokens = 1000"),
        (RECONCILER, "UPDATE app_metadata SET owner_id = 'x'"),
        (RECONCILER, "UPDATE app_metadata SET app_name = 'x'"),
        (RECONCILER, "UPDATE app_metadata SET delete_requested_at = now()"),
        (RECONCILER, "UPDATE app_metadata SET generation = 7"),
        (API, "UPDATE catalog_identity SET quarantined_at = NULL"),
        (RECONCILER, "UPDATE app_metadata SET hold_reason = NULL"),
        (RECONCILER, "DELETE FROM app_events"),
        (RECONCILER, "UPDATE app_events SET message = 'x'"),
    ],
)
def test_neither_role_writes_what_is_the_others(catalog_url: str, role: str, statement: str) -> None:
    """Refused by Postgres itself."""
    with psycopg.connect(_as(catalog_url, role)) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_two_daemons_that_start_at_once_agree_on_what_is_pinned(catalog_url: str) -> None:
    """The second waits for the first, and then reads what the first wrote."""

    async def race() -> None:
        database = Database(catalog_url)
        await database.open()
        try:
            fleet = ControlPlaneStore(database, owner="d", lease_seconds=9)
            offered = [Binding(f"org-{n}", "https://x", "morphik") for n in range(8)]
            kept = await asyncio.gather(*(fleet.bind(pins) for pins in offered))
            assert len(set(kept)) == 1
            assert kept[0] in offered
        finally:
            await database.close()

    asyncio.run(race())
