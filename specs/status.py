"""An app's conditions, and the status that summarizes them.

Conditions follow the Kubernetes API conventions (sig-architecture/api-conventions, "Typical status properties"):
a reason in CamelCase, a message without times or ids that change between attempts, and a ``last_transition_time`` that
changes only with ``status``.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AppStatus(StrEnum):
    """The summary of an app's conditions."""

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
    """The types of conditions that this version knows; the catalog keeps types of a later version unchanged."""

    READY = "Ready"
    SYNCED = "Synced"


class Reason(StrEnum):
    """Why a condition has its status. The condition's message states who must act."""

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


# An operator must act before the reconciler can continue.
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
    """One aspect of an app's status, as the catalog stores it.

    ``message`` is for the app's owner: the state, then the action. It names neither the fleet, the organization, other
    apps nor the values of settings. ``operator_message`` may; the API never returns it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(description="The aspect: `Ready` or `Synced`; a later version may add types.")
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int
    operator_message: str | None = None


def find_condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """Return the condition of one type, or None."""
    return next((c for c in conditions if c.type == kind), None)


def set_condition(conditions: Iterable[Condition], new: Condition) -> tuple[Condition, ...]:
    """Return the conditions with ``new`` in place of the one of its type, sorted by type.

    ``last_transition_time`` stays while ``status`` stays, so an unchanged condition is an equal value.
    """
    others = [c for c in conditions if c.type != new.type]
    old = find_condition(conditions, new.type)
    if old is not None and old.status == new.status:
        new = new.model_copy(update={"last_transition_time": old.last_transition_time})
    return tuple(sorted([*others, new], key=lambda c: c.type))


def derive_status(
    conditions: Iterable[Condition],
    *,
    outdated: bool,
    deleting: bool,
    deleted: bool,
    recorded: bool,
    connected: bool,
) -> AppStatus:
    """Return the status of an app.

    Args:
        conditions: the current conditions.
        outdated: the conditions do not describe the newest generation of the desired state yet.
        deleting: a delete was requested.
        deleted: Neon confirmed the deletion of the project.
        recorded: the app has a project.
        connected: a connection to the project's database succeeded at least once.
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
        if synced is not None and synced.reason in MANUAL_ACTION_REASONS:
            return AppStatus.DEGRADED
        return AppStatus.UPDATING if outdated else AppStatus.READY
    if synced is not None and synced.status == "False" and synced.reason in MANUAL_ACTION_REASONS:
        return AppStatus.FAILED
    if connected:
        return AppStatus.DEGRADED
    return (
        AppStatus.PROVISIONING
        if recorded or (ready is not None and ready.reason != Reason.QUEUED)
        else AppStatus.PENDING
    )
