"""From a recorded project to a proven URI, and what people changed by hand put back.

After a create of ours nothing needs to be observed but the operations: the one call set everything. In every other
case, and when the new database goes on not to answer, the whole is looked at: project, default branch, its compute,
its URI.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.desired import drift, drifted_fields, endpoint_to_create, immutable_drift
from reconciler.core.effects import (
    CreateEndpoint,
    GetConnectionURI,
    GetProject,
    ListBranches,
    ListEndpoints,
    OpenSeal,
    Permit,
    RecordCredentials,
    Steps,
    UpdateProject,
    perform,
)
from reconciler.core.mark import belongs_to
from reconciler.core.operations import await_operations, probe
from reconciler.core.pace import seconds_taken
from reconciler.core.report import AVAILABLE, IN_SYNC, UNREADABLE, Said, again_soon, progress, record
from reconciler.core.snapshot import Credentials, Event, Next, Snapshot
from reconciler.core.trust import AddressNotAllowed, CheckedURI
from reconciler.core.vanish import left_of, recover_may_arrive, vanished
from reconciler.errors import NeonNotFound, NeonPasswordsNotStored
from specs.neon import Branch, Project, ProjectUpdate
from specs.status import ConditionType, Reason, find_condition

SLOW = Next(CAP_SECONDS, failed=True)
# Somebody may have changed a project before it was ever connected to.
TRUSTED_ATTEMPTS = 3


def maintain(s: Snapshot, org_id: str, project_id: str) -> Steps[Next]:
    """Bring a recorded project to where it shall be, by at most one change."""
    try:
        if s.app.connected_at is None and s.attempts < TRUSTED_ATTEMPTS:
            credentials = yield from perform(OpenSeal())
            if credentials is not None:
                return (yield from _finish_create(s, project_id, credentials))
        project = yield from perform(GetProject(project_id))
    except NeonNotFound:
        return (yield from vanished(s, org_id, project_id))
    if project.deleted_at is not None:
        return (yield from vanished(s, org_id, project_id))
    if not belongs_to(project, org_id):
        held = Said("False", Reason.HELD, "The project belongs to another organization now; an operator must look.")
        yield from record(s, progress(s, synced=held))
        return SLOW
    update = drift(s.app, project)
    if update is not None:
        return (yield from _put_back(s, project_id, update))
    return (yield from _serve(s, project))


def _finish_create(s: Snapshot, project_id: str, credentials: Credentials) -> Steps[Next]:
    waited = yield from await_operations(s, project_id)
    if waited.again is not None:
        return waited.again
    unanswered = yield from probe(s, project_id, credentials.connection_uri, waited)
    if unanswered is not None:
        return unanswered
    since = recover_may_arrive(s)
    yield from record(
        s, progress(s, ready=AVAILABLE, synced=IN_SYNC, columns={"connected_at": s.now, "missing_since": since})
    )
    # What took exceptionally long says nothing of the next one.
    took = None if waited.blamed else seconds_taken(waited.operations, s.since_recorded)
    return replace(_settled(s, since), took=took)


def _put_back(s: Snapshot, project_id: str, update: ProjectUpdate) -> Steps[Next]:
    yield from perform(Permit())
    changed = yield from perform(UpdateProject(project_id, update))
    left = drift(s.app, changed.project)
    if left is not None:
        text = f"Neon accepted the repair but kept its own values of: {drifted_fields(left)}. An operator must look."
        yield from record(s, progress(s, synced=Said("False", Reason.NEON_REFUSED, text)))
        return SLOW
    told = Event("DriftRepaired", "ChangedAtNeon", f"Put back as asked for: {drifted_fields(update)}.")
    yield from record(s, progress(s, synced=IN_SYNC, events=(told,)))
    # A change that does not last is made ever more rarely.
    return again_soon(s, 1.0)


def _serve(s: Snapshot, project: Project) -> Steps[Next]:
    """Make the default branch reachable, whatever it is called now, and its URI the recorded one."""
    branches = yield from perform(ListBranches(project.id))
    branch = next((branch for branch in branches.branches if branch.default), None)
    if branch is None and branches.unreadable:
        yield from record(s, progress(s, synced=UNREADABLE))
        return again_soon(s, 1.0)
    if branch is None:
        none = Said("False", Reason.ENDPOINT_MISSING, "The project has no default branch; an operator must look.")
        yield from record(s, progress(s, ready=none))
        return SLOW
    endpoints = yield from perform(ListEndpoints(project.id))
    # One whose branch or type cannot be read may be the one.
    if not any(e.branch_id in (None, branch.id) and e.type in ("", "read_write") for e in endpoints):
        return (yield from _give_endpoint(s, project.id, branch))
    try:
        reported = yield from _connection_uri(s, project.id, branch, pooled=False)
    except (NeonNotFound, NeonPasswordsNotStored):
        gone = "Neon has no credentials for the app's role and database; an operator must look."
        yield from record(s, progress(s, ready=Said("False", Reason.CREDENTIALS_MISSING, gone)))
        return SLOW
    except AddressNotAllowed as error:
        return (yield from _not_allowed(s, error))
    return (yield from _prove(s, project, branch, reported))


def _not_allowed(s: Snapshot, error: AddressNotAllowed) -> Steps[Next]:
    """Report the address, publish nothing, and read it again, later each time."""
    yield from record(
        s, progress(s, ready=Said("False", Reason.HOST_NOT_BELIEVED, f"{error} Operator action required."))
    )
    return again_soon(s)


def _give_endpoint(s: Snapshot, project_id: str, branch: Branch) -> Steps[Next]:
    waited = yield from await_operations(s, project_id)
    if waited.again is not None:
        return waited.again
    yield from perform(Permit())
    yield from perform(CreateEndpoint(project_id, endpoint_to_create(s.app, branch.id)))
    said = Said("False", Reason.ENDPOINT_MISSING, "The database's compute was gone; a new one is being made.")
    told = Event("EndpointCreated", "ChangedAtNeon", "The default branch had no read-write compute; it has one again.")
    yield from record(s, progress(s, ready=said, events=(told,)))
    # A change that does not last is made ever more rarely.
    return again_soon(s, 1.0)


def _prove(s: Snapshot, project: Project, branch: Branch, reported: CheckedURI) -> Steps[Next]:
    immutable = immutable_drift(s.app, project)
    synced = IN_SYNC
    if immutable is not None:
        synced = Said("False", Reason.IMMUTABLE_DRIFT, f"It cannot be changed in place: {immutable}.")
    since = recover_may_arrive(s)
    held = yield from perform(OpenSeal())
    same = held is not None and held.connection_uri.same_address(reported)
    ready = find_condition(s.app.conditions, ConditionType.READY)
    if same and s.app.connected_at is not None and ready is not None and ready.status == "True":
        # An idle compute is Neon's normal state: what was proven is not connected to again.
        yield from record(s, progress(s, ready=AVAILABLE, synced=synced, columns={"missing_since": since}))
        return _settled(s, since)
    waited = yield from await_operations(s, project.id)
    if waited.again is not None:
        return waited.again
    unanswered = yield from probe(s, project.id, reported, waited)
    if unanswered is not None:
        return unanswered
    read = Event("CredentialsRead", "ReportedByNeon", "The app's URI was read from Neon and connected to.")
    said = progress(
        s,
        ready=AVAILABLE,
        synced=synced,
        columns={"connected_at": s.now, "missing_since": since},
        events=() if same else (read,),
    )
    if same:
        yield from record(s, said)
        return _settled(s, since)
    try:
        credentials = Credentials(reported, (yield from _connection_uri(s, project.id, branch, pooled=True)))
    except AddressNotAllowed as error:
        return (yield from _not_allowed(s, error))
    yield from perform(RecordCredentials(credentials, said))
    return _settled(s, since)


def _settled(s: Snapshot, recovering_since: datetime | None) -> Next:
    """Not before something happens; but a recover that may still arrive is not forgotten before its time is over."""
    return Next(None) if recovering_since is None else Next(left_of(s, recovering_since), background=True)


def _connection_uri(s: Snapshot, project_id: str, branch: Branch, *, pooled: bool) -> Steps[CheckedURI]:
    """Neon's URI; raises AddressNotAllowed."""
    read = GetConnectionURI(project_id, branch.id, s.app.role, s.app.database, pooled=pooled)
    return CheckedURI((yield from perform(read)), s.addresses)
