"""Neon's operations on a project: the reconciler waits for them until a deadline.

"A failed operation is not terminal and may be retried" (Neon API reference, Operations), and an unknown status may
mean anything: both count as running until a deadline. After the deadline, as after an operation that Neon gave up, only
a connection shows whether the database works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import build_status_update, record_if_changed, requeue_with_backoff
from reconciler.core.context import ConditionUpdate, ReconcileContext, Result
from reconciler.core.effects import EffectGenerator, ListOperations, ProbeDatabase, perform
from reconciler.core.host_allow_list import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from specs.neon import Operation
from specs.status import Reason

DEADLINE_SECONDS = 600.0
"""How long an operation may take from its start, including Neon's retries."""

_FAILING = ConditionUpdate("False", Reason.OPERATION_FAILED, "An operation failed at Neon; Neon may retry it.")


@dataclass(frozen=True, slots=True)
class OperationsStatus:
    """The state of a project's operations.

    Attributes:
        operations: the newest ones, the newest first.
        requeue: when to poll again, or None if no operation is worth waiting for.
        suspects: the operations that explain a database that does not work.
    """

    operations: tuple[Operation, ...]
    requeue: Result | None
    suspects: tuple[Operation, ...] = ()


def check_operations(ctx: ReconcileContext, project_id: str) -> EffectGenerator[OperationsStatus]:
    """Return the state of the operations, with a requeue while some are worth waiting for."""
    operations = yield from perform(ListOperations(project_id))
    overdue: list[Operation] = []
    pending: list[Operation] = []
    for operation in operations:
        if not operation.is_terminal:
            (overdue if _age(ctx, operation) > DEADLINE_SECONDS else pending).append(operation)
    if not pending:
        return OperationsStatus(operations, None, (*overdue, *_failed(operations)))
    if any(operation.status == "failed" for operation in pending):
        yield from record_if_changed(ctx, build_status_update(ctx, ready=_FAILING))
        return OperationsStatus(operations, requeue_with_backoff(ctx, 1.0))
    return OperationsStatus(
        operations,
        Result(ctx.poll_interval.next_poll(ctx.seconds_since_recorded) if ctx.app.connected_at is None else 1.0),
    )


def probe_database(
    ctx: ReconcileContext, project_id: str, uri: CheckedURI, status: OperationsStatus
) -> EffectGenerator[Result | None]:
    """Connect to the database. Return None on success, or when to retry if an operation explains the failure.

    Raises:
        AppDatabaseUnreachable: the connection failed, and no operation explains that.
    """
    try:
        yield from perform(ProbeDatabase(uri))
    except AppDatabaseUnreachable:
        if not status.suspects:
            raise
    else:
        return None
    which = ", ".join(dict.fromkeys(f"{operation.action} ({operation.status})" for operation in status.suspects))
    text = (
        f"Neon has not completed {which}, and the database does not accept connections. Operator action required: "
        f"contact Neon's support about the project {project_id}. The app resumes automatically when it is reachable."
    )
    yield from record_if_changed(
        ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.OPERATION_FAILED, text))
    )
    return Result(CAP_SECONDS, backoff=True)


def _age(ctx: ReconcileContext, operation: Operation) -> float:
    """Return the seconds since its start by Neon's clock, or since the project was recorded if that time is invalid."""
    started = operation.created_at
    age = ctx.seconds_since_recorded if started is None else (ctx.now - started).total_seconds()
    return ctx.seconds_since_recorded if age < -DEADLINE_SECONDS else age


def _failed(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """Return the newest operations per action and branch that Neon ended without success."""
    newest: dict[tuple[str, str | None], Operation] = {}
    for operation in operations:
        newest.setdefault((operation.action, operation.branch_id), operation)
    return tuple(operation for operation in newest.values() if operation.is_terminal and not operation.succeeded)
