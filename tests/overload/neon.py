"""Neon as it is met under load: local Neon with its limits on, behind a weather; and a count of all requests."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import httpx

from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from reconciler.local.options import LocalNeonOptions
from reconciler.local.protocol import Request, Response
from reconciler.local.rate_limit import RateLimiter
from reconciler.local.routes.routing import match_route
from reconciler.local.simulator import LocalNeon
from reconciler.local.state.account_state import read_write
from reconciler.local.state.models import Project
from specs.settings import NEON_BURST_PER_SECOND, NEON_REQUESTS_PER_MINUTE
from tests.overload.weather import Fair, Weather
from tests.simulation.clock import Clock

BASE = "/api/v2"
ORG_ID = "org-simulated"
MINUTE = 60.0


class Neon(httpx.AsyncBaseTransport):
    """What carries the daemons' requests.

    Attributes:
        weather: what they meet.
        sent: by minute, how many were sent, whether they arrived or not.
        changes: how many of those were to change something.
        beyond: how many were beyond Neon's limits, even if Neon was not there to say so.
        answered: by minute, how many Neon carried out.
    """

    def __init__(self, clock: Clock, seed: int) -> None:
        options = LocalNeonOptions(
            org_id=ORG_ID,
            cell="c-1",
            requests_per_minute=NEON_REQUESTS_PER_MINUTE,
            burst=NEON_BURST_PER_SECOND,
        )
        self.machine = LocalNeon(options, seed)
        self._clock = clock
        self._chance = random.Random(f"{seed}/weather")
        self._judge = RateLimiter(options)
        self._homes: dict[str, Project] = {}
        self.weather: Weather = Fair()
        self.sent: Counter[int] = Counter()
        self.changes = 0
        self.answered: Counter[int] = Counter()

    @property
    def beyond(self) -> int:
        """How many requests were too many."""
        return self._judge.rejected_count

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request."""
        path = request.url.path.removeprefix(BASE)
        body = json.loads(request.content) if request.content else None
        asked = Request(request.method, path, dict(request.url.params), body)
        self._count(asked)
        answer = await self.weather.meet(asked, self._clock.now, self._chance)
        if answer is not None:
            return answer
        self.answered[self._minute] += 1
        response = self._remembered(asked, self.machine.handle(asked, self._clock.now))
        return httpx.Response(response.status, json=response.body, headers=dict(response.headers))

    def _remembered(self, request: Request, response: Response) -> Response:
        """The answer; where databases are is kept."""
        if (request.method, request.path, response.status) == ("POST", "/projects", 201):
            made: Any = response.body
            project = self.machine._account.projects[made["project"]["id"]]
            for role in project.default_branch.roles.values():
                self._homes[role.password] = project
        return response

    def found(self, request: Request, at: float) -> Any:
        """Let local Neon have carried out a request at some time before all this, when there were no limits."""
        limiter, self.machine._rate_limiter = self.machine._rate_limiter, RateLimiter(LocalNeonOptions(org_id=ORG_ID))
        response = self._remembered(request, self.machine.handle(request, at))
        self.machine._rate_limiter = limiter
        return response.body

    async def probe(self, uri: CheckedURI) -> None:
        """Connect to a database."""
        project = self._homes.get(uri.parsed.password)
        self.machine.advance(self._clock.now)
        if project is None or project.deleted_at is not None:
            raise AppDatabaseUnreachable("nobody is there")
        endpoint = read_write(project, project.default_branch)
        if endpoint is None or endpoint.starting:
            raise AppDatabaseUnreachable("the compute starts")

    def living(self) -> dict[str, list[str]]:
        """By app, the ids of its projects that are not deleted."""
        found: dict[str, list[str]] = {}
        for project in self.machine._account.projects.values():
            if project.deleted_at is None and not project.purging:
                app_id = project.default_branch.annotation.get("morphik_app_id", "")
                found.setdefault(app_id, []).append(project.id)
        return found

    @property
    def _minute(self) -> int:
        return int(self._clock.now // MINUTE)

    def _count(self, asked: Request) -> None:
        self.sent[self._minute] += 1
        self.changes += asked.method != "GET"
        self._judge.allow("account", asked.method, match_route(asked.method, asked.path).template, self._clock.now)
