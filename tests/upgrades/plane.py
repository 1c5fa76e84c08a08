"""The processes of both versions over one catalog, and what happens to them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import httpx

from tests.processes.clients import Api, client_of
from tests.processes.running import Running, Stage, free_port, until
from tests.upgrades.crowd import Crowd
from tests.upgrades.versions import Version, Versions


@dataclass
class Plane:
    """API and daemon of one version or of both.

    Attributes:
        turns: how often owners act, and processes are killed, in each stretch.
        serving: the API of each version that runs.
        working: the daemon of each version that runs.
    """

    stage: Stage
    versions: Versions
    chance: Random
    crowd: Crowd
    turns: int
    serving: dict[Version, Running] = field(default_factory=dict)
    working: dict[Version, Running] = field(default_factory=dict)
    _ports: dict[Version, int] = field(default_factory=dict)
    _clients: dict[Version, Api] = field(default_factory=dict)

    def start(self, version: Version) -> None:
        """Start API and daemon of a version."""
        self._serve(version)
        self._reconcile(version)

    def stop(self, version: Version) -> None:
        """End a version's processes in good order."""
        for running in (self.working.pop(version), self.serving.pop(version)):
            assert running.stop() == 0, running.err

    def migrate(self) -> None:
        """Bring the schema to this version, while owners go on."""
        migrating = self.versions.start("new", "migrate")
        self.crowd.act(self.apis)
        assert migrating.code() == 0, migrating.err

    def migrate_back(self, first: str) -> None:
        """Take the schema back to before a migration, with yoyo, while owners go on."""
        rolling = self.versions.roll_back(first)
        self.crowd.act(self.apis)
        assert rolling.code() == 0, rolling.err

    def apis(self) -> list[Api]:
        """A client of each version's API that shall run at the moment."""
        return [self._clients[version] for version in [*self.serving]]

    def live(self) -> None:
        """Owners act, and meanwhile a daemon and an API are killed and started again at any moment."""
        for _ in range(self.turns):
            moments = sorted(self.chance.random() * 1.5 for _ in range(2))
            with ThreadPoolExecutor(1) as beside:
                killing = beside.submit(
                    self._kill,
                    moments,
                    self.chance.choice(sorted(self.working)),
                    self.chance.choice(sorted(self.serving)),
                )
                self.crowd.act(self.apis)
                self.crowd.act(self.apis)
                killing.result()

    def check(self) -> None:
        """Wait until all is at rest, and look at everything."""
        for version in self.serving:
            until(lambda version=version: self.readiness(version) == 200, f"the {version} API is ready")  # type: ignore[misc]
        self.crowd.check(self.stage, self.apis())

    def readiness(self, version: Version) -> int:
        """The status with which a version's API answers ``/readyz``."""
        statuses: list[int] = []

        def answered() -> bool:
            with suppress(httpx.TransportError):
                statuses.append(self._clients[version].http.get("/readyz").status_code)
            return bool(statuses)

        until(answered, f"the {version} API answers")
        return statuses[0]

    def _serve(self, version: Version) -> None:
        port = str(self._ports.setdefault(version, free_port()))
        if version not in self._clients:
            self._clients[version] = client_of(self.stage, f"http://127.0.0.1:{port}")
            self._clients[version].http.event_hooks = {}  # the description is that of one version
        self.serving[version] = self.versions.start(version, "serve", "--port", port)

    def _reconcile(self, version: Version) -> None:
        self.working[version] = self.versions.start(version, "reconcile")

    def _kill(self, moments: list[float], daemon: Version, api: Version) -> None:
        time.sleep(moments[0])
        self.working[daemon].kill()
        self._reconcile(daemon)
        time.sleep(moments[1] - moments[0])
        self.serving[api].kill()
        self._serve(api)
