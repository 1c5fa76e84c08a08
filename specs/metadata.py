"""``AppMetadata``: one row of the catalog's table ``app_metadata``, column for column."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from specs.app import AppSpec
from specs.names import DATABASE_NAME, format_project_name, role_name
from specs.status import AppStatus, Condition, ConditionType, Reason, set_condition


class AppMetadata(BaseModel):
    """One app's row. Secrets are sealed bytes and excluded from ``repr``.

    Times are aware. ``hold_reason`` names what an operator must confirm first: the owner of a rebuilt app (``owner``),
    or the recovery of a missing project (``recovery``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    app_id: str
    owner_id: str
    app_name: str
    spec: AppSpec
    incarnation: int = 1
    generation: int = 1
    created_at: datetime
    updated_at: datetime
    delete_requested_at: datetime | None = None

    status: AppStatus = AppStatus.PENDING
    conditions: tuple[Condition, ...] = ()
    observed_generation: int = 0
    org_id: str | None = None
    project_id: str | None = None
    project_recorded_at: datetime | None = None
    role_number: int = 1
    schema_version: str | None = None
    data_key_sealed: bytes | None = Field(default=None, repr=False)
    data_key_wrapped_by: str | None = None
    data_key_version: int = 0
    connection_uri_sealed: bytes | None = Field(default=None, repr=False)
    pooled_uri_sealed: bytes | None = Field(default=None, repr=False)
    connected_at: datetime | None = None
    missing_since: datetime | None = None
    deleted_at: datetime | None = None
    recoverable_until: datetime | None = None
    tombstone_until: datetime | None = None
    hold_reason: Literal["owner", "recovery"] | None = None

    @property
    def project_name(self) -> str:
        """Return the desired name of the app's project."""
        return format_project_name(self.app_name, self.app_id)

    @property
    def role(self) -> str:
        """Return the role that owns the app's database at Neon."""
        return role_name(self.app_id, self.incarnation, self.role_number)

    @property
    def database(self) -> str:
        """Return the name of the app's database at Neon."""
        return DATABASE_NAME

    @property
    def is_updating(self) -> bool:
        """Whether the desired state has changed since the create, and the status does not describe the change yet."""
        return self.observed_generation < self.generation and self.generation > 1

    @property
    def can_expose_uri(self) -> bool:
        """Whether the owner may see the URI: a connection succeeded, the owner is confirmed, no delete is requested."""
        return (
            self.connection_uri_sealed is not None
            and self.connected_at is not None
            and self.delete_requested_at is None
            and self.hold_reason != "owner"
        )

    def as_shown_to_owner(self) -> AppMetadata:
        """Return the row as its owner sees it, whatever was observed.

        An app is ``deleting`` from the acknowledged delete on, and ``updating`` from the acknowledged change on.
        """
        if self.status is AppStatus.READY and self.is_updating and self.delete_requested_at is None:
            return self.model_copy(update={"status": AppStatus.UPDATING})
        if self.delete_requested_at is None or self.status is AppStatus.DELETED:
            return self
        requested = Condition(
            type=ConditionType.READY,
            status="False",
            reason=Reason.DELETE_REQUESTED,
            message="The app's deletion was requested; its project is being deleted.",
            last_transition_time=self.delete_requested_at,
            observed_generation=self.observed_generation,
        )
        conditions = set_condition(self.conditions, requested)
        return self.model_copy(update={"status": AppStatus.DELETING, "conditions": conditions})
