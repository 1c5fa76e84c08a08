"""Delete until Neon says gone.

An app is deleted when its project is in Neon's list of recoverable ones, or in no list at all, or never existed. What
is not proven ours is never deleted: the app's condition says so and a person must look.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.create import adoption
from reconciler.core.effects import (
    ConfirmAccess,
    DeleteProject,
    GetProject,
    ListBranches,
    ListProjects,
    Permit,
    Record,
    Steps,
    UnprotectBranch,
    perform,
)
from reconciler.core.find import Copied, Elsewhere, Found, ProvenAbsent, find_created
from reconciler.core.mark import belongs_to, carries_annotation, carries_name
from reconciler.core.report import UNREADABLE, Said, again_soon, progress, record
from reconciler.core.snapshot import Event, Next, Snapshot
from reconciler.core.vanish import by_id, left_of, looked_first, proven_gone, recover_may_arrive
from reconciler.errors import NeonInvalidRequest, NeonNotFound
from specs.neon import Project
from specs.status import Reason

# Longer than Neon's recovery window of seven days, so that a project brought back is still known.
TOMBSTONE = timedelta(days=8)
LOOK_SECONDS = 0.5
_WAITS = Said(
    "False", Reason.DELETE_REQUESTED, "Neon's lists may not say yet what becomes of the project; looking again."
)


def delete(s: Snapshot) -> Steps[Next]:
    """Take the app's project away, by at most one change."""
    if s.app.project_id is None and s.open_intent is None:
        return (yield from _gone(s, None))
    org_id = yield from perform(ConfirmAccess())
    if s.app.project_id is None:
        return (yield from _resolve(s, org_id))
    try:
        project = yield from perform(GetProject(s.app.project_id))
    except NeonNotFound:
        return (yield from _confirm(s, s.app.project_id))
    if project.deleted_at is not None:
        return (yield from _confirm(s, s.app.project_id))
    proven = yield from _proven_ours(s, org_id, project)
    if proven is None:
        yield from record(s, progress(s, synced=UNREADABLE))
        return again_soon(s, LOOK_SECONDS)
    if not proven:
        text = (
            "The project belongs to another organization, or carries neither the app's name nor its annotations; it is "
            "not deleted. An operator must look."
        )
        yield from record(s, progress(s, synced=Said("False", Reason.NOT_PROVEN_OURS, text)))
        return Next(CAP_SECONDS, failed=True)
    return (yield from _send(s, project))


def _resolve(s: Snapshot, org_id: str) -> Steps[Next]:
    """A create of unknown outcome: its project is found and then deleted, or proven never to come."""
    intent = s.open_intent
    assert intent is not None  # noqa: S101 - the caller looked
    outcome = yield from find_created(s, org_id, intent)
    match outcome:
        case Found():
            yield from perform(adoption(s, outcome, org_id))
            return Next(0.0)
        case ProvenAbsent():
            return Next(0.0)
        case Copied() | Elsewhere():
            yield from record(s, progress(s, synced=outcome.said))
            return outcome.again
        case _:
            return outcome.again


def _proven_ours(s: Snapshot, org_id: str, project: Project) -> Steps[bool | None]:
    """Whether it may be deleted; None where its annotations cannot be read."""
    if not belongs_to(project, org_id):
        return False
    if carries_name(project, s.app):
        return True
    branches = yield from perform(ListBranches(project.id))
    if carries_annotation(branches, s.app, s.plane):
        return True
    return None if branches.unreadable else False


def _send(s: Snapshot, project: Project) -> Steps[Next]:
    yield from perform(Permit())
    try:
        yield from perform(DeleteProject(project.id))
    except NeonNotFound:
        return again_soon(s, LOOK_SECONDS)
    except NeonInvalidRequest:
        return (yield from _unprotect(s, project))
    return (yield from _confirm(s, project.id))


def _unprotect(s: Snapshot, project: Project) -> Steps[Next]:
    """A protected branch blocks the deletion of its project (Neon API reference, Branches)."""
    branches = yield from perform(ListBranches(project.id))
    protected = next((branch for branch in branches.branches if branch.protected), None)
    if protected is None and branches.unreadable:
        yield from record(s, progress(s, synced=UNREADABLE))
        return again_soon(s, 1.0)
    if protected is None:
        text = "Neon refused to delete the project; an operator must look."
        yield from record(s, progress(s, synced=Said("False", Reason.NEON_REFUSED, text)))
        return Next(CAP_SECONDS, failed=True)
    yield from perform(Permit())
    yield from perform(UnprotectBranch(project.id, protected.id))
    told = Event("BranchUnprotected", "DeleteRequested", "A protected branch blocked the deletion that was asked for.")
    yield from record(s, progress(s, events=(told,)))
    return again_soon(s, LOOK_SECONDS)


def _confirm(s: Snapshot, project_id: str) -> Steps[Next]:
    deleted = yield from perform(ListProjects(project_id, recoverable=True))
    found = by_id(deleted, project_id)
    if found is not None:
        since = recover_may_arrive(s)
        if since is None:
            return (yield from _gone(s, found.recoverable_until))
        yield from record(s, progress(s, ready=_WAITS, columns={"missing_since": since}))
        return Next(left_of(s, since))
    if not (yield from proven_gone(project_id, deleted)):
        return again_soon(s, LOOK_SECONDS)
    # As long as above: a recover may arrive between two looks, and a list lag behind it.
    since = looked_first(s, Reason.DELETE_REQUESTED)
    if since is None or s.now < since + 2 * s.settle:
        yield from record(s, progress(s, ready=_WAITS, columns={"missing_since": since or s.now}))
        return Next(left_of(s, since or s.now))
    # Nothing but absence says so, and while everything is stopped absence is what is not believed.
    yield from perform(Permit())
    return (yield from _gone(s, None))


def _gone(s: Snapshot, recoverable_until: datetime | None) -> Steps[Next]:
    said = progress(
        s,
        ready=Said("False", Reason.DELETED, "The app is deleted."),
        synced=Said("True", Reason.IN_SYNC, "Nothing is left of it at Neon but what can be recovered."),
        columns={
            "deleted_at": s.now,
            "recoverable_until": recoverable_until,
            "tombstone_until": s.now + TOMBSTONE,
        },
    )
    yield from perform(Record(said))
    return Next(0.0 if s.surplus_ids else None)
