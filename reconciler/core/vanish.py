"""A recorded project that Neon does not show.

A 404 proves nothing alone: the key may be another, the organization may be another, the answer may be stale. A
project that can be recovered is recovered, after a sweep has seen that the rest of the fleet is there; one that
cannot be is *lost* after two complete looks and with a key that is proven good. It is never replaced by an empty one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.core.effects import ConfirmAccess, ListProjects, Permit, RecoverProject, Steps, perform
from reconciler.core.mark import belongs_to
from reconciler.core.report import Said, again_soon, progress, record, report_failure
from reconciler.core.snapshot import Column, Next, Progress, Snapshot
from reconciler.errors import CatalogUnavailable, LeaseLost, RateLimitExhausted, ReconcileError
from specs.neon import Project, ProjectListing
from specs.status import AppStatus, ConditionType, Reason, find_condition


def vanished(s: Snapshot, org_id: str, project_id: str) -> Steps[Next]:
    """Recover the project, or say why not yet."""
    deleted = yield from perform(ListProjects(project_id, recoverable=True))
    found = by_id(deleted, project_id)
    if found is not None and belongs_to(found, org_id):
        return (yield from _recover(s, project_id))
    if not (yield from proven_gone(project_id, deleted)):
        return again_soon(s)
    return (yield from _lost(s))


def by_id(listing: ProjectListing, project_id: str) -> Project | None:
    """The project of exactly that id in a list, whose search matches parts."""
    return next((project for project in listing.projects if project.id == project_id), None)


def proven_gone(project_id: str, deleted: ProjectListing) -> Steps[bool]:
    """Whether neither list holds the project, both are complete, and the key is proven good."""
    alive = yield from perform(ListProjects(project_id))
    if not (deleted.is_complete and alive.is_complete):
        return False
    if by_id(alive, project_id) is not None or by_id(deleted, project_id) is not None:
        return False
    if project_id in alive.unreadable_ids | deleted.unreadable_ids:
        return False
    yield from perform(ConfirmAccess(fresh=True))
    return True


def recover_may_arrive(s: Snapshot) -> datetime | None:
    """Since when no recover of ours was sent, while one may still take effect; None when none can.

    Whoever sends one may have stood still before, however long ago its pass began. So the time counts from the first
    pass after it, which finds that the app is being recovered; who sent before that has no permission any more.
    """
    ready = find_condition(s.app.conditions, ConditionType.READY)
    if ready is not None and ready.reason == Reason.RECOVERING:
        return s.now
    since = s.app.missing_since
    return None if since is None or s.now >= since + 2 * s.settle else since


def looked_first(s: Snapshot, said: Reason) -> datetime | None:
    """When the first of two looks missed the project, as ``said`` tells; else ``missing_since`` is of a recover."""
    ready = find_condition(s.app.conditions, ConditionType.READY)
    return s.app.missing_since if ready is not None and ready.reason == said else None


def left_of(s: Snapshot, since: datetime) -> float:
    """Seconds until neither a recover that was sent before ``since`` nor a list that lags can change what was seen."""
    return (since + 2 * s.settle - s.now).total_seconds()


def _recover(s: Snapshot, project_id: str) -> Steps[Next]:
    if s.app.held_for == "recovery":
        text = (
            "The project was deleted at Neon before the catalog was claimed, perhaps by its owner's wish. It is "
            "recovered once an operator says so with `morphik-apps claim --confirm`; deleting the app ends it."
        )
        yield from record(s, progress(s, ready=Said("False", Reason.PROJECT_MISSING, text)))
        return Next(None)
    if not s.confirmed_missing:
        text = "The project was deleted at Neon; it will be recovered when a sweep has seen the rest of the fleet."
        columns: dict[Column, datetime | None] = {"missing_since": recover_may_arrive(s)}
        yield from record(s, progress(s, ready=Said("False", Reason.PROJECT_MISSING, text), columns=columns))
        return Next(None)
    # Written before the request: nobody must take the app for settled or deleted while this may still take effect.
    said = Said("False", Reason.RECOVERING, "The project was deleted at Neon and is being recovered, with its data.")
    recovering = progress(s, ready=said, columns={"missing_since": s.now})
    yield from record(s, recovering)
    try:
        yield from perform(Permit())
        yield from perform(RecoverProject(project_id))
    except (LeaseLost, CatalogUnavailable, RateLimitExhausted):
        raise
    except ReconcileError as error:
        # What was just said stays said: else the time of this recover would pass for that of a look at the lists.
        return (yield from report_failure(_after(s, recovering), error))
    return again_soon(s, 1.0)


def _after(s: Snapshot, said: Progress) -> Snapshot:
    """The app as this pass has just written it."""
    written = {"conditions": said.conditions, "status": said.status, **{str(c): at for c, at in said.columns.items()}}
    return replace(s, app=s.app.model_copy(update=written))


def _lost(s: Snapshot) -> Steps[Next]:
    if s.app.status is AppStatus.LOST:
        return Next(None)
    since = looked_first(s, Reason.PROJECT_MISSING)
    if not s.confirmed_missing or since is None or s.now < since + 2 * s.settle:
        text = "Neon does not show the project, neither among the live nor among the recoverable; looking again."
        if not s.confirmed_missing:
            text = "Neon does not show the project; a sweep has to see the rest of the fleet before more is concluded."
        missing, since = Said("False", Reason.PROJECT_MISSING, text), since or s.now
        yield from record(s, progress(s, ready=missing, columns={"missing_since": since}))
        return Next(left_of(s, since) if s.confirmed_missing else None)
    text = "The project is gone from Neon and cannot be recovered; an operator must decide what to do."
    yield from record(s, progress(s, ready=Said("False", Reason.PROJECT_LOST, text)))
    return Next(None)
