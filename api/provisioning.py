"""Asking for an app: what ``POST /ee/apps`` does, and ``AppProvisioningService`` for Python callers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from api.documents import morphik_uri
from api.waiting import MAX_WAIT_SECONDS, Waiting, is_settled
from reconciler.catalog.apps import AppStore, CreateResult
from reconciler.catalog.encryption import Sealer
from reconciler.catalog.limits import OwnerLimits
from reconciler.errors import ReconcileError
from specs.app import AppRequest, DesiredApp
from specs.metadata import AppMetadata
from specs.names import OWNER_LENGTH, is_owner_id
from specs.settings import ApiSettings, ControlPlaneSettings
from specs.status import AppStatus, ConditionType, find_condition


class ProvisioningError(ReconcileError):
    """Base: the app could not be had."""


class InvalidAppRequest(ProvisioningError):
    """A field of the request is wrong, and nothing was written.

    Attributes:
        field: the field at fault.
        reason: what is wrong with it.
    """

    def __init__(self, field_name: str, reason: str) -> None:
        self.field = field_name
        self.reason = reason
        super().__init__(f"{field_name}: {reason}")


class ProvisioningTimedOut(ProvisioningError):
    """The app is not ready yet; it exists, and the same call again goes on waiting.

    Attributes:
        app_id: the app.
        status: what it is now.
    """

    def __init__(self, app_id: str, status: AppStatus) -> None:
        self.app_id = app_id
        self.status = status
        super().__init__(f"app {app_id} is {status} and not ready yet; call again to go on waiting")


class ProvisioningFailed(ProvisioningError):
    """The app has settled and has no URI to give.

    Attributes:
        app_id: the app.
        status: what it is: failed, lost, deleting or deleted.
        reason: the condition's reason, for a program.
    """

    def __init__(self, app_id: str, status: AppStatus, reason: str, message: str) -> None:
        self.app_id = app_id
        self.status = status
        self.reason = reason
        super().__init__(f"app {app_id} is {status}: {reason}: {message}")


@dataclass(frozen=True, slots=True)
class ProvisionResult:
    """An app that can be connected to. ``repr`` hides the URI, which holds a password."""

    app_id: str
    morphik_uri: str = field(repr=False)
    status: AppStatus


def owner_limits(http: ApiSettings) -> OwnerLimits:
    """The limits of every owner."""
    return OwnerLimits(http.max_apps_per_owner, http.creates_per_owner_per_day)


class AppCreator:
    """Writes desired rows; everything that asks for an app goes through here.

    Args:
        catalog: where the rows are.
        plane: regions and defaults.
        limits: of each owner.
        new_app_id: makes an unused id.
        nudge: called after a commit.
    """

    def __init__(
        self,
        catalog: AppStore,
        plane: ControlPlaneSettings,
        *,
        limits: OwnerLimits,
        new_app_id: Callable[[], str],
        nudge: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._plane = plane
        self._limits = limits
        self._new_app_id = new_app_id
        self._nudge = nudge

    async def create(
        self, owner_id: str, request: AppRequest, *, idempotency_key: str | None, request_id: str | None
    ) -> CreateResult:
        """Write the app's row, or find the one that the same request wrote.

        A region that is not offered now may have been when the same request came first, so the app is looked for.

        Raises:
            InvalidAppRequest: the region is not offered, and no such app exists.
            NameTaken, LimitReached, CreateLimitReached, KeyLimitReached, IdempotencyKeyReused, CatalogUnavailable: see
                ``AppCatalog.create``.
        """
        given = request.provided_fields()
        defaults = {"region": self._plane.region, "pg_version": self._plane.default_pg_version}
        desired = DesiredApp.model_validate(defaults | given)
        fingerprint = request.fingerprint() if idempotency_key else None
        if desired.region not in self._plane.neon_regions:
            found = await self._catalog.find(
                owner_id, desired, given=given, idempotency_key=idempotency_key, fingerprint=fingerprint
            )
            if found is None:
                raise InvalidAppRequest("region", f"must be one of {', '.join(self._plane.neon_regions)}")
            return CreateResult(found, created=False)
        created = await self._catalog.create(
            owner_id,
            desired,
            given=given,
            app_id=self._new_app_id(),
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            limits=self._limits,
            request_id=request_id,
        )
        if created.created:
            self._nudge()
        return created


class AppProvisioningService:
    """One call from a name to a URI that connects.

    Args:
        provisioner: writes the row.
        catalog: reads it back.
        sealer: opens the URI.
        waiting: waits for the app.
        wait_seconds: how long ``provision_new_app`` waits.
    """

    def __init__(
        self,
        provisioner: AppCreator,
        catalog: AppStore,
        sealer: Sealer,
        waiting: Waiting,
        *,
        wait_seconds: float = MAX_WAIT_SECONDS,
    ) -> None:
        self._provisioner = provisioner
        self._catalog = catalog
        self._sealer = sealer
        self._waiting = waiting
        self._wait_seconds = wait_seconds

    async def provision_new_app(self, user_id: str, app_name: str, region: str | None = None) -> ProvisionResult:
        """Ask for an app and wait until it can be connected to; the same call again returns the same app.

        Args:
            user_id: the owner; 1 to 255 printable characters.
            app_name: 1 to 100 printable characters, unique among the owner's apps.
            region: a Neon region id, or None for the default.

        Raises:
            InvalidAppRequest: a value is wrong.
            NameTaken, LimitReached, CreateLimitReached: as for POST.
            ProvisioningTimedOut: it is not ready in time; it exists.
            ProvisioningFailed: it settled without a URI.
            DecryptionFailed: the URI is there and no key opens it.
            CatalogUnavailable: the catalog did not answer; calling again is safe.
        """
        if not is_owner_id(user_id):
            raise InvalidAppRequest("user_id", f"must have 1 to {OWNER_LENGTH} printable characters")
        try:
            request = AppRequest(app_name=app_name, region=region)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            message = str(first["msg"]).removeprefix("Value error, ")
            raise InvalidAppRequest(str(first["loc"][0]), message) from None
        created = await self._provisioner.create(user_id, request, idempotency_key=None, request_id=None)
        app = created.app
        if not is_settled(app):
            await self._waiting.until_settled(app.app_id, self._wait_seconds)
            seen = await self._catalog.get(user_id, app.app_id)
            if seen is None:
                raise ProvisioningFailed(app.app_id, AppStatus.DELETED, "Deleted", "somebody deleted it")
            app = seen
        return self._result(app)

    def _result(self, app: AppMetadata) -> ProvisionResult:
        uri = morphik_uri(app, self._sealer, "connection_uri") if app.can_expose_uri else None
        if uri is not None:
            return ProvisionResult(app.app_id, uri, app.status)
        if not is_settled(app) and app.delete_requested_at is None:
            raise ProvisioningTimedOut(app.app_id, app.status)
        said = find_condition(app.conditions, ConditionType.SYNCED) or find_condition(
            app.conditions, ConditionType.READY
        )
        if said is None:
            raise ProvisioningFailed(app.app_id, app.status, "Unknown", "nothing more is known")
        raise ProvisioningFailed(app.app_id, app.status, said.reason, said.message)
