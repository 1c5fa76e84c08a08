"""A catalog that is not what it was is noticed before anything is changed, and without its safeguard does harm."""

from __future__ import annotations

import pytest

from reconciler.errors import MutationsSuspended
from reconciler.runtime.guards import organization, split_brain
from specs.status import AppStatus
from tests.catalogs import execute
from tests.identity.copies import copied, put_back
from tests.identity.days import FORGET_SERVER, blind, two_ready
from tests.identity.house import House, Neon, told
from tests.postgres import TestServer


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
    told(lambda: two_ready(catalog_url, neon))
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
                assert staging.reason(new) == "MutationsSuspended"
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
    _, doomed = told(lambda: two_ready(catalog_url, neon))
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
    _, doomed = told(lambda: two_ready(catalog_url, neon))
    with copied(postgres, catalog_url) as yesterday:

        async def today() -> None:
            async with House(catalog_url, neon) as house:
                await house.ready("lost")

        told(today)
        gone = told(lambda: _delete(catalog_url, neon, doomed))
        put_back(catalog_url, yesterday)
    neon.changes.clear()
    if not safe:
        blind(monkeypatch)

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.long()
            if not safe:
                assert neon.changes == [f"POST /projects/{gone}/recover"]
                return
            assert neon.changes == []
            assert "create number 3" in str(house.doubt())
            assert "records only 2" in str(house.doubt())

    told(story)


def test_a_running_daemon_notices_it_in_the_next_sweep(postgres: TestServer, catalog_url: str) -> None:
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.ready("kept")
            await house.sweep()
            with copied(postgres, catalog_url) as yesterday:
                await house.disconnected()
                await house.ready("lost")
                put_back(catalog_url, yesterday)
            assert house.doubt() is None
            await house.sweep()
            assert "records only 1" in str(house.doubt())

    told(story)


def test_what_one_comparison_leaves_the_next_ones_examine(postgres: TestServer, catalog_url: str) -> None:
    """The project that proves lost commits is older than more projects of a neighbor than a start may examine."""
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.ready("kept")
            await house.sweep()
            with copied(postgres, catalog_url) as yesterday:
                await house.disconnected()
                await house.ready("lost")
                put_back(catalog_url, yesterday)
            for number in range(2 * split_brain.MAX_CALLS + 1):
                neon.neighbor(number)
            [before] = house.sql("SELECT verified_at FROM catalog_identity")
            examined = 0
            while house.doubt() is None:
                neon.reads.clear()
                [after] = house.sql("SELECT verified_at FROM catalog_identity")
                assert after == before
                await house.sweep()
                looks = [path for path in neon.reads if path.endswith("/branches")]
                examined += len(looks)
                assert examined <= 2 * split_brain.MAX_CALLS + 60
            assert "records only 1" in str(house.doubt())

    told(story)


@pytest.mark.parametrize("safe", [True, False])
def test_another_catalog_under_the_same_plane_stops_both(
    postgres: TestServer, catalog_url: str, monkeypatch: pytest.MonkeyPatch, safe: bool
) -> None:
    """A second catalog, made on its own, works with the same key and CONTROL_PLANE_ID; both create within seconds."""
    neon = Neon()
    monkeypatch.setattr(organization, "UNUSED_CATALOG_CHECK_SECONDS", 1e9)
    if not safe:
        blind(monkeypatch)
    name = postgres.create_database(postgres.migrated_template())
    other = postgres.dsn(name)
    execute(other, "UPDATE catalog_identity SET catalog_id = gen_random_uuid()")

    async def story() -> None:
        async with House(catalog_url, neon) as house, House(other, neon) as second:
            # Both are at work before either has made anything.
            await house.access.verify()
            await second.access.verify()
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


def test_no_resume_and_no_good_sweep_ends_a_doubt(postgres: TestServer, catalog_url: str) -> None:
    neon = Neon()
    told(lambda: two_ready(catalog_url, neon))
    with copied(postgres, catalog_url) as copy:

        async def story() -> None:
            async with House(copy, neon) as house:
                await house.sweep()
                reason = house.doubt()
                assert reason
                await house.fleet.override_stop()
                await house.fleet.clear_stop()
                house.restart()
                await house.sweep()
                assert house.doubt() == reason
                with pytest.raises(MutationsSuspended):
                    await house.access.verify()

        told(story)
