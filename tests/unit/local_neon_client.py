"""A client of local Neon in process and in virtual time, which checks the shape of every answer."""

from __future__ import annotations

import itertools
from typing import Any

from reconciler.local.options import LocalNeonOptions
from reconciler.local.protocol import Request
from reconciler.local.simulator import LocalNeon
from tests.unit import neon_shapes

Json = dict[str, Any]


class Client:
    """Calls a machine and keeps its clock."""

    def __init__(self, simulator: LocalNeon | None = None, **options: Any) -> None:
        self.simulator = simulator or LocalNeon(LocalNeonOptions(**options), seed=1)
        self.now = 1_790_000_000.0
        self.answers: list[tuple[str, str, int, object]] = []
        self._numbers = itertools.count()

    def call(
        self, method: str, path: str, body: object = None, *, status: int = 200, key: str = "k", **query: Any
    ) -> Json:
        """Send one request, and expect a status."""
        request = Request(method, path, query, body, key, request_id=f"r-{next(self._numbers)}")
        response = self.simulator.handle(request, self.now)
        assert response.status == status, response
        assert response.headers["X-Request-ID"] == request.request_id
        neon_shapes.check(response.status, response.body)
        self.answers.append((method, path, response.status, response.body))
        return response.body if isinstance(response.body, dict) else {}

    def wait(self, seconds: float = 5.0) -> None:
        """Let time pass; by default until all operations are over."""
        self.now += seconds

    def create(self, **fields: Any) -> Json:
        """Make a project and wait for its operations."""
        made = self.call("POST", "/projects", {"project": fields}, status=201)
        self.wait()
        return made
