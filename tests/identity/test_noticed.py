"""A catalog that is not what it was is noticed before anything is changed, and without its safeguard does harm."""

from __future__ import annotations

import pytest

from reconciler.core.identity import Standing
from reconciler.errors import MutationStopped
from reconciler.shell import identity
from specs.status import AppStatus
from tests.catalogs import execute
from tests.identity.copies import Folder, copied, promote, put_back
from tests.identity.house import House, Neon, told
from tests.postgres import TestServer, own_server

FORGET_SERVER = "UPDATE catalog_identity SET server_identity = NULL, looked_start = NULL"


def _blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the high-water mark."""
    monkeypatch.setattr(identity, "evidence", lambda *_: None)


async def _two_ready(url: str, neon: Neon) -> tuple[str, str]:
    async with House(url, neon) as house:
        return await house.ready("kept"), await house.ready("doomed")


async def _delete(url: str, neon: Neon, app_id: str) -> str:
    async with House(url, neon) as house:
        project_id = house.row(app_id).project_id
        assert project_id is not None
        await house.delete(app_id)
        await house.until(app_id, AppStatus.DELETED)
        return project_id


@pytest.mark.parametrize("safe", [True, False])
def test_a_copy_beside_the_catalog_with_the_same_key_changes_nothing(
    postgres: TestServer, catalog_url: str, safe: bool
) -> None:
    """Two catalogs of one id: the copy's first wish to change something is its last."""
    neon = Neon()
    told(lambda: _two_ready(catalog_url, neon))
    with copied(postgres, catalog_url) as copy:
        if not safe:
            execute(copy, FORGET_SERVER)

        async def story() -> None:
            async with House(copy, neon) as staging:
                neon.changes.clear()
                new = await staging.ask("from staging")
                await staging.long()
                if not safe:
                    assert neon.changes == ["POST /projects"]
                    return
                assert neon.changes == []
                assert "another database" in str(staging.doubt())
                assert staging.reason(new) == "MutationStopped"
                assert [row.app_id async for row in staging.fleet.rows()]
            async with House(catalog_url, neon) as production:
                await production.ready("from production")
                assert production.doubt() is None

        told(story)


@pytest.mark.parametrize("safe", [True, False])
def test_a_catalog_of_yesterday_recovers_nothing_that_was_deleted_since(
    postgres: TestServer, catalog_url: str, safe: bool
) -> None:
    """Restored into a new database: its server tells, although nothing was created since."""
    neon = Neon()
    _, doomed = told(lambda: _two_ready(catalog_url, neon))
    with copied(postgres, catalog_url) as restored:
        gone = told(lambda: _delete(catalog_url, neon, doomed))
        neon.changes.clear()
        if not safe:
            execute(restored, FORGET_SERVER)

        async def story() -> None:
            async with House(restored, neon) as house:
                await house.long()
                assert neon.changes == ([] if safe else [f"POST /projects/{gone}/recover"])
                assert (house.doubt() is not None) == safe

        told(story)


@pytest.mark.parametrize("safe", [True, False])
def test_rows_of_yesterday_in_the_same_database_are_noticed_by_what_was_created_since(
    postgres: TestServer, catalog_url: str, monkeypatch: pytest.MonkeyPatch, safe: bool
) -> None:
    """The server is the same; a project with a create number that the catalog never counted is the proof."""
    neon = Neon()
    _, doomed = told(lambda: _two_ready(catalog_url, neon))
    with copied(postgres, catalog_url) as yesterday:

        async def today() -> None:
            async with House(catalog_url, neon) as house:
                await house.ready("lost")

        told(today)
        gone = told(lambda: _delete(catalog_url, neon, doomed))
        put_back(catalog_url, yesterday)
    neon.changes.clear()
    if not safe:
        _blind(monkeypatch)

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.long()
            if not safe:
                assert neon.changes == [f"POST /projects/{gone}/recover"]
                return
            assert neon.changes == []
            assert "create number 3" in str(house.doubt())
            assert "remembers only 2" in str(house.doubt())

    told(story)


def test_a_running_daemon_notices_it_in_the_next_sweep(postgres: TestServer, catalog_url: str) -> None:
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.ready("kept")
            await house.sweep()
            with copied(postgres, _closed(catalog_url)) as yesterday:
                await house.disconnected()
                await house.ready("lost")
                put_back(catalog_url, yesterday)
            assert house.doubt() is None
            await house.sweep()
            assert "remembers only 1" in str(house.doubt())

    told(story)


def _closed(url: str) -> str:
    """A catalog to which nobody is connected, so that it can be copied."""
    database = url.rsplit("/", 1)[1]
    execute(
        url.rsplit("/", 1)[0] + "/postgres",
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'",
    )
    return url


