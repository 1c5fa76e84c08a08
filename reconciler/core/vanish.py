"""A recorded project that Neon does not show.

A 404 proves nothing alone: the key may be another, the organization may be another, the answer may be stale. A
project that can be recovered is recovered, after a sweep has seen that the rest of the fleet is there; one that
cannot be is *lost* after two complete looks and with a key that is proven good. It is never replaced by an empty one.
"""

from __future__ import annotations

from reconciler.core.backoff import delay
from reconciler.core.effects import ConfirmAccess, ListProjects, Permit, RecoverProject, Steps, perform
from reconciler.core.mark import belongs_to
from reconciler.core.report import Said, progress, record
from reconciler.core.snapshot import Next, Snapshot
from specs.neon import Project, ProjectListing
from specs.status import AppStatus, Reason


def vanished(s: Snapshot, org_id: str, project_id: str) -> Steps[Next]:
    """Recover the project, or say why not yet."""
    deleted = yield from perform(ListProjects(project_id, recoverable=True))
    found = by_id(deleted, project_id)
    if found is not None and belongs_to(found, org_id):
        return (yield from _recover(s, project_id))
    if not (yield from proven_gone(project_id, deleted)):
        return Next(delay(s.attempts, s.jitter), failed=True)
    return (yield from _lost(s))


def by_id(listing: ProjectListing, project_id: str) -> Project | None:
    """The project of exactly that id in a list, whose search matches parts."""
    return next((project for project in listing.projects if project.id == project_id), None)


def proven_gone(project_id: str, deleted: ProjectListing) -> Steps[bool]:
    """Whether neither list holds the project, both are complete, and the key is proven good."""
    alive = yield from perform(ListProjects(project_id))
    if not (deleted.complete and alive.complete):
        return False
    if by_id(alive, project_id) is not None or by_id(deleted, project_id) is not None:
        return False
    yield from perform(ConfirmAccess(fresh=True))
    return True


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
        yield from record(s, progress(s, ready=Said("False", Reason.PROJECT_MISSING, text)))
        return Next(None)
    # Written before the request: a delete must not believe the recoverable list while this may still take effect.
    said = Said("False", Reason.RECOVERING, "The project was deleted at Neon and is being recovered, with its data.")
    yield from record(s, progress(s, ready=said, columns={"missing_since": s.now}))
    yield from perform(Permit())
    yield from perform(RecoverProject(project_id))
    return Next(1.0)


def _lost(s: Snapshot) -> Steps[Next]:
    if s.app.status is AppStatus.LOST:
        return Next(None)
    if not s.confirmed_missing:
        text = "Neon does not show the project; a sweep has to see the rest of the fleet before anything is concluded."
        yield from record(s, progress(s, ready=Said("False", Reason.PROJECT_MISSING, text)))
        return Next(None)
    since = s.app.missing_since
    if since is None or s.now < since + s.settle:
        text = "Neon does not show the project, neither among the live nor among the recoverable; looking again."
        said = progress(s, ready=Said("False", Reason.PROJECT_MISSING, text), columns={"missing_since": since or s.now})
        yield from record(s, said)
        rest = s.settle if since is None else since + s.settle - s.now
        return Next(rest.total_seconds())
    text = "The project is gone from Neon and cannot be recovered; an operator must decide what to do."
    yield from record(s, progress(s, ready=Said("False", Reason.PROJECT_LOST, text)))
    return Next(None)
