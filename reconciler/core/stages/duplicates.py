"""Owned projects of an app that are not its recorded one: a create that took effect late, or a user's change.

Only a resync names candidates. A candidate is deleted if a new read verifies its name *and* the nonce of a create whose
project was never recorded, and a complete list shows no other project with this nonce. One request makes one project,
so a project with the nonce of the recorded one, or with a shared nonce, may be a copy. The deletion waits for the
settle time and counts against the automatic delete budget. All other candidates, recovered projects included, are
reported and not changed.
"""

from __future__ import annotations

from datetime import timedelta

from reconciler.core.conditions import build_status_update, condition_for_error, record_if_changed
from reconciler.core.context import ConditionUpdate, CreateIntent, Event, ReconcileContext, Result
from reconciler.core.effects import (
    AuthorizeMutation,
    DeleteProject,
    DismissDuplicate,
    EffectGenerator,
    GetProject,
    ListBranches,
    ListProjects,
    perform,
)
from reconciler.core.fleet.resync import is_on_hold
from reconciler.core.ownership import has_app_name, is_in_organization, matching_intent
from reconciler.errors import CatalogUnavailable, LeaseLost, NeonNotFound, RateLimitExhausted, ReconcileError
from specs.neon import Project
from specs.status import Reason

MAX_WAIT = timedelta(days=1)


def delete_duplicates(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Reconcile the first candidate; an error causes a retry, and no condition of the app.

    Stores ``observed.duplicates`` if a candidate must wait: that must not delay the app itself.

    Raises:
        LeaseLost, CatalogUnavailable, RateLimitExhausted: see ``reconcile``.
    """
    if not ctx.duplicate_ids or (ctx.app.project_id is None and ctx.app.deleted_at is None):
        return None
    try:
        result = yield from _reconcile_candidate(ctx, ctx.observed.org_id)
    except (LeaseLost, CatalogUnavailable, RateLimitExhausted):
        raise
    except ReconcileError as error:
        result = condition_for_error(ctx, error)[1]
    if ctx.app.deleted_at is not None or result.requeue_after == 0.0:
        return result
    ctx.observed.duplicates = result
    return None


def _reconcile_candidate(ctx: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
    project_id = ctx.duplicate_ids[0]
    try:
        project = yield from perform(GetProject(project_id))
    except NeonNotFound:
        yield from _dismiss_missing(ctx, project_id)
        return Result(0.0)
    if project.deleted_at is not None:
        yield from _dismiss_missing(ctx, project_id)
        return Result(0.0)
    if project_id == ctx.app.project_id:
        yield from _hold_restored(ctx, project_id)
        return Result(0.0)
    deletable = yield from _is_deletable_duplicate(ctx, org_id, project)
    if deletable is None:
        yield from perform(DismissDuplicate(project_id, report=False))
        return Result(0.0)
    if not deletable:
        text = "Another project has the app's name and no proof that this app created it. It was not changed."
        yield from record_if_changed(
            ctx, build_status_update(ctx, events=(Event("DuplicateRetained", Reason.OWNERSHIP_UNVERIFIED, text),))
        )
        yield from perform(DismissDuplicate(project_id, report=True))
        return Result(0.0)
    if ctx.now < project.created_at + ctx.settle_window:
        # Neon's clock may be far ahead of the catalog's, so the wait is bounded.
        wait = min(project.created_at + ctx.settle_window - ctx.now, MAX_WAIT)
        return Result(wait.total_seconds(), low_priority=True)
    yield from perform(AuthorizeMutation(automatic=True))
    yield from perform(DeleteProject(project_id))
    event = Event("DuplicateDeleted", "LateCreate", "A second project of a late create, never published, was deleted.")
    yield from record_if_changed(ctx, build_status_update(ctx, events=(event,)))
    yield from perform(DismissDuplicate(project_id, report=False))
    return Result(0.0)


def _is_deletable_duplicate(ctx: ReconcileContext, org_id: str, project: Project) -> EffectGenerator[bool | None]:
    """Whether an unrecorded create of this app made the project and no copy exists; None if a list is inconclusive.

    Then the next resync names the project again.
    """
    if not is_in_organization(project, org_id) or project.deleted_at is not None or not has_app_name(project, ctx.app):
        return False
    branches = yield from perform(ListBranches(project.id))
    made = matching_intent(branches, ctx.app, ctx.control_plane, ctx.intents)
    if made is None and branches.unreadable:
        return None
    if made is None or made.state not in ("open", "rejected", "absent"):
        return False
    has_clone = yield from _has_clone(ctx, org_id, project, made)
    return None if has_clone is None else not has_clone


def _has_clone(
    ctx: ReconcileContext, org_id: str, project: Project, made: CreateIntent
) -> EffectGenerator[bool | None]:
    """Whether another project has the same name and nonce; None if a list is inconclusive."""
    listing = yield from perform(ListProjects(ctx.app.app_id))
    for other in listing.projects:
        if other.id != project.id and has_app_name(other, ctx.app) and is_in_organization(other, org_id):
            branches = yield from perform(ListBranches(other.id))
            if matching_intent(branches, ctx.app, ctx.control_plane, (made,)) is not None:
                return True
            if branches.unreadable:
                return None
    return None if listing.may_lack_name(ctx.app.app_id) else False


def _dismiss_missing(ctx: ReconcileContext, project_id: str) -> EffectGenerator[None]:
    """Dismiss a deleted or missing candidate, and end the hold of a deleted app whose project it is."""
    if project_id == ctx.app.project_id and is_on_hold(ctx.app):
        text = "The recovered project was deleted again. The app has no project at Neon, except recoverable data."
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("True", Reason.UP_TO_DATE, text))
        )
    yield from perform(DismissDuplicate(project_id, report=False))


def _hold_restored(ctx: ReconcileContext, project_id: str) -> EffectGenerator[None]:
    """Put a deleted app on hold if a user recovered its project at Neon; it is not deleted again."""
    if ctx.app.deleted_at is not None and not is_on_hold(ctx.app):
        text = "The deleted app's project was recovered at Neon. It was not changed. Operator action required."
        event = Event("OnHold", "RecoveredAtNeon", f"Project {project_id} of the deleted app exists again.")
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.ON_HOLD, text), events=(event,))
        )
    yield from perform(DismissDuplicate(project_id, report=True))
