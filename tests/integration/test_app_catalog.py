"""What the API does to a real catalog, also many times at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from reconciler.catalog.apps import AppStore, CreateResult
from reconciler.catalog.errors import IdempotencyKeyReused, InvalidCursor, LimitReached, NameTaken
from reconciler.errors import CatalogUnavailable
from specs.app import DesiredApp
from specs.status import AppStatus
from tests.catalogs import REGION, create, execute, new_app_id, opened, with_catalog
from tests.postgres import own_server


def _work(url: str, app_id: str) -> dict[str, Any]:
    return execute(url, "SELECT *, due_at <= now() AS due FROM app_work WHERE app_id = %(id)s", {"id": app_id})[0]


def test_a_create_writes_row_work_and_history(catalog_url: str) -> None:
    made = with_catalog(catalog_url, create)
    app = made.app
    assert made.created
    assert (app.status, app.generation, app.observed_generation) == (AppStatus.PENDING, 1, 0)
    assert [(c.type, c.status, c.reason) for c in app.conditions] == [("Ready", "False", "Queued")]
    work = _work(catalog_url, app.app_id)
    assert (work["due"], work["lane"], work["attempts"], work["lease_holder"]) == (True, 0, 0, None)
    page = with_catalog(catalog_url, lambda c: c.events("alice", app.app_id, limit=10, cursor=None))
    assert page is not None
    assert [(e.type, e.actor, e.generation, e.request_id) for e in page.events] == [
        ("Created", "alice", 1, "request-1")
    ]


def test_the_same_again_is_the_same_app(catalog_url: str) -> None:
    async def twice(catalog: AppStore) -> tuple[CreateResult, CreateResult]:
        return await create(catalog), await create(catalog)

    first, second = with_catalog(catalog_url, twice)
    assert (first.created, second.created) == (True, False)
    assert first.app == second.app


def test_the_same_name_with_other_fields_is_taken(catalog_url: str) -> None:
    first = with_catalog(catalog_url, create)
    other = DesiredApp(app_name="notes", region="aws-eu-west-2", pg_version=16)
    with pytest.raises(NameTaken) as caught:
        with_catalog(catalog_url, lambda c: create(c, desired=other))
    assert (caught.value.app_id, caught.value.mismatches) == (first.app.app_id, ("pg_version", "region"))
    assert with_catalog(catalog_url, lambda c: create(c, owner="bob", desired=other)).created


def test_a_deleted_app_releases_its_name_at_once(catalog_url: str) -> None:
    async def again(catalog: AppStore) -> tuple[str, CreateResult]:
        first = await create(catalog)
        await catalog.request_delete("alice", first.app.app_id, None)
        return first.app.app_id, await create(catalog, desired=DesiredApp(app_name="notes", region="x", pg_version=16))

    old, new = with_catalog(catalog_url, again)
    assert new.created
    assert new.app.app_id != old


KEY: dict[str, Any] = {"idempotency_key": "k1", "fingerprint": b"body"}


def test_a_key_stands_for_its_app_also_after_a_rename_and_a_delete(catalog_url: str) -> None:
    app_id = with_catalog(catalog_url, lambda c: create(c, **KEY)).app.app_id
    execute(catalog_url, "UPDATE app_metadata SET app_name = 'renamed'")
    replayed = with_catalog(catalog_url, lambda c: create(c, **KEY))
    assert (replayed.app.app_id, replayed.app.app_name, replayed.created) == (app_id, "renamed", False)
    with_catalog(catalog_url, lambda c: c.request_delete("alice", app_id, None))
    replayed = with_catalog(catalog_url, lambda c: create(c, **KEY))
    assert (replayed.app.app_id, replayed.created) == (app_id, False)


def test_a_key_is_remembered_for_an_app_that_was_there_before(catalog_url: str) -> None:
    first = with_catalog(catalog_url, create)
    assert with_catalog(catalog_url, lambda c: create(c, **KEY)).app == first.app
    execute(catalog_url, "UPDATE app_metadata SET app_name = 'renamed'")
    assert with_catalog(catalog_url, lambda c: create(c, **KEY)).app.app_id == first.app.app_id


def test_a_key_with_another_body_is_refused_and_other_owners_have_their_own(catalog_url: str) -> None:
    with_catalog(catalog_url, lambda c: create(c, **KEY))
    with pytest.raises(IdempotencyKeyReused):
        with_catalog(catalog_url, lambda c: create(c, "other", **(KEY | {"fingerprint": b"other body"})))
    assert with_catalog(catalog_url, lambda c: create(c, "other", "bob", **(KEY | {"fingerprint": b"other"}))).created


def test_fifty_at_once_one_below_the_limit_make_exactly_one(catalog_url: str) -> None:
    async def race(catalog: AppStore) -> list[CreateResult | BaseException]:
        for number in range(4):
            await create(catalog, f"before-{number}", max_apps=5)
        wanted = (create(catalog, f"app-{number}", max_apps=5) for number in range(50))
        return await asyncio.gather(*wanted, return_exceptions=True)

    results = with_catalog(catalog_url, race)
    assert sum(isinstance(result, CreateResult) for result in results) == 1
    assert sum(isinstance(result, LimitReached) for result in results) == 49
    assert execute(catalog_url, "SELECT count(*) AS n FROM app_metadata")[0]["n"] == 5


def test_deleting_apps_do_not_count_towards_the_limit(catalog_url: str) -> None:
    first = with_catalog(catalog_url, lambda c: create(c, "one", max_apps=1))
    with pytest.raises(LimitReached):
        with_catalog(catalog_url, lambda c: create(c, "two", max_apps=1))
    with_catalog(catalog_url, lambda c: c.request_delete("alice", first.app.app_id, None))
    assert with_catalog(catalog_url, lambda c: create(c, "two", max_apps=1)).created


@pytest.mark.parametrize("key", [{}, KEY])
def test_twenty_of_one_name_at_once_are_one_app(catalog_url: str, key: dict[str, Any]) -> None:
    async def race(catalog: AppStore) -> list[CreateResult]:
        return await asyncio.gather(*(create(catalog, **key) for _ in range(20)))

    results = with_catalog(catalog_url, race)
    assert len({result.app.app_id for result in results}) == 1
    assert sum(result.created for result in results) == 1
    assert execute(catalog_url, "SELECT count(*) AS n FROM app_metadata")[0]["n"] == 1


def test_other_owners_see_nothing(catalog_url: str) -> None:
    app_id = with_catalog(catalog_url, create).app.app_id

    async def look(catalog: AppStore) -> tuple[object, ...]:
        return (
            await catalog.get("bob", app_id),
            await catalog.request_delete("bob", app_id, None),
            await catalog.events("bob", app_id, limit=10, cursor=None),
            (await catalog.list("bob", status=None, name=None, limit=10, cursor=None)).apps,
        )

    assert with_catalog(catalog_url, look) == (None, None, None, ())
    assert execute(catalog_url, "SELECT delete_requested_at FROM app_metadata") == [{"delete_requested_at": None}]


def test_pages_hold_everything_once_and_newest_first(catalog_url: str) -> None:
    async def read(catalog: AppStore) -> tuple[list[str], list[str]]:
        made = [(await create(catalog, f"app-{number}")).app.app_id for number in range(7)]
        seen: list[str] = []
        cursor = None
        while True:
            page = await catalog.list("alice", status=None, name=None, limit=3, cursor=cursor)
            seen += [app.app_id for app in page.apps]
            cursor = page.next_cursor
            if cursor is None:
                return made, seen
            await create(catalog, f"late-{len(seen)}")

    made, seen = with_catalog(catalog_url, read)
    assert seen == made[::-1]


def test_apps_of_one_moment_are_not_lost_between_pages(catalog_url: str) -> None:
    async def fill(catalog: AppStore) -> None:
        for number in range(5):
            await create(catalog, f"app-{number}")

    with_catalog(catalog_url, fill)
    execute(catalog_url, "UPDATE app_metadata SET created_at = '2026-01-01'")

    async def read(catalog: AppStore) -> int:
        first = await catalog.list("alice", status=None, name=None, limit=2, cursor=None)
        second = await catalog.list("alice", status=None, name=None, limit=3, cursor=first.next_cursor)
        return len({app.app_id for app in first.apps + second.apps})

    assert with_catalog(catalog_url, read) == 5


def test_filters(catalog_url: str) -> None:
    async def fill(catalog: AppStore) -> str:
        await create(catalog, "one")
        app_id = (await create(catalog, "two")).app.app_id
        await create(catalog, "three", "bob")
        return app_id

    gone = with_catalog(catalog_url, fill)
    execute(catalog_url, "UPDATE app_metadata SET status = 'deleted' WHERE app_id = %(id)s", {"id": gone})

    def names(**filters: Any) -> list[str]:
        given: dict[str, Any] = {"status": None, "name": None, "limit": 10, "cursor": None}
        page = with_catalog(catalog_url, lambda c: c.list("alice", **(given | filters)))
        return [app.app_name for app in page.apps]

    assert names() == ["one"]
    assert names(status=AppStatus.DELETED) == ["two"]
    assert names(status=AppStatus.READY) == []
    assert names(name="one") == ["one"]
    assert names(name="on_") == []


@pytest.mark.parametrize(
    "change", [lambda c: c[:-1], lambda c: "A" + c[1:], lambda c: c[:0], lambda c: c + "\u00e9", str.upper, "9".__add__]
)
def test_what_is_no_cursor_is_refused(catalog_url: str, change: Any) -> None:
    async def read(catalog: AppStore) -> None:
        await create(catalog, "one")
        await create(catalog, "two")
        page = await catalog.list("alice", status=None, name=None, limit=1, cursor=None)
        assert page.next_cursor is not None
        with pytest.raises(InvalidCursor):
            await catalog.list("alice", status=None, name=None, limit=1, cursor=change(page.next_cursor))

    with_catalog(catalog_url, read)


def test_a_cursor_of_somebody_elses_list_shows_nothing_of_it(catalog_url: str) -> None:
    async def read(catalog: AppStore) -> list[str]:
        await create(catalog, "mine", owner="bob")
        for name in ("one", "two"):
            await create(catalog, name)
        page = await catalog.list("alice", status=None, name=None, limit=1, cursor=None)
        theirs = await catalog.list("bob", status=None, name=None, limit=10, cursor=page.next_cursor)
        return [app.app_name for app in theirs.apps]

    assert with_catalog(catalog_url, read) == ["mine"]


def test_a_delete_is_marked_once_and_wakes_the_work(catalog_url: str) -> None:
    app = with_catalog(catalog_url, create).app
    execute(catalog_url, "UPDATE app_work SET due_at = 'infinity', lane = 1, attempts = 7")
    first = with_catalog(catalog_url, lambda c: c.request_delete("alice", app.app_id, "request-2"))
    second = with_catalog(catalog_url, lambda c: c.request_delete("alice", app.app_id, "request-3"))
    assert first is not None
    assert first == second
    assert (first.status, first.generation, first.can_expose_uri) == (AppStatus.DELETING, 2, False)
    assert [(c.type, c.status, c.reason) for c in first.conditions] == [("Ready", "False", "DeleteRequested")]
    work = _work(catalog_url, app.app_id)
    assert (work["due"], work["lane"], work["attempts"], work["wake_count"]) == (True, 0, 0, 1)
    page = with_catalog(catalog_url, lambda c: c.events("alice", app.app_id, limit=10, cursor=None))
    assert page is not None
    assert [event.type for event in page.events] == ["DeleteRequested", "Created"]


@pytest.mark.parametrize(("lease", "due"), [("1 hour", False), ("-1 hour", True)])
def test_a_wake_leaves_a_living_lease_alone(catalog_url: str, lease: str, due: bool) -> None:
    app = with_catalog(catalog_url, create).app
    execute(
        catalog_url,
        "UPDATE app_work SET lease_expires_at = now() + %(lease)s::interval, due_at = now() + '1 hour'",
        {"lease": lease},
    )
    with_catalog(catalog_url, lambda c: c.request_delete("alice", app.app_id, None))
    work = _work(catalog_url, app.app_id)
    assert (work["due"], work["wake_count"]) == (due, 1)


def test_deletes_at_once_are_one(catalog_url: str) -> None:
    app = with_catalog(catalog_url, create).app

    async def race(catalog: AppStore) -> None:
        await asyncio.gather(*(catalog.request_delete("alice", app.app_id, None) for _ in range(10)))

    with_catalog(catalog_url, race)
    assert _work(catalog_url, app.app_id)["wake_count"] == 1
    assert execute(catalog_url, "SELECT generation FROM app_metadata")[0]["generation"] == 2


def test_a_delete_and_a_worker_that_records_do_not_wait_for_each_other_in_a_ring(catalog_url: str) -> None:
    app = with_catalog(catalog_url, create).app
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    async def race(catalog: AppStore) -> None:
        async with await psycopg.AsyncConnection.connect(catalog_url) as worker:
            await worker.execute("SELECT 1 FROM app_work FOR NO KEY UPDATE")
            deleting = asyncio.create_task(catalog.request_delete("alice", app.app_id, None))
            while not execute(catalog_url, waiting):
                assert not deleting.done()
                await asyncio.sleep(0.01)
            await worker.execute("UPDATE app_metadata SET status = 'ready'")
        marked = await deleting
        assert marked is not None
        assert marked.status is AppStatus.DELETING

    with_catalog(catalog_url, race)


def test_a_tombstone_that_is_over_cannot_be_seen(catalog_url: str) -> None:
    app = with_catalog(catalog_url, create).app
    execute(catalog_url, "UPDATE app_metadata SET status = 'deleted', tombstone_until = now() + '1 hour'")
    assert with_catalog(catalog_url, lambda c: c.get("alice", app.app_id)) is not None
    execute(catalog_url, "UPDATE app_metadata SET tombstone_until = now() - interval '1 second'")

    async def look(catalog: AppStore) -> tuple[object, ...]:
        return (
            await catalog.get("alice", app.app_id),
            await catalog.request_delete("alice", app.app_id, None),
            (await catalog.list("alice", status=AppStatus.DELETED, name=None, limit=10, cursor=None)).apps,
        )

    assert with_catalog(catalog_url, look) == (None, None, ())


def test_events_are_paged(catalog_url: str) -> None:
    app = with_catalog(catalog_url, create).app
    execute(
        catalog_url,
        "INSERT INTO app_events (app_id, type, reason, message, actor, generation)"
        " SELECT app_id, 'Type', n::text, '', 'reconciler', 1 FROM app_metadata, generate_series(1, 5) AS n",
    )

    async def read(catalog: AppStore) -> list[str]:
        first = await catalog.events("alice", app.app_id, limit=4, cursor=None)
        assert first is not None
        second = await catalog.events("alice", app.app_id, limit=4, cursor=first.next_cursor)
        assert second is not None
        assert second.next_cursor is None
        return [event.reason for event in first.events + second.events]

    assert with_catalog(catalog_url, read) == ["5", "4", "3", "2", "1", "Requested"]


def test_statuses_of_many_and_the_hint(catalog_url: str) -> None:
    async def use(catalog: AppStore) -> set[str]:
        ids = [(await create(catalog, f"app-{number}")).app.app_id for number in range(3)]
        await catalog.notify()
        found = await catalog.get_many([*ids, new_app_id()])
        assert set(ids) == set(found)
        return set(found)

    assert len(with_catalog(catalog_url, use)) == 3


def test_a_column_that_a_newer_program_added_is_no_trouble(catalog_url: str) -> None:
    execute(catalog_url, "ALTER TABLE app_metadata ADD COLUMN later text")
    assert with_catalog(catalog_url, create).created


def test_times_are_aware_and_the_catalogs(catalog_url: str) -> None:
    app = with_catalog(catalog_url, create).app
    assert app.created_at.utcoffset() is not None
    assert app.created_at > datetime(2026, 1, 1, tzinfo=UTC)
    assert app.spec.region == REGION


def test_a_server_that_restarts_is_found_again_and_a_hint_that_fails_is_ignored() -> None:
    from reconciler.catalog.migrate import migrate  # noqa: PLC0415 - the only test with a server of its own

    with own_server() as server:
        migrate(server.url)

        async def use() -> None:
            async with opened(server.url, timeout_seconds=2) as database:
                catalog = AppStore(database)
                await asyncio.gather(*(create(catalog, f"app-{number}") for number in range(5)))
                server.stop()
                with pytest.raises(CatalogUnavailable):
                    await create(catalog, "while-down")
                await catalog.notify()
                server.start()
                assert (await create(catalog, "after")).created
                apps = (await catalog.list("alice", status=None, name=None, limit=10, cursor=None)).apps
                assert "while-down" not in {app.app_name for app in apps}
                assert len(apps) == 6

        asyncio.run(use())


def test_a_catalog_that_was_not_migrated_is_unavailable(empty_database_url: str) -> None:
    with pytest.raises(CatalogUnavailable, match="morphik-apps migrate"):
        with_catalog(empty_database_url, create)
