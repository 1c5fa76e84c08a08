"""The API, a daemon, local Neon and a real catalog in one process and one time, begun again for each example."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.auth.revocations import TokenRevocations
from api.auth.tokens import TokenVerifier
from api.dependencies import Dependencies
from reconciler.catalog.apps import AppStore
from specs.names import app_id_from_bytes
from specs.settings import NEON_REGIONS, ApiSettings, ControlPlaneSettings, TokenSettings
from tests.catalogs import SEALER
from tests.described import check_response
from tests.httpmodel.calls import Answer, Call
from tests.httpmodel.catalog import SharedClock
from tests.httpmodel.daemon import NEON_KEY, Chance, Daemon, without_time_and_chance
from tests.httpmodel.neon import Crash, Door, Truth
from tests.httpmodel.turns import TurnDatabase, Turns
from tests.integration.api_client import SECRET
from tests.postgres import TestServer
from tests.stillclock import still_clock

MOST_APPS = 3
MOST_STEPS = 500
Result = TypeVar("Result")


class QuietCatalog(AppStore):
    """Gives no hints: here nobody listens."""

    async def notify(self) -> None:
        """Nothing is to be told."""


class Records(logging.Handler):
    """Every record of ours, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one, with whatever else it carries."""
        self.texts.append(f"{self.format(record)} {record.__dict__}")


class Stage:
    """Everything that an example acts on.

    Attributes:
        clock: everybody's time.
        door: the way to Neon, and its troubles.
        truth: what is at Neon.
        daemon: the one that lives.
        records: what was logged.
        begun: how many examples there were.
        trace: of all requests and answers, and of what was sent to Neon.
    """

    begun = 0

    def __init__(self, url: str, chance: Chance, clock: SharedClock, records: Records) -> None:
        self.clock, self.records = clock, records
        self._chance = chance
        self._runner = asyncio.Runner()
        self._turns = Turns()
        self._databases = [TurnDatabase(url, self._turns) for _ in range(2)]
        self._numbers = itertools.count()
        self._described: set[tuple[str, int, str]] = set()
        self.trace = hashlib.sha256()
        app = create_app(self._context())
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test")
        self._lifespan = app.router.lifespan_context(app)
        self.run(self._lifespan.__aenter__())
        self.run(self._databases[1].open())
        self.begin_again()

    def begin_again(self) -> None:
        """Empty the catalog and Neon, and start a daemon."""
        self.begun += 1
        self.clock.begin_again()
        self._chance.begin_again()
        self._numbers = itertools.count()
        self.records.texts.clear()
        self._described.clear()
        self.truth = Truth(self.clock)
        self.door = Door(self.truth.neon)
        self.start_daemon()

    def start_daemon(self) -> None:
        """A new life; whatever the last one held is left as it is."""
        self.daemon = Daemon(self._databases[1], self.clock, self.door, f"daemon-{next(self._numbers)}")

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Wait for something."""
        return self._runner.run(coroutine)

    def close(self) -> None:
        """End everything."""
        self.run(self._client.aclose())
        self.run(self._lifespan.__aexit__(None, None, None))
        for database in self._databases:
            self.run(database.close())
        self._runner.close()

    def ask(self, call: Call) -> Answer:
        """Send a request to the API."""
        self.clock.pass_by(0.001)
        return self.run(self._ask(call))

    def at_once(self, calls: Sequence[Call], passes: int, order: Sequence[int]) -> list[Answer]:
        """Send several requests at once, beside passes of the daemon, the catalog's statements in the given order."""
        self.clock.pass_by(0.001)
        acts: list[Coroutine[Any, Any, Any]] = [self._ask(call) for call in calls]
        acts += [self.daemon.step() for _ in range(passes)]
        results = self.run(self._turns.play(acts, order))
        for result in results:
            if isinstance(result, Crash):
                self.start_daemon()
            elif isinstance(result, BaseException):
                raise result
        return results[: len(calls)]

    def step(self, number: int) -> None:
        """So many passes."""
        for _ in range(number):
            self.clock.pass_by(0.001)
            try:
                if not self.run(self.daemon.step()):
                    return
            except Crash:
                self.start_daemon()

    def sweep(self) -> None:
        """A round over the fleet."""
        self.clock.pass_by(0.001)
        try:
            self.run(self.daemon.round())
        except Crash:
            self.start_daemon()

    def rest(self) -> None:
        """Work until nothing is planned, and a look at the whole fleet finds nothing to do."""
        for _ in range(10):
            self._until_nothing_is_planned()
            self.sweep()
            if self.run(self.daemon.work.next_due()) is None:
                return
        raise AssertionError("the fleet does not come to rest")

    def touch(self) -> None:
        """Look at everything once more, as if it had been asked for, and at the whole fleet."""
        self.clock.still.rows("UPDATE app_work SET due_at = now()")
        self.rest()

    def _until_nothing_is_planned(self) -> None:
        for _ in range(MOST_STEPS):
            due = self.run(self.daemon.work.next_due())
            if due is None:
                return
            self.clock.pass_by(max(0.0, due) + 0.001)
            self.step(1)
        said = self.clock.still.rows("SELECT app_id, status, conditions FROM app_metadata")
        raise AssertionError(f"there is always something left to do: {said}")

    async def _ask(self, call: Call) -> Answer:
        headers = call.headers()
        response = await self._client.request(
            call.method, call.path, params=call.query, content=call.content, headers=headers
        )
        # Most answers are like one before, and to compare one with the description costs more than to get it.
        seen = call.method, response.status_code, response.text
        if seen not in self._described:
            check_response(response)
            self._described.add(seen)
        self.trace.update(repr((call, response.status_code, response.text, len(self.door.sent))).encode())
        return Answer(response.status_code, response.headers, response.text, self.clock.now)

    def _context(self) -> Dependencies:
        return Dependencies(
            catalog=QuietCatalog(self._databases[0]),
            database=self._databases[0],
            sealer=SEALER,
            tokens=TokenVerifier(TokenSettings.model_construct(jwt_secret_key=SecretStr(SECRET))),
            revocations=TokenRevocations(_no_minimums),
            control_plane=ControlPlaneSettings.model_construct(neon_regions=NEON_REGIONS),
            http=ApiSettings.model_construct(
                max_apps_per_owner=MOST_APPS,
                max_creates_per_owner_per_day=10**9,
                requests_per_minute=10**9,
                failed_tokens_per_minute=10**9,
            ),
            new_app_id=lambda: app_id_from_bytes(next(self._numbers).to_bytes(15, "big")),
        )

    def secrets(self) -> set[str]:
        """What no text may hold, whoever asks."""
        self.truth.note()
        return self.truth.passwords | {NEON_KEY, SECRET}


async def _no_minimums(_owner_ids: Sequence[str]) -> dict[str, int]:
    """Of nobody; without a statement, since the real one runs by the real clock, between any two others."""
    return {}


@contextmanager
def staged(server: TestServer) -> Iterator[Stage]:
    """A stage over a catalog of its own."""
    with still_clock(server) as still, pytest.MonkeyPatch.context() as patch, recorded() as records:
        clock = SharedClock(still)
        stage = Stage(still.url, without_time_and_chance(patch, clock), clock, records)
        try:
            yield stage
        finally:
            stage.close()


@contextmanager
def recorded() -> Iterator[Records]:
    """All records of the product's, which nobody else gets."""
    records = Records()
    loggers = [logging.getLogger(name) for name in ("api", "reconciler")]
    before = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
        each.addHandler(records)
        each.propagate = False
    try:
        yield records
    finally:
        for each, (level, propagate) in zip(loggers, before, strict=True):
            each.removeHandler(records)
            each.setLevel(level)
            each.propagate = propagate
