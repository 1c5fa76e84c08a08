"""The default branch and its read-write compute."""

from __future__ import annotations

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import (
    UNREADABLE,
    build_status_update,
    record_if_changed,
    requeue_with_backoff,
)
from reconciler.core.context import ConditionUpdate, Event, ReconcileContext, Result
from reconciler.core.diff import endpoint_to_create
from reconciler.core.effects import (
    AuthorizeMutation,
    CreateEndpoint,
    EffectGenerator,
    ListBranches,
    ListEndpoints,
    perform,
)
from reconciler.core.neon_operations import check_operations
from specs.neon import Branch
from specs.status import Reason


def ensure_compute(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Make the default branch reachable, whatever its name. Stores ``observed.branch``."""
    project_id = ctx.observed.project.id
    branches = yield from perform(ListBranches(project_id))
    branch = next((branch for branch in branches.branches if branch.default), None)
    if branch is None and branches.unreadable:
        yield from record_if_changed(ctx, build_status_update(ctx, synced=UNREADABLE))
        return requeue_with_backoff(ctx, 1.0)
    if branch is None:
        none = ConditionUpdate(
            "False", Reason.ENDPOINT_MISSING, "The project has no default branch. Operator action required."
        )
        yield from record_if_changed(ctx, build_status_update(ctx, ready=none))
        return Result(CAP_SECONDS, backoff=True)
    ctx.observed.branch = branch
    endpoints = yield from perform(ListEndpoints(project_id))
    # An endpoint of unreadable branch or type may be the read-write one.
    if any(e.branch_id in (None, branch.id) and e.type in ("", "read_write") for e in endpoints):
        return None
    return (yield from _create_endpoint(ctx, project_id, branch))


def _create_endpoint(ctx: ReconcileContext, project_id: str, branch: Branch) -> EffectGenerator[Result]:
    status = yield from check_operations(ctx, project_id)
    if status.requeue is not None:
        return status.requeue
    yield from perform(AuthorizeMutation())
    yield from perform(CreateEndpoint(project_id, endpoint_to_create(ctx.app, branch.id)))
    condition = ConditionUpdate(
        "False", Reason.ENDPOINT_MISSING, "The database's compute was missing; Neon is creating a new one."
    )
    event = Event("EndpointCreated", "ChangedAtNeon", "The default branch had no read-write compute; one was created.")
    yield from record_if_changed(ctx, build_status_update(ctx, ready=condition, events=(event,)))
    # If the repair does not last, the next ones are delayed by backoff.
    return requeue_with_backoff(ctx, 1.0)
