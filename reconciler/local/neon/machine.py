"""The front of local Neon's state machine."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable

from reconciler.local.neon import operations
from reconciler.local.neon.call import Call
from reconciler.local.neon.commands import Command
from reconciler.local.neon.messages import LocalNeonOptions, Request, Response
from reconciler.local.neon.problems import Problem, answer, too_many_requests, unauthorized
from reconciler.local.neon.routing import find
from reconciler.local.neon.state import Json, Project
from reconciler.local.neon.world import World


class LocalNeon:
    """A model of Neon's API as one state machine: no clock, no I/O, no chance but its seed.

    The same seed and the same calls give the same answers. ``now`` is in seconds since the epoch and is given by the
    caller, who may live in virtual time.

    Args:
        options: how the account and the place are.
        seed: where ids, passwords and durations come from.
        token: makes texts of a given length for passwords, instead of the seed; for machines that are served.
    """

    def __init__(self, options: LocalNeonOptions, seed: int, *, token: Callable[[int], str] | None = None) -> None:
        self.options = options
        self._world = World(options, seed, token)
        self._issued: set[str] = set()
        self._requests = 0
        self._allowance = float(options.burst)
        self._refilled: float | None = None

    @property
    def unavailable(self) -> set[str]:
        """The ids of projects that lists name as unavailable instead of showing them; change it at will."""
        return self._world.unavailable

    @property
    def port(self) -> int:
        """The port in all URIs."""
        return self._world.port

    @port.setter
    def port(self, port: int) -> None:
        self._world.port = port

    def handle(self, request: Request, now: float) -> Response:
        """Answer a request. A refusal is an answer too, and has changed nothing."""
        self._requests += 1
        request_id = request.request_id or f"local-{self._requests:012d}"
        if not self.options.physical:
            operations.advance(self._world, now, self._issued)
        try:
            self._admit(request, now)
            route, path = find(request.method, request.path)
            response = route(Call(self._world, request, now, path))
        except Problem as problem:
            return answer(problem, request_id)
        return Response(response.status, response.body, {**response.headers, "X-Request-ID": request_id})

    def advance(self, now: float) -> list[Command]:
        """Let time pass, and return the commands that are to be carried out now; each is returned once."""
        return operations.advance(self._world, now, self._issued)

    def complete(self, operation_id: str, now: float, error: str | None = None) -> None:
        """Note that the command of an operation was carried out, or why it failed: then it is issued again later."""
        operations.complete(self._world, operation_id, now, error, self._issued)

    def next_due(self) -> float | None:
        """Say when ``advance`` will have something to do by time alone; None when nothing is due."""
        return operations.next_due(self._world, self._issued)

    def dirty(self) -> set[str]:
        """Return the ids of the projects that changed since this was last asked."""
        changed, self._world.changed = self._world.changed, set()
        return changed

    def mark_dirty(self, project_ids: Iterable[str]) -> None:
        """Take back what ``dirty`` said, when it could not be kept."""
        self._world.changed.update(project_ids)

    def dump(self, project_id: str) -> Json | None:
        """Return all there is to know of a project, as JSON; None when it is gone."""
        project = self._world.projects.get(project_id)
        return None if project is None else project.model_dump(mode="json")

    def load(self, documents: Iterable[Json]) -> None:
        """Take in dumped projects; the commands of their unfinished operations are issued again."""
        for document in documents:
            self._world.add(Project.model_validate(document))

    def _admit(self, request: Request, now: float) -> None:
        key, wanted = request.key, self.options.api_key
        if not key or (wanted is not None and not hmac.compare_digest(key.encode(), wanted.encode())):
            raise unauthorized()
        rate = self.options.requests_per_minute
        if rate is None:
            return
        since = 0.0 if self._refilled is None else max(0.0, now - self._refilled)
        self._refilled = now
        self._allowance = min(float(self.options.burst), self._allowance + since * rate / 60)
        if self._allowance < 1:
            raise too_many_requests()
        self._allowance -= 1
