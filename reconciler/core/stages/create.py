"""From intent to a recorded project.

The intent commits before the request is sent. An answer that says "not done" refuses the intent, and the same nonce
may be sent again; a lost answer leaves it open, and then the only way on is to look (``find``).
"""

from __future__ import annotations

from reconciler.core.conditions import UP_TO_DATE, ConditionUpdate, build_status_update, record_if_changed
from reconciler.core.context import CreateIntent, Credentials, Event, ReconcileContext, Result
from reconciler.core.diff import project_to_create
from reconciler.core.effects import (
    CreateProject,
    EffectGenerator,
    MarkIntentRejected,
    OpenIntent,
    RecordProject,
    perform,
)
from reconciler.core.host_allow_list import AddressNotAllowed, CheckedURI, pooled_uri
from reconciler.core.ownership import has_app_name, is_in_organization
from reconciler.core.poll_interval import INITIAL_POLL_SECONDS
from reconciler.core.stages.create_lookup import (
    AmbiguousMatch,
    ConfirmedAbsent,
    ForeignOrganizationMatch,
    Match,
    find_created_project,
)
from reconciler.errors import NeonOutcomeUnknown, NeonRejected, NeonRetryable
from specs.neon import CreateProjectResponse
from specs.status import Reason

OPERATIONS_RUNNING = ConditionUpdate("False", Reason.OPERATIONS_RUNNING, "Neon is making the project.")
OUTCOME_UNKNOWN = ConditionUpdate(
    "Unknown",
    Reason.OUTCOME_UNKNOWN,
    "Neon's answer to the create request did not arrive; looking for the project before anything is sent again.",
)


def create(ctx: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
    """Make the app's project, or adopt the one that an earlier request made."""
    intent = ctx.open_intent
    if intent is None:
        return (yield from _send(ctx, org_id))
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
            yield from record_if_changed(ctx, build_status_update(ctx, synced=OUTCOME_UNKNOWN))
            return outcome.requeue


def adopt_project(ctx: ReconcileContext, found: Match, org_id: str) -> RecordProject:
    """Record a found project as the app's; its credentials are read later."""
    told = Event("Adopted", "ProvenOurs", f"Project {found.project.id} was found by its name and nonce.")
    ready = None if ctx.app.delete_requested_at else OPERATIONS_RUNNING
    said = build_status_update(ctx, ready=ready, synced=UP_TO_DATE, events=(told,))
    return RecordProject(found.intent.create_seq, found.project.id, org_id, None, said)


def _send(ctx: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
    refused = ctx.refused_intent
    intent = yield from perform(OpenIntent(ctx.nonce, refused.create_seq if refused else None))
    try:
        created = yield from perform(CreateProject(project_to_create(ctx.app, ctx.control_plane, intent, org_id)))
    except (NeonRetryable, NeonRejected):
        yield from perform(MarkIntentRejected(intent.create_seq))
        raise
    except NeonOutcomeUnknown:
        return (yield from _record_unknown_outcome(ctx))
    # An answer about another project proves nothing about ours.
    if not has_app_name(created.project, ctx.app) or not is_in_organization(created.project, org_id):
        return (yield from _record_unknown_outcome(ctx))
    yield from perform(_record_created(ctx, org_id, intent, created))
    return Result(ctx.poll_interval.next_poll(0.0))


def _record_unknown_outcome(ctx: ReconcileContext) -> EffectGenerator[Result]:
    """There is no answer to go by."""
    yield from record_if_changed(ctx, build_status_update(ctx, synced=OUTCOME_UNKNOWN))
    return Result(INITIAL_POLL_SECONDS, backoff=True)


def _record_created(
    ctx: ReconcileContext, org_id: str, intent: CreateIntent, created: CreateProjectResponse
) -> RecordProject:
    told = Event("ProjectCreated", "Created", f"Neon made project {created.project.id}.")
    said = build_status_update(ctx, ready=OPERATIONS_RUNNING, synced=UP_TO_DATE, events=(told,))
    return RecordProject(intent.create_seq, created.project.id, org_id, _credentials(ctx, created), said)


def _credentials(ctx: ReconcileContext, created: CreateProjectResponse) -> Credentials | None:
    """The URIs of the answer. If one of a pair is not allowed, both are read later."""
    for details in created.connection_uris:
        host = details.connection_parameters.pooler_host
        try:
            direct = CheckedURI(details.connection_uri, ctx.address_rule)
            return Credentials(direct, None if host is None else pooled_uri(direct.text, host, ctx.address_rule))
        except AddressNotAllowed:
            continue
    return None
