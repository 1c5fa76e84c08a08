"""A person's claim: what was lost is there again, nothing is deleted, and nobody gets what is not proven to be his."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from api.cli.promote import Inspection, inspect
from reconciler.catalog.database import Database
from reconciler.catalog.promotion import PromotionRejected, PromotionResult, PromotionStore
from reconciler.core.effects import OpenIntent
from reconciler.errors import LeaseLost
from specs.status import AppStatus, ConditionType
from tests.catalogs import SEALER, execute, opened
from tests.environment import with_options
from tests.identity.copies import copied
from tests.identity.house import PLANE_ID, House, Neon, told
from tests.postgres import TestServer

Story = Callable[[House, str], Awaitable[None]]


async def _seen(house: House, database: Database) -> Inspection:
    return await inspect(house.client, house.access, house.fleet, PromotionStore(database), PLANE_ID)


async def claimed(house: House) -> tuple[Inspection, PromotionResult]:
    """What ``morphik-apps catalog promote --yes`` does."""
    async with opened(house.url) as database:
        seen = await _seen(house, database)
        catalog = PromotionStore(database)
        done = await catalog.promote(seen.plan, seen.identity, SEALER, org_id=seen.org_id, at=seen.at)
    house.restart()
    return seen, done


async def confirmed(house: House, app_id: str, owner_id: str) -> str:
    """What ``morphik-apps app confirm-owner`` does."""
    async with opened(house.url) as database:
        return await PromotionStore(database).confirm_owner(app_id, owner_id)


def restored(
    postgres: TestServer,
    url: str,
    neon: Neon,
    *,
    before: Callable[[House], Awaitable[object]],
    since: Callable[[House], Awaitable[object]],
    after: Callable[[House], Awaitable[object]],
) -> None:
    """A day before a back-up, the time since, and a restored catalog after."""

    async def live(where: str, part: Callable[[House], Awaitable[object]]) -> None:
        async with House(where, neon) as house:
            await part(house)

    asyncio.run(live(url, before))
    with copied(postgres, url) as copy:
        asyncio.run(live(url, since))
        neon.changes.clear()
        asyncio.run(live(copy, after))


def test_a_lost_app_is_rebuilt_and_serves_once_its_owner_is_confirmed(postgres: TestServer, catalog_url: str) -> None:
    neon, lost = Neon(), list[str]()

    async def since(house: House) -> None:
        lost.append(await house.ready("lost"))

    async def after(house: House) -> None:
        await house.long()
        assert house.doubt()
        seen, done = await claimed(house)
        assert done == PromotionResult(tuple(lost), (), ())
        assert seen.plan.last_create_seq == 2
        await house.long()
        row = house.row(lost[0])
        assert (row.status, row.hold_reason, row.owner_id, row.app_name) == (AppStatus.FAILED, "owner", "alice", "lost")
        assert house.reason(lost[0]) == "OwnerUnconfirmed"
        assert not row.can_expose_uri
        assert house.doubt() is None
        assert neon.changes == []

        assert await confirmed(house, lost[0], "alice") == "owner"
        await house.until(lost[0], AppStatus.READY)
        row = house.row(lost[0])
        assert row.can_expose_uri
        assert SEALER.decrypt_uri(row, "connection_uri") is not None
        await house.long()
        assert neon.changes == []  # not even drift: it was rebuilt as it is
        [new] = house.sql("SELECT last_create_seq FROM catalog_identity")
        assert new["last_create_seq"] == 2
        await house.delete(lost[0])
        await house.until(lost[0], AppStatus.DELETED)

    restored(postgres, catalog_url, neon, before=lambda house: house.ready("kept"), since=since, after=after)


def test_a_person_may_name_another_owner_and_no_name_is_taken_twice(postgres: TestServer, catalog_url: str) -> None:
    neon, lost = Neon(), list[str]()

    async def since(house: House) -> None:
        lost.append(await house.ready("lost"))

    async def after(house: House) -> None:
        await claimed(house)
        with pytest.raises(PromotionRejected):
            await confirmed(house, "a" * 24, "bob")
        await confirmed(house, lost[0], "bob")
        with pytest.raises(PromotionRejected):
            await confirmed(house, lost[0], "bob")
        await house.until(lost[0], AppStatus.READY)
        owners = {row["owner_id"]: row["app_count"] for row in house.sql("SELECT * FROM app_owners")}
        assert owners == {"alice": 1, "bob": 1}
        [same] = house.sql(f"SELECT owner_id FROM app_metadata WHERE app_id = '{lost[0]}'")
        assert same["owner_id"] == "bob"

    restored(postgres, catalog_url, neon, before=lambda house: house.ready("kept"), since=since, after=after)


@pytest.mark.parametrize("word", ["recover", "delete"])
def test_what_was_deleted_since_is_held_until_a_person_speaks(
    postgres: TestServer, catalog_url: str, word: str
) -> None:
    neon, apps = Neon(), list[str]()

    async def before(house: House) -> None:
        apps.append(await house.ready("doomed"))
        await house.ready("kept")

    async def since(house: House) -> None:
        await house.delete(apps[0])
        await house.until(apps[0], AppStatus.DELETED)

    async def after(house: House) -> None:
        _, done = await claimed(house)
        assert done == PromotionResult((), (), (apps[0],))
        await house.long()
        assert neon.changes == []
        assert house.row(apps[0]).hold_reason == "recovery"
        assert house.reason(apps[0], ConditionType.READY) == "ProjectMissing"
        if word == "recover":
            with pytest.raises(PromotionRejected):
                await confirmed(house, apps[0], "bob")
            assert await confirmed(house, apps[0], "alice") == "recovery"
            await house.long()
            await house.until(apps[0], AppStatus.READY)
            assert neon.changes == [f"POST /projects/{house.row(apps[0]).project_id}/recover"]
        else:
            await house.delete(apps[0])
            await house.until(apps[0], AppStatus.DELETED)
            assert neon.changes == []

    restored(postgres, catalog_url, neon, before=before, since=since, after=after)


@pytest.mark.parametrize("remembered", [True, False])
def test_an_app_that_forgot_its_create_adopts_the_project_and_makes_no_second(
    postgres: TestServer, catalog_url: str, remembered: bool
) -> None:
    neon, apps = Neon(), list[str]()

    async def before(house: House) -> None:
        await house.ready("first")
        apps.append(await house.ask("forgetful"))

    async def since(house: House) -> None:
        await house.until(apps[0], AppStatus.READY)

    async def after(house: House) -> None:
        await house.passes(3)
        if not remembered:
            # Without the intents that a claim remembers.
            house.sql(
                "UPDATE catalog_identity SET server_identity = NULL, quarantined_at = NULL, quarantine_reason = NULL"
            )
            house.sql("UPDATE catalog_identity SET last_create_seq = 9")
            house.restart()
            await house.until(apps[0], AppStatus.READY)
            assert len(neon.of(apps[0])) == 2
            return
        _, done = await claimed(house)
        assert done == PromotionResult((), (apps[0],), ())
        await house.until(apps[0], AppStatus.READY)
        assert neon.of(apps[0]) == [house.row(apps[0]).project_id]
        assert neon.changes == []

    restored(postgres, catalog_url, neon, before=before, since=since, after=after)


def test_what_cannot_be_rebuilt_is_said_and_left_alone(postgres: TestServer, catalog_url: str) -> None:
    """A name that is taken by now, two projects of one app, and a mark of another app."""
    neon, lost = Neon(), list[str]()

    async def since(house: House) -> None:
        lost.extend([await house.ready("taken"), await house.ready("twice"), await house.ready("mixed up")])
        projects = neon.machine._account.projects
        originals = {app_id: projects[neon.of(app_id)[0]] for app_id in lost}
        copy = projects[neon.of(await house.ready("copy"))[0]]
        copy.name = originals[lost[1]].name
        copy.default_branch.annotation = originals[lost[1]].default_branch.annotation
        originals[lost[2]].default_branch.annotation["morphik_app_id"] = lost[0]

    async def after(house: House) -> None:
        await house.ask("taken")
        seen, done = await claimed(house)
        assert done == PromotionResult((), (), ())
        why = [text for _, text in seen.plan.skipped]
        assert len(why) == 4
        assert sum("has another living app of its name" in text for text in why) == 1
        assert sum("2 projects name" in text for text in why) == 2
        assert sum("its annotations are of" in text for text in why) == 1
        await house.long()
        assert house.doubt() is None
        assert [change for change in neon.changes if change != "POST /projects"] == []
        assert len(neon.living()) == 6

    restored(postgres, catalog_url, neon, before=lambda house: house.ready("kept"), since=since, after=after)


def test_a_claim_again_changes_nothing_more(postgres: TestServer, catalog_url: str) -> None:
    neon, lost = Neon(), list[str]()

    async def since(house: House) -> None:
        lost.append(await house.ready("lost"))

    async def after(house: House) -> None:
        await claimed(house)
        events = house.sql("SELECT count(*) AS events FROM app_events")
        seen, done = await claimed(house)
        assert (seen.plan.quarantine_reason, done) == (None, PromotionResult((), (), ()))
        assert house.sql("SELECT count(*) AS events FROM app_events") == events

    restored(postgres, catalog_url, neon, before=lambda house: house.ready("kept"), since=since, after=after)


def test_two_claims_at_once_are_one(postgres: TestServer, catalog_url: str) -> None:
    """The slower one is told to look again."""
    neon = Neon()

    async def after(house: House) -> None:
        async with opened(house.url) as database:
            catalog = PromotionStore(database)
            first, second = await _seen(house, database), await _seen(house, database)
            await catalog.promote(first.plan, first.identity, SEALER, org_id=first.org_id, at=first.at)
            with pytest.raises(PromotionRejected, match="the catalog was promoted"):
                await catalog.promote(second.plan, second.identity, SEALER, org_id=second.org_id, at=second.at)

    restored(
        postgres,
        catalog_url,
        neon,
        before=lambda house: house.ready("kept"),
        since=lambda h: h.ready("lost"),
        after=after,
    )


def test_a_pass_that_began_before_the_claim_makes_no_second_project(postgres: TestServer, catalog_url: str) -> None:
    """It knows nothing of the create that the claim remembers; its lease is gone."""
    neon, apps = Neon(), list[str]()

    async def before(house: House) -> None:
        await house.ready("first")
        apps.append(await house.ask("forgetful"))

    async def after(house: House) -> None:
        [stale] = await house.work.claim(1)
        assert (stale.app.app_id, stale.intents) == (apps[0], ())
        await claimed(house)
        with pytest.raises(LeaseLost):
            await house.records.open_intent(stale.lease, OpenIntent("nonce", None))

    restored(postgres, catalog_url, neon, before=before, since=lambda h: h.until(apps[0], AppStatus.READY), after=after)


@pytest.mark.parametrize("role", ["morphik_apps_api", "morphik_apps_reconciler"])
def test_no_daemon_and_no_api_can_claim(postgres: TestServer, catalog_url: str, role: str) -> None:
    """The login that owns the tables is needed, and the message says so."""
    neon = Neon()

    async def after(house: House) -> None:
        async with opened(house.url) as database:
            seen = await _seen(house, database)
        async with opened(with_options(house.url, f"-c role={role}")) as database:
            with pytest.raises(PromotionRejected, match="this login"):
                await PromotionStore(database).promote(seen.plan, seen.identity, SEALER, org_id=seen.org_id, at=seen.at)

    restored(
        postgres, catalog_url, neon, before=lambda h: h.ready("kept"), since=lambda h: h.ready("lost"), after=after
    )


def test_another_catalog_that_was_set_aside_is_no_doubt_until_it_makes_something_again(
    postgres: TestServer, catalog_url: str
) -> None:
    neon = Neon()
    name = postgres.create_database(postgres.migrated_template())
    other = postgres.dsn(name)
    execute(other, "UPDATE catalog_identity SET catalog_id = gen_random_uuid()")

    async def story() -> None:
        async with House(catalog_url, neon) as house, House(other, neon) as second:
            await house.access.verify()
            await second.ready("theirs")
            await house.sweep()
            assert house.doubt()
            await claimed(house)
            await house.ready("ours")
            await house.sweep()
            assert house.doubt() is None
            second.sql("UPDATE catalog_identity SET quarantined_at = NULL, quarantine_reason = NULL")
            await second.ready("theirs again")
            await house.sweep()
            assert "another catalog" in str(house.doubt())

    try:
        told(story)
    finally:
        postgres.drop_database(name)


def test_nothing_is_claimed_that_has_made_nothing(catalog_url: str) -> None:
    async def story() -> None:
        async with House(catalog_url, Neon()) as house:
            with pytest.raises(PromotionRejected, match="nothing to promote"):
                await claimed(house)

    told(story)
