"""What is said about an app: conditions, and the one word that sums them up.

Conditions follow the Kubernetes API conventions (sig-architecture/api-conventions, "Typical status properties"):
a reason in CamelCase, a message without times or ids that change from try to try, and ``last_transition_time`` that
moves only when ``status`` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AppStatus(StrEnum):
    """The summary of an app's conditions in one word."""

    PENDING = "pending"
    PROVISIONING = "provisioning"
    READY = "ready"
    UPDATING = "updating"
    DEGRADED = "degraded"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"
    LOST = "lost"


CONVERGED = frozenset({AppStatus.READY, AppStatus.DELETED, AppStatus.FAILED, AppStatus.LOST})


class ConditionType(StrEnum):
    """What a condition is about, as far as this version knows; what a later one says is kept as it is."""

    READY = "Ready"
    SYNCED = "Synced"


class Reason(StrEnum):
    """Why a condition is as it is. Each names whose turn it is in its message."""

    # Ready
    QUEUED = "Queued"
    OPERATIONS_RUNNING = "OperationsRunning"
    OPERATION_FAILED = "OperationFailed"
    CONNECTING = "Connecting"
    AVAILABLE = "Available"
    ENDPOINT_MISSING = "EndpointMissing"
    CREDENTIALS_MISSING = "CredentialsMissing"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    PROJECT_MISSING = "ProjectMissing"
    RECOVERING = "Recovering"
    PROJECT_LOST = "ProjectLost"
    DELETE_REQUESTED = "DeleteRequested"
    DELETED = "Deleted"
    # Synced
    UP_TO_DATE = "UpToDate"
    IMMUTABLE_DRIFT = "ImmutableDrift"
    OUTCOME_UNKNOWN = "OutcomeUnknown"
    NEON_UNAVAILABLE = "NeonUnavailable"
    NEON_LOCKED = "NeonLocked"
    NEON_RATE_LIMITED = "NeonRateLimited"
    NEON_UNAUTHORIZED = "NeonUnauthorized"
    NEON_REJECTED = "NeonRejected"
    PROJECT_LIMIT_REACHED = "ProjectLimitReached"
    PLAN_LIMIT_REACHED = "PlanLimitReached"
    QUOTA_EXCEEDED = "QuotaExceeded"
    MUTATIONS_SUSPENDED = "MutationsSuspended"
    OWNERSHIP_UNVERIFIED = "OwnershipUnverified"
    ON_HOLD = "OnHold"
    OWNER_UNCONFIRMED = "OwnerUnconfirmed"


# A person must act before the loop can go on.
MANUAL_ACTION_REASONS = frozenset(
    {
        Reason.NEON_REJECTED,
        Reason.PROJECT_LIMIT_REACHED,
        Reason.PLAN_LIMIT_REACHED,
        Reason.QUOTA_EXCEEDED,
        Reason.OPERATION_FAILED,
        Reason.IMMUTABLE_DRIFT,
        Reason.OWNERSHIP_UNVERIFIED,
        Reason.ON_HOLD,
        Reason.OWNER_UNCONFIRMED,
    }
)


class Condition(BaseModel):
    """One statement about an app, as the catalog keeps it.

    ``message`` is for the app's owner: the state, then what follows. It holds nothing of the fleet, the organization,
    other apps or the values of settings. That is in ``operator_message``, which the API never shows.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(description="What it is about: `Ready`, `Synced`; a later version may say more.")
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int
    operator_message: str | None = None


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of one type, or None."""
    return next((c for c in conditions if c.type == kind), None)


def set_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """The conditions with ``new`` in its place, sorted by type.

    ``last_transition_time`` is kept while ``status`` stays the same, so an unchanged statement is an equal value.
    """
    others = [c for c in conditions if c.type != new.type]
    old = find_condition(conditions, new.type)
    if old is not None and old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return tuple(sorted([*others, new], key=lambda c: c.type))


def derive_status(
    conditions: Iterable[Condition],
    *,
    deleting: bool,
    deleted: bool,
    recorded: bool,
    connected: bool,
) -> AppStatus:
    """The one word for an app.

    Args:
        conditions: what is known.
        deleting: a delete was asked for.
        deleted: Neon said that the project is gone.
        recorded: the app has a project.
        connected: the project's database has answered at least once.
    """
    if deleted:
        return AppStatus.DELETED
    if deleting:
        return AppStatus.DELETING
    known = tuple(conditions)
    ready, synced = find_condition(known, ConditionType.READY), find_condition(known, ConditionType.SYNCED)
    if ready is not None and ready.reason == Reason.PROJECT_LOST:
        return AppStatus.LOST
    if ready is not None and ready.status == "True":
        return AppStatus.DEGRADED if synced is not None and synced.reason in MANUAL_ACTION_REASONS else AppStatus.READY
    if synced is not None and synced.status == "False" and synced.reason in MANUAL_ACTION_REASONS:
        return AppStatus.FAILED
    if connected:
        return AppStatus.DEGRADED
    return (
        AppStatus.PROVISIONING
        if recorded or (ready is not None and ready.reason != Reason.QUEUED)
        else AppStatus.PENDING
    )
