"""What Neon is still doing to a project: waited for, but not for ever.

"A failed operation is not terminal and may be retried" (Neon API reference, Operations), and a status that nobody has
heard of may mean anything: both count as running until a deadline. After it, as after an operation that Neon gave up,
only the database itself can say whether it works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import ConditionUpdate, build_status_update, record_if_changed, requeue_with_backoff
from reconciler.core.context import ReconcileContext, Result
from reconciler.core.effects import EffectGenerator, ListOperations, ProbeDatabase, perform
from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from specs.neon import Operation
from specs.status import Reason

DEADLINE_SECONDS = 600.0
"""How long an operation may take, or be tried again by Neon, from its own beginning."""

_FAILING = ConditionUpdate("False", Reason.OPERATION_FAILED, "An operation failed at Neon, which may try it again.")


@dataclass(frozen=True, slots=True)
class OperationsStatus:
    """What became of a project's operations.

    Attributes:
        operations: the newest ones, the newest first.
        again: when to look again, or None when there is nothing to wait for any more.
        blamed: those that are to blame if the database does not work.
    """

    operations: tuple[Operation, ...]
    requeue: Result | None
    suspects: tuple[Operation, ...] = ()


def check_operations(ctx: ReconcileContext, project_id: str) -> EffectGenerator[OperationsStatus]:
    """Whether operations run that are worth waiting for."""
    operations = yield from perform(ListOperations(project_id))
    overdue: list[Operation] = []
    pending: list[Operation] = []
    for one in operations:
        if not one.is_terminal:
            (overdue if _age(ctx, one) > DEADLINE_SECONDS else pending).append(one)
    if not pending:
        return OperationsStatus(operations, None, (*overdue, *_failed(operations)))
    if any(one.status == "failed" for one in pending):
        yield from record_if_changed(ctx, build_status_update(ctx, ready=_FAILING))
        return OperationsStatus(operations, requeue_with_backoff(ctx, 1.0))
    return OperationsStatus(
        operations,
        Result(ctx.poll_interval.next_poll(ctx.seconds_since_recorded) if ctx.app.connected_at is None else 1.0),
    )


def probe_database(
    ctx: ReconcileContext, project_id: str, uri: CheckedURI, status: OperationsStatus
) -> EffectGenerator[Result | None]:
    """Connect to the database; when to try again where an operation is to blame that it does not answer.

    Raises:
        AppDatabaseUnreachable: it does not answer, and no operation explains that.
    """
    try:
        yield from perform(ProbeDatabase(uri))
    except AppDatabaseUnreachable:
        if not status.suspects:
            raise
    else:
        return None
    which = ", ".join(dict.fromkeys(f"{one.action} ({one.status})" for one in status.suspects))
    text = (
        f"Neon has not carried out {which}, and the database does not answer. An operator must look, and may ask "
        f"Neon's support about the project {project_id}; it is looked at again until it answers."
    )
    yield from record_if_changed(
        ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.OPERATION_FAILED, text))
    )
    return Result(CAP_SECONDS, backoff=True)


def _age(ctx: ReconcileContext, operation: Operation) -> float:
    """Seconds since its beginning by Neon's clock, or since the project was recorded where that says nothing."""
    begun = operation.created_at
    age = ctx.seconds_since_recorded if begun is None else (ctx.now - begun).total_seconds()
    return ctx.seconds_since_recorded if age < -DEADLINE_SECONDS else age


def _failed(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The newest of each action, where Neon ended it without having done it."""
    newest: dict[tuple[str, str | None], Operation] = {}
    for one in operations:
        newest.setdefault((one.action, one.branch_id), one)
    return tuple(one for one in newest.values() if one.is_terminal and not one.succeeded)
