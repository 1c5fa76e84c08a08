"""Projects of ours for an app that are not its recorded one: a create that arrived late, or a person's doing.

Only a sweep names candidates. One is deleted when a fresh look proves name *and* the nonce of a create whose project
was never recorded, and a complete list shows that no other project carries it: one request makes one project, so what
carries the nonce of the recorded project, or shares one, may be a copy. It happens after the settle time and from the
sweeps' delete budget. Everything else is reported and left alone, the project that a person brought back too.
"""

from __future__ import annotations

from datetime import timedelta

from reconciler.core.conditions import ConditionUpdate, build_status_update, condition_for_error, record_if_changed
from reconciler.core.context import CreateIntent, Event, ReconcileContext, Result
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


def delete_duplicates(ctx: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
    """Deal with the first of at least one candidate; what fails is tried again, and says nothing of the app.

    Raises:
        LeaseLost, CatalogUnavailable, RateLimitExhausted: see ``reconcile``.
    """
    try:
        return (yield from _reconcile_candidate(ctx, org_id))
    except (LeaseLost, CatalogUnavailable, RateLimitExhausted):
        raise
    except ReconcileError as error:
        return condition_for_error(ctx, error)[1]


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
    proven = yield from _is_deletable_duplicate(ctx, org_id, project)
    if proven is None:
        yield from perform(DismissDuplicate(project_id, report=False))
        return Result(0.0)
    if not proven:
        text = "Another project carries the app's name and no proof that this app made it. It was left unchanged."
        yield from record_if_changed(
            ctx, build_status_update(ctx, events=(Event("LeftAlone", Reason.OWNERSHIP_UNVERIFIED, text),))
        )
        yield from perform(DismissDuplicate(project_id, report=True))
        return Result(0.0)
    if ctx.now < project.created_at + ctx.settle_window:
        # A clock far ahead of the catalog's is not waited for.
        wait = min(project.created_at + ctx.settle_window - ctx.now, MAX_WAIT)
        return Result(wait.total_seconds(), low_priority=True)
    yield from perform(AuthorizeMutation(automatic=True))
    yield from perform(DeleteProject(project_id))
    told = Event("SurplusDeleted", "LateCreate", "A second project of a late create, never published, is deleted.")
    yield from record_if_changed(ctx, build_status_update(ctx, events=(told,)))
    yield from perform(DismissDuplicate(project_id, report=False))
    return Result(0.0)


def _is_deletable_duplicate(ctx: ReconcileContext, org_id: str, project: Project) -> EffectGenerator[bool | None]:
    """Whether a create that was never recorded made it and nothing copied that one; None where a list says too little.

    The next sweep names it again then.
    """
    if not is_in_organization(project, org_id) or project.deleted_at is not None or not has_app_name(project, ctx.app):
        return False
    branches = yield from perform(ListBranches(project.id))
    made = matching_intent(branches, ctx.app, ctx.control_plane, ctx.intents)
    if made is None and branches.unreadable:
        return None
    if made is None or made.state not in ("open", "rejected", "absent"):
        return False
    copied = yield from _has_clone(ctx, org_id, project, made)
    return None if copied is None else not copied


def _has_clone(
    ctx: ReconcileContext, org_id: str, project: Project, made: CreateIntent
) -> EffectGenerator[bool | None]:
    """Whether another project carries the same name and nonce; None where a list says too little."""
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
    """What is gone is no candidate; what was held of a deleted app is held no more."""
    if project_id == ctx.app.project_id and is_on_hold(ctx.app):
        text = "The project that had been brought back is gone again; nothing is left of it but what can be recovered."
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("True", Reason.UP_TO_DATE, text))
        )
    yield from perform(DismissDuplicate(project_id, report=False))


def _hold_restored(ctx: ReconcileContext, project_id: str) -> EffectGenerator[None]:
    """A delete is final until its owner restores it, but what a person brought back is not deleted again."""
    if ctx.app.deleted_at is not None and not is_on_hold(ctx.app):
        text = "The deleted app's project was brought back at Neon; it is left alone. An operator must decide."
        told = Event("OnHold", "BroughtBack", f"Project {project_id} of the deleted app is live again.")
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.ON_HOLD, text), events=(told,))
        )
    yield from perform(DismissDuplicate(project_id, report=True))
