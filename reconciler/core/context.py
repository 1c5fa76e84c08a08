"""The inputs and outputs of one reconcile: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, TypeAlias

from reconciler.core.host_allow_list import AddressNotAllowed, AddressRule, CheckedURI
from reconciler.core.poll_interval import AdaptivePollInterval
from specs.metadata import AppMetadata
from specs.neon import Branch, Project
from specs.status import AppStatus, Condition, Reason


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The inputs that all reconciles of this control plane share.

    Attributes:
        control_plane_id: identifies owned projects.
        catalog_id: identifies the catalog that created them.
        settle_seconds: how long after a create was sent it may still take effect.
        host_suffixes: suffixes of the allowed database hosts; one without a leading dot is a complete name.
    """

    control_plane_id: str
    catalog_id: str
    settle_seconds: float
    host_suffixes: tuple[str, ...]

    def address_rule(self, app: AppMetadata) -> AddressRule:
        """Return the rule for connection URIs of an app."""
        return AddressRule(self.host_suffixes, app.role, app.database)


@dataclass(frozen=True, slots=True)
class CreateIntent:
    """The record of a create, committed before its request, and the outcome."""

    create_seq: int
    incarnation: int
    nonce: str
    state: Literal["open", "rejected", "recorded", "absent"]
    sent_at: datetime
    first_absent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The connection URIs as Neon returned them; ``pooled_uri`` goes through Neon's pooler.

    Raises:
        AddressNotAllowed: the two have different roles, passwords or databases.
    """

    connection_uri: CheckedURI
    pooled_uri: CheckedURI | None

    def __post_init__(self) -> None:
        # The pooled URI is published without a connection of its own.
        if self.pooled_uri is not None and not self.pooled_uri.same_login(self.connection_uri):
            raise AddressNotAllowed("Neon returned a pooled URI with another login than the direct one.")

    def has_same_uri(self, other: Credentials | None) -> bool:
        """Whether both contain the same direct URI."""
        return other is not None and self.connection_uri == other.connection_uri


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an app's history."""

    type: str
    reason: str
    message: str


ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionUpdate(NamedTuple):
    """One condition's new content; ``message`` is for the app's owner, ``operator_message`` for operators only."""

    status: ConditionStatus
    reason: Reason
    message: str
    operator_message: str | None = None


TimestampColumn: TypeAlias = Literal[
    "connected_at", "missing_since", "deleted_at", "recoverable_until", "tombstone_until"
]


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """The changes that a reconcile writes to an app's row, in one statement."""

    status: AppStatus
    conditions: tuple[Condition, ...]
    observed_generation: int
    timestamps: Mapping[TimestampColumn, datetime | None] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """When to reconcile the app again.

    Attributes:
        requeue_after: seconds, or None to wait for an event (a request, a resync).
        backoff: whether the reconcile counts as a failed attempt.
        low_priority: whether the next reconcile may wait behind user requests.
        create_seconds: Neon's duration of a create that this reconcile saw complete.
    """

    requeue_after: float | None
    backoff: bool = False
    low_priority: bool = False
    create_seconds: float | None = None


@dataclass(slots=True)
class Observed:
    """Neon's state as the stages of one reconcile have read it. An attribute that no stage has read is unset.

    Attributes:
        org_id: the organization of the verified key.
        project: the app's project, live and in that organization.
        branch: the project's default branch, with a read-write compute.
        uri: Neon's URI for the app's role and database on that branch.
        synced: whether the project's settings match the desired state; None if not compared.
        duplicates: the result of the stage ``delete_duplicates``, which must not delay the app itself.
    """

    org_id: str = field(init=False)
    project: Project = field(init=False)
    branch: Branch = field(init=False)
    uri: CheckedURI = field(init=False)
    synced: ConditionUpdate | None = None
    duplicates: Result | None = None


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """One app at the moment it was claimed.

    Attributes:
        now: the catalog's clock at the claim.
        attempts: consecutive failed reconciles.
        jitter: a random number in [0, 1) for this reconcile.
        nonce: a random text for this reconcile.
        confirmed_missing: a resync found the recorded project missing, and no mass disappearance.
        duplicate_ids: projects that a resync took for duplicates of this app.
        poll_interval: learned from the durations of this daemon's recent creates.
        observed: filled by the stages.
    """

    app: AppMetadata
    control_plane: ControlPlane
    now: datetime
    attempts: int
    jitter: float
    nonce: str
    intents: tuple[CreateIntent, ...] = ()
    confirmed_missing: bool = False
    duplicate_ids: tuple[str, ...] = ()
    poll_interval: AdaptivePollInterval = field(default_factory=AdaptivePollInterval)
    observed: Observed = field(default_factory=Observed)

    @property
    def project_id(self) -> str:
        """Return the recorded project's id.

        Raises:
            ValueError: the app has none.
        """
        if self.app.project_id is None:
            raise ValueError("the app has no project")
        return self.app.project_id

    @property
    def open_intent(self) -> CreateIntent | None:
        """Return the newest intent of unknown outcome; a state that only a later version knows counts as unknown."""
        unknown = (i for i in self.current_intents if i.state not in ("rejected", "recorded", "absent"))
        return max(unknown, key=lambda i: i.create_seq, default=None)

    @property
    def rejected_intent(self) -> CreateIntent | None:
        """Return the newest intent whose request Neon definitely did not execute."""
        return max((i for i in self.current_intents if i.state == "rejected"), key=lambda i: i.create_seq, default=None)

    @property
    def current_intents(self) -> tuple[CreateIntent, ...]:
        """Return the intents of this incarnation; the app no longer owns projects of earlier ones."""
        return tuple(i for i in self.intents if i.incarnation == self.app.incarnation)

    @property
    def address_rule(self) -> AddressRule:
        """Return the rule for connection URIs of this app."""
        return self.control_plane.address_rule(self.app)

    @property
    def seconds_since_recorded(self) -> float:
        """Return the seconds since the project was recorded; 0 before that."""
        recorded = self.app.project_recorded_at
        return 0.0 if recorded is None else max(0.0, (self.now - recorded).total_seconds())

    @property
    def settle_window(self) -> timedelta:
        """Return how long after a request its outcome may still change."""
        return timedelta(seconds=self.control_plane.settle_seconds)
