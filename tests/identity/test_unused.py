"""A catalog that has made no project meets another catalog under its CONTROL_PLANE_ID: only the new one stops."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest

from reconciler.errors import MutationsSuspended, NeonOutcomeUnknown, ProjectsUnexamined
from reconciler.runtime.guards import split_brain
from specs.status import AppStatus, find_condition
from tests.catalogs import execute
from tests.identity.house import ORG, PLANE_ID, House, Neon, told
from tests.identity.test_claim import claimed
from tests.postgres import TestServer


@pytest.fixture
def new_url(postgres: TestServer) -> Iterator[str]:
    """Another catalog that has made nothing."""
    name = postgres.create_database(postgres.migrated_template())
    url = postgres.dsn(name)
    execute(url, "UPDATE catalog_identity SET catalog_id = gen_random_uuid()")
    yield url
    postgres.drop_database(name)


@asynccontextmanager
async def _both(older: str, newer: str, neon: Neon) -> AsyncIterator[tuple[House, House]]:
    """Production, with a project, and a new catalog with the same CONTROL_PLANE_ID."""
    async with House(older, neon) as production, House(newer, neon) as new:
        await production.ready("production")
        # Local Neon's clock runs ahead of the catalog's: each request takes a second there.
        new.sql("UPDATE catalog_identity SET created_at = clock_timestamp() + interval '10 minutes'")
        neon.changes.clear()
        yield production, new


async def _goes_on(production: House) -> None:
    await production.ready("production goes on")
    production.restart()
    await production.sweep()
    assert production.doubt() is None


async def _stopped(new: House, neon: Neon, other: str) -> None:
    app_id = await new.ask("new")
    await new.long()
    assert [change for change in neon.changes if change.startswith("POST")] == []
    assert f"another catalog, {other}" in str(new.doubt())
    synced = find_condition(new.row(app_id).conditions, "Synced")
    assert synced is not None
    assert (synced.reason, synced.operator_message) == ("MutationsSuspended", new.doubt())
    assert other not in synced.message
    assert new.sql("SELECT FROM create_intents") == []


@pytest.mark.parametrize(
    ("age", "neighbors"), [(timedelta(0), 0), (timedelta(days=400), 3 * split_brain.MAX_CALLS)], ids=["young", "old"]
)
def test_new_catalog_same_plane_stops_itself_and_the_older_one_goes_on(
    catalog_url: str, new_url: str, age: timedelta, neighbors: int
) -> None:
    """Also where the other catalog's only project is the oldest of more look-alikes than a comparison examines."""
    neon = Neon()

    async def story() -> None:
        async with _both(catalog_url, new_url, neon) as (production, new):
            for project in neon.machine._account.projects.values():
                project.created_at -= age.total_seconds()
            for number in range(neighbors):
                neon.neighbor(number)
            await _stopped(new, neon, await production.fleet.catalog_id())
            await _goes_on(production)

    told(story)


def test_new_catalog_that_was_compared_before_the_other_created_stops_itself(catalog_url: str, new_url: str) -> None:
    """Its daemon has run for a while when another catalog makes its first project."""
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as first, House(new_url, neon) as second:
            await first.access.verify()
            await second.access.verify()
            await first.ready("first")
            neon.changes.clear()
            second.age()
            await _stopped(second, neon, await first.fleet.catalog_id())
            await _goes_on(first)

    told(story)


def test_another_control_plane_id_ends_the_stop_at_the_next_start(catalog_url: str, new_url: str) -> None:
    neon = Neon()

    async def story() -> None:
        async with _both(catalog_url, new_url, neon) as (production, new):
            await _stopped(new, neon, await production.fleet.catalog_id())
            async with House(new_url, neon, "second") as restarted:
                # A daemon that runs on with the former setting neither takes it back nor creates anything.
                await restarted.access.verify()
                new.age()
                with pytest.raises(MutationsSuspended, match="CONTROL_PLANE_ID second"):
                    await new.access.verify()
                assert restarted.doubt() is None
                await restarted.ready("made under the second id")
                await restarted.sweep()
                assert restarted.doubt() is None
            async with House(new_url, neon, "third") as late:
                with pytest.raises(MutationsSuspended, match="bound to CONTROL_PLANE_ID second"):
                    await late.access.verify()
            await _goes_on(production)

    told(story)


