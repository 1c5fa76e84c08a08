"""From a recorded project to a verified URI, and the repair of drift.

After the product's own create only the operations need to be observed: one request set everything. In all other cases,
and if the new database stays unreachable, the reconciler observes the project, its default branch, its compute and its
URI.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.core.backoff import CAP_SECONDS
from reconciler.core.conditions import (
    AVAILABLE,
    UNREADABLE,
    UP_TO_DATE,
    ConditionUpdate,
    build_status_update,
    record_if_changed,
    requeue_with_backoff,
)
from reconciler.core.context import Credentials, Event, ReconcileContext, Result
from reconciler.core.diff import diff_project, drifted_fields, endpoint_to_create, immutable_drift
from reconciler.core.effects import (
    AuthorizeMutation,
    CreateEndpoint,
    DecryptCredentials,
    EffectGenerator,
    GetConnectionURI,
    GetProject,
    ListBranches,
    ListEndpoints,
    RecordCredentials,
    UpdateProject,
    perform,
)
from reconciler.core.host_allow_list import AddressNotAllowed, CheckedURI
from reconciler.core.neon_operations import check_operations, probe_database
from reconciler.core.ownership import is_in_organization
from reconciler.core.poll_interval import operation_duration
from reconciler.core.stages.missing import reconcile_missing, recovery_in_flight_since, remaining_seconds
from reconciler.errors import NeonNotFound, NeonPasswordsNotStored
from specs.neon import Branch, Project, ProjectUpdate
from specs.status import ConditionType, Reason, find_condition

REQUEUE_AT_CAP = Result(CAP_SECONDS, backoff=True)
# A user may have changed the project before the first connection.
FAST_PATH_ATTEMPTS = 3


def sync_project(ctx: ReconcileContext, org_id: str, project_id: str) -> EffectGenerator[Result]:
    """Bring a recorded project to the desired state by at most one mutation."""
    try:
        if ctx.app.connected_at is None and ctx.attempts < FAST_PATH_ATTEMPTS:
            credentials = yield from perform(DecryptCredentials())
            if credentials is not None:
                return (yield from _await_creation(ctx, project_id, credentials))
        project = yield from perform(GetProject(project_id))
    except NeonNotFound:
        return (yield from reconcile_missing(ctx, org_id, project_id))
    if project.deleted_at is not None:
        return (yield from reconcile_missing(ctx, org_id, project_id))
    if not is_in_organization(project, org_id):
        on_hold = ConditionUpdate(
            "False", Reason.ON_HOLD, "The project belongs to another organization. Operator action required."
        )
        yield from record_if_changed(ctx, build_status_update(ctx, synced=on_hold))
        return REQUEUE_AT_CAP
    update = diff_project(ctx.app, project)
    if update is not None:
        return (yield from _apply_update(ctx, project_id, update))
    return (yield from _ensure_reachable(ctx, project))


def _await_creation(ctx: ReconcileContext, project_id: str, credentials: Credentials) -> EffectGenerator[Result]:
    status = yield from check_operations(ctx, project_id)
    if status.requeue is not None:
        return status.requeue
    retry = yield from probe_database(ctx, project_id, credentials.connection_uri, status)
    if retry is not None:
        return retry
    since = recovery_in_flight_since(ctx)
    yield from record_if_changed(
        ctx,
        build_status_update(
            ctx, ready=AVAILABLE, synced=UP_TO_DATE, timestamps={"connected_at": ctx.now, "missing_since": since}
        ),
    )
    # An exceptionally long create does not predict the next one.
    duration = None if status.suspects else operation_duration(status.operations, ctx.seconds_since_recorded)
    return replace(_done(ctx, since), create_seconds=duration)


def _apply_update(ctx: ReconcileContext, project_id: str, update: ProjectUpdate) -> EffectGenerator[Result]:
    yield from perform(AuthorizeMutation())
    changed = yield from perform(UpdateProject(project_id, update))
    left = diff_project(ctx.app, changed.project)
    if left is not None:
        text = f"Neon accepted the repair but kept its own values: {drifted_fields(left)}. Operator action required."
        yield from record_if_changed(
            ctx, build_status_update(ctx, synced=ConditionUpdate("False", Reason.NEON_REJECTED, text))
        )
        return REQUEUE_AT_CAP
    event = Event("DriftRepaired", "ChangedAtNeon", f"Restored the desired values: {drifted_fields(update)}.")
    yield from record_if_changed(ctx, build_status_update(ctx, synced=UP_TO_DATE, events=(event,)))
    # If the repair does not last, the next ones are delayed by backoff.
    return requeue_with_backoff(ctx, 1.0)


def _ensure_reachable(ctx: ReconcileContext, project: Project) -> EffectGenerator[Result]:
    """Make the default branch reachable, whatever its name, and record its URI."""
    branches = yield from perform(ListBranches(project.id))
    branch = next((branch for branch in branches.branches if branch.default), None)
    if branch is None and branches.unreadable:
        yield from record_if_changed(ctx, build_status_update(ctx, synced=UNREADABLE))
        return requeue_with_backoff(ctx, 1.0)
    if branch is None:
        none = ConditionUpdate(
            "False", Reason.ENDPOINT_MISSING, "The project has no default branch. Operator action required."
        )
        yield from record_if_changed(ctx, build_status_update(ctx, ready=none))
        return REQUEUE_AT_CAP
    endpoints = yield from perform(ListEndpoints(project.id))
    # An endpoint of unreadable branch or type may be the read-write one.
    if not any(e.branch_id in (None, branch.id) and e.type in ("", "read_write") for e in endpoints):
        return (yield from _create_endpoint(ctx, project.id, branch))
    try:
        reported = yield from _connection_uri(ctx, project.id, branch, pooled=False)
    except (NeonNotFound, NeonPasswordsNotStored):
        text = "Neon has no credentials for the app's role and database. Operator action required."
        yield from record_if_changed(
            ctx, build_status_update(ctx, ready=ConditionUpdate("False", Reason.CREDENTIALS_MISSING, text))
        )
        return REQUEUE_AT_CAP
    except AddressNotAllowed as error:
        return (yield from _record_address_not_allowed(ctx, error))
    return (yield from _verify_connection(ctx, project, branch, reported))


def _record_address_not_allowed(ctx: ReconcileContext, error: AddressNotAllowed) -> EffectGenerator[Result]:
    """Record the address's condition, publish nothing, and retry with backoff."""
    yield from record_if_changed(
        ctx,
        build_status_update(
            ctx, ready=ConditionUpdate("False", Reason.HOST_NOT_ALLOWED, f"{error} Operator action required.")
        ),
    )
    return requeue_with_backoff(ctx)


