"""Conditions, status and events from the result of a reconcile; an unchanged status is not written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from reconciler.core.backoff import CAP_SECONDS, full_jitter, slow_backoff
from reconciler.core.context import ConditionUpdate, Event, ReconcileContext, Result, StatusUpdate, TimestampColumn
from reconciler.core.effects import EffectGenerator, RecordStatus, perform
from reconciler.errors import (
    AppDatabaseUnreachable,
    InvalidNeonId,
    MutationsSuspended,
    NeonAPIError,
    NeonIntermediaryError,
    NeonLimitReached,
    NeonLocked,
    NeonNotFound,
    NeonOutcomeUnknown,
    NeonProjectLimitReached,
    NeonQuotaExceeded,
    NeonRateLimited,
    NeonRejected,
    NeonRetryable,
    NeonUnauthorized,
    ProjectsUnexamined,
    ReconcileError,
)
from specs.status import Condition, ConditionType, Reason, derive_status, find_condition, set_condition

# A lock or a lost response is temporary; it becomes a condition after this number of reconciles.
SILENT_ATTEMPTS = 3

UP_TO_DATE = ConditionUpdate("True", Reason.UP_TO_DATE, "The Neon project matches the desired state.")
UNREADABLE = ConditionUpdate("Unknown", Reason.OUTCOME_UNKNOWN, "Neon returned a list with unreadable items; retrying.")
AVAILABLE = ConditionUpdate("True", Reason.AVAILABLE, "The database accepts connections.")


def build_status_update(
    ctx: ReconcileContext,
    *,
    ready: ConditionUpdate | None = None,
    synced: ConditionUpdate | None = None,
    timestamps: Mapping[TimestampColumn, datetime | None] | None = None,
    events: tuple[Event, ...] = (),
) -> StatusUpdate:
    """Return the complete update of a reconcile, with an event for each condition whose status or reason changed.

    Without ``synced`` it records what the stage ``apply_settings`` has observed, if it ran.
    """
    app, conditions, recorded = ctx.app, ctx.app.conditions, list(events)
    for kind, requested in ((ConditionType.READY, ready), (ConditionType.SYNCED, synced or ctx.observed.synced)):
        if requested is None:
            continue
        detail = requested.operator_message
        update = requested._replace(
            message=_printable(requested.message), operator_message=None if detail is None else _printable(detail)
        )
        old = find_condition(conditions, kind)
        if old is None or (old.status, old.reason) != (update.status, str(update.reason)):
            recorded.append(Event(kind, update.reason, update.message))
        conditions = set_condition(
            conditions,
            Condition(
                type=kind,
                status=update.status,
                reason=update.reason,
                message=update.message,
                last_transition_time=ctx.now,
                observed_generation=app.generation,
                operator_message=update.operator_message,
            ),
        )
    changed = {column: at for column, at in (timestamps or {}).items() if getattr(app, column) != at}
    converged = (ready is not None and ready.status == "True") or "deleted_at" in changed
    observed = app.generation if converged else app.observed_generation
    status = derive_status(
        conditions,
        outdated=observed < app.generation,
        deleting=app.delete_requested_at is not None,
        deleted=(changed.get("deleted_at") or app.deleted_at) is not None,
        recorded=app.project_id is not None,
        connected=(changed.get("connected_at") or app.connected_at) is not None,
    )
    printable = tuple(Event(event.type, event.reason, _printable(event.message)) for event in recorded)
    return StatusUpdate(status, conditions, observed, changed, printable)


def record_if_changed(ctx: ReconcileContext, update: StatusUpdate) -> EffectGenerator[None]:
    """Write the update, unless the catalog already contains it."""
    app = ctx.app
    same = (update.status, update.conditions, update.observed_generation) == (
        app.status,
        app.conditions,
        app.observed_generation,
    )
    if not same or update.timestamps or update.events:
        yield from perform(RecordStatus(update))


def record_error(ctx: ReconcileContext, error: ReconcileError) -> EffectGenerator[Result]:
    """Record the error and return when to retry. If an operator must act, the reconciler retries slowly, forever."""
    update, result = condition_for_error(ctx, error)
    if ctx.app.deleted_at is not None:
        return result  # an error with a duplicate of a deleted app is no condition of the app
    silent = isinstance(error, NeonLocked | NeonOutcomeUnknown | NeonNotFound) and ctx.attempts < SILENT_ATTEMPTS
    if isinstance(error, AppDatabaseUnreachable):
        yield from record_if_changed(ctx, build_status_update(ctx, ready=update))
    elif not silent:
        yield from record_if_changed(ctx, build_status_update(ctx, synced=update))
    return result


def requeue_with_backoff(ctx: ReconcileContext, at_least: float | None = None) -> Result:
    """Return a result that requeues with a growing delay of at least ``at_least`` seconds."""
    return Result(full_jitter(ctx.attempts, ctx.jitter, at_least), backoff=True)


def condition_for_error(ctx: ReconcileContext, error: ReconcileError) -> tuple[ConditionUpdate, Result]:
    """Return the condition for an error, and the next attempt. Messages contain no times, request ids or credentials.

    An error's text may name the organization, the fleet or a setting, so only ``operator_message`` contains it.
    """
    retry_after = error.retry_after if isinstance(error, NeonAPIError) else None
    backoff = requeue_with_backoff(ctx, retry_after)
    slow = Result(CAP_SECONDS * (0.5 + 0.5 * ctx.jitter), backoff=True)
    match error:
        case MutationsSuspended():
            text = "Mutations are suspended. Operator action required; the app resumes automatically after that."
            return ConditionUpdate("False", Reason.MUTATIONS_SUSPENDED, text, str(error)), slow
        case ProjectsUnexamined():
            text = "The control plane examines the Neon organization before its first create. No action required."
            return ConditionUpdate("False", Reason.MUTATIONS_SUSPENDED, text, str(error)), backoff
        case AppDatabaseUnreachable():
            return ConditionUpdate(
                "False", Reason.CONNECTING, f"The database does not accept connections yet: {error}"
            ), backoff
        case NeonUnauthorized():
            text = "Neon rejected the control plane's API key. Operator action required."
            return ConditionUpdate("False", Reason.NEON_UNAUTHORIZED, text, str(error)), backoff
        case NeonLimitReached() | NeonQuotaExceeded():
            return _limit_condition(error), Result(slow_backoff(ctx.attempts, ctx.jitter), backoff=True)
        case NeonNotFound():
            return ConditionUpdate(
                "Unknown", Reason.OUTCOME_UNKNOWN, "Neon returned inconsistent responses; retrying."
            ), backoff
        case NeonRejected():
            text = "Neon rejected a request for this app. Operator action required."
            return ConditionUpdate("False", Reason.NEON_REJECTED, text, str(error)), Result(
                slow_backoff(ctx.attempts, ctx.jitter), backoff=True
            )
        case NeonRateLimited():
            return ConditionUpdate(
                "False", Reason.NEON_RATE_LIMITED, "Neon's request limit is reached; retrying."
            ), backoff
        case NeonLocked():
            return ConditionUpdate(
                "False", Reason.NEON_LOCKED, "Neon is busy with another operation; retrying."
            ), backoff
        case NeonRetryable():
            return ConditionUpdate("False", Reason.NEON_UNAVAILABLE, "Neon is unavailable; retrying."), backoff
        case NeonOutcomeUnknown():
            return _lost_response_condition(error), backoff
        case _:
            return _on_hold_condition(error), slow


def _lost_response_condition(error: NeonOutcomeUnknown) -> ConditionUpdate:
    if isinstance(error, NeonIntermediaryError):
        text = "An intermediary responded in place of Neon; retrying."
        detail = f"{error}. If this lasts, check NEON_API_URL and the proxies between the reconciler and Neon."
        return ConditionUpdate("Unknown", Reason.NEON_UNAVAILABLE, text, detail)
    return ConditionUpdate("Unknown", Reason.NEON_UNAVAILABLE, "Neon's response was lost or unreadable; retrying.")


def _on_hold_condition(error: ReconcileError) -> ConditionUpdate:
    detail = str(error)
    if isinstance(error, InvalidNeonId):
        detail = (
            "The catalog records an id that Neon cannot have issued; no request was sent with it. "
            "Correct the app's project_id in the catalog."
        )
    return ConditionUpdate("False", Reason.ON_HOLD, "The app cannot be reconciled. Operator action required.", detail)


def _limit_condition(error: NeonLimitReached | NeonQuotaExceeded) -> ConditionUpdate:
    """Return the condition for an exhausted limit or quota of the account or the project."""
    match error:
        case NeonProjectLimitReached():
            reason, what = Reason.PROJECT_LIMIT_REACHED, "The Neon account's limit of projects is reached."
        case NeonLimitReached():
            reason, what = Reason.PLAN_LIMIT_REACHED, "A limit of the Neon account's plan is reached."
        case _:
            reason, what = Reason.QUOTA_EXCEEDED, "A consumption quota of the Neon account or project is used up."
    text = f"{what} Operator action required; the app resumes automatically after that."
    return ConditionUpdate("False", reason, text, str(error))


def _printable(text: str) -> str:
    """Return a text that may quote Neon without characters that the catalog cannot store or a terminal cannot show."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
