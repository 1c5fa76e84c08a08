"""The front of local Neon's state machine."""

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
        self._account = AccountState(options, seed, token)
        self._issued: set[str] = set()
        self._requests = 0
        self._rate_limiter = RateLimiter(options)
        self._undocumented_fields = UndocumentedFields(seed) if options.undocumented_fields else None

    @property
    def unavailable(self) -> set[str]:
        """The ids of projects that lists name as unavailable instead of showing them; change it at will."""
        return self._account.unavailable

    @property
    def accepted_count(self) -> int:
        """How many requests with a valid key were within the limits."""
        return self._rate_limiter.accepted_count

    @property
    def rejected_count(self) -> int:
        """How many requests were over a limit, and answered 429."""
        return self._rate_limiter.rejected_count

    @property
    def port(self) -> int:
        """The port in all URIs."""
        return self._account.port

    @port.setter
    def port(self, port: int) -> None:
        self._account.port = port

    def handle(self, request: Request, now: float) -> Response:
        """Answer a request. A refusal is an answer too, and has changed nothing."""
        self._requests += 1
        request_id = request.request_id or f"local-{self._requests:012d}"
        if not self.options.physical:
            engine.advance(self._account, now, self._issued)
        try:
            found, scope = authorize(self._account, self._rate_limiter, request, now)
            response = found.route(RequestContext(self._account, request, now, found.names, scope))
        except ApiError as problem:
            return to_response(problem, request_id)
        body = response.body if self._undocumented_fields is None else self._undocumented_fields.apply(response.body)
        return Response(response.status, body, {**response.headers, "X-Request-ID": request_id})

    def advance(self, now: float) -> list[Command]:
        """Let time pass, and return the commands that are to be carried out now; each is returned once."""
        return engine.advance(self._account, now, self._issued)

    def complete(self, operation_id: str, now: float, error: str | None = None) -> None:
        """Note that the command of an operation was carried out, or why it failed: then it is issued again later."""
        engine.complete(self._account, operation_id, now, error, self._issued)

    def next_due(self) -> float | None:
        """Say when ``advance`` will have something to do by time alone; None when nothing is due."""
        return engine.next_due(self._account, self._issued)

    def inject_outcomes(self, *outcomes: OperationOutcome) -> None:
        """Say how the next operations end, one after the other; see ``Fates`` for what there is."""
        self._account.outcomes.plan(outcomes)

    def resume_hanging(self, now: float) -> None:
        """Let the operations that are stuck go on."""
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
        """Let a project's default branch consume something; its quotas take effect with the next ``advance``.

        Args:
            project_id: a project that is there.
            now: when it was consumed.
            active_time_seconds: is added to the counter.
            compute_time_seconds: is added to the counter.
            written_data_bytes: is added to the counter.
            data_transfer_bytes: is added to the counter.
            size_bytes: what the branch holds from now on; None leaves it.
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
        """Return the ids of what changed since this was last asked: projects, and ``ACCOUNT``."""
        changed, self._account.changed = self._account.changed, set()
        return changed

    def mark_dirty(self, project_ids: Iterable[str]) -> None:
        """Take back what ``dirty`` said, when it could not be kept."""
        self._account.changed.update(project_ids)

    def dump(self, project_id: str) -> Json | None:
        """Return all there is to know of a project or of ``ACCOUNT``, as JSON; None when it is gone."""
        if project_id == ACCOUNT:
            return self._account.keys.dump().model_dump(mode="json")
        project = self._account.projects.get(project_id)
        return None if project is None else project.model_dump(mode="json")

    def load(self, documents: Iterable[Json]) -> None:
        """Take in dumped projects; the commands of their unfinished operations are issued again."""
        for document in documents:
            self._account.add(Project.model_validate(document))

    def load_account(self, document: Json) -> None:
        """Take in what was dumped of ``ACCOUNT``."""
        self._account.keys.load(AccountDocument.model_validate(document))
