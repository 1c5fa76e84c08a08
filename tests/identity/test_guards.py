"""The statements and the looks that stand between a catalog in doubt and a change."""

from __future__ import annotations

import pytest

from reconciler.catalog.work_queue import Lease
from reconciler.core.effects import OpenIntent
from reconciler.core.recovery.catalog_identity import CatalogIdentity
from reconciler.errors import CatalogUnverified, LeaseLost, NeonOutcomeUnknown
from reconciler.runtime.guards import split_brain
from specs.neon import ProjectListing
from tests.identity.house import ORG, PLANE_ID, House, Neon, told


def test_a_doubt_from_before_a_claim_does_not_outlive_it(catalog_url: str) -> None:
    """A daemon that is slow to say what it saw before a person's word says nothing."""

    async def story() -> None:
        async with House(catalog_url, Neon()) as house:
            before: CatalogIdentity = await house.fleet.identity.read()
            house.sql("UPDATE catalog_identity SET promoted_at = now()")
            assert not await house.fleet.identity.quarantine(before, "as it was")
            assert not await house.fleet.identity.record_verified(before, before.created_at)
            now = await house.fleet.identity.read()
            assert await house.fleet.identity.quarantine(now, "as it is")
            assert not await house.fleet.identity.quarantine(now, "once more")

    told(story)


def test_tokens_after_a_doubt_are_beyond_all_that_may_have_been_given_out(catalog_url: str) -> None:
    async def story() -> None:
        async with House(catalog_url, Neon()) as house:
            [before] = house.sql("SELECT nextval('lease_tokens') AS token")
            await house.fleet.identity.quarantine(await house.fleet.identity.read(), "lost")
            [after] = house.sql("SELECT nextval('lease_tokens') AS token")
            assert after["token"] > before["token"] + 1_000_000

    told(story)


def test_the_statement_that_commits_an_intent_looks_at_the_server_too(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its permission was given by another statement, perhaps on another server."""

    async def story() -> None:
        async with House(catalog_url, Neon()) as house:
            await house.ready("before")
            app_id = await house.ask()
            [claimed] = await house.work.claim(1)
            monkeypatch.setattr(house.records, "authorize_mutation", _permit)
            kept = house.sql("SELECT server_identity FROM catalog_identity")[0]["server_identity"]
            for wrong in ("server_identity = 'elsewhere'", "verified_server_start = now()", "quarantined_at = now()"):
                house.sql(f"UPDATE catalog_identity SET {wrong}")
                with pytest.raises(LeaseLost):
                    await house.records.open_intent(claimed.lease, OpenIntent("nonce", None))
                house.sql(
                    "UPDATE catalog_identity SET quarantined_at = NULL, "
                    "verified_server_start = pg_postmaster_start_time(), "
                    f"server_identity = '{kept}'"
                )
            await house.records.open_intent(claimed.lease, OpenIntent("nonce", None))
            assert [row["app_id"] for row in house.sql("SELECT * FROM create_intents WHERE nonce = 'nonce'")] == [
                app_id
            ]

    told(story)


async def _permit(_lease: Lease, *, automatic: bool) -> None:
    """Everything is permitted."""


def test_a_change_is_refused_on_a_server_that_was_not_looked_over(catalog_url: str) -> None:
    async def story() -> None:
        async with House(catalog_url, Neon()) as house:
            await house.ready("before")
            await house.ask()
            [claimed] = await house.work.claim(1)
            await house.records.authorize_mutation(claimed.lease, automatic=False)
            for wrong in (
                "server_identity = 'elsewhere'",
                "verified_server_start = now()",
                "verified_server_start = NULL",
            ):
                house.sql(f"UPDATE catalog_identity SET {wrong}")
                with pytest.raises(CatalogUnverified):
                    await house.records.authorize_mutation(claimed.lease, automatic=False)

    told(story)


def test_a_daemon_changes_nothing_in_another_catalog_than_it_was_started_over(catalog_url: str) -> None:
    """Also after a claim: what it makes would carry the wrong catalog's id."""
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.ready("before")
            house.sql("UPDATE catalog_identity SET catalog_id = gen_random_uuid(), verified_server_start = now()")
            neon.changes.clear()
            app_id = await house.ask("after")
            await house.passes(4)
            assert neon.changes == []
            assert house.doubt() is None
            assert house.reason(app_id) == "MutationsSuspended"

    told(story)


@pytest.mark.parametrize("known", [True, False])
def test_a_list_that_lacks_what_no_row_records_is_no_look_until_the_third(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    """What a row records may be missing from it; and it never counts as a look back."""
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            ours = house.row(await house.ready("before")).project_id
            partial = ProjectListing(projects=(), unavailable_project_ids=(str(ours) if known else "p-unknown",))
            lookout = split_brain.SplitBrainDetector(house.client, house.fleet, PLANE_ID)

            async def listed(**_: object) -> ProjectListing:
                return partial

            monkeypatch.setattr(house.client, "list_all_projects", listed)
            [before] = house.sql("SELECT verified_at FROM catalog_identity")
            if known:
                await lookout.verify(ORG)
            else:
                for _ in range(split_brain.MAX_PARTIAL_LISTS - 1):
                    with pytest.raises(NeonOutcomeUnknown):
                        await lookout.verify(ORG)
                await lookout.verify(ORG)
            [after] = house.sql("SELECT verified_at FROM catalog_identity")
            assert (before["verified_at"] < after["verified_at"]) == known

    told(story)


@pytest.mark.parametrize("neighbors", [50, 150])
def test_a_start_costs_the_same_calls_however_many_projects_another_plane_has(catalog_url: str, neighbors: int) -> None:
    neon = Neon()

    async def story() -> None:
        async with House(catalog_url, neon) as house:
            await house.ready("first")
            for number in range(neighbors):
                neon.neighbor(number)
            neon.reads.clear()
            house.restart()
            await house.access.verify()
            looks = [path for path in neon.reads if path.endswith("/branches")]
            assert len(looks) == min(neighbors, split_brain.MAX_CALLS)
            assert len(neon.reads) - len(looks) <= 4
            await house.ready("ours")

    told(story)
