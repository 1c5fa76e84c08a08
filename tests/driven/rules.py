"""What must hold of every request at the moment when it is sent, and when it arrives."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from reconciler.core import effects as e
from reconciler.core.ownership import APP_ID
from reconciler.core.rate_limit import MAX_CLOSED_SECONDS, Grant
from reconciler.runtime.handlers.catalog import MUTATION_WINDOW_SECONDS
from tests.driven.world import World
from tests.simulation import invariants
from tests.simulation.steps import Violation

# A refusal is told to the catalog in a statement of its own.
TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Sent:
    """A request on its way."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any

    @property
    def mutates(self) -> bool:
        """Whether it may change anything at Neon."""
        return self.method != "GET"

    @property
    def route(self) -> str:
        """Method and path without ids."""
        parts = self.path.split("/")
        named = ["*" if at % 2 == 0 and at > 0 and parts[1] == "projects" else part for at, part in enumerate(parts)]
        return f"{self.method} {'/'.join(named)}"

    @property
    def project_id(self) -> str | None:
        """The project that it is about."""
        parts = self.path.split("/")
        return parts[2] if len(parts) > 2 and parts[1] == "projects" else None


class Rules:
    """Watches what is sent.

    Every request is covered by a ticket that was leased at most the life of a slice before, and every change by a
    permission that is as fresh as the driver says; where Neon asked all processes to wait, they do.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._tickets: defaultdict[str, deque[float]] = defaultdict(deque)
        self._permitted_at: dict[str, float] = {}
        self._tokens = float(world.limits[1])
        self._filled_at = world.clock.now
        self._closed: list[tuple[float, float, str, int]] = []
        world.on_grant = self._granted
        world.on_permit = self._permitted

    def _granted(self, host: str, grant: Grant) -> None:
        self._tickets[host].extend([self._world.clock.now] * sum(grant.tokens.values()))

    def _permitted(self, app_id: str) -> None:
        self._permitted_at[app_id] = self._world.clock.now

    def refused(self, host: str, seconds: float) -> None:
        """A process reads that there were too many requests, and for how long to wait."""
        world = self._world
        begins = world.clock.now + TELL_SECONDS + world.terms.lease_seconds
        ends = world.clock.now + min(seconds, MAX_CLOSED_SECONDS)
        self._closed.append((begins, ends, host, world.troubles[host]))

    def sends(self, host: str, sent: Sent) -> None:
        """A process sends a request now. Raises Violation."""
        world = self._world
        self._check_ticket(host, sent)
        for begins, ends, whose, troubles in self._closed:
            undisturbed = world.loop.lives(whose) and troubles == world.troubles[whose]
            if undisturbed and begins < world.clock.now < ends:
                raise Violation(f"{sent.route} is sent though Neon asked to wait")
        if sent.mutates:
            self._check_change(sent)

    def _check_ticket(self, host: str, sent: Sent) -> None:
        tickets, oldest = self._tickets[host], self._world.clock.now - self._world.terms.lease_seconds - 1e-6
        while tickets and tickets[0] < oldest:
            tickets.popleft()
        if not tickets:
            raise Violation(f"{sent.route} is sent without a ticket of the budget")
        tickets.popleft()

    def arrives(self) -> None:
        """A request that nothing held up arrives: all processes together keep within what Neon allows."""
        world = self._world
        per_minute, burst = world.limits
        passed, self._filled_at = world.clock.now - self._filled_at, world.clock.now
        self._tokens = min(float(burst), self._tokens + passed * per_minute / 60) - 1.0
        if self._tokens < 0:
            world.violated("more requests are sent than Neon allows")

    def _check_change(self, sent: Sent) -> None:
        """The rules of what may be sent, of the effect that a request stands for."""
        world = self._world
        if sent.project_id is None:
            branch = SimpleNamespace(annotations=sent.body["project"]["branch"]["annotations"])
            create: Any = e.CreateProject(SimpleNamespace(branch=branch))  # type: ignore[arg-type]
            invariants.check_sending(world, branch.annotations[APP_ID], create)
            return
        whose = self._whose(sent)
        if not whose:
            raise Violation(f"{sent.route} is sent for {sent.project_id}, which no row knows")
        for app_id in whose:
            invariants.check_sending(world, app_id, _effect(sent))
        latest = max(self._permitted_at.get(app_id, 0.0) for app_id in whose)
        if world.clock.now - latest > MUTATION_WINDOW_SECONDS:
            raise Violation(f"{sent.route} is sent too long after its permission")

    def _whose(self, sent: Sent) -> list[str]:
        world = self._world
        recorded = [row.app_id for row in world.table.rows.values() if row.project_id == sent.project_id]
        if recorded or sent.method != "DELETE":
            return recorded
        named = [app_id for app_id, work in world.table.work.items() if sent.project_id in work.duplicate_ids]
        return named or [mark[APP_ID] for project, mark in world.neon.ours() if project.id == sent.project_id]


def _effect(sent: Sent) -> Any:
    if sent.method == "DELETE":
        return e.DeleteProject(sent.project_id or "")
    return SimpleNamespace(project_id=sent.project_id)