def _create_endpoint(ctx: ReconcileContext, project_id: str, branch: Branch) -> EffectGenerator[Result]:
    status = yield from check_operations(ctx, project_id)
    if status.requeue is not None:
        return status.requeue
    yield from perform(AuthorizeMutation())
    yield from perform(CreateEndpoint(project_id, endpoint_to_create(ctx.app, branch.id)))
    condition = ConditionUpdate(
        "False", Reason.ENDPOINT_MISSING, "The database's compute was missing; Neon is creating a new one."
    )
    event = Event("EndpointCreated", "ChangedAtNeon", "The default branch had no read-write compute; one was created.")
    yield from record_if_changed(ctx, build_status_update(ctx, ready=condition, events=(event,)))
    # If the repair does not last, the next ones are delayed by backoff.
    return requeue_with_backoff(ctx, 1.0)


def _verify_connection(
    ctx: ReconcileContext, project: Project, branch: Branch, reported: CheckedURI
) -> EffectGenerator[Result]:
    immutable = immutable_drift(ctx.app, project)
    synced = UP_TO_DATE
    if immutable is not None:
        text = f"The project has drift that cannot be repaired in place: {immutable}. Operator action required."
        synced = ConditionUpdate("False", Reason.IMMUTABLE_DRIFT, text)
    since = recovery_in_flight_since(ctx)
    recorded = yield from perform(DecryptCredentials())
    same = recorded is not None and recorded.connection_uri.same_address(reported)
    ready = find_condition(ctx.app.conditions, ConditionType.READY)
    if same and ctx.app.connected_at is not None and ready is not None and ready.status == "True":
        # An idle compute is Neon's normal state: a verified URI is not probed again, as that would wake the compute.
        yield from record_if_changed(
            ctx, build_status_update(ctx, ready=AVAILABLE, synced=synced, timestamps={"missing_since": since})
        )
        return _done(ctx, since)
    status = yield from check_operations(ctx, project.id)
    if status.requeue is not None:
        return status.requeue
    retry = yield from probe_database(ctx, project.id, reported, status)
    if retry is not None:
        return retry
    event = Event("CredentialsRead", "ReportedByNeon", "The app's URI was read from Neon, and a connection succeeded.")
    update = build_status_update(
        ctx,
        ready=AVAILABLE,
        synced=synced,
        timestamps={"connected_at": ctx.now, "missing_since": since},
        events=() if same else (event,),
    )
    if same:
        yield from record_if_changed(ctx, update)
        return _done(ctx, since)
    try:
        credentials = Credentials(reported, (yield from _connection_uri(ctx, project.id, branch, pooled=True)))
    except AddressNotAllowed as error:
        return (yield from _record_address_not_allowed(ctx, error))
    yield from perform(RecordCredentials(credentials, update))
    return _done(ctx, since)


def _done(ctx: ReconcileContext, recovering_since: datetime | None) -> Result:
    """Return a result that waits for an event, or for the time after which no recover can take effect."""
    return (
        Result(None)
        if recovering_since is None
        else Result(remaining_seconds(ctx, recovering_since), low_priority=True)
    )


def _connection_uri(
    ctx: ReconcileContext, project_id: str, branch: Branch, *, pooled: bool
) -> EffectGenerator[CheckedURI]:
    """Return Neon's URI; raises AddressNotAllowed."""
    read = GetConnectionURI(project_id, branch.id, ctx.app.role, ctx.app.database, pooled=pooled)
    return CheckedURI((yield from perform(read)), ctx.address_rule)
