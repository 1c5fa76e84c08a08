"""What one pass may know, and what it may say: plain values, no behaviour of the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from reconciler.core.host_allow_list import AddressNotAllowed, AddressRule, CheckedURI
from reconciler.core.poll_interval import AdaptivePollInterval
from specs.metadata import AppMetadata
from specs.status import AppStatus, Condition


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """What every pass of this control plane has in common.

    Attributes:
        control_plane_id: which projects are ours.
        catalog_id: which catalog made them.
        settle_seconds: how long after a create was sent it may still take effect.
        host_suffixes: endings of the database hosts that are believed; one without a dot is a whole name.
    """

    control_plane_id: str
    catalog_id: str
    settle_seconds: float
    host_suffixes: tuple[str, ...]

    def address_rule(self, app: AppMetadata) -> AddressRule:
        """What a connection URI of an app must be."""
        return AddressRule(self.host_suffixes, app.role, app.database)


@dataclass(frozen=True, slots=True)
class CreateIntent:
    """The committed wish to create a project, and what became of it."""

    create_seq: int
    incarnation: int
    nonce: str
    state: Literal["open", "rejected", "recorded", "absent"]
    sent_at: datetime
    first_absent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Credentials:
    """The connection URIs as Neon gave them; ``pooled_uri`` goes through Neon's pooler.

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
        """Whether both hold the same direct URI."""
        return other is not None and self.connection_uri == other.connection_uri


@dataclass(frozen=True, slots=True)
class Event:
    """One line of an app's history."""

    type: str
    reason: str
    message: str


TimestampColumn: TypeAlias = Literal[
    "connected_at", "missing_since", "deleted_at", "recoverable_until", "tombstone_until"
]


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """What a pass writes about an app, in one statement."""

    status: AppStatus
    conditions: tuple[Condition, ...]
    observed_generation: int
    timestamps: Mapping[TimestampColumn, datetime | None] = field(default_factory=dict)
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class ReconcileContext:
    """One app at the moment it was claimed.

    Attributes:
        now: the catalog's clock at the claim.
        attempts: failed passes in a row.
        jitter: a random number in [0, 1) for this pass.
        nonce: a random text for this pass.
        confirmed_missing: a sweep saw that the recorded project is missing while the fleet as a whole is there.
        duplicate_ids: projects that a sweep took for a surplus of this app.
        pace: how long Neon took lately for what this daemon asked for.
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

    @property
    def open_intent(self) -> CreateIntent | None:
        """The newest intent whose outcome is unknown; so is a state that only a later version knows."""
        unknown = (i for i in self.current_intents if i.state not in ("rejected", "recorded", "absent"))
        return max(unknown, key=lambda i: i.create_seq, default=None)

    @property
    def refused_intent(self) -> CreateIntent | None:
        """The newest intent that was definitely not carried out."""
        return max((i for i in self.current_intents if i.state == "rejected"), key=lambda i: i.create_seq, default=None)

    @property
    def current_intents(self) -> tuple[CreateIntent, ...]:
        """The intents of this incarnation; what an earlier one made is not this app's any more."""
        return tuple(i for i in self.intents if i.incarnation == self.app.incarnation)

    @property
    def address_rule(self) -> AddressRule:
        """What a connection URI of this app must be."""
        return self.control_plane.address_rule(self.app)

    @property
    def seconds_since_recorded(self) -> float:
        """Seconds since the project was recorded; 0 before that."""
        recorded = self.app.project_recorded_at
        return 0.0 if recorded is None else max(0.0, (self.now - recorded).total_seconds())

    @property
    def settle_window(self) -> timedelta:
        """How long after a send its outcome may still change."""
        return timedelta(seconds=self.control_plane.settle_seconds)


@dataclass(frozen=True, slots=True)
class Result:
    """When to look at the app again.

    Attributes:
        after: seconds, or None for not before something happens (a request, a sweep).
        failed: whether the pass counts as a failed attempt.
        background: whether what follows may wait behind what people asked for.
        took: seconds that Neon took for a create that this pass saw to its end.
    """

    requeue_after: float | None
    backoff: bool = False
    low_priority: bool = False
    create_seconds: float | None = None
