"""The server itself is another one, or of another day: a failover, a restart, a disk that was put back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from specs.status import AppStatus
from tests.identity.copies import Folder, promote
from tests.identity.days import FORGET_SERVER, blind, two_ready
from tests.identity.house import House, Neon, told
from tests.postgres import TestServer, own_server


@pytest.fixture(scope="module")
def server() -> Iterator[TestServer]:
    """A server that can be stopped, and whose data can be replaced."""
    with own_server() as made:
        yield made


@pytest.mark.parametrize("safe", [True, False])
def test_a_failover_that_lost_commits_is_noticed_by_the_very_next_change(server: TestServer, safe: bool) -> None:
    """A daemon that lives through it; the replica was behind, and is promoted."""
    neon = Neon()
    url = server.dsn(server.create_database(server.migrated_template()))
    _, doomed = told(lambda: two_ready(url, neon))
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


def test_a_server_that_was_started_again_is_looked_at_and_goes_on(server: TestServer) -> None:
    """A plain restart costs a list, and no person."""
    neon = Neon()
    url = server.dsn(server.create_database(server.migrated_template()))

    async def story() -> None:
        async with House(url, neon) as house:
            await house.ready("before")
            [before] = house.sql("SELECT verified_server_start FROM catalog_identity")
            server.stop()
            server.start()
            await house.disconnected()
            await house.ready("after")
            [after] = house.sql("SELECT verified_server_start FROM catalog_identity")
            assert before["verified_server_start"] < after["verified_server_start"]
            assert house.doubt() is None

    told(story)


@pytest.mark.parametrize("safe", [True, False])
def test_a_disk_of_yesterday_is_noticed_by_what_was_created_since(
    server: TestServer, monkeypatch: pytest.MonkeyPatch, safe: bool
) -> None:
    """The same system, database and timeline: only the start of the server, and so the look, is new."""
    neon = Neon()
    url = server.dsn(server.create_database(server.migrated_template()))
    told(lambda: two_ready(url, neon))
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
                blind(monkeypatch)
            await house.ask("after the restore")
            await house.passes(6)
            assert (neon.changes == []) == safe
            assert ("records only 2" in str(house.doubt())) == safe

    told(story)