@pytest.mark.parametrize("safe", [True, False])
def test_another_catalog_under_the_same_plane_stops_both(
    postgres: TestServer, catalog_url: str, monkeypatch: pytest.MonkeyPatch, safe: bool
) -> None:
    """A second catalog, made on its own, works with the same key and CONTROL_PLANE_ID."""
    neon = Neon()
    if not safe:
        _blind(monkeypatch)
    name = postgres.create_database(postgres.migrated_template())
    other = postgres.dsn(name)
    execute(other, "UPDATE catalog_identity SET catalog_id = gen_random_uuid()")

    async def story() -> None:
        async with House(catalog_url, neon) as house, House(other, neon) as second:
            # Both are at work before either has made anything.
            await house.access.confirm()
            await second.access.confirm()
            await house.ready("ours")
            await second.ready("theirs")
            await house.sweep()
            await second.sweep()
            for each in (house, second):
                assert ("another catalog" in str(each.doubt())) == safe

    try:
        told(story)
    finally:
        postgres.drop_database(name)


@pytest.mark.parametrize("safe", [True, False])
def test_a_failover_that_lost_commits_is_noticed_by_the_very_next_change(safe: bool) -> None:
    """A daemon that lives through it; the replica was behind, and is promoted."""
    neon = Neon()
    with own_server() as server:
        url = server.dsn(server.create_database(server.migrated_template()))
        _, doomed = told(lambda: _two_ready(url, neon))
        server.stop()
        behind = Folder(server, "replica")
        server.start()

        async def story() -> None:
            async with House(url, neon) as house:
                await house.delete(doomed)
                await house.until(doomed, AppStatus.DELETED)
                server.stop()
                behind.as_replica()
                server.start()
                promote(url)
                await house.disconnected()
                neon.changes.clear()
                if not safe:
                    house.sql(FORGET_SERVER)
                await house.ask("after the failover")
                await house.passes(4)
                assert (neon.changes == []) == safe
                assert ("another timeline" in str(house.doubt())) == safe

        told(story)


def test_a_server_that_was_started_again_is_looked_at_and_goes_on() -> None:
    """A plain restart costs a list, and no person."""
    neon = Neon()
    with own_server() as server:
        url = server.dsn(server.create_database(server.migrated_template()))

        async def story() -> None:
            async with House(url, neon) as house:
                await house.ready("before")
                [before] = house.sql("SELECT looked_start FROM catalog_identity")
                server.stop()
                server.start()
                await house.disconnected()
                await house.ready("after")
                [after] = house.sql("SELECT looked_start FROM catalog_identity")
                assert before["looked_start"] < after["looked_start"]
                assert house.doubt() is None

        told(story)


@pytest.mark.parametrize("safe", [True, False])
def test_a_disk_of_yesterday_is_noticed_by_what_was_created_since(monkeypatch: pytest.MonkeyPatch, safe: bool) -> None:
    """The same system, database and timeline: only the start of the server, and so the look, is new."""
    neon = Neon()
    with own_server() as server:
        url = server.dsn(server.create_database(server.migrated_template()))
        told(lambda: _two_ready(url, neon))
        server.stop()
        yesterday = Folder(server, "yesterday")
        server.start()

        async def story() -> None:
            async with House(url, neon) as house:
                await house.ready("lost")
                server.stop()
                yesterday.put_back()
                server.start()
                await house.disconnected()
                neon.changes.clear()
                if not safe:
                    _blind(monkeypatch)
                await house.ask("after the restore")
                await house.passes(6)
                assert (neon.changes == []) == safe
                assert ("remembers only 2" in str(house.doubt())) == safe

        told(story)


def test_no_resume_and_no_good_sweep_ends_a_doubt(postgres: TestServer, catalog_url: str) -> None:
    neon = Neon()
    told(lambda: _two_ready(catalog_url, neon))
    with copied(postgres, catalog_url) as copy:

        async def story() -> None:
            async with House(copy, neon) as house:
                await house.sweep()
                reason = house.doubt()
                assert reason
                await house.fleet.override_stop()
                await house.fleet.lift_stop()
                house.restart()
                await house.sweep()
                assert house.doubt() == reason
                with pytest.raises(MutationStopped):
                    await house.access.confirm()

        told(story)


def test_a_doubt_from_before_a_claim_does_not_outlive_it(catalog_url: str) -> None:
    """A daemon that is slow to say what it saw before a person's word says nothing."""

    async def story() -> None:
        async with House(catalog_url, Neon()) as house:
            before: Standing = await house.fleet.identity.standing()
            house.sql("UPDATE catalog_identity SET claimed_at = now()")
            assert not await house.fleet.identity.doubt(before, "as it was")
            assert not await house.fleet.identity.looked(before, before.made_at)
            now = await house.fleet.identity.standing()
            assert await house.fleet.identity.doubt(now, "as it is")
            assert not await house.fleet.identity.doubt(now, "once more")

    told(story)


def test_tokens_after_a_doubt_are_beyond_all_that_may_have_been_given_out(catalog_url: str) -> None:
    async def story() -> None:
        async with House(catalog_url, Neon()) as house:
            [before] = house.sql("SELECT nextval('lease_tokens') AS token")
            await house.fleet.identity.doubt(await house.fleet.identity.standing(), "lost")
            [after] = house.sql("SELECT nextval('lease_tokens') AS token")
            assert after["token"] > before["token"] + 1_000_000

    told(story)
