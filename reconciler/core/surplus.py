"""Projects of ours for an app that are not its recorded one: a create that arrived late, or a person's doing.

Only a sweep names candidates. One is deleted when a fresh look proves name *and* the nonce of a create whose project
was never recorded, and a complete list shows that no other project carries it: one request makes one project, so what
carries the nonce of the recorded project, or shares one, may be a copy. It happens after the settle time and from the
sweeps' delete budget. Everything else is reported and left alone, the project that a person brought back too.
"""

from __future__ import annotations

from datetime import timedelta

from reconciler.core.effects import (
    DeleteProject,
    DropSurplus,
    GetProject,
    ListBranches,
    ListProjects,
    Permit,
    Steps,
    perform,
)
from reconciler.core.mark import belongs_to, carries_name, made_by
from reconciler.core.report import Said, explain, progress, record
from reconciler.core.snapshot import CreateIntent, Event, Next, Snapshot
from reconciler.core.sweep import is_held
from reconciler.errors import CatalogUnavailable, LeaseLost, NeonNotFound, RateLimitExhausted, ReconcileError
from specs.neon import Project
from specs.status import Reason

LONGEST_WAIT = timedelta(days=1)


def sweep_surplus(s: Snapshot, org_id: str) -> Steps[Next]:
    """Deal with the first of at least one candidate; what fails is tried again, and says nothing of the app.

    Raises:
        LeaseLost, CatalogUnavailable, RateLimitExhausted: see ``reconcile``.
    """
    try:
        return (yield from _deal_with(s, org_id))
    except (LeaseLost, CatalogUnavailable, RateLimitExhausted):
        raise
    except ReconcileError as error:
        return explain(s, error)[1]


def _deal_with(s: Snapshot, org_id: str) -> Steps[Next]:
    project_id = s.surplus_ids[0]
    try:
        project = yield from perform(GetProject(project_id))
    except NeonNotFound:
        yield from _drop_gone(s, project_id)
        return Next(0.0)
    if project.deleted_at is not None:
        yield from _drop_gone(s, project_id)
        return Next(0.0)
    if project_id == s.app.project_id:
        yield from _hold(s, project_id)
        return Next(0.0)
    proven = yield from _proven_surplus(s, org_id, project)
    if proven is None:
        yield from perform(DropSurplus(project_id, report=False))
        return Next(0.0)
    if not proven:
        text = "Another project carries the app's name and no proof that this app made it. It was left unchanged."
        yield from record(s, progress(s, events=(Event("LeftAlone", Reason.NOT_PROVEN_OURS, text),)))
        yield from perform(DropSurplus(project_id, report=True))
        return Next(0.0)
    if s.now < project.created_at + s.settle:
        # A clock far ahead of the catalog's is not waited for.
        wait = min(project.created_at + s.settle - s.now, LONGEST_WAIT)
        return Next(wait.total_seconds(), background=True)
    yield from perform(Permit(swept=True))
    yield from perform(DeleteProject(project_id))
    told = Event("SurplusDeleted", "LateCreate", "A second project of a late create, never published, is deleted.")
    yield from record(s, progress(s, events=(told,)))
    yield from perform(DropSurplus(project_id, report=False))
    return Next(0.0)


def _proven_surplus(s: Snapshot, org_id: str, project: Project) -> Steps[bool | None]:
    """Whether a create that was never recorded made it and nothing copied that one; None where a list says too little.

    The next sweep names it again then.
    """
    if not belongs_to(project, org_id) or project.deleted_at is not None or not carries_name(project, s.app):
        return False
    branches = yield from perform(ListBranches(project.id))
    made = made_by(branches, s.app, s.plane, s.intents)
    if made is None and branches.unreadable:
        return None
    if made is None or made.state not in ("open", "refused", "absent"):
        return False
    copied = yield from _copied(s, org_id, project, made)
    return None if copied is None else not copied


def _copied(s: Snapshot, org_id: str, project: Project, made: CreateIntent) -> Steps[bool | None]:
    """Whether another project carries the same name and nonce; None where a list says too little."""
    listing = yield from perform(ListProjects(s.app.app_id))
    for other in listing.projects:
        if other.id != project.id and carries_name(other, s.app) and belongs_to(other, org_id):
            branches = yield from perform(ListBranches(other.id))
            if made_by(branches, s.app, s.plane, (made,)) is not None:
                return True
            if branches.unreadable:
                return None
    return None if listing.may_lack_name(s.app.app_id) else False


def _drop_gone(s: Snapshot, project_id: str) -> Steps[None]:
    """What is gone is no candidate; what was held of a deleted app is held no more."""
    if project_id == s.app.project_id and is_held(s.app):
        text = "The project that had been brought back is gone again; nothing is left of it but what can be recovered."
        yield from record(s, progress(s, synced=Said("True", Reason.IN_SYNC, text)))
    yield from perform(DropSurplus(project_id, report=False))


def _hold(s: Snapshot, project_id: str) -> Steps[None]:
    """A delete is final until its owner restores it, but what a person brought back is not deleted again."""
    if s.app.deleted_at is not None and not is_held(s.app):
        text = "The deleted app's project was brought back at Neon; it is left alone. An operator must decide."
        told = Event("Held", "BroughtBack", f"Project {project_id} of the deleted app is live again.")
        yield from record(s, progress(s, synced=Said("False", Reason.HELD, text), events=(told,)))
    yield from perform(DropSurplus(project_id, report=True))
