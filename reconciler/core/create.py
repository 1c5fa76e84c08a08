"""From intent to a recorded project.

The intent commits before the request is sent. An answer that says "not done" refuses the intent, and the same nonce
may be sent again; a lost answer leaves it open, and then the only way on is to look (``find``).
"""

from __future__ import annotations

from reconciler.core.desired import project_to_create
from reconciler.core.effects import CreateProject, OpenIntent, RecordProject, RefuseIntent, Steps, perform
from reconciler.core.find import Copied, Elsewhere, Found, ProvenAbsent, find_created
from reconciler.core.mark import belongs_to, carries_name
from reconciler.core.pace import FIRST_LOOK_SECONDS
from reconciler.core.report import IN_SYNC, Said, progress, record
from reconciler.core.snapshot import CreateIntent, Credentials, Event, Next, Snapshot
from reconciler.core.trust import AddressNotAllowed, CheckedURI, pooled
from reconciler.errors import NeonOutcomeUnknown, NeonRejected, NeonRetryable
from specs.neon import CreateProjectResponse
from specs.status import Reason

RUNNING = Said("False", Reason.OPERATIONS_RUNNING, "Neon is making the project.")
UNKNOWN = Said(
    "Unknown",
    Reason.OUTCOME_UNKNOWN,
    "Neon's answer to the create request did not arrive; looking for the project before anything is sent again.",
)


def create(s: Snapshot, org_id: str) -> Steps[Next]:
    """Make the app's project, or adopt the one that an earlier request made."""
    intent = s.open_intent
    if intent is None:
        return (yield from _send(s, org_id))
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
            yield from record(s, progress(s, synced=UNKNOWN))
            return outcome.again


def adoption(s: Snapshot, found: Found, org_id: str) -> RecordProject:
    """Record a found project as the app's; its credentials are read later."""
    told = Event("Adopted", "ProvenOurs", f"Project {found.project.id} was found by its name and nonce.")
    ready = None if s.app.delete_requested_at else RUNNING
    said = progress(s, ready=ready, synced=IN_SYNC, events=(told,))
    return RecordProject(found.intent.create_seq, found.project.id, org_id, None, said)


def _send(s: Snapshot, org_id: str) -> Steps[Next]:
    refused = s.refused_intent
    intent = yield from perform(OpenIntent(s.nonce, refused.create_seq if refused else None))
    try:
        created = yield from perform(CreateProject(project_to_create(s.app, s.plane, intent, org_id)))
    except (NeonRetryable, NeonRejected):
        yield from perform(RefuseIntent(intent.create_seq))
        raise
    except NeonOutcomeUnknown:
        return (yield from _unanswered(s))
    # An answer about another project proves nothing about ours.
    if not carries_name(created.project, s.app) or not belongs_to(created.project, org_id):
        return (yield from _unanswered(s))
    yield from perform(_recording(s, org_id, intent, created))
    return Next(s.pace.next_look(0.0))


def _unanswered(s: Snapshot) -> Steps[Next]:
    """There is no answer to go by."""
    yield from record(s, progress(s, synced=UNKNOWN))
    return Next(FIRST_LOOK_SECONDS, failed=True)


def _recording(s: Snapshot, org_id: str, intent: CreateIntent, created: CreateProjectResponse) -> RecordProject:
    told = Event("ProjectCreated", "Created", f"Neon made project {created.project.id}.")
    said = progress(s, ready=RUNNING, synced=IN_SYNC, events=(told,))
    return RecordProject(intent.create_seq, created.project.id, org_id, _credentials(s, created), said)


def _credentials(s: Snapshot, created: CreateProjectResponse) -> Credentials | None:
    """The URIs of the answer. If one of a pair is not allowed, both are read later."""
    for details in created.connection_uris:
        host = details.connection_parameters.pooler_host
        try:
            direct = CheckedURI(details.connection_uri, s.addresses)
            return Credentials(direct, None if host is None else pooled(direct.text, host, s.addresses))
        except AddressNotAllowed:
            continue
    return None
