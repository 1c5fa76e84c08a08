"""The front of local Neon's state machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from reconciler.local.neon import operations
from reconciler.local.neon.call import Call
from reconciler.local.neon.commands import Command
from reconciler.local.neon.door import enter
from reconciler.local.neon.messages import LocalNeonOptions, Request, Response
from reconciler.local.neon.metering import consume, meter
from reconciler.local.neon.meters import Amount
from reconciler.local.neon.problems import Problem, answer
from reconciler.local.neon.quirks import Quirks
from reconciler.local.neon.rates import Limiter
from reconciler.local.neon.state import Fate, Json, Project
from reconciler.local.neon.tenancy import Account
from reconciler.local.neon.world import ACCOUNT, World


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
        self._limiter = Limiter(options)
        self._quirks = Quirks(seed) if options.quirks else None

    @property
    def unavailable(self) -> set[str]:
        """The ids of projects that lists name as unavailable instead of showing them; change it at will."""
        return self._world.unavailable

    @property
    def admitted(self) -> int:
        """How many requests with a valid key were within the limits."""
        return self._limiter.admitted

    @property
    def refused(self) -> int:
        """How many requests were over a limit, and answered 429."""
        return self._limiter.refused

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
            found, access = enter(self._world, self._limiter, request, now)
            response = found.route(Call(self._world, request, now, found.names, access))
        except Problem as problem:
            return answer(problem, request_id)
        body = response.body if self._quirks is None else self._quirks.changed(response.body)
        return Response(response.status, body, {**response.headers, "X-Request-ID": request_id})

    def advance(self, now: float) -> list[Command]:
        """Let time pass, and return the commands that are to be carried out now; each is returned once."""
        return operations.advance(self._world, now, self._issued)

    def complete(self, operation_id: str, now: float, error: str | None = None) -> None:
        """Note that the command of an operation was carried out, or why it failed: then it is issued again later."""
        operations.complete(self._world, operation_id, now, error, self._issued)

    def next_due(self) -> float | None:
        """Say when ``advance`` will have something to do by time alone; None when nothing is due."""
        return operations.next_due(self._world, self._issued)

    def afflict(self, *fates: Fate) -> None:
        """Say how the next operations end, one after the other; see ``Fates`` for what there is."""
        self._world.fates.order(fates)

    def release(self, now: float) -> None:
        """Let the operations that are stuck go on."""
        operations.release(self._world, now)

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
            operations.advance(self._world, now, self._issued)
        project = self._world.project(project_id)
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
        self._world.touch(project)

    def dirty(self) -> set[str]:
        """Return the ids of what changed since this was last asked: projects, and ``ACCOUNT``."""
        changed, self._world.changed = self._world.changed, set()
        return changed

    def mark_dirty(self, project_ids: Iterable[str]) -> None:
        """Take back what ``dirty`` said, when it could not be kept."""
        self._world.changed.update(project_ids)

    def dump(self, project_id: str) -> Json | None:
        """Return all there is to know of a project or of ``ACCOUNT``, as JSON; None when it is gone."""
        if project_id == ACCOUNT:
            return self._world.keys.dump().model_dump(mode="json")
        project = self._world.projects.get(project_id)
        return None if project is None else project.model_dump(mode="json")

    def load(self, documents: Iterable[Json]) -> None:
        """Take in dumped projects; the commands of their unfinished operations are issued again."""
        for document in documents:
            self._world.add(Project.model_validate(document))

    def load_account(self, document: Json) -> None:
        """Take in what was dumped of ``ACCOUNT``."""
        self._world.keys.load(Account.model_validate(document))
