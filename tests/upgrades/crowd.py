"""Owners who go on creating and deleting, whichever version answers them, and what must be true in the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import httpx

from tests.catalogs import execute
from tests.processes.clients import Api, Document, Neon, connects, document, for_psql
from tests.processes.running import Stage, until

TAKEN_BACK = 0.4
KEPT = 4
OPEN_INTENTS = "SELECT app_id FROM create_intents WHERE state = 'open'"
BUSY = "SELECT app_id FROM app_work WHERE due_at < 'infinity' OR lease_holder IS NOT NULL"
REPORTED = "SELECT project_id FROM orphan_projects"


@dataclass
class Crowd:
    """What was acknowledged: apps that shall live, and apps that shall not."""

    chance: Random
    living: dict[str, Document] = field(default_factory=dict)
    doomed: dict[str, Document] = field(default_factory=dict)
    _asked: int = 0

    def act(self, apis: Callable[[], list[Api]]) -> None:
        """One turn: an app is asked for, and kept or taken back while it is made; now and then, one that was kept goes.

        Args:
            apis: those that may be asked at the moment.
        """
        older = sorted(self.living)
        app = self._create(apis)
        time.sleep(self.chance.random() * 0.5)
        if self.chance.random() < TAKEN_BACK:
            self._delete(apis, app)
        else:
            self.living[app["app_id"]] = app
        if len(older) >= KEPT:
            self._delete(apis, self.living.pop(self.chance.choice(older)))

    def check(self, stage: Stage, apis: list[Api]) -> None:
        """Wait until all is at rest; then every app has one project or none, and every version says the same."""
        url = stage.catalog_url
        for app_id, shall in [*((i, "ready") for i in self.living), *((i, "deleted") for i in self.doomed)]:
            apis[0].until({"app_id": app_id}, shall)
        until(lambda: not execute(url, BUSY), "all apps rest")
        names = [project["name"] for project in Neon(stage).projects()]
        assert sorted(name[-24:] for name in names) == sorted(self.living)
        assert execute(url, OPEN_INTENTS) == execute(url, REPORTED) == []
        self.agree(apis)

    def agree(self, apis: list[Api]) -> None:
        """Every version shows the same of every app: its URI, whoever sealed it, its conditions and its history."""
        for app in self.living.values():
            assert connects(for_psql(apis[0].get(app)["morphik_uri"]))
            # A resync may write between two reads.
            until(lambda app=app: _agree(apis, app), f"all versions show the same of {app['app_id']}")  # type: ignore[misc]
        for app in self.doomed.values():
            assert [api.get(app)["morphik_uri"] for api in apis] == [None] * len(apis)

    def _create(self, apis: Callable[[], list[Api]]) -> Document:
        self._asked += 1
        name = f"app-{self._asked}"
        return document(self._ask(apis, lambda api: api.post(name, {"Idempotency-Key": name})))

    def _delete(self, apis: Callable[[], list[Api]], app: Document) -> None:
        answer = self._ask(apis, lambda api: api.delete(app))
        assert answer.status_code in (200, 202), answer.text
        self.doomed[app["app_id"]] = app

    def _ask(self, apis: Callable[[], list[Api]], call: Callable[[Api], httpx.Response]) -> httpx.Response:
        """Ask one of them, and the same again while that one is away."""
        answers: list[httpx.Response] = []

        def asked() -> bool:
            try:
                answers.append(call(self.chance.choice(apis())))
            except httpx.TransportError:
                return False
            return answers[-1].status_code != 503

        until(asked, "an answer")
        return answers[-1]


def _agree(apis: list[Api], app: Document) -> bool:
    first, *others = [(_without_query(api.get(app)), api.events(app)) for api in apis]
    return all(other == first for other in others)


def _without_query(app: Document) -> Document:
    """An app as every version shows it: the one before leaves out the query of a URI."""
    uris = {name: app[name] and app[name].partition("?")[0] for name in ("morphik_uri", "pooled_uri")}
    return app | uris
