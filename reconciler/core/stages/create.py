"""From an intent to a recorded project.

The intent is committed before the request is sent. A response that proves that nothing was executed rejects the intent,
and its nonce may be reused. A lost response leaves it open; then only a lookup resolves it (``create_lookup``).
"""

from __future__ import annotations

from reconciler.core.conditions import UP_TO_DATE, build_status_update, record_if_changed
from reconciler.core.context import ConditionUpdate, CreateIntent, Credentials, Event, ReconcileContext, Result
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

OPERATIONS_RUNNING = ConditionUpdate("False", Reason.OPERATIONS_RUNNING, "Neon is creating the project.")
OUTCOME_UNKNOWN = ConditionUpdate(
    "Unknown",
    Reason.OUTCOME_UNKNOWN,
    "Neon's response to the create request was lost; checking whether the project exists before retrying.",
)


def create(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Create the app's project, or adopt the one that an earlier request created."""
    if ctx.app.project_id is not None:
        return None
    org_id, intent = ctx.observed.org_id, ctx.open_intent
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


def adopt_project(ctx: ReconcileContext, match: Match, org_id: str) -> RecordProject:
    """Return the effect that records a matching project as the app's; its credentials are read later."""
    event = Event("Adopted", "OwnershipVerified", f"Project {match.project.id} was identified by its name and nonce.")
    ready = None if ctx.app.delete_requested_at else OPERATIONS_RUNNING
    update = build_status_update(ctx, ready=ready, synced=UP_TO_DATE, events=(event,))
    return RecordProject(match.intent.create_seq, match.project.id, org_id, None, update)


def _send(ctx: ReconcileContext, org_id: str) -> EffectGenerator[Result]:
    rejected = ctx.rejected_intent
    intent = yield from perform(OpenIntent(ctx.nonce, rejected.create_seq if rejected else None))
    try:
        created = yield from perform(CreateProject(project_to_create(ctx.app, ctx.control_plane, intent, org_id)))
    except (NeonRetryable, NeonRejected):
        yield from perform(MarkIntentRejected(intent.create_seq))
        raise
    except NeonOutcomeUnknown:
        return (yield from _record_unknown_outcome(ctx))
    # A response about another project proves nothing about the requested one.
    if not has_app_name(created.project, ctx.app) or not is_in_organization(created.project, org_id):
        return (yield from _record_unknown_outcome(ctx))
    yield from perform(_record_created(ctx, org_id, intent, created))
    return Result(ctx.poll_interval.next_poll(0.0))


def _record_unknown_outcome(ctx: ReconcileContext) -> EffectGenerator[Result]:
    """Record that the create has no usable response."""
    yield from record_if_changed(ctx, build_status_update(ctx, synced=OUTCOME_UNKNOWN))
    return Result(INITIAL_POLL_SECONDS, backoff=True)


def _record_created(
    ctx: ReconcileContext, org_id: str, intent: CreateIntent, created: CreateProjectResponse
) -> RecordProject:
    event = Event("ProjectCreated", "Created", f"Neon created project {created.project.id}.")
    update = build_status_update(ctx, ready=OPERATIONS_RUNNING, synced=UP_TO_DATE, events=(event,))
    return RecordProject(intent.create_seq, created.project.id, org_id, _credentials(ctx, created), update)


def _credentials(ctx: ReconcileContext, created: CreateProjectResponse) -> Credentials | None:
    """Return the URIs of the response, or None: if one of a pair is not allowed, both are read later."""
    for details in created.connection_uris:
        host = details.connection_parameters.pooler_host
        try:
            direct = CheckedURI(details.connection_uri, ctx.address_rule)
            return Credentials(direct, None if host is None else pooled_uri(direct.text, host, ctx.address_rule))
        except AddressNotAllowed:
            continue
    return None
