"""What Neon is still doing to a project: waited for, but not for ever.

"A failed operation is not terminal and may be retried" (Neon API reference, Operations), and a status that nobody has
heard of may mean anything: both count as running until a deadline. After it, as after an operation that Neon gave up,
only the database itself can say whether it works.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.effects import ListOperations, ProbeDatabase, Steps, perform
from reconciler.core.report import Said, again_soon, progress, record
from reconciler.core.snapshot import Next, Snapshot
from reconciler.core.trust import CheckedURI
from reconciler.errors import AppDatabaseUnreachable
from specs.neon import Operation
from specs.status import Reason

DEADLINE_SECONDS = 600.0
"""How long an operation may take, or be tried again by Neon, from its own beginning."""

_FAILING = Said("False", Reason.OPERATION_FAILED, "An operation failed at Neon, which may try it again.")


@dataclass(frozen=True, slots=True)
class Waited:
    """What became of a project's operations.

    Attributes:
        operations: the newest ones, the newest first.
        again: when to look again, or None when there is nothing to wait for any more.
        blamed: those that are to blame if the database does not work.
    """

    operations: tuple[Operation, ...]
    again: Next | None
    blamed: tuple[Operation, ...] = ()


def await_operations(s: Snapshot, project_id: str) -> Steps[Waited]:
    """Whether operations run that are worth waiting for."""
    operations = yield from perform(ListOperations(project_id))
    overdue: list[Operation] = []
    pending: list[Operation] = []
    for one in operations:
        if not one.is_terminal:
            (overdue if _age(s, one) > DEADLINE_SECONDS else pending).append(one)
    if not pending:
        return Waited(operations, None, (*overdue, *_given_up(operations)))
    if any(one.status == "failed" for one in pending):
        yield from record(s, progress(s, ready=_FAILING))
        return Waited(operations, again_soon(s, 1.0))
    return Waited(operations, Next(s.pace.next_look(s.since_recorded) if s.app.connected_at is None else 1.0))


def probe(s: Snapshot, project_id: str, uri: CheckedURI, waited: Waited) -> Steps[Next | None]:
    """Connect to the database; when to try again where an operation is to blame that it does not answer.

    Raises:
        AppDatabaseUnreachable: it does not answer, and no operation explains that.
    """
    try:
        yield from perform(ProbeDatabase(uri))
    except AppDatabaseUnreachable:
        if not waited.blamed:
            raise
    else:
        return None
    which = ", ".join(dict.fromkeys(f"{one.action} ({one.status})" for one in waited.blamed))
    text = (
        f"Neon has not carried out {which}, and the database does not answer. An operator must look, and may ask "
        f"Neon's support about the project {project_id}; it is looked at again until it answers."
    )
    yield from record(s, progress(s, synced=Said("False", Reason.OPERATION_FAILED, text)))
    return Next(CAP_SECONDS, failed=True)


def _age(s: Snapshot, operation: Operation) -> float:
    """Seconds since its beginning by Neon's clock, or since the project was recorded where that says nothing."""
    begun = operation.created_at
    age = s.since_recorded if begun is None else (s.now - begun).total_seconds()
    return s.since_recorded if age < -DEADLINE_SECONDS else age


def _given_up(operations: Sequence[Operation]) -> tuple[Operation, ...]:
    """The newest of each action, where Neon ended it without having done it."""
    newest: dict[tuple[str, str | None], Operation] = {}
    for one in operations:
        newest.setdefault((one.action, one.branch_id), one)
    return tuple(one for one in newest.values() if one.is_terminal and not one.succeeded)
