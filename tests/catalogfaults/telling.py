"""Tells stories, with and without a fault, and finds out which statements they use."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from reconciler.catalog.database import Database
from tests.catalogfaults.faults import Fault, Kind, faulty
from tests.catalogfaults.stories import STORIES
from tests.catalogfaults.whole import Story, Whole
from tests.postgres import TestServer
from tests.statements import statements
from tests.stillclock import StillClock, still_clock

CONNECTIONS = 4
UNUSED: Mapping[str, str] = {
    "work_queue.renew": "no pass is as long as a third of a lease",
    "control_plane_store.renew_job": "no round is as long as a third of a lease",
    "status_store.spend_automatic_delete": "no story has a surplus to delete",
    "status_store.update_intent": "Neon answers every create of the stories",
    "rate_limit.close": "Neon refuses nothing for there being too many requests",
    "control_plane_store.stop": "the fleet of a story is too small to vanish",
    "control_plane_store.stop_overridden": "the same",
    "control_plane_store.override_stop": "an operator's command",
    "apps.owner_counts": "nobody in the stories has reached a limit",
    "apps.lock_owner": "the same",
    "apps.count_keys": "the same",
    "control_plane_store.job_finished_at": "the watch's, which changes nothing",
    "identity.quarantine": "no story loses commits or has a second catalog",
    "identity.stop_state": "the probes'; they change nothing",
    **dict.fromkeys(statements("promotion"), "an operator's command"),
    **dict.fromkeys(statements("revocations"), "no token of the stories has a version"),
    **dict.fromkeys(statements("inspect"), "the doctor's, which changes nothing"),
}
"""Statements that no story uses, and why; what they do with faults is known from the calls one by one."""


class Teller:
    """One catalog for many stories, each from an empty one."""

    def __init__(self, loop: asyncio.Runner, database: Database, clock: StillClock, fault: Fault) -> None:
        self._loop = loop
        self._database = database
        self._clock = clock
        self._fault = fault
        self._used: dict[str, dict[str, int]] = {}

    def used(self, story: str) -> dict[str, int]:
        """Which statements a story uses where nothing goes wrong, and how often."""
        if story not in self._used:
            seen = self.tell(story, None)
            self._used[story] = {each: seen.count(each) for each in dict.fromkeys(seen)}
        return self._used[story]

    def tell(self, story: str, statement: str | None, kind: Kind = Kind.SERIALIZATION, use: int = 1) -> list[str]:
        """One story with one fault; the statements that ran from where faults may begin.

        Raises:
            AssertionError: it ended otherwise than without the fault, or the fault never happened.
        """
        return self._loop.run(self._tell(STORIES[story], statement, kind, use))

    def tell_or_say_how(self, story: str, statement: str, kind: Kind) -> None:
        """The same; the error names the command that tells the story again."""
        try:
            self.tell(story, statement, kind)
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{command(story, statement, kind, 1)}: {error}") from error

    def hear(self, story: Story) -> None:
        """A story that brings its own misfortune."""
        self._loop.run(self._tell(story, None, Kind.SERIALIZATION, 1))

    async def _tell(self, story: Story, statement: str | None, kind: Kind, use: int) -> list[str]:
        self._fault.arm(None)
        whole = Whole(self._database, self._clock, self._fault)
        try:
            async with asyncio.timeout(60):
                await story(whole, lambda: self._fault.arm(statement, kind, use))
                await whole.end()
                seen, fired = self._fault.seen, self._fault.fired
                self._fault.arm(None)
                assert statement is None or fired == 1, "the fault never happened"
                await self._again(whole)
                await whole.end()
                await self._all_given_back()
        finally:
            self._fault.arm(None)
            await whole.end()
            await whole.close()
        return seen

    async def _again(self, whole: Whole) -> None:
        """Another life of the daemon finds nothing to change."""
        before = len(whole.calls)
        whole.start()
        await whole.settle()
        sent = [call for call in whole.calls[before:] if not call.startswith("GET ")]
        assert sent == [], f"sent after all was done: {sent}"
        assert whole.wrong == []

    async def _all_given_back(self) -> None:
        """The pool takes connections back by a task of its own."""
        pool = self._database._pool
        for _ in range(2000):
            if pool.get_stats()["pool_available"] == pool.get_stats()["pool_size"]:
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"connections were not given back: {pool.get_stats()}")


def command(story: str, statement: str, kind: Kind, use: int) -> str:
    """What tells one story again."""
    given = f"--story {story} --statement {statement} --kind {shlex.quote(kind)} --use {use}"
    return f"python -m tests.catalogfaults {given}"


@contextmanager
def teller(server: TestServer) -> Iterator[Teller]:
    """A catalog of its own."""
    with still_clock(server) as clock, faulty() as fault, asyncio.Runner() as loop:
        database = Database(clock.url, max_size=CONNECTIONS)
        loop.run(database.open())
        try:
            yield Teller(loop, database, clock, fault)
        finally:
            loop.run(database.close())
