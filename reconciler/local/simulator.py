"""The simulator of Neon's API: the entry point of the state machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.local.auth.models import AccountDocument
from reconciler.local.authorization import authorize
from reconciler.local.errors import ApiError, to_response
from reconciler.local.operations import engine
from reconciler.local.options import LocalNeonOptions
from reconciler.local.postgres.commands import Command
from reconciler.local.protocol import Request, Response
from reconciler.local.rate_limit import RateLimiter
from reconciler.local.routes.context import RequestContext
from reconciler.local.state.account_state import ACCOUNT, AccountState
from reconciler.local.state.models import Json, OperationOutcome, Project
from reconciler.local.state.usage import Amount
from reconciler.local.undocumented_fields import UndocumentedFields
from reconciler.local.usage.metering import consume, meter


class LocalNeon:
    """Neon's API as one state machine: no clock, no I/O, and no randomness except its seed.

    The same seed and the same calls give the same responses. The caller passes ``now``, in seconds since the epoch; it
    may be virtual time.

    Args:
        options: the options of the account and the deployment.
        seed: the source of ids, passwords and durations.
        token: returns a random text of a given length for passwords and keys, in place of the seed; for a served
            simulator.
    """

    def __init__(self, options: LocalNeonOptions, seed: int, *, token: Callable[[int], str] | None = None) -> None:
        self.options = options
        self._account = AccountState(options, seed, token)
        self._issued: set[str] = set()
        self._requests = 0
        self._rate_limiter = RateLimiter(options)
        self._undocumented_fields = UndocumentedFields(seed) if options.undocumented_fields else None

    @property
    def unavailable(self) -> set[str]:
        """The ids of projects that lists report as unavailable instead of showing them. Callers may change it."""
        return self._account.unavailable

    @property
    def accepted_count(self) -> int:
        """Number of requests with a valid key within the rate limits."""
        return self._rate_limiter.accepted_count

    @property
    def rejected_count(self) -> int:
        """Number of requests over a rate limit, whose response was 429."""
        return self._rate_limiter.rejected_count

    @property
    def port(self) -> int:
        """The port in all URIs."""
        return self._account.port

    @port.setter
    def port(self, port: int) -> None:
        self._account.port = port

    def handle(self, request: Request, now: float) -> Response:
        """Return the response to a request. An error response means that nothing was changed."""
        self._requests += 1
        request_id = request.request_id or f"local-{self._requests:012d}"
        if not self.options.physical:
            engine.advance(self._account, now, self._issued)
        try:
            match, scope = authorize(self._account, self._rate_limiter, request, now)
            response = match.route(RequestContext(self._account, request, now, match.names, scope))
        except ApiError as error:
            return to_response(error, request_id)
        body = response.body if self._undocumented_fields is None else self._undocumented_fields.apply(response.body)
        return Response(response.status, body, {**response.headers, "X-Request-ID": request_id})

    def advance(self, now: float) -> list[Command]:
        """Advance the time, and return the commands to execute now; each command is returned once."""
        return engine.advance(self._account, now, self._issued)

    def complete(self, operation_id: str, now: float, error: str | None = None) -> None:
        """Record that the command of an operation completed, or its error; after an error it is issued again later."""
        engine.complete(self._account, operation_id, now, error, self._issued)

    def next_due(self) -> float | None:
        """Return when ``advance`` next has work without a further request; None when nothing is due."""
        return engine.next_due(self._account, self._issued)

    def inject_outcomes(self, *outcomes: OperationOutcome) -> None:
        """Set the outcomes of the next operations, in order; ``OutcomePlan`` describes the outcomes."""
        self._account.outcomes.plan(outcomes)

    def resume_hanging(self, now: float) -> None:
        """Resume the hanging operations."""
        engine.resume_hanging(self._account, now)

    def consume(
        self,
        project_id: str,
        now: float,
        *,
        active_time_seconds: float = 0.0,
        compute_time_seconds: float = 0.0,
        written_data_bytes: int = 0,
        data_transfer_bytes: int = 0,
        size_bytes: int | None = None,
    ) -> None:
        """Add to the consumption of a project's default branch; its quotas take effect with the next ``advance``.

        Args:
            project_id: an existing project.
            now: the time of the consumption, in seconds since the epoch.
            active_time_seconds: seconds to add.
            compute_time_seconds: compute unit seconds to add.
            written_data_bytes: bytes to add.
            data_transfer_bytes: bytes to add.
            size_bytes: the new size of the branch; None leaves it unchanged.

        Raises:
            ApiError: the project does not exist.
        """
        if not self.options.physical:
            engine.advance(self._account, now, self._issued)
        project = self._account.project(project_id)
        meter(project, now)
        usage, branch_id = project.usage, project.default_branch.id
        usage.active_time_seconds += active_time_seconds
        usage.compute_time_seconds += compute_time_seconds
        usage.written_data_bytes += written_data_bytes
        usage.data_transfer_bytes += data_transfer_bytes
        amount = Amount(compute_unit_seconds=compute_time_seconds, transfer_bytes=data_transfer_bytes)
        consume(project, now, branch_id, amount)
        if size_bytes is not None:
            usage.sizes[branch_id] = size_bytes
        self._account.mark_dirty(project)

    def dirty(self) -> set[str]:
        """Return and clear the ids of changed projects, and ``ACCOUNT``."""
        changed, self._account.changed = self._account.changed, set()
        return changed

    def mark_dirty(self, project_ids: Iterable[str]) -> None:
        """Mark ids as changed again after a failed write."""
        self._account.changed.update(project_ids)

    def dump(self, project_id: str) -> Json | None:
        """Return the JSON document of a project or of ``ACCOUNT``; None for a removed project."""
        if project_id == ACCOUNT:
            return self._account.keys.dump().model_dump(mode="json")
        project = self._account.projects.get(project_id)
        return None if project is None else project.model_dump(mode="json")

    def load(self, documents: Iterable[Json]) -> None:
        """Load dumped projects; the commands of their unfinished operations are issued again."""
        for document in documents:
            self._account.add(Project.model_validate(document))

    def load_account(self, document: Json) -> None:
        """Load the dumped document of ``ACCOUNT``."""
        self._account.keys.load(AccountDocument.model_validate(document))
