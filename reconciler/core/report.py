"""From what a pass learned to what is said about the app: conditions, status, events; nothing when nothing changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

from reconciler.core.backoff import CAP_SECONDS, delay, gentle
from reconciler.core.effects import Record, Steps, perform
from reconciler.core.snapshot import Column, Event, Next, Progress, Snapshot
from reconciler.errors import (
    AppDatabaseUnreachable,
    InvalidNeonId,
    MutationsSuspended,
    NeonAPIError,
    NeonIntermediaryAnswered,
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

Truth = Literal["True", "False", "Unknown"]
# A lock or a lost answer passes by itself; it becomes news after so many passes.
QUIET_ATTEMPTS = 3


class Said(NamedTuple):
    """One condition's new content; ``message`` is for the app's owner, ``operator_message`` for operators only."""

    status: Truth
    reason: Reason
    message: str
    operator_message: str | None = None


IN_SYNC = Said("True", Reason.IN_SYNC, "The project is as it shall be.")
UNREADABLE = Said("Unknown", Reason.OUTCOME_UNKNOWN, "Neon returned a list with items that cannot be read; retrying.")
AVAILABLE = Said("True", Reason.AVAILABLE, "The database accepts connections.")


def progress(
    s: Snapshot,
    *,
    ready: Said | None = None,
    synced: Said | None = None,
    columns: Mapping[Column, datetime | None] | None = None,
    events: tuple[Event, ...] = (),
) -> Progress:
    """The whole of what a pass says, with an event for each condition whose reason changed."""
    app, conditions, told = s.app, s.app.conditions, list(events)
    for kind, news in ((ConditionType.READY, ready), (ConditionType.SYNCED, synced)):
        if news is None:
            continue
        detail = news.operator_message
        said = news._replace(
            message=_printable(news.message), operator_message=None if detail is None else _printable(detail)
        )
        old = find_condition(conditions, kind)
        if old is None or (old.status, old.reason) != (said.status, str(said.reason)):
            told.append(Event(kind, said.reason, said.message))
        conditions = set_condition(
            conditions,
            Condition(
                type=kind,
                status=said.status,
                reason=said.reason,
                message=said.message,
                last_transition_time=s.now,
                observed_generation=app.generation,
                operator_message=said.operator_message,
            ),
        )
    written = {column: at for column, at in (columns or {}).items() if getattr(app, column) != at}
    status = derive_status(
        conditions,
        deleting=app.delete_requested_at is not None,
        deleted=(written.get("deleted_at") or app.deleted_at) is not None,
        recorded=app.project_id is not None,
        connected=(written.get("connected_at") or app.connected_at) is not None,
    )
    settled = ready is not None and ready.status == "True"
    observed = app.generation if settled or "deleted_at" in written else app.observed_generation
    events_told = tuple(Event(each.type, each.reason, _printable(each.message)) for each in told)
    return Progress(status, conditions, observed, written, events_told)


def record(s: Snapshot, said: Progress) -> Steps[None]:
    """Write it, unless the catalog says the same already."""
    app = s.app
    same = (said.status, said.conditions, said.observed_generation) == (
        app.status,
        app.conditions,
        app.observed_generation,
    )
    if not same or said.columns or said.events:
        yield from perform(Record(said))


def report_failure(s: Snapshot, error: ReconcileError) -> Steps[Next]:
    """Say what went wrong and when to try again. Waits for a person are slow tries, never an end."""
    said, again = explain(s, error)
    if s.app.deleted_at is not None:
        return again  # what is looked at beside a deleted app says nothing about it
    quiet = isinstance(error, NeonLocked | NeonOutcomeUnknown | NeonNotFound) and s.attempts < QUIET_ATTEMPTS
    if isinstance(error, AppDatabaseUnreachable):
        yield from record(s, progress(s, ready=said))
    elif not quiet:
        yield from record(s, progress(s, synced=said))
    return again


def again_soon(s: Snapshot, at_least: float | None = None) -> Next:
    """Look again, ever later while it goes on; ``at_least`` so many seconds later."""
    return Next(delay(s.attempts, s.jitter, at_least), failed=True)


def explain(s: Snapshot, error: ReconcileError) -> tuple[Said, Next]:
    """What an error means to a person, and the next try. Messages hold no times, ids of requests or credentials.

    What Neon or this program says in an error may name the organization, the fleet or a setting: it is the operator's.
    """
    asked = error.retry_after if isinstance(error, NeonAPIError) else None
    backoff = again_soon(s, asked)
    slow = Next(CAP_SECONDS * (0.5 + 0.5 * s.jitter), failed=True)
    match error:
        case MutationsSuspended():
            text = "Changes at Neon are suspended. Operator action required; the app resumes automatically after that."
            return Said("False", Reason.MUTATION_STOPPED, text, str(error)), slow
        case ProjectsUnexamined():
            text = "The control plane examines the Neon organization before its first create. No action required."
            return Said("False", Reason.MUTATION_STOPPED, text, str(error)), backoff
        case AppDatabaseUnreachable():
            return Said("False", Reason.CONNECTING, f"The database does not accept connections yet: {error}"), backoff
        case NeonUnauthorized():
            text = "Neon refused the control plane's API key. Operator action required."
            return Said("False", Reason.NEON_UNAUTHORIZED, text, str(error)), backoff
        case NeonLimitReached() | NeonQuotaExceeded():
            return _limit(error), Next(gentle(s.attempts, s.jitter), failed=True)
        case NeonNotFound():
            return Said("Unknown", Reason.OUTCOME_UNKNOWN, "Neon returned inconsistent responses; retrying."), backoff
        case NeonRejected():
            text = "Neon refused a request for this app. Operator action required."
            return Said("False", Reason.NEON_REFUSED, text, str(error)), Next(gentle(s.attempts, s.jitter), failed=True)
        case NeonRateLimited():
            return Said("False", Reason.NEON_RATE_LIMITED, "Neon's request limit is reached; retrying."), backoff
        case NeonLocked():
            return Said("False", Reason.NEON_LOCKED, "Neon is busy with another operation; retrying."), backoff
        case NeonRetryable():
            return Said("False", Reason.NEON_UNAVAILABLE, "Neon is unavailable; retrying."), backoff
        case NeonOutcomeUnknown():
            return _no_answer(error), backoff
        case _:
            return _held(error), slow


def _no_answer(error: NeonOutcomeUnknown) -> Said:
    if isinstance(error, NeonIntermediaryAnswered):
        text = "An intermediary answered in place of Neon; retrying."
        detail = f"{error}. If this lasts, check NEON_API_URL and the proxies between the reconciler and Neon."
        return Said("Unknown", Reason.NEON_UNAVAILABLE, text, detail)
    return Said("Unknown", Reason.NEON_UNAVAILABLE, "Neon's response was lost or unreadable; retrying.")


def _held(error: ReconcileError) -> Said:
    detail = str(error)
    if isinstance(error, InvalidNeonId):
        detail = (
            "The catalog records an id that Neon cannot have issued; no request was sent with it. "
            "Correct the app's project_id in the catalog."
        )
    return Said("False", Reason.HELD, "The app cannot be reconciled. Operator action required.", detail)


def _limit(error: NeonLimitReached | NeonQuotaExceeded) -> Said:
    """What the account or the project has no more of."""
    match error:
        case NeonProjectLimitReached():
            reason, what = Reason.PROJECT_LIMIT_REACHED, "The Neon account's limit of projects is reached."
        case NeonLimitReached():
            reason, what = Reason.PLAN_LIMIT_REACHED, "A limit of the Neon account's plan is reached."
        case _:
            reason, what = Reason.QUOTA_EXCEEDED, "A consumption quota of the Neon account or project is used up."
    text = f"{what} Operator action required; the app resumes automatically after that."
    return Said("False", reason, text, str(error))


def _printable(text: str) -> str:
    """A text that repeats words of Neon's, as the catalog can hold it and a person read it."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "?" for each in text)
