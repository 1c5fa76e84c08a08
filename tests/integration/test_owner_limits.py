"""What one owner can make grow, over a real catalog: creates in a day and idempotency keys."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from reconciler.catalog.apps import AppStore, CreateResult
from reconciler.catalog.control_plane_store import ControlPlaneStore
from reconciler.catalog.errors import (
    CreateLimitReached,
    IdempotencyKeyReused,
    KeyLimitReached,
    RequestRejected,
)
from reconciler.catalog.limits import MAX_KEYS
from tests.catalogs import SPEC, Result, create, execute, opened
from tests.postgres import TestServer
from tests.simulation.clock import START
from tests.stillclock import StillClock, still_clock

HOUR, DAY = 3600.0, 86_400.0
FILL_KEYS = """
INSERT INTO idempotency_keys (owner_id, key, fingerprint, app_id, created_at)
SELECT owner_id, 'old-' || n, '\\x00', app_id, clock_timestamp() - interval '23 hours'
FROM app_metadata, generate_series(1, {keys}) AS n
"""


@pytest.fixture(scope="module")
def still(postgres: TestServer) -> Iterator[StillClock]:
    """A catalog whose clock a test moves."""
    with still_clock(postgres) as clock:
        yield clock


@pytest.fixture
def clock(still: StillClock) -> StillClock:
    """The same, empty, at a full hour."""
    still.set(START - START % HOUR)
    still.empty()
    return still


def _use(clock: StillClock, use: Callable[[AppStore], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        async with opened(clock.url) as database:
            return await use(AppStore(database))

    return asyncio.run(run())


async def _turn(catalog: AppStore, name: str = "turn", **changes: Any) -> None:
    """Create and delete."""
    made = await create(catalog, name, max_apps=1, max_creates=3, **changes)
    assert made.created
    await catalog.request_delete("alice", made.app.app_id, None)


def _refused(clock: StillClock, kind: type[Any], use: Callable[[AppStore], Awaitable[object]]) -> float:
    """For how many seconds a create is refused; the refusal has written nothing."""
    tables = ("app_metadata", "app_work", "app_events", "app_owners", "idempotency_keys")
    dump = " UNION ALL ".join(f"SELECT to_jsonb(t) - 'key_count' AS row FROM {table} t" for table in tables)
    before = clock.rows(dump)
    with pytest.raises(RequestRejected) as refused:
        _use(clock, use)
    assert type(refused.value) is kind
    assert clock.rows(dump) == before
    return float(refused.value.retry_after)  # type: ignore[attr-defined]


def test_create_and_delete_in_turns_reaches_the_limit_of_a_day(clock: StillClock) -> None:
    """A turn in each of three hours; each hour is free again 25 hours after it began, not earlier than a day later."""
    for _ in range(3):
        _use(clock, _turn)
        clock.advance(HOUR)
    clock.advance(60)
    wait = _refused(clock, CreateLimitReached, _turn)
    assert wait == pytest.approx(25 * HOUR - 3 * HOUR - 60)
    clock.advance(wait - 1)
    assert _refused(clock, CreateLimitReached, _turn) == pytest.approx(1, abs=1e-3)
    clock.advance(1)
    _use(clock, _turn)
    _refused(clock, CreateLimitReached, _turn)


def test_the_limit_holds_for_creates_at_once_and_for_each_owner_alone(clock: StillClock) -> None:
    async def race(catalog: AppStore) -> list[CreateResult | BaseException]:
        wanted = [create(catalog, f"app-{n}", owner, max_creates=5) for n in range(20) for owner in ("alice", "bob")]
        return await asyncio.gather(*wanted, return_exceptions=True)

    results = _use(clock, race)
    assert sum(isinstance(result, CreateResult) for result in results) == 10
    assert sum(isinstance(result, CreateLimitReached) for result in results) == 30
    assert clock.rows("SELECT DISTINCT creates FROM app_owners") == [{"creates": [5]}]


def test_what_creates_nothing_does_not_count(clock: StillClock) -> None:
    """The same POST, a replayed key, and a refused create, any number of times."""

    async def use(catalog: AppStore) -> None:
        key: dict[str, Any] = {"idempotency_key": "k", "fingerprint": b"body"}
        for _ in range(5):
            await create(catalog, "one", max_apps=2, max_creates=2)
            await create(catalog, "two", max_apps=2, max_creates=2, **key)
            with pytest.raises(RequestRejected):
                await create(catalog, "three", max_apps=2, max_creates=2)

    _use(clock, use)
    assert clock.rows("SELECT app_count, creates FROM app_owners") == [{"app_count": 2, "creates": [2]}]


@pytest.mark.parametrize("ahead", [HOUR, DAY, 26 * HOUR, 400 * DAY])
def test_a_clock_that_was_ahead_locks_no_owner_out(clock: StillClock, ahead: float) -> None:
    """Creates and keys of the future are forgotten within three days by the right clock, and the wait is true."""
    clock.advance(ahead)
    for turn in range(3):
        _use(clock, lambda c, turn=turn: _turn(c, idempotency_key=f"k-{turn}", fingerprint=b"body"))  # type: ignore[misc]
    clock.rows(f"UPDATE app_owners SET key_count = {MAX_KEYS}")
    clock.advance(-ahead)
    if ahead <= DAY:
        wait = _refused(clock, CreateLimitReached, _turn)
        assert wait <= 2 * DAY + HOUR
        clock.advance(wait)
    _use(clock, _turn)
    clock.advance(3 * DAY)
    again = _use(clock, lambda c: create(c, "new", idempotency_key="k-0", fingerprint=b"another"))
    assert again.created


def test_a_key_expires_after_a_day_and_its_request_is_a_new_one(clock: StillClock) -> None:
    """A key of an app that lives stands for it anew; one of a deleted app makes another; purged or not."""
    first = _use(clock, lambda c: create(c, "one", idempotency_key="k", fingerprint=b"body"))
    clock.advance(DAY - 1)
    with pytest.raises(IdempotencyKeyReused):
        _use(clock, lambda c: create(c, "two", idempotency_key="k", fingerprint=b"another body"))
    clock.advance(1)
    second = _use(clock, lambda c: create(c, "two", idempotency_key="k", fingerprint=b"another body"))
    assert second.created
    clock.advance(DAY)
    again = _use(clock, lambda c: create(c, "one", idempotency_key="k", fingerprint=b"body"))
    assert (again.created, again.app.app_id) == (False, first.app.app_id)
    [kept] = clock.rows("SELECT app_id, created_at = clock_timestamp() AS anew FROM idempotency_keys")
    assert kept == {"app_id": first.app.app_id, "anew": True}


def test_a_new_key_beyond_the_limit_is_refused_and_none_is_evicted(clock: StillClock) -> None:
    """Three hundred keys of one app or a thousand: with a create or for an app that exists; a replay is answered."""
    key: dict[str, Any] = {"idempotency_key": "first", "fingerprint": b"body"}
    first = _use(clock, lambda c: create(c, "one", **key))
    clock.rows(FILL_KEYS.format(keys=MAX_KEYS - 1))
    clock.rows(f"UPDATE app_owners SET key_count = {MAX_KEYS}")
    for name in ("one", "two"):
        new: dict[str, Any] = {"idempotency_key": "beyond", "fingerprint": b"body"}
        wait = _refused(clock, KeyLimitReached, lambda c, name=name, new=new: create(c, name, **new))  # type: ignore[misc]
        assert wait == pytest.approx(HOUR)
    assert _use(clock, lambda c: create(c, "one", **key)).app.app_id == first.app.app_id
    assert _use(clock, lambda c: create(c, "two")).created
    assert clock.rows("SELECT count(*) AS n FROM idempotency_keys")[0]["n"] == MAX_KEYS
    clock.advance(HOUR)
    assert _use(clock, lambda c: create(c, "three", idempotency_key="beyond", fingerprint=b"body")).created
    assert clock.rows("SELECT key_count FROM app_owners") == [{"key_count": 2}]


def test_keys_at_once_do_not_exceed_the_limit(clock: StillClock) -> None:
    first = _use(clock, lambda c: create(c, "one"))
    clock.rows(FILL_KEYS.format(keys=MAX_KEYS - 5))
    clock.rows(f"UPDATE app_owners SET key_count = {MAX_KEYS - 5}")

    async def race(catalog: AppStore) -> list[CreateResult | BaseException]:
        given: list[dict[str, Any]] = [{"idempotency_key": f"k-{n}", "fingerprint": b"body"} for n in range(20)]
        wanted = [create(catalog, "one" if n % 2 else f"app-{n}", **key) for n, key in enumerate(given)]
        return await asyncio.gather(*wanted, return_exceptions=True)

    results = _use(clock, race)
    assert sum(isinstance(result, CreateResult) for result in results) == 5
    assert sum(isinstance(result, KeyLimitReached) for result in results) == 15
    assert clock.rows("SELECT count(*) AS n FROM idempotency_keys")[0]["n"] == MAX_KEYS
    assert first.created


def test_expired_keys_are_dropped_page_by_page(clock: StillClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a day ago and those of a clock far ahead; what lives stays, and a key that a create holds too."""
    monkeypatch.setattr("reconciler.catalog.control_plane_store.PAGE", 7)
    _use(clock, lambda c: create(c, "one", idempotency_key="living", fingerprint=b"body"))
    clock.rows(FILL_KEYS.format(keys=30))
    clock.rows("UPDATE idempotency_keys SET created_at = created_at - interval '1 hour' WHERE key <> 'living'")
    clock.rows("UPDATE idempotency_keys SET created_at = now() + interval '2 days' WHERE key = 'old-1'")

    async def expire() -> int:
        pages, after = 0, ("", "")
        async with opened(clock.url) as database:
            fleet = ControlPlaneStore(database, owner="d", lease_seconds=9)
            while (following := await fleet.expire_keys(after)) is not None:
                pages, after = pages + 1, following
        return pages

    assert asyncio.run(expire()) == 5
    assert clock.rows("SELECT key FROM idempotency_keys") == [{"key": "living"}]


def test_a_program_without_the_limits_counts_all_the_same(catalog_url: str) -> None:
    """Version N calls the same function with fewer fields: its creates are counted, and it is refused nothing new."""
    wanted = {
        "number": 0, "app_id": "a" * 24, "owner_id": "alice", "app_name": "one", "spec": SPEC.model_dump(),
        "queued_message": "w", "max_apps": 9, "key": "k", "fingerprint": "00",
    }  # fmt: skip
    execute(catalog_url, "SELECT * FROM create_apps(%(requests)s)", {"requests": Jsonb([wanted])})
    assert execute(catalog_url, "SELECT creates, key_count FROM app_owners") == [{"creates": [1], "key_count": 1}]