def test_another_control_plane_id_hides_no_loss_of_the_catalog_itself(catalog_url: str) -> None:
    """Its rows are those from before its first create."""
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.ready("lost")
            house.sql("UPDATE catalog_identity SET last_create_seq = 0, verified_at = NULL")
            house.sql("DELETE FROM app_metadata")
            house.restart()
            with pytest.raises(MutationsSuspended, match="records only 0"):
                await house.access.verify()
        async with House(catalog_url, neon, "second") as restarted:
            with pytest.raises(MutationsSuspended, match="records only 0"):
                await restarted.access.verify()

    told(story)


def test_a_claim_ends_the_stop_and_the_new_catalog_creates(catalog_url: str, new_url: str) -> None:
    neon = Neon()

    async def story() -> None:
        async with _both(catalog_url, new_url, neon) as (production, new):
            other = await production.fleet.catalog_id()
            await _stopped(new, neon, other)
            seen, _ = await claimed(new)
            assert seen.plan.foreign_catalogs == {other: 1}
            await new.ready("claimed")
            await new.sweep()
            assert new.doubt() is None

    told(story)


@pytest.mark.parametrize("neighbors", [0, 20, 21, 150])
def test_new_catalog_examines_all_in_batches_once_and_then_creates(catalog_url: str, neighbors: int) -> None:
    """Projects of another plane: each is examined once, before the first create, and never again."""
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            for number in range(neighbors):
                neon.neighbor(number)
            execute(catalog_url, "UPDATE catalog_identity SET created_at = now() + interval '2 hours'")
            lookout = split_brain.SplitBrainDetector(house.client, house.fleet, PLANE_ID)
            batches = -(-neighbors // split_brain.MAX_CALLS) or 1
            for batch in range(1, batches + 1):
                neon.reads.clear()
                if batch < batches:
                    with pytest.raises(ProjectsUnexamined):
                        await lookout.verify(ORG)
                else:
                    await lookout.verify(ORG)
                calls = [path for path in neon.reads if path.endswith("/branches")]
                assert len(calls) == min(split_brain.MAX_CALLS, neighbors - (batch - 1) * split_brain.MAX_CALLS)
            house.sql("UPDATE catalog_identity SET verified_at = verified_at + interval '2 hours'")
            neon.reads.clear()
            await house.ready("ours")
            assert not [path for path in neon.reads if path.endswith("/branches") and len(neon.living()) == neighbors]

    told(story)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, json={"code": "", "message": "not found"}),
        httpx.Response(200, json={"branches": [{"name": "odd"}], "annotations": {}}),
    ],
)
def test_new_catalog_creates_where_projects_can_never_be_examined(catalog_url: str, answer: httpx.Response) -> None:
    """Every look-alike is examined once before the first create, and the last list is waited for as any partial one."""
    neon = Neon()
    number = 2 * split_brain.MAX_CALLS + 1

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            for each in range(number):
                neon.neighbor(each)
            theirs = {f"/projects/{project_id}/branches" for project_id in neon.living()}
            neon.falsify = lambda _method, path, real: answer if path in theirs else real
            lookout = split_brain.SplitBrainDetector(house.client, house.fleet, PLANE_ID)
            for _ in range(10):
                try:
                    await lookout.verify(ORG)
                except (NeonOutcomeUnknown, ProjectsUnexamined):
                    continue
                break
            assert theirs <= set(neon.reads)
            await house.until(await house.ask("ours"), AppStatus.READY)

    told(story)
