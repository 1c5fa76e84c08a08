"""The connection to the app's database, which makes an app ready.

After the product's own create only the operations need to be observed. In all other cases, and if the new database
stays unreachable, the other stages observe the project, its default branch, its compute and its URI first.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from reconciler.core.conditions import (
    AVAILABLE,
    UP_TO_DATE,
    build_status_update,
    record_if_changed,
)
from reconciler.core.context import Credentials, Event, ReconcileContext, Result, TimestampColumn
from reconciler.core.effects import DecryptCredentials, EffectGenerator, RecordCredentials, perform
from reconciler.core.host_allow_list import AddressNotAllowed
from reconciler.core.neon_operations import check_operations, probe_database
from reconciler.core.poll_interval import operation_duration
from reconciler.core.stages.credentials import read_uri, record_address_not_allowed
from reconciler.core.stages.missing import recovery_in_flight_since, remaining_seconds
from reconciler.errors import NeonNotFound
from specs.status import ConditionType, find_condition

# A user may have changed the project before the first connection.
FAST_PATH_ATTEMPTS = 3


def await_creation(ctx: ReconcileContext) -> EffectGenerator[Result | None]:
    """Connect to a new database with the credentials of the create's response."""
    if ctx.app.connected_at is not None or ctx.attempts >= FAST_PATH_ATTEMPTS or ctx.app.is_updating:
        return None
    credentials = yield from perform(DecryptCredentials())
    if credentials is None:
        return None
    try:
        return (yield from _connect(ctx, ctx.project_id, credentials))
    except NeonNotFound:
        return None  # the next stage verifies the absence


def verify_connection(ctx: ReconcileContext) -> EffectGenerator[Result]:
    """Verify a URI that is new or was not reachable, publish it, and record what the stages have observed."""
    project, uri = ctx.observed.project, ctx.observed.uri
    since = recovery_in_flight_since(ctx)
    recorded = yield from perform(DecryptCredentials())
    same = recorded is not None and recorded.connection_uri.same_address(uri)
    ready = find_condition(ctx.app.conditions, ConditionType.READY)
    verified = same and ctx.app.connected_at is not None and ready is not None and ready.status == "True"
    if verified and not ctx.app.is_updating:
        # An idle compute is Neon's normal state: a verified URI is not probed again, as that would wake the compute.
        yield from record_if_changed(
            ctx, build_status_update(ctx, ready=AVAILABLE, timestamps={"missing_since": since})
        )
        return _done(ctx, since)
    status = yield from check_operations(ctx, project.id)
    if status.requeue is not None:
        return status.requeue
    retry = None if verified else (yield from probe_database(ctx, project.id, uri, status))
    if retry is not None:
        return retry
    event = Event("CredentialsRead", "ReportedByNeon", "The app's URI was read from Neon, and a connection succeeded.")
    timestamps: dict[TimestampColumn, datetime | None] = {"missing_since": since}
    if not verified:
        timestamps["connected_at"] = ctx.now
    update = build_status_update(
        ctx,
        ready=AVAILABLE,
        timestamps=timestamps,
        events=() if same else (event,),
    )
    if same:
        yield from record_if_changed(ctx, update)
        return _done(ctx, since)
    try:
        credentials = Credentials(uri, (yield from read_uri(ctx, pooled=True)))
    except AddressNotAllowed as error:
        return (yield from record_address_not_allowed(ctx, error))
    yield from perform(RecordCredentials(credentials, update))
    return _done(ctx, since)


def _connect(ctx: ReconcileContext, project_id: str, credentials: Credentials) -> EffectGenerator[Result]:
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


def _done(ctx: ReconcileContext, recovering_since: datetime | None) -> Result:
    """Return a result that waits for an event, or for the time after which no recover can take effect."""
    if recovering_since is None:
        return Result(None)
    return Result(remaining_seconds(ctx, recovering_since), low_priority=True)
