"""The operation that applies a change of roles, databases or settings to a compute."""

from __future__ import annotations

from reconciler.local.state.account_state import AccountState, read_write
from reconciler.local.state.computes import endpoint_state
from reconciler.local.state.models import (
    Branch,
    Endpoint,
    Operation,
    OperationPayload,
    Project,
)


def apply_config(
    account: AccountState,
    project: Project,
    branch: Branch,
    now: float,
    *,
    payload: OperationPayload | None = None,
    endpoint: Endpoint | None = None,
    dropped_role: str | None = None,
    dropped_database: str | None = None,
) -> list[Operation]:
    """Start the operation that applies a change, by default to the branch's read-write compute.

    An idle compute is started for it, and suspended afterwards (Neon API reference, Create role; Update endpoint).
    """
    compute = endpoint or read_write(project, branch)
    operation = account.start(
        project,
        now,
        "apply_config",
        branch,
        compute,
        dropped_role=dropped_role,
        dropped_database=dropped_database,
    )
    operation.payload = payload
    if compute is None or endpoint_state(compute, now) != "idle":
        return [operation]
    return [operation, account.start(project, now, "suspend_compute", branch, compute, carried_out=True)]
