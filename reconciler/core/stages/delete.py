"""Delete the app's project until Neon confirms the deletion.

An app is deleted when its project is in Neon's list of recoverable ones, or in no list at all, or never existed. A
project of unverified ownership is never deleted: the app's condition reports it, and an operator must act.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import (
    UNREADABLE,
    build_status_update,
    record_if_changed,
    requeue_with_backoff,
)
from reconciler.core.context import ConditionUpdate, Event, ReconcileContext, Result
from reconciler.core.effects import (
    AuthorizeMutation,
    DeleteProject,
    EffectGenerator,
    GetProject,
    ListBranches,
    ListProjects,
    RecordStatus,
    UnprotectBranch,
    VerifyAccess,
    perform,
)
from reconciler.core.ownership import has_app_annotations, has_app_name, is_in_organization
from reconciler.core.stages.create import adopt_project
from reconciler.core.stages.create_lookup import (
    AmbiguousMatch,
    ConfirmedAbsent,
    ForeignOrganizationMatch,
    Match,
    find_created_project,
)
from reconciler.core.stages.missing import (
    confirm_absent,
    find_by_id,
    first_missed_at,
    recovery_in_flight_since,
    remaining_seconds,
)
from reconciler.errors import NeonInvalidRequest, NeonNotFound
from specs.neon import Project
from specs.status import Reason

# Longer than Neon's recovery window of seven days, so that a recovered project still has a row.
TOMBSTONE_RETENTION = timedelta(days=8)
POLL_SECONDS = 0.5
_AWAITING_CONFIRMATION = ConditionUpdate(
    "False", Reason.DELETE_REQUESTED, "Neon has not confirmed the deletion of the project yet; retrying."
)


def delete(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Delete the project of an app with a delete request by at most one mutation."""
    if ctx.app.delete_requested_at is None or ctx.app.deleted_at is not None:
        return None
    if ctx.app.project_id is None and ctx.open_intent is None:
        return (yield from _mark_deleted(ctx, None))
    org_id = yield from perform(VerifyAccess())
    if ctx.app.project_id is None:
        return (yield from _resolve_pending_create(ctx, org_id))
    try:
        project = yield from perform(GetProject(ctx.app.project_id))
    except NeonNotFound:
        return (yield from _confirm_deletion(ctx, ctx.app.project_id))
    if project.deleted_at is not None:
        return (yield from _confirm_deletion(ctx, ctx.app.project_id))
    owned = yield from _is_owned(ctx, org_id, project)
    if owned is None:
        yield from record_if_changed(ctx, build_status_update(ctx, synced=UNREADABLE))
        return requeue_with_backoff(ctx, POLL_SECONDS)
    if not owned:
        text = (
            "The project belongs to another organization, or has neither the app's name nor its annotations. It was "
            "not deleted. Operator action required."
        )
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.OWNERSHIP_UNVERIFIED, text))
        )
        return Result(CAP_SECONDS, backoff=True)
    return (yield from _request_deletion(ctx, project))


def _resolve_pending_create(ctx: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
    """Resolve a create of unknown outcome: adopt its project for the deletion, or confirm its absence."""
    intent = ctx.open_intent
    assert intent is not None  # noqa: S101 - the caller checked
    outcome = yield from find_created_project(ctx, org_id, intent)
    match outcome:
        case Match():
            yield from perform(adopt_project(ctx, outcome, org_id))
            return Result(0.0)
        case ConfirmedAbsent():
            return Result(0.0)
        case AmbiguousMatch() | ForeignOrganizationMatch():
            yield from record_if_changed(ctx, build_status_update(ctx, synced=outcome.condition))
            return outcome.requeue
        case _:
            return outcome.requeue


def _is_owned(ctx: ReconcileContext, org_id: str, project: Project) -> EffectGenerator[bool | None]:
    """Whether the project may be deleted; None if its annotations are unreadable."""
    if not is_in_organization(project, org_id):
        return False
    if has_app_name(project, ctx.app):
        return True
    branches = yield from perform(ListBranches(project.id))
    if has_app_annotations(branches, ctx.app, ctx.control_plane):
        return True
    return None if branches.unreadable else False


def _request_deletion(ctx: ReconcileContext, project: Project) -> EffectGenerator[Result]:
    yield from perform(AuthorizeMutation())
    try:
        yield from perform(DeleteProject(project.id))
    except NeonNotFound:
        return requeue_with_backoff(ctx, POLL_SECONDS)
    except NeonInvalidRequest:
        return (yield from _unprotect(ctx, project))
    return (yield from _confirm_deletion(ctx, project.id))


def _unprotect(ctx: ReconcileContext, project: Project) -> EffectGenerator[Result]:
    """Unprotect a branch, as it blocks the deletion of its project (Neon API reference, Branches)."""
    branches = yield from perform(ListBranches(project.id))
    protected = next((branch for branch in branches.branches if branch.protected), None)
    if protected is None and branches.unreadable:
        yield from record_if_changed(ctx, build_status_update(ctx, synced=UNREADABLE))
        return requeue_with_backoff(ctx, 1.0)
    if protected is None:
        text = "Neon rejected the deletion of the project. Operator action required."
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.NEON_REJECTED, text))
        )
        return Result(CAP_SECONDS, backoff=True)
    yield from perform(AuthorizeMutation())
    yield from perform(UnprotectBranch(project.id, protected.id))
    event = Event("BranchUnprotected", "DeleteRequested", "A protected branch blocked the requested deletion.")
    yield from record_if_changed(ctx, build_status_update(ctx, events=(event,)))
    return requeue_with_backoff(ctx, POLL_SECONDS)


def _confirm_deletion(ctx: ReconcileContext, project_id: str) -> EffectGenerator[Result]:
    deleted = yield from perform(ListProjects(project_id, recoverable=True))
    project = find_by_id(deleted, project_id)
    if project is not None:
        since = recovery_in_flight_since(ctx)
        if since is None:
            return (yield from _mark_deleted(ctx, project.recoverable_until))
        yield from record_if_changed(
            ctx, build_status_update(ctx, ready=_AWAITING_CONFIRMATION, timestamps={"missing_since": since})
        )
        return Result(remaining_seconds(ctx, since))
    if not (yield from confirm_absent(project_id, deleted)):
        return requeue_with_backoff(ctx, POLL_SECONDS)
    # As long as above: a recover may take effect between two lists, and a list may be stale.
    since = first_missed_at(ctx, Reason.DELETE_REQUESTED)
    if since is None or ctx.now < since + 2 * ctx.settle_window:
        yield from record_if_changed(
            ctx, build_status_update(ctx, ready=_AWAITING_CONFIRMATION, timestamps={"missing_since": since or ctx.now})
        )
        return Result(remaining_seconds(ctx, since or ctx.now))
    # Only absence shows the deletion, and while mutations are suspended absence is no evidence.
    yield from perform(AuthorizeMutation())
    return (yield from _mark_deleted(ctx, None))


def _mark_deleted(ctx: ReconcileContext, recoverable_until: datetime | None) -> EffectGenerator[Result]:
    update = build_status_update(
        ctx,
        ready=ConditionUpdate("False", Reason.DELETED, "The app is deleted."),
        synced=ConditionUpdate("True", Reason.UP_TO_DATE, "The app has no project at Neon, except recoverable data."),
        timestamps={
            "deleted_at": ctx.now,
            "recoverable_until": recoverable_until,
            "tombstone_until": ctx.now + TOMBSTONE_RETENTION,
        },
    )
    yield from perform(RecordStatus(update))
    return Result(0.0 if ctx.duplicate_ids else None)
